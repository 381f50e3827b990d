"""Figures as the law asks for them: known attacks against known controls, and looks that are known before and after."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ganon_hf.evaluation.harness.methods import SWAPPED_LANDMARKS
from ganon_hf.evaluation.metrics.age_sex import AgeSex
from ganon_hf.evaluation.metrics.estimates import Estimate
from ganon_hf.evaluation.report.report import risk_table
from ganon_hf.evaluation.report.risk import inference_risks, recognition_risks, relative_risk, risk_rows

NAN = float("nan")


def share(value: float, spread: float = 0.0, people: int = 50) -> Estimate:
    return Estimate(value, max(value - spread, 0.0), min(value + spread, 1.0), people, people)


@pytest.mark.parametrize(
    ("attack", "control", "wanted"),
    [
        (0.5, 0.0, 0.5),
        (0.6, 0.2, 0.5),
        (0.1, 0.3, 0.0),  # worse than the control is no risk
        (1.0, 0.9, 1.0),
        (1.0, 1.0, NAN),  # nothing is left to learn
    ],
)
def test_risk_is_what_the_attack_learns_beyond_the_control(attack: float, control: float, wanted: float) -> None:
    assert relative_risk(share(attack), share(control)).value == pytest.approx(wanted, nan_ok=True)


def test_the_interval_of_a_risk_covers_resampled_people() -> None:
    random = np.random.default_rng(0)
    hits = [random.binomial(400, p, 20_000) / 400 for p in (0.4, 0.1)]
    attack, control = (Estimate(p, *np.percentile(draws, [2.5, 97.5]), 400, 400) for p, draws in zip((0.4, 0.1), hits, strict=True))
    risk = relative_risk(attack, control)
    drawn = np.percentile((hits[0] - hits[1]) / (1 - hits[1]), [2.5, 97.5])
    assert [risk.low, risk.high] == pytest.approx(drawn, abs=0.01)
    assert relative_risk(share(0.5, NAN), share(0.1, NAN)).value == pytest.approx(4 / 9), "without intervals the value stays"


FIGURES = {
    "original": {"dlib/rank1": share(1.0)},
    "ganon-hf": {
        "dlib/rank1": share(0.2),
        "dlib/rank5": share(0.9),
        "geometry_rank1": share(0.3),
        "dlib/linkage_rank1": share(0.4),
        "dlib/parrot_linkage_rank1": share(0.5),
        "dlib/unattacked_rank1": share(0.95),
        "dlib/original_rank1": share(0.99),
    },
    SWAPPED_LANDMARKS: {"dlib/rank1": share(0.1), "geometry_rank1": share(0.28), "dlib/linkage_rank1": share(0.2)},
}


def test_the_attack_that_learns_most_counts() -> None:
    """By landmarks more people are found, but nearly as many by somebody else's; a parrot that had no control is held against chance."""
    found = recognition_risks(FIGURES, "ganon-hf")
    assert (found["singling_out_attack"].value, found["singling_out_control"].value) == (0.2, 0.1)
    assert found["singling_out_risk"].value == pytest.approx(0.1 / 0.9)
    assert (found["linkability_attack"].value, found["linkability_control"].value) == (0.5, 1 / 50)
    rows = risk_rows({**FIGURES, "ganon-hf": {**FIGURES["ganon-hf"], **found}})
    assert [(row.question, row.attack_name, row.guessed) for row in rows] == [
        ("singling out", "by dlib", False),
        ("linkability", "parrot by dlib", True),
    ]
    alone = recognition_risks({"ganon-hf": FIGURES["ganon-hf"]}, "ganon-hf")
    assert alone["singling_out_attack"].value == 0.3, "without the control's row chance is the same for all"


def test_nobody_attacked() -> None:
    assert recognition_risks({"ganon-hf": {"replaced": share(1.0), "dlib/rank1": share(NAN)}}, "ganon-hf") == {}
    assert risk_table({"ganon-hf": {"replaced": share(1.0)}}) == ""


