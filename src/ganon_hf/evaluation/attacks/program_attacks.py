"""Attacks with the program in hand, on the people under test: parrot and reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..harness.methods import Method
from ..harness.pool import Pool, Tools
from ..harness.suite import Suite
from ..metrics.estimates import Estimate
from ..metrics.recognition import EmbeddingCache, Recognizer
from .anonymized_pairs import AnonymizedPairs
from .attacker_training import PrecomputedRecognizer, TrainingPictures, anonymize_samples, training_pairs
from .parrot import ParrotResult, gallery_and_probe, parrot_geometry, parrot_recognizer
from .reconstruction import ReconstructionOptions, ReconstructionResult, reconstruction_measures

Figures = dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class AttackSetup:
    """The pairs that an attacker trains on and is tested on.

    Attributes:
        train: of other people.
        gallery, probe: of the people under test, row by row one person.
    """

    train: AnonymizedPairs
    gallery: AnonymizedPairs
    probe: AnonymizedPairs


def prepare_attack(suite: Suite, training: TrainingPictures, method: Method, *, limit: int | None = None, seed: int = 0) -> AttackSetup:
    """Anonymize the training people and those under test; of several probes of a person the first counts.

    Raises:
        ValueError: fewer than two people under test have two pictures that came through.
    """
    train = training_pairs(training, method, limit=limit, seed=seed)
    pairing = suite.pairing
    first = [int(pairing.probes[np.flatnonzero(pairing.target == place)[0]]) for place in range(len(pairing))]
    tested = anonymize_samples(suite.samples, [subject.landmarks for subject in suite.subjects], method, training.pool, seed=seed + 1)
    gallery, probe = gallery_and_probe(tested, pairing.gallery, first)
    if len(gallery) < 2:
        raise ValueError(f"{len(gallery)} people under test have two pictures that were anonymized; two are needed.")
    return AttackSetup(train, gallery, probe)


def parrot_attack(
    setup: AttackSetup,
    training: TrainingPictures,
    recognizers: Sequence[Recognizer],
    caches: dict[str, EmbeddingCache],
    *,
    geometry_limit: int | None = None,
    repeats: int = 1000,
    seed: int = 0,
) -> tuple[Figures, list[str]]:
    """The parrot attack by landmarks, and by every recognizer: figures, and notes on the selected learners.

    Raises:
        ValueError: too few people to train on.
    """
    rows = training.rows(geometry_limit)
    points = training.landmarks(rows)
    seen = [place for place, some in enumerate(points) if some is not None]
    clear = np.array([points[place] for place in seen]).reshape(-1, 478, 3), training.persons[rows][seen]
    found = parrot_geometry(setup.train, setup.gallery, setup.probe, clear=clear, repeats=repeats, seed=seed)
    figures, notes = _named(found, "parrot_geometry_"), [_chosen("landmarks", found)]
    train, gallery, probe = setup.train, setup.gallery, setup.probe
    crops = [train.anonymized, train.originals, probe.anonymized, gallery.originals, gallery.anonymized]
    for recognizer in recognizers:
        precomputed = PrecomputedRecognizer(recognizer, caches[recognizer.name], training.pool, crops)
        found = parrot_recognizer(setup.train, setup.gallery, setup.probe, precomputed, repeats=repeats, seed=seed)
        figures |= _named(found, f"{recognizer.name}/parrot_")
        notes.append(_chosen(recognizer.name, found))
    return figures, notes


def _named(found: ParrotResult, prefix: str) -> Figures:
    return {f"{prefix}{key}": value for key, value in found.measures.items()}


def _chosen(what: str, found: ParrotResult) -> str:
    best = f"the best on other people are {found.chosen!r}, and for linkage {found.linkage_chosen!r}"
    return f"parrot, {what}: of {len(found.scores)} learners {best}"


@dataclass(frozen=True, eq=False)
class _ReconstructionItem:
    setup: AttackSetup
    recognizer: str
    options: ReconstructionOptions | None
    repeats: int


def _reconstruct(tools: Tools, job: _ReconstructionItem) -> ReconstructionResult:
    recognizer = next(r for r in tools.instruments.recognizers if r.name == job.recognizer)
    return reconstruction_measures(job.setup.train, job.setup.gallery, job.setup.probe, recognizer, job.options, repeats=job.repeats)


def reconstruction_attack(
    setups: dict[str, AttackSetup], recognizer: str, pool: Pool, options: ReconstructionOptions | None = None, *, repeats: int = 1000
) -> dict[str, tuple[Figures, np.ndarray]]:
    """The reconstruction attack on each method, one method per process.

    Args:
        setups: name of the method -> pairs of the attack.
        recognizer: name of the recognizer that identifies the reconstructions.
        pool: does the work.
        options: of the network; None takes the defaults.
        repeats: bootstrap resamples.

    Returns:
        name of the method -> figures, and a sheet (h, w, 3) uint8: anonymized, reconstruction, original.

    Raises:
        ValueError: there is nothing to train on, or nobody could be read.
    """
    jobs = [_ReconstructionItem(setup, recognizer, options, repeats) for setup in setups.values()]
    found = pool.map(_reconstruct, jobs, desc="reconstruction")
    return {name: (_prefixed(result, recognizer), result.sheet) for name, result in zip(setups, found, strict=True)}


def _prefixed(result: ReconstructionResult, recognizer: str) -> Figures:
    return {f"{recognizer}/{key}": value for key, value in result.measures.items()}
