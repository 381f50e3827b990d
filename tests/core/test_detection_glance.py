"""A quick look at a frame whose faces are mostly known: what it takes over, what it looks at properly, what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data as skimage_data

from ganon_hf.core import detection_search
from ganon_hf.core.detection_search import CREDIBLE_SCORE, YuNetDetector
from ganon_hf.core.faces import Face, box_overlap


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.ascontiguousarray(skimage_data.astronaut()[:300, 80:380])


def test_a_new_face_gets_its_mesh_at_once(detector: YuNetDetector, astronaut: np.ndarray) -> None:
    (glanced,), (searched,) = detector.glance(astronaut, min_face_size=64), detector(astronaut, min_face_size=64)
    assert glanced.landmarks is not None and searched.landmarks is not None
    assert np.array_equal(glanced.landmarks, searched.landmarks) and glanced.score == searched.score


def test_a_known_mesh_is_taken_over(detector: YuNetDetector, astronaut: np.ndarray) -> None:
    (face,) = detector(astronaut, min_face_size=64)
    assert detector.glance(astronaut, min_face_size=64, known=[face]) == [face]
    assert detector.glance(np.zeros_like(astronaut), min_face_size=64, known=[face]) == [], "only where it is seen"


def test_a_known_face_without_a_mesh_is_not_looked_at_again(
    detector: YuNetDetector, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    (face,) = detector(astronaut, min_face_size=64)
    expected = Face(tuple(np.array(face.box) + 6), 0.7)  # type: ignore[arg-type]
    monkeypatch.setattr(detector, "_finish", lambda *arguments: pytest.fail("a second look"))
    (seen,) = detector.glance(astronaut, min_face_size=64, known=[expected])
    assert (seen.landmarks, seen.score) == (None, 0.7)
    overlap = [box_overlap(seen.box, np.array([one.box]))[0][0] for one in (face, expected)]
    assert overlap[0] > overlap[1], "it is where it is seen, not where it was expected"


@pytest.mark.parametrize(("score", "by_sight"), [(CREDIBLE_SCORE - 0.01, False), (CREDIBLE_SCORE, True)])
def test_only_credible_faces_are_known_by_sight(
    detector: YuNetDetector, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch, score: float, by_sight: bool
) -> None:
    (face,) = detector(astronaut, min_face_size=64)
    looked = []
    monkeypatch.setattr(detector, "_finish", lambda *arguments: looked.append(arguments))
    assert len(detector.glance(astronaut, min_face_size=64, known=[Face(face.box, score)])) == int(by_sight)
    assert bool(looked) != by_sight


def test_a_doubtful_face_counts_in_a_search_only(detector: YuNetDetector, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection_search, "CERTAIN", 2.0)
    monkeypatch.setattr(detector, "_evidence", lambda levels, candidate, least: (0.55 - detection_search.ALONE, candidate))
    assert detector(astronaut, min_face_size=64)[0].score == pytest.approx(0.55)
    assert detector.glance(astronaut, min_face_size=64) == []


def test_heads_upside_down_are_for_searches(detector: YuNetDetector, astronaut: np.ndarray) -> None:
    turned = np.ascontiguousarray(astronaut[::-1, ::-1])
    assert len(detector(turned, min_face_size=64)) == 1 and detector.glance(turned, min_face_size=64) == []


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), "photo"])
def test_what_is_no_photo_is_refused(detector: YuNetDetector, image: object) -> None:
    with pytest.raises(ValueError, match="RGB uint8 array"):
        detector.glance(image)  # type: ignore[arg-type]
