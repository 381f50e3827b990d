"""The tables of the face mesh: what the drawing, the fitting and the mirror images rely on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ganon_hf.core import face_mesh as topology
from ganon_hf.core.face_mesh import (
    FACE_OVAL,
    IRIS_PATCH_RADIUS,
    IRIS_PATCHES,
    IRIS_REACH,
    LEFT_EYE_CORNERS,
    LEFT_EYE_LOWER,
    LEFT_EYE_START,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    LIP_CORNERS,
    MEAN_LANDMARKS,
    MIRROR,
    MOUTH_CORNERS,
    MOUTH_LOWER,
    MOUTH_START,
    MOUTH_UPPER,
    POSE_WEIGHTS,
    RIGHT_EYE_CORNERS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_START,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
    SKIN_TRIANGLES,
    TRIANGLES,
    UV_MAP,
)

HOLES = {
    "mouth": ((78, 308), MOUTH_UPPER, MOUTH_LOWER, (MOUTH_START, RIGHT_EYE_START)),
    "right eye": ((33, 133), RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, (RIGHT_EYE_START, LEFT_EYE_START)),
    "left eye": ((362, 263), LEFT_EYE_UPPER, LEFT_EYE_LOWER, (LEFT_EYE_START, len(TRIANGLES))),
}


def signed_areas(points: np.ndarray, triangles: np.ndarray = TRIANGLES) -> np.ndarray:
    """(n,) positive where a triangle runs clockwise on the screen."""
    first, second = (points[triangles[:, i], :2] - points[triangles[:, 0], :2] for i in (1, 2))
    return (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2


def edges(triangles: np.ndarray) -> Counter[frozenset[int]]:
    return Counter(frozenset((a, b)) for triangle in triangles.tolist() for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True))


def chain(points: list[int]) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in zip(points, points[1:], strict=False)}


def test_no_triangle_of_the_uv_map_is_folded_or_empty() -> None:
    # half a texel of a 192 px texture is 1.4e-5: below that no texel would show what the triangle shows
    assert signed_areas(UV_MAP).min() > 1e-5


def test_the_uv_map_is_covered_once() -> None:
    """Triangles wound alike could still overlap; then their areas would add up to more than the outline holds."""
    x, y = UV_MAP[FACE_OVAL].T
    outline = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert signed_areas(UV_MAP).sum() == pytest.approx(outline, rel=1e-9)


def test_the_mesh_is_one_disc_bounded_by_the_oval() -> None:
    shared = edges(TRIANGLES)
    assert max(shared.values()) == 2
    assert {edge for edge, count in shared.items() if count == 1} == chain([*FACE_OVAL, FACE_OVAL[0]])
    assert 468 - len(shared) + len(TRIANGLES) == 1  # Euler: no hole, no handle, no second part


def test_neighboring_triangles_run_alike() -> None:
    directed = Counter((a, b) for t in TRIANGLES.tolist() for a, b in zip(t, t[1:] + t[:1], strict=True))
    assert max(directed.values()) == 1


def test_every_point_but_the_irises_is_a_corner() -> None:
    assert set(TRIANGLES.ravel().tolist()) == set(range(468))
    assert sorted([*RIGHT_IRIS, *LEFT_IRIS]) == list(range(468, 478))


@pytest.mark.parametrize("name", HOLES)
def test_strips_close_mouth_and_eyes(name: str) -> None:
    (first, last), upper, lower, (start, stop) = HOLES[name]
    strip = TRIANGLES[start:stop]
    rim = chain([first, *upper, last]) | chain([first, *lower, last])
    shared = edges(strip)
    assert {edge for edge, count in shared.items() if count == 1} == rim  # neither more nor less than the opening
    assert set(strip.ravel().tolist()) == {first, last, *upper, *lower}  # nothing but lips or lids
    assert rim <= set(edges(SKIN_TRIANGLES)), "the strip hangs on the skin's edges"
    assert not edges(SKIN_TRIANGLES).keys() & (shared.keys() - rim), "the skin has the hole that the strip closes"


def test_parts_follow_one_another() -> None:
    assert 0 < MOUTH_START < RIGHT_EYE_START < LEFT_EYE_START < len(TRIANGLES)
    assert np.array_equal(TRIANGLES[:MOUTH_START], SKIN_TRIANGLES)


def test_the_mirror_undoes_itself() -> None:
    assert np.array_equal(MIRROR[MIRROR], np.arange(478))


@pytest.mark.parametrize(
    ("left", "right", "why"),
    [
        (LEFT_EYE_UPPER, RIGHT_EYE_UPPER[::-1], "chains run from the picture's left to its right on both sides"),
        (LEFT_EYE_LOWER, RIGHT_EYE_LOWER[::-1], "likewise"),
        (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS[::-1], "outer meets outer"),
        (MOUTH_UPPER, MOUTH_UPPER[::-1], "the mouth is its own mirror image"),
        (MOUTH_LOWER, MOUTH_LOWER[::-1], "likewise"),
        (MOUTH_CORNERS, MOUTH_CORNERS[::-1], "likewise"),
        (LIP_CORNERS, LIP_CORNERS[::-1], "likewise"),
        (LEFT_IRIS, [RIGHT_IRIS[i] for i in (0, 3, 2, 1, 4)], "right and left point of the ring change places, top and bottom stay"),
        (FACE_OVAL, [FACE_OVAL[0], *FACE_OVAL[:0:-1]], "the outline runs the other way round"),
    ],
)
def test_the_mirror_maps_chains_to_chains(left: list[int], right: list[int], why: str) -> None:
    assert MIRROR[list(left)].tolist() == list(right), why


def test_uv_map_and_mean_shape_are_symmetric() -> None:
    assert np.allclose(UV_MAP[MIRROR[:468]] * [-1, 1] + [1, 0], UV_MAP)
    assert np.allclose(MEAN_LANDMARKS[MIRROR] * [-1, 1, 1], MEAN_LANDMARKS)
    assert np.array_equal(POSE_WEIGHTS[MIRROR], POSE_WEIGHTS), "a mirrored face has the mirrored pose"
    assert np.allclose(IRIS_PATCHES[::-1] * [-1, 1] + [1, 0], IRIS_PATCHES)


def test_the_uv_map_stands_upright_in_the_unit_square() -> None:
    assert UV_MAP.min() > 0 and UV_MAP.max() < 1
    forehead, chin, right_eye, left_eye = (UV_MAP[i] for i in (10, 152, 33, 263))
    assert forehead[1] < chin[1] and right_eye[0] < left_eye[0]  # the person's right is the picture's left


@pytest.mark.parametrize(
    ("upper", "lower"), [(MOUTH_UPPER, MOUTH_LOWER), (RIGHT_EYE_UPPER, RIGHT_EYE_LOWER), (LEFT_EYE_UPPER, LEFT_EYE_LOWER)]
)
def test_mouth_and_eyes_stand_open_in_the_uv_map(upper: list[int], lower: list[int]) -> None:
    assert (UV_MAP[lower, 1] - UV_MAP[upper, 1]).min() * 192 > 1, "at least a texel for teeth and eyeballs"
    assert (UV_MAP[lower, 1] - UV_MAP[upper, 1]).max() * 192 > 6


def test_iris_patches_lie_in_the_empty_corners() -> None:
    reach = IRIS_REACH * IRIS_PATCH_RADIUS
    assert (IRIS_PATCHES - reach > 0).all() and (IRIS_PATCHES + reach < 1).all()
    outline = UV_MAP[FACE_OVAL]
    dense = np.concatenate([outline + t * (np.roll(outline, -1, axis=0) - outline) for t in np.linspace(0, 1, 20)])
    for patch in IRIS_PATCHES:
        assert np.linalg.norm(dense - patch, axis=1).min() > reach + 1 / 192, "bilinear sampling must not reach the cheek"


def test_irises_sit_in_the_eyes_of_the_mean_face() -> None:
    for (center, right, top, left, bottom), corners in ((RIGHT_IRIS, RIGHT_EYE_CORNERS), (LEFT_IRIS, LEFT_EYE_CORNERS)):
        x = MEAN_LANDMARKS[:, 0]
        assert x[corners[0]] < x[left] < x[center] < x[right] < x[corners[1]]
        assert MEAN_LANDMARKS[top, 1] < MEAN_LANDMARKS[center, 1] < MEAN_LANDMARKS[bottom, 1]


def test_the_mean_face_looks_at_the_viewer() -> None:
    """z points away from the viewer: the tip of the nose is nearest, the temples are far."""
    assert MEAN_LANDMARKS[:468, 2].argmin() in (1, 4)
    assert MEAN_LANDMARKS[[127, 356], 2].min() > MEAN_LANDMARKS[[33, 263], 2].max()
    assert (signed_areas(MEAN_LANDMARKS) > 0).mean() > 0.99


def test_tables_are_data_of_the_right_kind() -> None:
    assert TRIANGLES.dtype == np.int32 and TRIANGLES.shape == (898, 3)
    assert UV_MAP.shape == (468, 2) and MEAN_LANDMARKS.shape == (478, 3) and POSE_WEIGHTS.shape == (478,)
    assert len(set(topology.FACE_OVAL)) == 36
    assert len({frozenset(triangle) for triangle in TRIANGLES.tolist()}) == len(TRIANGLES)
    weights = POSE_WEIGHTS / POSE_WEIGHTS.sum()
    center = weights @ MEAN_LANDMARKS
    assert np.sqrt((weights * ((MEAN_LANDMARKS - center) ** 2).sum(axis=1)).sum()) == pytest.approx(1, abs=0.01)  # the unit of shapes
