"""The parrot: who has learned what the anonymization does sees through it, and who has nothing to see scores chance."""

from __future__ import annotations

import numpy as np
import pytest

from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.evaluation.attacks.anonymized_pairs import AnonymizedPairs
from ganon_hf.evaluation.attacks.parrot import (
    gallery_and_probe,
    held_out_scores,
    parrot_geometry,
    parrot_recognizer,
    reciprocal_rank,
    run_parrot,
)
from ganon_hf.evaluation.attacks.parrot_learners import TrainingData, learn_clear, learn_two_covariances, learners

NAN = float("nan")


class World:
    """People who are eight numbers, pictures that add noise, and an anonymization that is a fixed rotation and shift."""

    def __init__(self, *, keep: float = 1.0, size: int = 24) -> None:
        self.generator = np.random.default_rng(0)
        self.turn = np.linalg.qr(self.generator.normal(size=(size, size)))[0]
        self.keep, self.size = keep, size

    def pictures(self, people: int, each: int, first: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        who = np.repeat(self.generator.normal(size=(people, 8)) @ np.eye(8, self.size), each, axis=0)
        before = who + self.generator.normal(0, 0.2, (len(who), self.size))
        after = self.keep * (before @ self.turn) + 3 + self.generator.normal(0, 0.1, before.shape)
        return before, after, np.repeat(np.arange(people), each) + first


def data(world: World) -> tuple[TrainingData, TrainingData]:
    before, after, persons = world.pictures(45, 3)
    return TrainingData(after, before, persons, before, persons), TrainingData(after, after, persons, before, persons)


def test_a_fixed_change_of_everybody_hides_from_the_clear_attacker_and_not_from_the_parrot() -> None:
    world = World()
    against, linkage = data(world)
    before, after, persons = world.pictures(20, 2, first=100)
    result = run_parrot(against, linkage, after[1::2], before[::2], after[::2], persons[::2], repeats=20)
    clear = learn_clear(against)(after[1::2], before[::2])
    assert (clear.argmax(axis=1) == np.arange(20)).mean() < 0.3
    assert result.measures["rank1"].value > 0.8 and result.measures["linkage_rank1"].value > 0.8
    assert result.measures["tar"].value > 0.8
    assert result.scores["clear discriminants"] < 0.3 < 0.9 < result.scores[result.chosen] == max(result.scores.values())


def test_where_nothing_is_kept_the_parrot_learns_nothing() -> None:
    world = World(keep=0.0)
    before, after, persons = world.pictures(60, 2, first=100)
    result = run_parrot(*data(world), after[1::2], before[::2], after[::2], persons[::2], repeats=20)
    assert result.measures["rank1"].value <= 0.1 and result.measures["rank5"].value <= 0.25  # chance: 1 and 5 of 60


def test_no_learner_is_scored_on_people_it_has_seen() -> None:
    against, _ = data(World())
    seen: list[set[int]] = []

    def spy(known: TrainingData) -> object:
        seen.append(set(known.persons.tolist()) | set(known.clear_persons.tolist()))
        return lambda probes, gallery: np.zeros((len(probes), len(gallery)))

    scores = held_out_scores(against, {"spy": spy}, folds=3, seed=5)  # type: ignore[dict-item]
    assert [len(people) for people in seen] == [30, 30, 30]
    assert set.intersection(*seen) == set(), "everybody is held out once"
    assert scores["spy"] == pytest.approx(1 / 8), "a constant answer: all 15 share the place in the middle"


@pytest.mark.parametrize(
    ("similarity", "wanted"),
    [
        ([[3, 2, 1]], 1.0),  # first
        ([[1, 2, 3]], 1 / 3),  # last
        ([[1, 1, 1]], 0.5),  # all alike: second of three
    ],
)
def test_reciprocal_rank(similarity: list[list[float]], wanted: float) -> None:
    assert reciprocal_rank(np.array(similarity, float), np.array([0])) == pytest.approx(wanted)


def test_what_could_not_be_read_is_a_miss_and_spoils_nobody_else() -> None:
    world = World()
    against, linkage = data(world)
    before, after, persons = world.pictures(10, 2, first=100)
    probes, gallery = after[1::2].copy(), before[::2].copy()
    probes[0], gallery[1] = NAN, NAN
    result = run_parrot(against, linkage, probes, gallery, after[::2], persons[::2], repeats=0)
    assert result.measures["rank1"].value == pytest.approx(0.8, abs=0.11)
    nothing = run_parrot(against, linkage, np.full_like(probes, NAN), gallery, after[::2], persons[::2], repeats=0)
    assert [nothing.measures[key].value for key in ("rank1", "rank5", "tar", "linkage_rank1")] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery": np.zeros((3, 2))}, "as many rows"),  # a picture without its original
        ({"clear_persons": np.arange(3)}, "as many rows"),  # a picture of nobody
        ({"probes": np.full((4, 2), NAN)}, "finite"),  # an unread picture teaches nothing
        ({"persons": np.array([0, 0, 1, 2])}, "two people"),  # one person cannot be told apart
    ],
)
def test_lessons_check_themselves(change: dict[str, np.ndarray], message: str) -> None:
    persons = np.array([0, 0, 1, 1])
    fine = {
        "probes": np.zeros((4, 2)),
        "gallery": np.zeros((4, 2)),
        "persons": persons,
        "clear": np.zeros((4, 2)),
        "clear_persons": persons,
    }
    TrainingData(**fine)
    with pytest.raises(ValueError, match=message):
        TrainingData(**{**fine, **change})


