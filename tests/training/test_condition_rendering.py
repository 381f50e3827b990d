"""Conditions drawn in batches are those that the image processor draws one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import face_at

from ganon_hf.core.face_mesh import IRIS_PATCHES, LEFT_EYE_LOWER, LEFT_EYE_UPPER, MEAN_LANDMARKS, RIGHT_EYE_LOWER, RIGHT_EYE_UPPER
from ganon_hf.core.geometry import Pose
from ganon_hf.core.landmarks import draw_dots, eyes_shut, render_uv_map, triangle_map
from ganon_hf.training.condition_rendering import draw_dot_maps, render_uv_maps

SIZE = 96


def faces() -> np.ndarray:
    """(6, 478, 3): frontal, turned, half outside, one eye shut and the other nearly, squeezed flat, and random points."""
    some = [face_at(48, 48, 70).landmarks, face_at(50, 45, 80, yaw=35).landmarks, face_at(85, 10, 80).landmarks]
    blink = face_at(48, 48, 70).landmarks.copy()
    for upper, lower, opening in ((RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, 0.1), (LEFT_EYE_UPPER, LEFT_EYE_LOWER, 0.4)):
        blink[upper] = blink[lower] + opening * (blink[upper] - blink[lower])
    flat = face_at(48, 48, 70).landmarks.copy()
    flat[:, 0] = 48
    random = np.random.default_rng(0).uniform(-20, 120, (478, 3))
    return np.stack([*some, blink, flat, random])


def test_uv_maps_are_those_of_one_face() -> None:
    points = faces()
    maps = torch.from_numpy(np.stack([triangle_map(face, SIZE) for face in points]))
    uv_maps, masks = render_uv_maps(torch.from_numpy(points).float(), maps, torch.zeros(len(points), 2))
    for number, face in enumerate(points):
        expected, mask = render_uv_map(face.astype(np.float32), SIZE)
        assert np.array_equal(masks[number, 0].numpy(), mask)
        difference = np.abs(uv_maps[number].permute(1, 2, 0).numpy() - expected).max(axis=-1)
        # float32 sums in another order: at the rim of an iris a pixel may fall to the other side
        assert (difference > 1e-3).mean() < 1e-3, number
    eyes = np.abs(uv_maps[0].permute(1, 2, 0).numpy()[:, :, None] - IRIS_PATCHES).max(axis=-1) < 0.02
    assert eyes.any(axis=(0, 1)).all(), "both irises are on the picture, so that the test sees their patches"


def test_shut_eyes_are_measured_alike_in_arrays_and_tensors() -> None:
    """One function serves both: for one face and for batches, in single and in double precision."""
    points = faces()
    one_by_one = np.stack([eyes_shut(face) for face in points])
    assert one_by_one.shape == (len(points), 2) and one_by_one.dtype == np.float64
    assert one_by_one[0].tolist() == [0, 0] and one_by_one[3, 0] == 1 and 0 < one_by_one[3, 1] < 1, "open; one shut, the other half"
    assert np.array_equal(eyes_shut(points), one_by_one)
    for tensor in (torch.from_numpy(points), torch.from_numpy(points).float()):
        shut = eyes_shut(tensor)
        assert shut.dtype == torch.float64
        np.testing.assert_allclose(shut.numpy(), one_by_one, atol=1e-4 if tensor.dtype == torch.float32 else 1e-12)


def test_a_patch_is_a_part_of_the_whole() -> None:
    points = torch.from_numpy(faces()[:3]).float()
    maps = torch.from_numpy(np.stack([triangle_map(face.numpy(), SIZE) for face in points]))
    whole, _ = render_uv_maps(points, maps, torch.zeros(3, 2))
    part, _ = render_uv_maps(points, maps[:, 20:60, 12:84], torch.tensor([[12.0, 20.0]]).expand(3, 2))
    torch.testing.assert_close(part, whole[:, :, 20:60, 12:84], atol=1e-5, rtol=0)


def test_dots_are_those_of_one_face() -> None:
    points = faces()
    drawn = draw_dot_maps(torch.from_numpy(points), SIZE) * 255
    for number, face in enumerate(points):
        assert np.array_equal(drawn[number].numpy(), draw_dots(face, SIZE)), number


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (95.99, 95.99), (96.0, 96.0), (-0.01, 5.0), (96.01, 5.0)])
def test_dots_at_the_border(x: float, y: float) -> None:
    points = np.full((1, 478, 2), 50.0)
    points[0, 477] = x, y  # the last stroke
    assert np.array_equal(draw_dot_maps(torch.from_numpy(points), SIZE)[0].numpy() * 255, draw_dots(points[0], SIZE))


def test_a_mirrored_uv_map_is_the_uv_map_of_the_mirrored_face() -> None:
    """Training mirrors what was drawn instead of drawing again."""
    points = Pose(20.0, np.eye(3), np.array([48.0, 48.0, 0.0])).apply(MEAN_LANDMARKS)
    uv_map, mask = render_uv_map(points, SIZE)
    mirrored = uv_map[:, ::-1] * [-1, 1] + [1, 0]
    both = mask & mask[:, ::-1]
    assert np.abs(mirrored - uv_map)[both].mean() < 0.004, "the mean face is symmetric"
