"""scripts/benchmarks/video.py: measures of anonymized videos, on pictures whose answer is known."""

from __future__ import annotations

import cv2
import films
import numpy as np
import pytest
from script_loading import load_script

from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import Box

pytest.importorskip("av")
_SCRIPT = load_script("benchmarks/video")
VISIBLE_CORRELATION, correlation, identity_spread = _SCRIPT.VISIBLE_CORRELATION, _SCRIPT.correlation, _SCRIPT.identity_spread
landmark_jitter, visible_faces = _SCRIPT.landmark_jitter, _SCRIPT.visible_faces
BOX: Box = (170.0, 60.0, 280.0, 190.0)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut())


def blurred(photo: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(photo, (0, 0), 9)


@pytest.mark.parametrize(
    ("change", "shows", "reason"),
    [
        (lambda photo: photo, True, "untouched"),
        (lambda photo: cv2.imdecode(cv2.imencode(".jpg", photo, [1, 60])[1], cv2.IMREAD_COLOR), True, "encoded again"),
        (lambda photo: np.clip(photo * 0.8 + 10, 0, 255).astype(np.uint8), True, "another exposure"),
        (blurred, False, "blurred"),
        (lambda photo: np.full_like(photo, 127), False, "covered"),
        (lambda photo: np.roll(photo, 40, axis=0), False, "something else"),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_a_face_shows_where_its_structure_does(photo: np.ndarray, scale: float, change, shows: bool, reason: str) -> None:  # type: ignore[no-untyped-def]
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    box = tuple(scale * side for side in BOX)
    assert (correlation(photo, change(photo), box) >= VISIBLE_CORRELATION) == shows, reason


def test_a_small_face_with_features_in_the_same_places_is_another_one(photo: np.ndarray) -> None:
    """In faces of 50 pixels there are just eyes, nose and mouth between 1 and 4 pixels, and everybody has those."""
    small = cv2.resize(photo, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA).astype(np.float32)
    features = cv2.GaussianBlur(small, (0, 0), 1.2)
    other = np.clip(features + np.roll(small - features, 9, axis=1), 0, 255)
    found = correlation(*(image.astype(np.uint8) for image in (small, other)), tuple(0.4 * side for side in BOX))
    assert found < VISIBLE_CORRELATION - 0.05


def test_visible_faces_are_named(photo: np.ndarray) -> None:
    frames, covered = [photo] * 3, np.full_like(photo, 127)
    shown, count = visible_faces(frames, [covered, photo, covered], lambda number: {"eileen": BOX} if number else {})
    assert [(one.frame, one.name) for one in shown] == [(1, "eileen")] and count == 2
    with pytest.raises(ValueError, match="shorter|longer"):
        visible_faces(frames, [covered], lambda number: {})


def test_spread_within_and_between() -> None:
    vectors = {"a": [np.array([0.0, 0.1]), np.array([0.0, -0.1])], "b": [np.array([1.0, 0.0])], "c": [np.array([0.0, 2.0])]}
    assert identity_spread(vectors) == pytest.approx((0.1, 1.0))
    with pytest.raises(ValueError, match="two people"):
        identity_spread({"a": [np.zeros(2)]})


@pytest.mark.detection
def test_jitter_is_that_of_the_picture(photo: np.ndarray) -> None:
    def film(size: float) -> list[np.ndarray]:
        steps = np.random.default_rng(0).normal(0, size, (6, 2))
        shifts = [np.array([[1, 0, x], [0, 1, y]], np.float32) for x, y in steps]
        return [cv2.warpAffine(photo, shift, (512, 512), borderMode=cv2.BORDER_REFLECT) for shift in shifts]

    detector = YuNetDetector(threads=1)
    try:
        still, trembling = (landmark_jitter(film(size), [BOX] * 6, detector) for size in (0.0, 2.0))
        assert still < trembling / 2 and trembling > 0.02
        assert np.isnan(landmark_jitter(film(0.0), [None] * 6, detector))
    finally:
        detector.close()


def test_flicker_is_that_of_the_face_and_not_of_its_motion() -> None:
    film = films.leaving_and_returning(270, 480, seconds=1.0, frame_rate=20.0)
    steady = [film.frame(number) for number in range(film.num_frames)]
    darker = [np.round(frame * (1 - 0.02 * (number % 2))).astype(np.uint8) for number, frame in enumerate(steady)]
    still, flickering, gone = (_SCRIPT.flicker(frames, film, "anna") for frames in (steady, darker, steady[:2]))
    assert still < 2 and flickering > 3 * still, "four levels, to and fro"
    assert np.isnan(gone)


def test_a_recast_film_moves_the_heads_of_its_first_frame() -> None:
    film = films.leaving_and_returning(270, 480, seconds=1.0, frame_rate=10.0)
    mirrored = film.recast(np.ascontiguousarray(film.frame(0)[:, :, ::-1]))  # of other colors
    for name in ("anna", "ben"):
        for number in (0, 3):
            before, after = (one.follow(one.frame(number), number, name) for one in (film, mirrored))
            assert before is not None and after is not None
            before, after = (face[40:88, 40:88].astype(int) for face in (before, after))
            assert np.abs(before[..., ::-1] - after).mean() < 8 < np.abs(before - after).mean()
    assert film.follow(film.frame(0), 5, "ben") is None, "who is away"
