"""The attackers that own the program, tried on the people under test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..methods import Method
from ..metrics.estimates import Estimate
from ..metrics.recognition import EmbeddingCache, Recognizer
from ..pool import Pool, Tools
from ..suite import Suite
from .attacker_training import EXPOSED_PICTURES, GEOMETRY_PICTURES, Remembering, Schooling, expose_all, training_exposures
from .known_people import Exposures
from .parrot import ParrotResult, paired, parrot_geometry, parrot_recognizer
from .reconstruction import ReconstructionOptions, ReconstructionResult, reconstruction_measures

Figures = dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class Trial:
    """What an attacker has in hand.

    Attributes:
        train: other people before and after.
        known, unknown: the people under test, row by row one person: the picture that is known, and the one to be recognized.
    """

    train: Exposures
    known: Exposures
    unknown: Exposures


def prepare_trial(suite: Suite, schooling: Schooling, method: Method, *, limit: int | None = EXPOSED_PICTURES, seed: int = 0) -> Trial:
    """Anonymize other people and those under test; of several probes of a person the first counts.

    Raises:
        ValueError: fewer than two people under test have two pictures that came through.
    """
    train = training_exposures(schooling, method, limit=limit, seed=seed)
    pairing = suite.pairing
    first = [int(pairing.probes[np.flatnonzero(pairing.target == place)[0]]) for place in range(len(pairing))]
    tested = expose_all(suite.samples, [subject.landmarks for subject in suite.subjects], method, schooling.pool, seed=seed + 1)
    known, unknown = paired(tested, pairing.gallery, first)
    if len(known) < 2:
        raise ValueError(f"{len(known)} people under test have two pictures that were anonymized; two are needed.")
    return Trial(train, known, unknown)


def parrot_trial(
    trial: Trial,
    schooling: Schooling,
    recognizers: Sequence[Recognizer],
    caches: dict[str, EmbeddingCache],
    *,
    geometry_limit: int | None = GEOMETRY_PICTURES,
    repeats: int = 1000,
    seed: int = 0,
) -> tuple[Figures, list[str]]:
    """The parrots: by landmarks, and with every recognizer. Figures, and who was chosen.

    Raises:
        ValueError: too few people to learn from.
    """
    rows = schooling.rows(geometry_limit)
    points = schooling.landmarks(rows)
    seen = [place for place, some in enumerate(points) if some is not None]
    clear = np.array([points[place] for place in seen]).reshape(-1, 478, 3), schooling.persons[rows][seen]
    found = parrot_geometry(trial.train, trial.known, trial.unknown, clear=clear, repeats=repeats, seed=seed)
    figures, notes = _named(found, "parrot_geometry_"), [_chosen("landmarks", found)]
    crops = [trial.train.anonymized, trial.train.originals, trial.unknown.anonymized, trial.known.originals, trial.known.anonymized]
    for recognizer in recognizers:
        asked = Remembering(recognizer, caches[recognizer.name], schooling.pool, crops)
        found = parrot_recognizer(trial.train, trial.known, trial.unknown, asked, repeats=repeats, seed=seed)
        figures |= _named(found, f"{recognizer.name}/parrot_")
        notes.append(_chosen(recognizer.name, found))
    return figures, notes


def _named(found: ParrotResult, prefix: str) -> Figures:
    return {f"{prefix}{key}": value for key, value in found.measures.items()}


def _chosen(what: str, found: ParrotResult) -> str:
    best = f"the best on other people are {found.chosen!r}, and for linkage {found.linkage_chosen!r}"
    return f"parrot, {what}: of {len(found.scores)} learners {best}"


@dataclass(frozen=True, eq=False)
class _Reconstruction:
    trial: Trial
    recognizer: str
    options: ReconstructionOptions | None
    repeats: int


def _reconstruct(tools: Tools, job: _Reconstruction) -> ReconstructionResult:
    recognizer = next(r for r in tools.instruments.recognizers if r.name == job.recognizer)
    return reconstruction_measures(job.trial.train, job.trial.known, job.trial.unknown, recognizer, job.options, repeats=job.repeats)


def reconstruction_trials(
    trials: dict[str, Trial], recognizer: str, pool: Pool, options: ReconstructionOptions | None = None, *, repeats: int = 1000
) -> dict[str, tuple[Figures, np.ndarray]]:
    """A network that is to bring the faces back, for each method; one method a process.

    Args:
        trials: method -> what the attacker has in hand.
        recognizer: name of the one that is asked who the reconstructions show.
        pool: does the work.
        options: of the network; None takes the defaults.
        repeats: bootstrap resamples.

    Returns:
        method -> figures, and a sheet (h, w, 3) uint8: anonymized, reconstruction, original.

    Raises:
        ValueError: there is nothing to learn from, or nobody could be read.
    """
    jobs = [_Reconstruction(trial, recognizer, options, repeats) for trial in trials.values()]
    found = pool.map(_reconstruct, jobs, desc="reconstruction")
    return {name: (_prefixed(result, recognizer), result.sheet) for name, result in zip(trials, found, strict=True)}


def _prefixed(result: ReconstructionResult, recognizer: str) -> Figures:
    return {f"{recognizer}/{key}": value for key, value in result.measures.items()}