def test_the_table_says_who_attacked() -> None:
    row = {**FIGURES["ganon-hf"], **recognition_risks(FIGURES, "ganon-hf")}
    lines = risk_table({**FIGURES, "ganon-hf": row}).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| ganon-hf | singling out | by dlib | 20.0 % (20.0 to 20.0) | 10.0 % (10.0 to 10.0) | 11.1 %")
    assert "| parrot by dlib | 50.0 % (50.0 to 50.0) | 2.0 %, chance | 49.0 %" in lines[3]


def looks(men: list[bool | None], age: float = 40.0) -> list[SimpleNamespace]:
    return [SimpleNamespace(age_sex=None if man is None else AgeSex(float(man), age, 1.0)) for man in men]


def suite_of(before: list[SimpleNamespace]) -> SimpleNamespace:
    count = len(before)
    return SimpleNamespace(
        persons=np.arange(count) // 2,
        runs={"original": SimpleNamespace(readings=before)},
        draws=lambda run: [np.arange(first, first + count) for first in range(0, len(run.readings), count)],
    )


@pytest.mark.parametrize(
    ("after", "attack", "risk"),
    [
        ([True] * 6 + [False] * 2, 1.0, 1.0),  # all as they were
        ([True] * 8, 0.75, 0.0),  # the most frequent answer
        ([True] * 7 + [False], 0.875, 0.5),  # half of what the guess gets wrong
        ([False] * 8, 0.25, 0.0),
    ],
)
def test_sex_is_guessed_better_than_blindly(after: list[bool], attack: float, risk: float) -> None:
    suite = suite_of(looks([True] * 6 + [False] * 2))
    run = SimpleNamespace(readings=looks(list(after)) * 2)  # two draws
    found = inference_risks(suite, run, repeats=20)  # type: ignore[arg-type]
    assert found["inference_sex_attack"].value == attack and found["inference_sex_control"].value == 0.75
    assert found["inference_sex_risk"].value == pytest.approx(risk)
    assert found["inference_sex_attack"].count == 16 and found["inference_sex_attack"].people == 4
    assert found["inference_age_control"].value == 1 and np.isnan(found["inference_age_risk"].value), "everybody is of one age"


def test_age_groups_are_those_of_the_program() -> None:
    suite = suite_of(looks([True] * 4, age=36.0))
    for age, hit in ((34.0, 0.0), (59.0, 1.0)):
        run = SimpleNamespace(readings=looks([True] * 4, age=age))
        assert inference_risks(suite, run, repeats=5)["inference_age_attack"].value == hit  # type: ignore[arg-type]


def test_what_nobody_read_is_no_inference() -> None:
    suite = suite_of(looks([None] * 4))
    assert inference_risks(suite, SimpleNamespace(readings=looks([None] * 4)), repeats=5) == {}  # type: ignore[arg-type]
    some = suite_of(looks([True, None, False, True]))
    found = inference_risks(some, SimpleNamespace(readings=looks([True] * 4)), repeats=5)  # type: ignore[arg-type]
    assert found["inference_sex_attack"].count == 3


def test_tone_is_guessed_by_its_class() -> None:
    def toned(*angles: float) -> list[SimpleNamespace]:
        return [SimpleNamespace(age_sex=AgeSex(1.0, 40.0, 1.0, angle)) for angle in angles]

    suite = suite_of(toned(60.0, 45.0, 45.0, -40.0, float("nan")))
    found = inference_risks(suite, SimpleNamespace(readings=toned(56.0, 44.0, 30.0, -31.0, 30.0)), repeats=5)  # type: ignore[arg-type]
    assert found["inference_tone_attack"].value == 0.75 and found["inference_tone_attack"].count == 4, "one has no tone"
    assert found["inference_tone_control"].value == 0.5 and found["inference_tone_risk"].value == pytest.approx(0.5)
    assert "inference_tone_attack" not in inference_risks(
        suite_of(looks([True] * 4)), SimpleNamespace(readings=looks([True] * 4)), repeats=5
    )  # type: ignore[arg-type]
