"""What pose alone tells, and what is left of expressions without resting faces: on people whose every habit is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.evaluation.data.samples import Pairing
from ganon_hf.evaluation.report.limits import pose_alone, resting_face_off

COUNT = 12
NAMES = tuple(f"score{i}" for i in range(50)) + ("mouthSmileLeft", "mouthSmileRight")


def people(habits: np.ndarray, resting: float) -> SimpleNamespace:
    """Everybody once neutral and once smiling; (n, 2) yaw of both pictures; resting faces differ by so much."""
    random = np.random.default_rng(0)
    rest = resting * random.standard_normal((COUNT, 52))
    smile = np.zeros((COUNT, 52))
    smile[:, 50:] = random.uniform(0.5, 1.0, (COUNT, 1))
    readings = [SimpleNamespace(blendshapes=scores, blendshape_names=NAMES) for scores in np.concatenate([rest, rest + smile])]
    return SimpleNamespace(
        pairing=Pairing(np.arange(COUNT), np.arange(COUNT) + COUNT, np.arange(COUNT), True),
        subjects=[SimpleNamespace(landmarks=face_at(100, 100, yaw=yaw).landmarks) for yaw in habits.T.ravel()],
        persons=np.tile(np.arange(COUNT), 2),
        emotions=np.repeat(["neutral", "happiness"], COUNT),
        runs={"original": SimpleNamespace(readings=readings)},
    )


def test_habits_of_holding_the_head_name_people() -> None:
    own = np.linspace(-30, 30, COUNT)
    faithful = pose_alone(people(np.stack([own, own + 0.5], axis=1), 0.1), repeats=10)
    turned = pose_alone(people(np.stack([own, own[::-1]], axis=1), 0.1), repeats=10)
    assert faithful["geometry_rank1"].value == 1 and turned["geometry_rank1"].value < 0.2


@pytest.mark.parametrize(("resting", "low", "high"), [(0.0, 0.999, 1.001), (0.2, 0.1, 0.8)])
def test_resting_faces_count_as_expression(resting: float, low: float, high: float) -> None:
    found = resting_face_off(people(np.zeros((COUNT, 2)), resting), repeats=10)
    assert low < found["blendshape_correlation"].value < high and found["smile_auc"].value == 1


def test_without_labels_there_is_no_resting_face() -> None:
    suite = people(np.zeros((COUNT, 2)), 0.1)
    suite.pairing = Pairing(suite.pairing.gallery, suite.pairing.probes, suite.pairing.target, False)
    assert resting_face_off(suite, repeats=10) == {}
