"""The 478 points as pictures: UV coordinates of each pixel, texture unwrapping, dots.

Convention: points are (x, y) or (x, y, z) in pixels of a square crop, pixel centers at .5, z away from the viewer. UV coordinates
(u, v) run from 0 to 1 over the canonical texture, u to the picture's right, v down. All maps are float32.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .face_mesh import (
    IRIS_PATCH_RADIUS,
    IRIS_PATCHES,
    IRIS_REACH,
    LEFT_EYE_CORNERS,
    LEFT_EYE_LOWER,
    LEFT_EYE_OUTER,
    LEFT_EYE_START,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    LEFT_LID_LOWER,
    LEFT_LID_UPPER,
    LIP_LOWER,
    LIP_UPPER,
    MEAN_LANDMARKS,
    MOUTH_START,
    RIGHT_EYE_CORNERS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_OUTER,
    RIGHT_EYE_START,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
    RIGHT_LID_LOWER,
    RIGHT_LID_UPPER,
    TRIANGLES,
    UV_MAP,
)
from .opencv import cv2

_SUBPIXEL_BITS = 4
# By how much the weight of a triangle's corner must be below zero at a pixel for another triangle to be looked for.
_TOLERANCE = 1e-3
_EYE_CONTOURS = (
    [RIGHT_EYE_CORNERS[0], *RIGHT_EYE_UPPER, RIGHT_EYE_CORNERS[1], *reversed(RIGHT_EYE_LOWER)],
    [LEFT_EYE_CORNERS[0], *LEFT_EYE_UPPER, LEFT_EYE_CORNERS[1], *reversed(LEFT_EYE_LOWER)],
)
# x, y and gray value of the pixels of a dot
DOT = np.array([(1, 0, 224), (-1, 0, 224), (0, 1, 224), (0, -1, 224), (0, 0, 255)])
# first corner and the edges to the other two of each triangle in the UV map, (n_triangles, 6)
UV_CORNERS = np.concatenate(
    [
        UV_MAP[TRIANGLES[:, 0]],
        UV_MAP[TRIANGLES[:, 1]] - UV_MAP[TRIANGLES[:, 0]],
        UV_MAP[TRIANGLES[:, 2]] - UV_MAP[TRIANGLES[:, 0]],
    ],
    axis=1,
).astype(np.float32)
EYE_SPANS = ((RIGHT_EYE_START, LEFT_EYE_START), (LEFT_EYE_START, len(TRIANGLES)))
# Middle of the upper and the lower lid, then the corners, of the right and the left eye.
LID_POINTS = np.array([(RIGHT_LID_UPPER, RIGHT_LID_LOWER, *RIGHT_EYE_CORNERS), (LEFT_LID_UPPER, LEFT_LID_LOWER, *LEFT_EYE_CORNERS)])
# Openings, over the distance of the outer corners, at which the lids begin to cover the eyeball and cover it completely. Below 0.03 no
# picture shows an eyeball (:func:`unwrap` trusts none), and the texture's would be drawn a pixel high.
LIDS_APART, LIDS_TOGETHER = 0.05, 0.02
# Texels at the very edge of a lid show the eyeball, too; the lid alone begins this far from the edge (UV).
_LID_EDGE = 1.5 / 192


def _shut_corners(eye: int) -> np.ndarray:
    """(n_triangles, 6) to be added to :data:`UV_CORNERS` for a shut eye.

    The lids meet where they show no eyeball, and the strip between them shows the edge of the upper lid from top to bottom.
    """
    upper, lower = ((RIGHT_EYE_UPPER, RIGHT_EYE_LOWER), (LEFT_EYE_UPPER, LEFT_EYE_LOWER))[eye]
    moved = UV_MAP.copy()
    moved[LID_POINTS[eye][2:]] += [[-_LID_EDGE, 0], [_LID_EDGE, 0]]
    moved[upper] -= [0, _LID_EDGE]
    moved[lower] += [0, _LID_EDGE]
    corners = moved[TRIANGLES]
    moved[lower] = moved[upper]
    corners[slice(*EYE_SPANS[eye])] = moved[TRIANGLES[slice(*EYE_SPANS[eye])]]
    change = corners - UV_MAP[TRIANGLES]
    return np.concatenate([change[:, 0], change[:, 1] - change[:, 0], change[:, 2] - change[:, 0]], axis=1).astype(np.float32)


SHUT_CORNERS = (_shut_corners(0), _shut_corners(1))


def iris_frames(points: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Center (2,) and half axes (2, 2), columns right and down, of the right and the left iris in the picture."""
    frames = []
    for center, right, top, left, bottom in (RIGHT_IRIS, LEFT_IRIS):
        p = points[:, :2]
        frames.append((p[center].astype(np.float64), np.stack([p[right] - p[left], p[bottom] - p[top]], axis=1).astype(np.float64) / 2))
    return frames