def test_too_few_people_for_the_folds() -> None:
    before, after, persons = World().pictures(5, 2)
    with pytest.raises(ValueError, match="at least 6 people"):
        held_out_scores(TrainingData(after, before, persons, before, persons), learners(linkage=False), folds=3)


def test_two_covariances_score_is_that_of_the_gaussian() -> None:
    """With one discriminant the score is the log likelihood ratio, written out."""
    generator = np.random.default_rng(3)
    persons = np.repeat(np.arange(300), 2)
    who = np.repeat(generator.normal(0, 2.0, 300), 2)
    before, after = (who + generator.normal(0, spread, 600) for spread in (1.0, 0.5))
    against = TrainingData(after[:, None], before[:, None], persons, before[:, None], persons)
    score = learn_two_covariances(1)(against)(np.array([[2.0], [2.0]]), np.array([[1.5], [-3.0]]))
    slope, rest = 4 / 4.25, 5 - 16 / 4.25
    wanted = [-((known - slope * 2.0) ** 2) / rest / 2 + known**2 / 5 / 2 for known in (1.5, -3.0)]
    assert score[0] - score[0].mean() == pytest.approx(np.array(wanted) - np.mean(wanted), rel=0.15)


def faces(people: int, each: int, first: int = 0) -> AnonymizedPairs:
    """People of different shapes; the anonymization turns every shape's difference from the mean upside down and scrambles it."""
    generator = np.random.default_rng([7, first])
    directions = np.random.default_rng(8).normal(0, 0.02, (6, 2, 478, 3))
    persons = np.repeat(np.arange(people), each)
    codes = generator.normal(size=(people, 6))[persons] + generator.normal(0, 0.1, (len(persons), 6))
    before, after = (60 * (MEAN_LANDMARKS + np.tensordot(codes, directions[:, world], axes=1)) + 100 for world in range(2))
    crops = np.zeros((len(persons), 8, 8), np.uint8)
    crops[:, 0, :6] = np.clip(128 + 40 * codes, 0, 255).astype(np.uint8)
    mixed = crops[:, :, ::-1].copy()
    return AnonymizedPairs(persons + first, np.arange(len(persons)), before, after, crops, mixed, crops)


class Pixels:
    name, metric = "pixels", "euclidean"

    def __call__(self, photo: np.ndarray, box: tuple[float, ...]) -> np.ndarray | None:
        return None if photo[7, 7, 0] == 255 else photo[0, :, 0].astype(float) / 40


def test_parrots_by_landmarks_and_by_recognizer() -> None:
    train, tested = faces(40, 3), faces(15, 2, first=100)
    found = np.array(tested.found)
    found[1] = NAN  # the first person's probe shows no face
    tested = AnonymizedPairs(tested.persons, tested.rows, tested.landmarks, found, tested.originals, tested.anonymized, tested.targets)
    known, unknown = gallery_and_probe(tested, np.arange(0, 30, 2), np.arange(1, 30, 2))
    by_shape = parrot_geometry(train, known, unknown, repeats=10)
    assert by_shape.measures["rank1"].value == pytest.approx(14 / 15, abs=0.01)
    more = parrot_geometry(train, known, unknown, clear=(train.landmarks, train.persons), repeats=10)
    assert more.measures["rank1"] == by_shape.measures["rank1"]
    by_pixels = parrot_recognizer(train, known, unknown, Pixels(), repeats=10)  # type: ignore[arg-type]
    assert by_pixels.measures["rank1"].value > 0.8 > 0.5 > by_pixels.scores["nothing"]


def test_pairs_are_people_who_have_both_pictures() -> None:
    some = faces(3, 2).take([0, 1, 3, 4, 5])  # the first picture of the second person came to nothing
    known, unknown = gallery_and_probe(some, [0, 2, 4], [1, 3, 5])
    assert known.rows.tolist() == [0, 4] and unknown.rows.tolist() == [1, 5]
    assert known.persons.tolist() == unknown.persons.tolist() == [0, 2]
