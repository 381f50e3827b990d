"""The figures of merit have known answers on tiny inputs."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ganon_hf.core.face_mesh import LEFT_IRIS, MEAN_LANDMARKS, RIGHT_IRIS
from ganon_hf.core.geometry import Pose
from ganon_hf.evaluation.attacks import landmark_attack as geometry_attack
from ganon_hf.evaluation.metrics import estimates as measures
from ganon_hf.evaluation.metrics import expression
from ganon_hf.evaluation.metrics import recognition as identity

NAN = float("nan")
NAMES = ("browDownLeft", "mouthSmileLeft", "mouthSmileRight")


@pytest.mark.parametrize(
    ("positive", "negative", "wanted"),
    [
        ([2, 3], [0, 1], 1.0),  # told apart
        ([0, 1], [2, 3], 0.0),  # the wrong way round
        ([1, 1], [1, 1], 0.5),  # ties are lots
        ([2, 0], [1], 0.5),  # one above, one below
        ([], [1], NAN),  # nothing to tell apart
    ],
)
def test_auc(positive: list[float], negative: list[float], wanted: float) -> None:
    assert measures.auc(np.array(positive), np.array(negative)) == pytest.approx(wanted, nan_ok=True)


def test_auc_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        positive, negative = (generator.integers(0, 9, generator.integers(1, 40)) / 3 for _ in range(2))  # with ties
        labels = np.repeat([1, 0], [len(positive), len(negative)])
        wanted = roc_auc_score(labels, np.concatenate([positive, negative]))
        assert measures.auc(positive, negative) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("row", "target", "rank", "wanted"),
    [
        ([0.9, 0.5, 0.1], 0, 1, 1.0),  # first
        ([0.9, 0.5, 0.1], 1, 1, 0.0),  # second is not first
        ([0.9, 0.5, 0.1], 1, 2, 1.0),  # but among two
        ([0.5, 0.5, 0.5], 2, 1, 1 / 3),  # a constant answer scores chance
        ([0.9, 0.5, 0.5], 2, 2, 0.5),  # one place for two
        ([NAN, NAN, NAN], 0, 3, 0.0),  # unread is a miss
    ],
)
def test_hit_rates(row: list[float], target: int, rank: int, wanted: float) -> None:
    assert measures.hit_rates(np.array([row]), np.array([target]), rank)[0] == pytest.approx(wanted)


@pytest.mark.parametrize(("rank", "size"), [(1, 1), (1, 3), (2, 3), (2, 5), (5, 4), (1, 6)])
def test_hit_rates_of_smaller_galleries_are_means_over_all_of_them(rank: int, size: int) -> None:
    values = np.array([[0.9, 0.5, 0.7, 0.5, 0.1, 0.3], [0.2, 0.2, 0.2, 0.2, 0.2, 0.2], [NAN] * 6])
    target = np.array([1, 0, 2])
    wanted = []
    for row, right in zip(values, target, strict=True):
        drawn = [[right, *others] for others in combinations([i for i in range(6) if i != right], size - 1)]
        wanted.append(np.mean([measures.hit_rates(row[None, some], np.array([0]), rank)[0] for some in drawn]))
    assert measures.hit_rates(values, target, rank, size=size) == pytest.approx(np.array(wanted))
    with pytest.raises(ValueError, match="1 to 6"):
        measures.hit_rates(values, target, rank, size=7)


@pytest.mark.parametrize(
    ("impostors", "far", "wanted"),
    [
        (np.arange(100.0), 0.01, 98.0),  # only 99 lies above it
        (np.arange(100.0), 0.0, 99.0),  # nobody does
        (np.ones(100), 0.01, 1.0),  # equal ones are all refused
    ],
)
def test_threshold_at_far(impostors: np.ndarray, far: float, wanted: float) -> None:
    threshold = measures.threshold_at_far(impostors, far)
    assert threshold == wanted
    assert (impostors > threshold).mean() <= far


def test_threshold_needs_impostors() -> None:
    with pytest.raises(ValueError, match="impostor"):
        measures.threshold_at_far(np.array([]))


def test_recognition_measures_of_a_perfect_and_a_blind_recognizer() -> None:
    persons = np.arange(4)
    perfect = identity.recognition_measures(np.eye(4), persons, threshold=0.5, repeats=20)
    assert [perfect[name].value for name in ("rank1", "rank5", "tar")] == [1, 1, 1]
    blind = identity.recognition_measures(np.zeros((4, 4)), persons, threshold=0.5, repeats=20)
    assert [blind[name].value for name in ("rank1", "rank5", "tar")] == [0.25, 1, 0]
    assert identity.impostor_threshold(np.eye(4)) == 0


@pytest.mark.parametrize(
    ("genuine", "impostors", "wanted"),
    [
        ([3.0, 4.0], [1.0, 2.0], 0.0),  # a threshold parts them
        ([1.0, 2.0], [3.0, 4.0], 1.0),  # the wrong way round
        ([1.0, 3.0], [0.0, 2.0], 0.5),  # one of two on either side
        ([1.0, 3.0, 4.0, 5.0], [0.0, 0.5, 0.6, 2.0], 0.25),
        ([5.0, 5.0], [5.0, 5.0, 5.0], 0.5),  # a constant answer is chance
        ([-np.inf, -np.inf], [-np.inf] * 3, 0.5),  # and so is one that reads nobody
        ([-np.inf, 2.0], [1.0, 1.0], 0.5),  # who is not read is refused at every threshold
        ([], [1.0], NAN),
        ([1.0], [], NAN),
    ],
)
def test_equal_error_rate(genuine: list[float], impostors: list[float], wanted: float) -> None:
    scores = np.array([*genuine, *impostors])
    rate = measures.equal_error_rate(scores, np.arange(len(scores)) < len(genuine), np.arange(len(scores)))(np.arange(len(scores)))
    assert rate == pytest.approx(wanted, nan_ok=True)


def test_equal_error_rate_of_resampled_probes_is_that_of_their_pairs() -> None:
    random = np.random.default_rng(0)
    scores, genuine, owners = random.normal(size=200).round(1), random.random(200) < 0.2, random.integers(10, size=200)
    scores += genuine
    rows = random.integers(10, size=10)
    pairs = np.concatenate([np.flatnonzero(owners == row) for row in rows])
    alone = measures.equal_error_rate(scores[pairs], genuine[pairs], np.arange(len(pairs)))(np.arange(len(pairs)))
    assert 0 < alone < 0.5 and measures.equal_error_rate(scores, genuine, owners)(rows) == pytest.approx(alone)


def test_bootstrap_draws_people_not_pictures() -> None:
    # two people with 50 equal pictures each: pictures would give a narrow interval, people cannot
    persons, values = np.repeat([1, 2], 50), np.repeat([0.0, 1.0], 50)
    estimate = measures.bootstrap_mean(persons, values, repeats=200)
    assert (estimate.value, estimate.low, estimate.high, estimate.count, estimate.people) == (0.5, 0.0, 1.0, 100, 2)


def test_bootstrap_covers_the_mean_of_many_people() -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    estimate = measures.bootstrap_mean(np.arange(400), values)
    assert estimate.low < values.mean() < estimate.high
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([1.0, NAN, 3.0], 2),  # a picture that could not be read does not count
        ([NAN, NAN, NAN], 0),  # none could
    ],
)
def test_bootstrap_leaves_out_what_was_not_measured(values: list[float], count: int) -> None:
    estimate = measures.bootstrap_mean(np.arange(3), np.array(values), repeats=10)
    assert estimate.count == count
    assert json.dumps(estimate.to_dict(), allow_nan=False)
    assert (estimate.to_dict()["value"] is None) == (count == 0)


def test_correlations() -> None:
    first = np.array([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0]])
    still = np.tile(first.mean(axis=0), (3, 1))
    columns = np.array([0, 1])
    assert measures.pooled_correlation(first, 2 * first + 5) == pytest.approx(1)
    assert measures.pooled_correlation(first, -first) == pytest.approx(-1)
    assert np.isnan(measures.pooled_correlation(first, still))
    assert measures.raw_correlation(first, still) > 0.9, "levels alone flatter: that is why the pooled one is centered"
    assert measures.mean_correlation(first, np.column_stack([first[:, 0], still[:, 1]]), columns=columns) == pytest.approx(0.5)


def test_blendshapes_and_smile() -> None:
    generator = np.random.default_rng(1)
    before = generator.random((6, 3))
    before[3:, 1:] += 1
    after = before.copy()
    after[0] = np.nan
    found = expression.blendshape_measures(before, after, np.arange(6), repeats=10)
    assert found["blendshape_correlation"].value == pytest.approx(1)
    assert found["blendshape_error"].value == 0
    assert found["blendshape_error"].count == 5
    smiling = np.arange(6) >= 3
    smile = expression.smile_score(after, NAMES)
    assert expression.smile_auc(smile, smiling, ~smiling, np.arange(6), repeats=10).value == 1
    with pytest.raises(ValueError, match="mouthSmileRight"):
        expression.smile_score(before, NAMES[:2] + ("jawOpen",))


def _rotation(degrees: float, axis: int) -> np.ndarray:
    angle = np.radians(degrees)
    first, second = [i for i in range(3) if i != axis]
    matrix = np.eye(3)
    matrix[[first, first, second, second], [first, second, first, second]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return matrix


@pytest.mark.parametrize(("degrees", "axis"), [(10, 0), (25, 1), (-40, 2)], ids=["nod", "turn", "tilt"])
def test_pose_error_is_the_angle(degrees: float, axis: int) -> None:
    before = Pose(60.0, np.eye(3), np.array([100.0, 90.0, 0.0])).apply(MEAN_LANDMARKS)
    after = Pose(45.0, _rotation(degrees, axis), np.array([10.0, 20.0, 5.0])).apply(MEAN_LANDMARKS)
    assert expression.pose_error(before, after) == pytest.approx(abs(degrees), abs=0.01)


@pytest.mark.parametrize(("degrees", "axis"), [(10, 0), (25, 1)], ids=["nod", "turn"])
def test_gaze_is_where_the_eyes_look_in_the_picture(degrees: float, axis: int) -> None:
    before = 60 * MEAN_LANDMARKS + 100
    turned = 60 * MEAN_LANDMARKS @ _rotation(degrees, axis) + 100
    assert expression.gaze_error(before, 2 * before) == pytest.approx(0, abs=0.01), "the size of the picture does not matter"
    assert expression.gaze_error(before, turned) == pytest.approx(degrees, abs=1), "eyes turn with the head"


def test_gaze_error_is_the_angle() -> None:
    directions = expression.gaze_directions(MEAN_LANDMARKS)
    turned = MEAN_LANDMARKS.copy()
    for iris, (corner, other) in ((RIGHT_IRIS, (33, 133)), (LEFT_IRIS, (263, 362))):
        width = np.linalg.norm(MEAN_LANDMARKS[corner, :2] - MEAN_LANDMARKS[other, :2])
        turned[list(iris), 0] += 0.2 * width / expression.EYE_WIDTH_IN_RADII
    moved = expression.gaze_directions(turned)
    assert np.all(moved[:, 0] > directions[:, 0] + 0.18)
    assert np.allclose(np.linalg.norm(moved, axis=1), 1)
    # asin(0.2) = 11.5 degrees for an eye that looked straight ahead
    assert expression.gaze_error(100 * MEAN_LANDMARKS, 100 * turned) == pytest.approx(11.5, abs=0.7)


def test_landmark_error_in_percent_of_the_eye_distance() -> None:
    eyes = [MEAN_LANDMARKS[list(corners), :2].mean(axis=0) for corners in ((33, 133), (362, 263))]
    shifted = MEAN_LANDMARKS + [0.1 * np.linalg.norm(eyes[0] - eyes[1]), 0, 7.0]  # depth does not count
    assert expression.landmark_error(MEAN_LANDMARKS, shifted) == pytest.approx(10)
    found = expression.landmark_measures([MEAN_LANDMARKS, MEAN_LANDMARKS], [None, MEAN_LANDMARKS], [shifted, None], np.arange(2), repeats=5)
    assert (found["landmark_error"].count, found["pose_error"].count) == (0, 1)


def test_discriminants_find_the_direction_that_names_people() -> None:
    generator = np.random.default_rng(2)
    persons = np.repeat(np.arange(30), 4)
    who = generator.normal(size=(60, 1))
    loud = generator.normal(0, 20, size=(120, 3))  # varies most, and says nothing

    def draw(labels: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return np.hstack([noise, who[labels] * np.array([1.0, -1.0]) + generator.normal(0, 0.01, (len(labels), 2))])

    attack = geometry_attack.Discriminants.fit(draw(persons, loud), persons, num_discriminants=1)
    new = np.arange(30, 60)
    gallery, probes = (attack(draw(new, generator.normal(0, 20, (30, 3))))[:, 0] for _ in range(2))
    hits = measures.hit_rates(-np.abs(probes[:, None] - gallery[None]), np.arange(30), 1)
    assert hits.mean() > 0.7  # untrained distance gives 1 in 30
    with pytest.raises(ValueError, match="two people"):
        geometry_attack.Discriminants.fit(np.zeros((3, 2)), np.array([1, 1, 2]))


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        (None, 22 + 0),  # everybody with two or more, nobody with more than twenty
        (21, 20),  # whole people only
        (1, 0),  # nobody fits
    ],
)
def test_attack_learns_from_whole_people(limit: int | None, wanted: int) -> None:
    persons = np.array([1] * 25 + [2, 2] + [3])
    rows = geometry_attack.choose_training_rows(persons, limit)
    assert 3 not in persons[rows]
    counts = [int((persons[rows] == label).sum()) for label in (1, 2)]
    assert counts[0] in (0, 20) and counts[1] in (0, 2)
    if limit is None:
        assert len(rows) == wanted
    assert limit is None or len(rows) <= limit


def test_landmark_features_say_what_could_not_be_read() -> None:
    features = geometry_attack.landmark_features([100 * MEAN_LANDMARKS + 50, None, np.zeros((478, 3))])
    assert features[0] == pytest.approx(MEAN_LANDMARKS[:468].ravel(), abs=1e-6)
    assert np.isnan(features[1:]).all()
