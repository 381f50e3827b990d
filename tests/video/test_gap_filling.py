"""Smoothing: the tremor of the mesh goes, motion and blinks stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.face_mesh import LEFT_EYE_LOWER, LEFT_EYE_UPPER
from ganon_hf.core.faces import Face, box_of_points
from ganon_hf.core.keypoints import five_points
from ganon_hf.video.gap_filling import GapFiller
from ganon_hf.video.tracking import Track

RATE = 30.0


def track_of(points: list[np.ndarray]) -> Track:
    return Track(0, {number: Face(box_of_points(one), 0.9, one) for number, one in enumerate(points)})


def smoothed(points: list[np.ndarray]) -> list[np.ndarray]:
    track, gaps = track_of(points), GapFiller(RATE)
    return [np.asarray(gaps.smoothed(track, number).landmarks, dtype=float) for number in range(len(points))]


def points_at(x: float, y: float = 100.0, height: float = 80.0, yaw: float = 0.0) -> np.ndarray:
    return np.array(face_at(x, y, height, yaw=yaw).landmarks, dtype=float)


def tremble(points: list[np.ndarray], size: float = 0.4) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [one + rng.normal(0, size, one.shape) for one in points]


def tremor(points: list[np.ndarray]) -> float:
    """Mean size of the second difference, in pixels: zero for every even motion."""
    stack = np.stack(points)[:, :, :2]
    return float(np.linalg.norm(stack[2:] - 2 * stack[1:-1] + stack[:-2], axis=2).mean())


def distance(points: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Mean distance in the picture, in pixels."""
    return float(np.linalg.norm(np.stack(points)[..., :2] - np.stack(others)[..., :2], axis=-1).mean())


MOTIONS: dict[str, Callable[[int], np.ndarray]] = {
    "still": lambda n: points_at(100),
    "steady": lambda n: points_at(60 + 3 * n),
    "faster and faster": lambda n: points_at(60 + 0.08 * n * n),
    "turning": lambda n: points_at(100, yaw=-25 + 1.5 * n),
    "coming nearer": lambda n: points_at(100, 100, 60 + 1.5 * n),
}


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_tremor_goes_and_the_motion_stays(motion: str) -> None:
    true = [MOTIONS[motion](number) for number in range(30)]
    trembling = tremble(true)
    result = smoothed(trembling)
    assert tremor(result) < 0.5 * tremor(trembling)
    middle = slice(6, 24)  # at the ends there is something on one side only
    assert distance(result[middle], true[middle]) < 0.6 * distance(trembling[middle], true[middle])
    lag = np.mean([(one[:, 0] - other[:, 0]).mean() for one, other in zip(result[middle], true[middle], strict=True)])
    assert abs(lag) < 0.1, "pixels"


def test_the_ends_are_not_worse_than_they_came() -> None:
    true = [points_at(60 + 3 * number) for number in range(20)]
    trembling = tremble(true)
    for number, one in ((0, smoothed(trembling)[0]), (19, smoothed(trembling)[19])):
        assert np.abs(one - true[number]).mean() <= 1.1 * np.abs(trembling[number] - true[number]).mean()


def test_a_blink_stays() -> None:
    """Four frames of closed lids, as long as a blink at 30 frames per second."""
    open_eye, frames = points_at(100, height=120), []
    upper, lower = list(LEFT_EYE_UPPER), list(LEFT_EYE_LOWER)
    for number in range(24):
        points = open_eye.copy()
        closed = {10: 0.5, 11: 1.0, 12: 1.0, 13: 0.5}.get(number, 0.0)
        points[upper] += closed * (points[lower] - points[upper])
        frames.append(points)
    opening = np.linalg.norm(open_eye[upper] - open_eye[lower], axis=1).mean()
    for number in (11, 12):
        now = smoothed(tremble(frames, 0.2))[number]
        assert np.linalg.norm(now[upper, :2] - now[lower, :2], axis=1).mean() < 0.2 * opening


def test_one_frame_alone_stays_as_it_is() -> None:
    points = points_at(100)
    assert np.allclose(smoothed([points])[0], points, atol=1e-3)


def test_a_face_without_landmarks_is_left_alone() -> None:
    face = Face((10.0, 10.0, 50.0, 60.0), 0.7)
    assert GapFiller(RATE).smoothed(Track(0, {3: face}), 3) is face


def bare(face: Face, shift: float = 0.0) -> Face:
    """Without a mesh, where a detector sees it."""
    assert face.landmarks is not None
    keypoints = five_points(face.landmarks)
    return Face(tuple(np.array(face.box) + shift), 0.9, keypoints=keypoints + np.float32(shift))


def test_the_cover_of_a_still_face_does_not_flicker_with_the_detector() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02 * 80, 30)
    face = face_at(100, 100, 80)
    track = Track(0, {number: bare(face, shift) for number, shift in enumerate(noise)})
    shown = [GapFiller(RATE).faces_at([track], number)[0].face for number in range(5, 25)]
    places = np.array([one.box[0] for one in shown])
    assert np.abs(np.diff(places)).mean() < 0.4 * np.abs(np.diff(noise[5:25])).mean()
    assert all(one.keypoints is not None and one.landmarks is None for one in shown)


def test_the_cover_of_a_face_that_jumps_is_where_it_is_seen() -> None:
    face = face_at(100, 100, 80)
    track = Track(0, {number: bare(face, 60.0 * (number >= 15)) for number in range(30)})
    for number in (14, 15):
        (one,) = GapFiller(RATE).faces_at([track], number)
        assert np.abs(np.array(one.face.box) - track.faces[number].box).max() < 0.02 * 80


def test_a_face_keeps_its_points_where_its_mesh_is_not_used_and_where_it_is_lost() -> None:
    mesh = face_at(100, 100, 80)
    faces = {number: mesh if number in (9, 10) else bare(mesh) for number in range(20)}
    shown = {number: GapFiller(RATE).faces_at([Track(0, faces)], number)[0] for number in (10, 22)}
    assert shown[10].face.landmarks is None and shown[22].kind == "held"
    for one in shown.values():
        assert one.face.keypoints is not None
        middle = np.array([one.face.box[0] + one.face.box[2], one.face.box[1] + one.face.box[3]]) / 2
        assert np.abs(one.face.keypoints.mean(axis=0) - middle).max() < 20
