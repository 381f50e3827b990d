"""The generator's condition for whole batches, in torch on any device: canonical-coordinate maps and dots.

``core/landmarks.py`` renders the same for one face at a time, in numpy and OpenCV, which is faster for one face on a CPU. Here only the
triangle maps come from there, once per picture: rasterizing needs OpenCV. The rest is indexing and products, so a GPU renders its own
batches. Conventions are those of ``core/landmarks.py``; tests check that both render the same.
"""

from __future__ import annotations

import numpy as np
import torch

from ..core.face_mesh import IRIS_PATCH_RADIUS, IRIS_PATCHES, LEFT_IRIS, RIGHT_IRIS, TRIANGLES
from ..core.landmarks import DOT, EYE_SPANS, SHUT_CORNERS, UV_CORNERS, eyes_shut, lids_over_eyes


def _triangle_tables(points: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """What a pixel needs to know about its triangle.

    Args:
        points: (B, 478, 3) crop pixels.
        covered: (B, 2) share of the right and the left eye that is covered by its lids.

    Returns:
        (B, T, 12): a 2 x 3 matrix from pixel coordinates to barycentric weights, and a corner and two edges of the triangle in the UV map.
    """
    triangles = torch.as_tensor(TRIANGLES.astype("int64"), device=points.device)
    corners = points[:, triangles, :2].double()  # (B, T, 3, 2)
    first, second = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    det = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    scale = torch.where(det.abs() > 1e-6, 1 / torch.where(det.abs() > 1e-6, det, 1.0), 0.0)[..., None]
    rows = (scale * torch.stack([second[..., 1], -second[..., 0]], -1), scale * torch.stack([-first[..., 1], first[..., 0]], -1))
    offsets = [-(row * corners[:, :, 0]).sum(-1, keepdim=True) for row in rows]
    shut = torch.as_tensor(np.stack(SHUT_CORNERS), device=points.device)  # (2, T, 6)
    uv_map = torch.as_tensor(UV_CORNERS, device=points.device) + torch.einsum("be,etc->btc", covered.float(), shut)
    return torch.cat([rows[0].float(), offsets[0].float(), rows[1].float(), offsets[1].float(), uv_map], dim=-1)


def render_uv_maps(points: torch.Tensor, triangles: torch.Tensor, corner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Canonical-coordinate maps of patches.

    Args:
        points: (B, 478, 3) crop pixels.
        triangles: (B, H, W) integer patches of ``landmarks.triangle_map``, -1 outside the mesh.
        corner: (B, 2) x, y of each patch's first pixel in its crop.

    Returns:
        (B, 2, H, W) float32 of (u, v), zero outside, and the (B, 1, H, W) bool mask, as ``landmarks.render_uv_map`` gives them.
    """
    batch, height, width = triangles.shape
    owner = triangles.long().flatten(1)  # (B, HW)
    covered, reach = lids_over_eyes(eyes_shut(points))
    table = _triangle_tables(points.float(), covered).gather(1, owner.clamp_min(0)[..., None].expand(-1, -1, 12))  # (B, HW, 12)
    x = (torch.arange(width, device=points.device) + 0.5).repeat(height) + corner[:, :1]  # (B, HW)
    y = (torch.arange(height, device=points.device) + 0.5).repeat_interleave(width) + corner[:, 1:]
    second = (table[..., 0] * x + table[..., 1] * y + table[..., 2]).clamp(0, 1)
    third = (table[..., 3] * x + table[..., 4] * y + table[..., 5]).clamp(0, 1)
    excess = (second + third).clamp_min(1)
    uv = [table[..., 6 + i] + (second * table[..., 8 + i] + third * table[..., 10 + i]) / excess for i in range(2)]
    for eye, (iris, (start, stop)) in enumerate(zip((RIGHT_IRIS, LEFT_IRIS), EYE_SPANS, strict=True)):
        center, right, top, left, bottom = (points[:, index, :2].double() for index in iris)
        axes = torch.stack([right - left, bottom - top], dim=-1) / 2  # (B, 2, 2), columns right and down
        det = axes[:, 0, 0] * axes[:, 1, 1] - axes[:, 0, 1] * axes[:, 1, 0]
        safe = torch.where(det.abs() > 1e-6, det, torch.ones_like(det))[:, None]
        dx, dy = x - center[:, :1], y - center[:, 1:]
        local = ((axes[:, 1, 1:] * dx - axes[:, 0, 1:] * dy) / safe, (axes[:, 0, :1] * dy - axes[:, 1, :1] * dx) / safe)
        near = (owner >= start) & (owner < stop) & (local[0] ** 2 + local[1] ** 2 < reach[:, eye, None] ** 2) & (det.abs() > 1e-6)[:, None]
        uv = [torch.where(near, (IRIS_PATCHES[eye][i] + local[i] * IRIS_PATCH_RADIUS).float(), uv[i]) for i in range(2)]
    mask = (owner >= 0).view(batch, 1, height, width)
    return torch.stack(uv, dim=1).view(batch, 2, height, width) * mask, mask


def draw_dot_maps(points: torch.Tensor, size: int) -> torch.Tensor:
    """The paper's condition: (B, 478, 2 or 3) crop pixels -> (B, size, size) float32 in [0, 1], ``landmarks.draw_dots`` / 255."""
    batch, count = points.shape[:2]
    place = points[..., :2]
    inside = (place >= 0).all(dim=-1) & (place <= size).all(dim=-1)
    pixels = place.floor().long().clamp(max=size - 1)
    stroke = torch.as_tensor(DOT[:, :2], device=points.device)
    spots = pixels[:, :, None] + 1 + stroke  # (B, n, 5, 2) with one pixel of margin
    where = (spots[..., 1] * (size + 2) + spots[..., 0]) * inside[..., None]  # a point outside goes to the margin's corner
    # Later strokes cover earlier ones, and a point's center its ring. Numpy keeps the last of several values written to one pixel; torch
    # promises nothing, so the strokes are numbered in drawing order and the highest number at a pixel wins.
    rank = torch.arange(count, device=points.device)[:, None] * 2 + 1 + torch.tensor([0, 0, 0, 0, 1], device=points.device)
    canvas = torch.zeros(batch, (size + 2) ** 2, dtype=torch.long, device=points.device)
    canvas.scatter_reduce_(1, where.flatten(1), rank.expand(batch, -1, -1).flatten(1), reduce="amax")
    brightness = torch.where(canvas == 0, 0.0, torch.where(canvas % 2 == 0, 255.0, 224.0)) / 255
    return brightness.view(batch, size + 2, size + 2)[:, 1:-1, 1:-1]