def in_iris_radii(places: np.ndarray, center: np.ndarray, axes: np.ndarray) -> np.ndarray | None:
    """(..., 2) crop pixels in radii of an iris of :func:`iris_frames`; None for one without extent."""
    return None if abs(np.linalg.det(axes)) <= 1e-6 else (places - center) @ np.linalg.inv(axes).T


def eyes_shut(points: Any) -> Any:
    """How far the lids have come over the eyeballs.

    Args:
        points: (..., 478, 2 or 3) crop pixels, an array or a tensor.

    Returns:
        (..., 2) float64 of the same kind, right eye and left eye: 0 open, 1 shut.
    """
    p = points[..., :2]
    p = p.astype(np.float64) if isinstance(p, np.ndarray) else p.double()
    apart = p[..., RIGHT_EYE_OUTER, :] - p[..., LEFT_EYE_OUTER, :]
    unit = ((apart**2).sum(-1) ** 0.5).clip(1e-6)
    lids = p[..., LID_POINTS, :]  # (..., 2, 4, 2)
    upper, lower, first, last = (lids[..., place, :] for place in range(4))
    along, gap = last - first, lower - upper
    # across the eye and signed: lids that have passed each other are shut
    across = (along[..., 0] * gap[..., 1] - along[..., 1] * gap[..., 0]) / ((along**2).sum(-1) ** 0.5).clip(1e-6)
    return ((LIDS_APART - across / unit[..., None]) / (LIDS_APART - LIDS_TOGETHER)).clip(0, 1)


def lids_over_eyes(shut: Any) -> tuple[Any, Any]:
    """What of an eyeball stays visible as the lids close: the white disappears first, the iris, as dark as lashes, last and at once.

    Args:
        shut: array or tensor of 0 (open) to 1, see :func:`eyes_shut`.

    Returns:
        share of :data:`SHUT_CORNERS` to add to the UV map, and the visible part of the iris in radii; both like ``shut``.
    """
    return (1.6 * shut).clip(0, 1), IRIS_REACH * (15 - 20 * shut).clip(0, 1)


def barycentric_maps(points: np.ndarray) -> np.ndarray:
    """(n_triangles, 2, 3) matrices that map crop (x, y) to the weights of each triangle's second and third corner; 0 where degenerate."""
    corners = points[TRIANGLES, :2].astype(np.float64)  # (T, 3, 2)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    det = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    safe = np.abs(det) > 1e-6
    scale = np.where(safe, 1 / np.where(safe, det, 1.0), 0.0)[:, None, None]
    linear = scale * np.stack([np.stack([second[:, 1], -second[:, 0]], -1), np.stack([-first[:, 1], first[:, 0]], -1)], axis=1)
    offset = -np.einsum("tij,tj->ti", linear, corners[:, 0])
    return np.concatenate([linear, offset[:, :, None]], axis=2).astype(np.float32)


def triangle_map(points: np.ndarray, size: int) -> np.ndarray:
    """(size, size) int32 index of the foremost mesh triangle at each pixel, -1 outside (painter's algorithm, far to near); read-only."""
    points = np.ascontiguousarray(points, dtype=np.float64)
    return _triangle_map(points.tobytes(), size)


