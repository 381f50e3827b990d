"""The control of recognition: people whose look and whose embeddings are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.evaluation.data.samples import Pairing, Sample
from ganon_hf.evaluation.metrics.age_sex import AgeSex
from ganon_hf.evaluation.report.report import GROUP, RECOGNIZER
from ganon_hf.evaluation.report.same_look import Look, read_looks, same_look, stand_ins

MEN, WOMEN = [Look(True, age, 40.0) for age in (20, 25, 30, 60)], [Look(False, age, 40.0) for age in (20, 25, 30, 60)]


def suite_of(embeddings: np.ndarray) -> SimpleNamespace:
    """Everybody twice: (n, d) embeddings, hardly different in the second picture."""
    count = len(embeddings)
    both = np.concatenate([embeddings, embeddings + 0.01])
    return SimpleNamespace(
        pairing=Pairing(np.arange(count), np.arange(count) + count, np.arange(count), True),
        persons=np.tile(np.arange(count), 2),
        runs={"original": SimpleNamespace(readings=[SimpleNamespace(embeddings={"toy": vector}) for vector in both])},
    )


def test_who_stands_in_has_the_sex_and_is_like_in_age_and_skin() -> None:
    places = stand_ins([*MEN, *WOMEN], 2)
    assert places.tolist()[:2] == [[1, 2], [0, 2]] and (places[4:] >= 4).all() and (places[:4] < 4).all()
    tones = [Look(True, 30.0, tone) for tone in (50.0, 45.0, -30.0, -35.0)]
    assert stand_ins(tones, 1).ravel().tolist() == [1, 0, 3, 2]
    gray = [Look(True, age, tone) for age, tone in ((30.0, 45.0), (38.0, 50.0), (33.0, float("nan")))]
    assert stand_ins(gray, 1).ravel().tolist() == [2, 2, 0], "of a gray photo the age counts alone"


def test_a_group_of_one_has_nobody_to_stand_in() -> None:
    looks = [*MEN, Look(False, 30.0, 40.0)]
    assert stand_ins(looks).shape == (5, 0)
    assert same_look(suite_of(np.eye(5)), looks, "toy", "cosine", repeats=5) == {}  # type: ignore[arg-type]


def test_strangers_of_a_look_are_found_as_often_as_chance_within_the_look() -> None:
    """Recognizers that see nothing but sex: the first guess is right for one in three (four of a sex, one of whom is the stranger)."""
    sex_alone = np.repeat([[1.0, 0.0], [0.0, 1.0]], 4, axis=0)
    found = same_look(suite_of(sex_alone), [*MEN, *WOMEN], "toy", "cosine", repeats=5)  # type: ignore[arg-type]
    assert found["rank1"].value == pytest.approx(1 / 3) and found["rank5"].value == 1
    assert found["linkage_rank1"].value > 0.25


def test_a_recognizer_of_people_does_not_find_them_by_strangers() -> None:
    found = same_look(suite_of(np.eye(8)), [*MEN, *WOMEN], "toy", "cosine", repeats=5)  # type: ignore[arg-type]
    assert found["rank1"].value < 0.5 and found["tar"].value == 0
    assert found["protected"].value == 1 and found["eer"].value > 0.3
    assert set(found) == set(RECOGNIZER) - {"always_found", *GROUP}, "who stands in is another one each time"


def test_the_stranger_is_not_in_the_gallery() -> None:
    """A stranger's own entry would be the first guess every time: people of one look, all alike but for a little, are found by others."""
    near = np.eye(4)[[0, 0, 0, 0]] + 0.001 * np.eye(4)
    found = same_look(suite_of(near), MEN, "toy", "euclidean", repeats=5)  # type: ignore[arg-type]
    assert found["rank1"].value > 0.2


def test_an_unread_picture_is_a_miss() -> None:
    suite = suite_of(np.eye(8))
    for reading in suite.runs["original"].readings[8:]:
        reading.embeddings["toy"] = None
    found = same_look(suite, [*MEN, *WOMEN], "toy", "cosine", repeats=5)  # type: ignore[arg-type]
    assert found["rank1"].value == 0 and found["linkage_rank1"].value == 0


def test_looks_are_read_from_the_gallery() -> None:
    photo, face = np.broadcast_to(np.array([200, 150, 120], np.uint8), (120, 160, 3)).copy(), face_at(80, 60, 80)
    read = AgeSex(0.9, 33.0, 1.0)
    suite = SimpleNamespace(
        samples=[Sample(photo, 0), Sample(photo, 0)],
        subjects=[SimpleNamespace(landmarks=face.landmarks)] * 2,
        pairing=Pairing(np.array([1]), np.array([0]), np.array([0]), False),
    )
    (look,) = read_looks(suite, lambda photo, landmarks: read)  # type: ignore[arg-type]
    assert (look.man, look.age) == (True, 33.0) and 20 < look.tone < 50
