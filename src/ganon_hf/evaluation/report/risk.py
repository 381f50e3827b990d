"""The figures as European data protection law asks for them: singling out, linkability and inference (Article 29 Working Party, Opinion
05/2014 on anonymisation techniques, WP 216).

Each is a risk as in Anonymeter (Giomi et al., PoPETs 2023): (attack - control) / (1 - control), the share of what the control leaves open
that the attack learns, 0 where it learns no more. The control of the first two is the same attack on somebody else's landmarks, which shows
what the photo around the face gives away; where it was not run there, guessing. That of inference is to name the most frequent class
without seeing the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...core.look import age_class
from ..harness.methods import ORIGINAL, SWAPPED_LANDMARKS
from ..harness.suite import Run, Suite
from ..metrics.age_sex import AgeSex, tone_class
from ..metrics.estimates import Estimate, bootstrap, bootstrap_mean
from .figures import Figures

SINGLING_OUT, LINKABILITY = "singling_out", "linkability"
# What the judge of age, sex and skin tone is asked; the truth is its answer on the original. None: it cannot tell.
_INFERRED: dict[str, Callable[[AgeSex], str | None]] = {
    "inference_sex": lambda read: "man" if read.is_man else "woman",
    "inference_age": lambda read: age_class(read.age),
    "inference_tone": lambda read: tone_class(read.tone) if np.isfinite(read.tone) else None,
}
_QUESTIONS = {
    SINGLING_OUT: "singling out",
    LINKABILITY: "linkability",
    "inference_sex": "inference: sex",
    "inference_age": "inference: age group",
    "inference_tone": "inference: skin tone",
}
# Who guesses.
_JUDGES = {"inference_sex": "networks of age and sex", "inference_age": "networks of age and sex", "inference_tone": "color of the cheeks"}
# Beginnings of measures that are no attacks but stand beside one.
_NO_ATTACKS = ("unattacked_", "original_")


@dataclass(frozen=True)
class RiskRow:
    """One line of the table.

    Attributes:
        method: row of the engine.
        question: in words.
        attack_name: who attacks, in words.
        attack, control, risk: shares, 0 to 1.
        guessed: the control is chance, because the attack was not run on the control's row.
    """

    method: str
    question: str
    attack_name: str
    attack: Estimate
    control: Estimate
    risk: Estimate
    guessed: bool = False


def relative_risk(attack: Estimate, control: Estimate) -> Estimate:
    """(attack - control) / (1 - control), clipped at 0; NaN where the control is right every time.

    Its interval joins those of the two in quadrature, each side for itself (Zou & Donner 2008), as if they were independent. They are of
    the same people, who help or spoil both, so it is rather too wide.
    """
    if not control.value < 1:
        return Estimate(float("nan"), float("nan"), float("nan"), attack.count, attack.people)
    left = 1 - control.value
    value = (attack.value - control.value) / left
    by_control = (1 - attack.value) / left**2
    low = value - np.hypot((attack.value - attack.low) / left, by_control * (control.high - control.value))
    high = value + np.hypot((attack.high - attack.value) / left, by_control * (control.value - control.low))
    value, low, high = (float(np.clip(one, 0, 1)) for one in (value, low, high))
    return Estimate(value, low, high, attack.count, attack.people)


def _chance(attack: Estimate) -> Estimate:
    """The share that lots find among as many people."""
    share = 1 / max(attack.people, 1)
    return Estimate(share, share, share, attack.count, attack.people)


def _attacks(row: Mapping[str, Estimate], question: str) -> list[str]:
    """The measures of a row that answer a question: recognition at the first guess by everybody who tried."""
    found = []
    for key, estimate in row.items():
        measure = key.rpartition("/")[2]
        linked = measure.endswith("linkage_rank1")
        if measure.endswith("rank1") and linked == (question == LINKABILITY) and not measure.startswith(_NO_ATTACKS):
            found += [key] if np.isfinite(estimate.value) else []
    return found


def _strongest(figures: Mapping[str, Mapping[str, Estimate]], method: str, question: str) -> tuple[str, Estimate, bool] | None:
    """Measure, control and whether the control is chance, of the attack with the greatest risk; None where nobody attacked."""
    row, control_row = figures[method], figures.get(SWAPPED_LANDMARKS, {})
    candidates = []
    for key in _attacks(row, question):
        control = control_row.get(key)
        guessed = control is None or not np.isfinite(control.value)
        against = _chance(row[key]) if control is None or guessed else control
        risk = relative_risk(row[key], against).value
        candidates.append((np.nan_to_num(risk), row[key].value, key, against, guessed))
    if not candidates:
        return None
    _, _, key, against, guessed = max(candidates, key=lambda one: one[:2])
    return key, against, guessed


def recognition_risks(figures: Mapping[str, Mapping[str, Estimate]], method: str) -> Figures:
    """Attack, control and risk of singling out and of linkability for one row, by the attack whose risk is greatest.

    Args:
        figures: all rows, with every attack that was run.
        method: name of the row.
    """
    found: Figures = {}
    for question in (SINGLING_OUT, LINKABILITY):
        strongest = _strongest(figures, method, question)
        if strongest is not None:
            attack, control = figures[method][strongest[0]], strongest[1]
            found |= _three(question, attack, control, relative_risk(attack, control))
    return found


def _three(question: str, attack: Estimate, control: Estimate, risk: Estimate) -> Figures:
    return {f"{question}_attack": attack, f"{question}_control": control, f"{question}_risk": risk}


def inference_risks(suite: Suite, run: Run, *, repeats: int) -> Figures:
    """Attack, control and risk of guessing sex, age group and skin tone from one method's pictures; {} where no judge read them.

    Args:
        suite: with the readings of the originals.
        run: of the method.
        repeats: bootstrap resamples.
    """
    draws = len(suite.draws(run))
    persons = np.tile(suite.persons, draws)
    before = [reading.age_sex for reading in suite.runs[ORIGINAL].readings] * draws
    after = [reading.age_sex for reading in run.readings]
    read = [(row, first, second) for row, (first, second) in enumerate(zip(before, after, strict=True)) if first and second]
    if not read:
        return {}
    found: Figures = {}
    for question, answer in _INFERRED.items():
        answers = [(row, answer(first), answer(second)) for row, first, second in read]
        known = [(row, first, second) for row, first, second in answers if first is not None and second is not None]
        if not known:
            continue
        rows, truth, guessed = (np.array(values) for values in zip(*known, strict=True))
        hits = truth == guessed
        classes, counts = np.unique(truth, return_counts=True)
        found |= _paired(question, persons[rows], hits, truth == classes[np.argmax(counts)], repeats)
    return found


def _paired(question: str, persons: np.ndarray, hits: np.ndarray, guesses: np.ndarray, repeats: int) -> Figures:
    """The three figures from (n,) bool: answers that are right, and guesses without the picture that are."""

    def risk(rows: np.ndarray) -> float:
        left = 1 - guesses[rows].mean()
        return max(float((hits[rows].mean() - guesses[rows].mean()) / left), 0.0) if left > 0 else float("nan")

    attack, control = (bootstrap_mean(persons, right, repeats=repeats) for right in (hits, guesses))
    return _three(question, attack, control, bootstrap(persons, risk, repeats=repeats))


def risk_rows(figures: Mapping[str, Mapping[str, Estimate]]) -> list[RiskRow]:
    """The lines of the table, row by row of the engine: what :func:`recognition_risks` and :func:`inference_risks` added to the figures."""
    rows = []
    for method, row in figures.items():
        for question, title in _QUESTIONS.items():
            if f"{question}_risk" not in row:
                continue
            attack, control, risk = (row[f"{question}_{part}"] for part in ("attack", "control", "risk"))
            strongest = _strongest(figures, method, question) if question in (SINGLING_OUT, LINKABILITY) else None
            name, guessed = (_JUDGES.get(question, ""), False) if strongest is None else (_in_words(strongest[0]), strongest[2])
            rows.append(RiskRow(method, title, name, attack, control, risk, guessed))
    return rows


def _in_words(key: str) -> str:
    """``"dlib-resnet/parrot_rank1"`` -> "parrot by dlib-resnet"."""
    recognizer, _, measure = key.rpartition("/")
    by = f"by {recognizer or 'landmarks'}"
    learned = next((word for word in ("parrot", "reconstruction") if measure.startswith(word)), "")
    return f"{learned} {by}".strip()