@lru_cache(maxsize=16)  # the condition, the matte and the check before them use the same mesh
def _triangle_map(content: bytes, size: int) -> np.ndarray:
    points = np.frombuffer(content, np.float64).reshape(-1, 3)
    depth = points[TRIANGLES, 2].mean(axis=1)
    # Lips and lids that fold over themselves must not hide what they frame: it lies at the depth of their nearest point, so that only
    # the nose of a turned head still comes before it.
    for start, stop in ((MOUTH_START, RIGHT_EYE_START), *EYE_SPANS):
        depth[start:stop] = points[TRIANGLES[start:stop], 2].min() - 1e-3 * size
    order = np.argsort(-depth, kind="stable")
    index = np.full((size, size), -1, np.int32)
    fill = cv2.fillConvexPoly
    for triangle, corners in zip(order.tolist(), _fixed_corners(points, size)[order], strict=True):
        fill(index, corners, triangle, cv2.LINE_8, _SUBPIXEL_BITS)
    _correct_owners(index, barycentric_maps(points))
    index.flags.writeable = False
    return index


def _correct_owners(index: np.ndarray, maps: np.ndarray) -> None:
    """Give pixels to the triangle in which their centers lie (in place): OpenCV draws edges wider, over the neighbors.

    Args:
        index: (S, S) triangle of each pixel, -1 outside the mesh, which stays as large.
        maps: (n_triangles, 2, 3), see :func:`barycentric_maps`.
    """
    table, places = np.ascontiguousarray(maps.reshape(-1, 6).T), np.flatnonzero(index >= 0)
    has_area = np.abs(maps).max(axis=(1, 2)) > 0  # lids that meet draw a line, which becomes no wider
    rows, columns = np.divmod(places, index.shape[1])
    excess = _outside(np.take(table, index.ravel()[places], axis=1), columns, rows)
    doubtful = np.flatnonzero(excess > _TOLERANCE)
    rows, columns, excess = rows[doubtful], columns[doubtful], excess[doubtful]
    owner, around = index[rows, columns], np.pad(index, 1, constant_values=-1)
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2), (0, 0), (0, 2), (2, 0), (2, 2)):
        other = around[rows + down, columns + right]
        allowed = (other >= 0) & has_area[other] & _touching()[owner, other]
        others = np.where(allowed, _outside(np.take(table, other, axis=1), columns, rows), np.inf)
        owner, excess = np.where(others < excess, other, owner), np.minimum(others, excess)
    index[rows, columns] = owner


@lru_cache(maxsize=1)
def _touching() -> np.ndarray:
    """(n_triangles, n_triangles) bool, which share a corner: the others lie in another layer of a turned head."""
    corners = np.zeros((len(TRIANGLES), TRIANGLES.max() + 1), np.float32)
    np.put_along_axis(corners, TRIANGLES, 1, axis=1)
    touching = corners @ corners.T > 0
    touching.flags.writeable = False
    return touching


def _outside(maps: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(6, n) maps and (n,) pixels -> (n,) by how much the least weight of their centers is below zero; at most 0 inside the triangle."""
    x, y = columns.astype(np.float32) + 0.5, rows.astype(np.float32) + 0.5
    second, third = (maps[i] * x + maps[i + 1] * y + maps[i + 2] for i in (0, 3))
    return np.maximum(np.maximum(-second, -third), second + third - 1)


def _fixed_corners(points: np.ndarray, size: int) -> np.ndarray:
    """(n_triangles, 3, 2) int32 corners as OpenCV draws them: pixel centers at integers, with ``_SUBPIXEL_BITS`` binary places."""
    places = np.clip(points[:, :2] - 0.5, -4 * size, 5 * size)
    return np.round(places * (1 << _SUBPIXEL_BITS)).astype(np.int32)[TRIANGLES]


def mesh_mask(points: np.ndarray, size: int) -> np.ndarray:
    """(size, size) bool, where :func:`triangle_map` shows a triangle; cheaper for a mesh of which nothing else is asked."""
    mask = np.zeros((size, size), np.uint8)
    fill = cv2.fillConvexPoly
    for corners in _fixed_corners(points, size):
        fill(mask, corners, 1, cv2.LINE_8, _SUBPIXEL_BITS)
    return mask.view(bool)


def render_uv_map(points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """UV coordinates of the mesh at each pixel.

    Args:
        points: (478, 2 or 3) crop pixels; without z all triangles lie at one depth.
        size: side of the crop.

    Returns:
        ((size, size, 2) float32 of (u, v), zero outside; (size, size) bool mask of the mesh). Inside the eyes, pixels of the iris map to
        the iris patches, so that the gaze is that of the iris points. As an eye shuts, the upper lid covers what is between the lids.
    """
    if points.shape[1] == 2:
        points = np.hstack([points, np.zeros((len(points), 1))])
    index = triangle_map(points, size)
    mask = index >= 0
    places = np.flatnonzero(mask)
    rows, columns = np.divmod(places, size)
    owner = index.ravel()[places].astype(np.intp)
    # all that a pixel needs of its triangle: six numbers for the weights, a corner and two edges in the UV map
    covered, reach = lids_over_eyes(eyes_shut(points))
    corners: np.ndarray = UV_CORNERS
    for shut in np.flatnonzero(covered):
        corners = corners + np.float32(covered[shut]) * SHUT_CORNERS[shut]
    table = np.take(np.hstack([barycentric_maps(points).reshape(-1, 6), corners]).T, owner, axis=1)  # (12, n)
    x, y = columns.astype(np.float32) + 0.5, rows.astype(np.float32) + 0.5
    # The center of a pixel may lie outside, on outlines and in triangles below a pixel: clip, as thin ones would extrapolate far.
    second = np.clip(table[0] * x + table[1] * y + table[2], 0.0, 1.0)
    third = np.clip(table[3] * x + table[4] * y + table[5], 0.0, 1.0)
    excess = np.maximum(second + third, 1.0)
    second, third = second / excess, third / excess
    uv = np.stack([table[6 + i] + second * table[8 + i] + third * table[10 + i] for i in range(2)], axis=1)
    in_eyes = np.flatnonzero(owner >= EYE_SPANS[0][0])  # their triangles are the last ones
    for eye, (center, axes) in enumerate(iris_frames(points)):
        start, stop = EYE_SPANS[eye]
        inside = in_eyes[(owner[in_eyes] >= start) & (owner[in_eyes] < stop)]
        local = in_iris_radii(np.stack([x[inside], y[inside]], axis=1), center, axes)
        if len(inside) and local is not None:
            near = (local**2).sum(axis=1) < reach[eye] ** 2
            uv[inside[near]] = IRIS_PATCHES[eye] + local[near] * IRIS_PATCH_RADIUS
    uv_map = np.zeros((size * size, 2), np.float32)
    uv_map[places] = uv
    return uv_map.reshape(size, size, 2), mask


@lru_cache(maxsize=4)
def texel_table(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Place on the mesh of each texel of the (size, size) canonical texture.

    Returns:
        rows, columns of the mesh's texels, their triangle, and their barycentric weights (n, 3).
    """
    index = np.full((size, size), -1, np.int32)
    fixed = np.round((UV_MAP[TRIANGLES] * size - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    for triangle, corners in enumerate(fixed):
        cv2.fillConvexPoly(index, corners, triangle, cv2.LINE_8, _SUBPIXEL_BITS)
    rows, columns = np.nonzero(index >= 0)
    owner = index[rows, columns]
    corners = UV_MAP[TRIANGLES[owner]]
    texel = np.stack([columns + 0.5, rows + 0.5], axis=1) / size
    edges = (corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1)
    weights = np.linalg.solve(edges, (texel - corners[:, 0])[:, :, None])[:, :, 0]
    weights = np.clip(np.concatenate([1 - weights.sum(axis=1, keepdims=True), weights], axis=1), 0, 1)
    return rows, columns, owner, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=4)
def iris_texels(size: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each iris patch of a (size, size) texture: rows, columns and (n, 2) positions in iris radii."""
    rows, columns = np.mgrid[:size, :size]
    patches = []
    for center in IRIS_PATCHES:
        local = (np.stack([columns + 0.5, rows + 0.5], axis=-1) / size - center) / IRIS_PATCH_RADIUS
        near = (local**2).sum(axis=-1) < (IRIS_REACH + 1.5 / (IRIS_PATCH_RADIUS * size)) ** 2
        patches.append((rows[near], columns[near], local[near]))
    return patches


def facing(points: np.ndarray) -> np.ndarray:
    """(n_triangles,) cosine between each triangle's normal and the line of sight: 1 faces the viewer, below 0 is turned away."""
    corners = points[TRIANGLES].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals[:, 2] / np.maximum(np.linalg.norm(normals, axis=1), 1e-9)


@lru_cache(maxsize=1)
def frontal_facing() -> np.ndarray:
    """(n_triangles,) :func:`facing` of the mean face, as a portrait from the front shows it; read-only."""
    cosines = facing(MEAN_LANDMARKS)
    cosines.flags.writeable = False
    return cosines


def unwrap(image: np.ndarray, points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Resample the pixels of a crop to the canonical UV map.

    Args:
        image: (h, w) or (h, w, c), uint8 or float32.
        points: (478, 3) crop pixels.
        size: side of the texture.

    Returns:
        (texture of shape (size, size[, c]), (size, size) float32 trust in 0..1). Trust falls where the surface turns away, leaves the
        picture, or shows an eyeball or a mouth that is shut; it is 0 outside the UV map's mesh.
    """
    rows, columns, owner, weights = texel_table(size)
    where = np.einsum("nk,nkc->nc", weights, points[TRIANGLES[owner], :2].astype(np.float32))
    trust = np.zeros((size, size), np.float32)
    value = np.clip(facing(points) / 0.12, 0, 1)
    interocular = max(float(np.linalg.norm(points[RIGHT_EYE_OUTER, :2] - points[LEFT_EYE_OUTER, :2])), 1e-6)
    spans = (
        (LIP_UPPER, LIP_LOWER, (MOUTH_START, RIGHT_EYE_START)),
        (RIGHT_LID_UPPER, RIGHT_LID_LOWER, EYE_SPANS[0]),
        (LEFT_LID_UPPER, LEFT_LID_LOWER, EYE_SPANS[1]),
    )
    for upper, lower, (start, stop) in spans:
        opening = float(np.linalg.norm(points[upper, :2] - points[lower, :2])) / interocular
        value[start:stop] = np.clip((opening - 0.03) / 0.05, 0, 1)
    trust[rows, columns] = value[owner]
    map_x, map_y = np.full((size, size), -1e4, np.float32), np.full((size, size), -1e4, np.float32)
    map_x[rows, columns], map_y[rows, columns] = where[:, 0] - 0.5, where[:, 1] - 0.5
    for eye, (center, axes) in enumerate(iris_frames(points)):
        start, stop = EYE_SPANS[eye]
        patch_rows, patch_columns, local = iris_texels(size)[eye]
        position = center + local @ axes.T
        map_x[patch_rows, patch_columns], map_y[patch_rows, patch_columns] = position[:, 0] - 0.5, position[:, 1] - 0.5
        eyeball = np.flatnonzero((owner >= start) & (owner < stop))
        openness = float(value[start])
        in_radii = in_iris_radii(where[eyeball], center, axes)
        if in_radii is not None:
            # the iris hides the white of the eye, and the lids hide the iris
            on_iris = (in_radii**2).sum(axis=1) < (IRIS_REACH + 0.1) ** 2
            trust[rows[eyeball[on_iris]], columns[eyeball[on_iris]]] = 0
            contour = points[_EYE_CONTOURS[eye], :2].astype(np.float32)
            open_here = np.array([cv2.pointPolygonTest(contour, (float(px), float(py)), False) >= 0 for px, py in position], np.float32)
            trust[patch_rows, patch_columns] = open_here * openness
    height, width = image.shape[:2]
    outside = (map_x < -0.5) | (map_y < -0.5) | (map_x > width - 0.5) | (map_y > height - 0.5)
    trust[outside] = 0
    return cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), trust


def draw_dots(points: np.ndarray, size: int) -> np.ndarray:
    """The paper's condition: every point a white dot on black, as MediaPipe's ``draw_landmarks`` draws it.

    Args:
        points: (478, 2 or 3) crop pixels; points outside the square are dropped.
        size: side of the picture.

    Returns:
        (size, size) uint8: 255 at each point's pixel, 224 at its four neighbors (a circle of radius 1 in MediaPipe's white); of
        points that lie side by side the later one is on top.
    """
    inside = (points[:, :2] >= 0).all(axis=1) & (points[:, :2] <= size).all(axis=1)
    pixels = np.minimum(np.floor(points[inside, :2]).astype(np.int64), size - 1)
    canvas = np.zeros((size + 2, size + 2), np.uint8)  # one pixel of margin swallows strokes that cross the border
    columns, rows = (pixels[:, None] + 1 + DOT[:, :2]).transpose(2, 0, 1)  # (n, 5) each, the ring before the center
    canvas[rows, columns] = DOT[:, 2]  # where an index is repeated numpy keeps the last value
    return canvas[1:-1, 1:-1]
