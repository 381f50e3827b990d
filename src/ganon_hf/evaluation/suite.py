"""From samples to figures: every method over the same pictures, one dictionary of estimates per method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..anonymizer import Anonymizer
from ..faces import GEOMETRIES, AnonymizeOptions, Box
from .baselines import BASELINES, encode_again
from .expression import blendshape_measures, landmark_measures, smile_auc, smile_score
from .geometry_attack import Discriminants, landmark_features
from .identity import EmbeddingCache, impostor_threshold, recognition_measures
from .measures import Estimate, bootstrap_mean, cosine_similarity, negative_distance
from .pairs import NEUTRAL, SMILING, Sample, pair_rows
from .readings import Instruments, Output, Reading, Subject, run_engine

ORIGINAL = "original"
NOISE = "original, encoded again"
Progress = Callable[..., Iterable[Any]]


def ours(geometry: str) -> str:
    """Name of the row of the engine with a geometry."""
    return f"ganon-hf, {geometry} geometry"


@dataclass
class Run:
    """One method over all samples.

    Attributes:
        outputs: what became of each picture.
        readings: what the instruments say about it.
    """

    outputs: list[Output] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)


@dataclass
class Suite:
    """All methods over one set of samples."""

    samples: Sequence[Sample]
    subjects: list[Subject]
    runs: dict[str, Run]

    @property
    def persons(self) -> np.ndarray:
        return np.array([sample.person for sample in self.samples])

    @property
    def emotions(self) -> np.ndarray:
        return np.array([sample.emotion for sample in self.samples])


def _without_engine(change: Callable[[np.ndarray, Box], np.ndarray], status: str) -> Callable[[Sample, Subject], Output]:
    return lambda sample, subject: Output(change(sample.photo, subject.box), status, asked=subject.landmarks)


def _with_engine(engine: Anonymizer, geometry: str, seed: int) -> Callable[[Sample, Subject], Output]:
    generator = np.random.default_rng(seed)  # a fresh seed for every photo, the same ones in every evaluation

    def run(sample: Sample, subject: Subject) -> Output:
        return run_engine(engine, sample.photo, AnonymizeOptions(seed=int(generator.integers(2**62)), geometry=geometry))

    return run


def run_suite(
    samples: Sequence[Sample],
    engine: Anonymizer,
    instruments: Instruments,
    *,
    geometries: Sequence[str] = GEOMETRIES,
    baselines: bool = True,
    identity: bool = True,
    cache: EmbeddingCache | None = None,
    seed: int = 0,
    progress: Progress = lambda items, **_: items,
    keep_photos: bool = False,
) -> Suite:
    """Put every sample through every method and read the results.

    Args:
        samples: pictures with one known person each; the largest face counts.
        engine: with its own detector; ``instruments`` bring theirs.
        geometries: of the engine.
        baselines: blur, mosaic and solid cover too.
        identity: ask the recogniser.
        cache: of the originals' embeddings.
        seed: from which the photos' seeds are drawn.
        progress: wraps an iterable, as ``tqdm`` does.
        keep_photos: keep the engine's pictures (for sheets); the others are always let go.
    """
    subjects = [instruments.locate(sample.photo) for sample in progress(samples, desc="locating")]
    methods: dict[str, Callable[[Sample, Subject], Output]] = {
        ORIGINAL: _without_engine(lambda photo, box: photo, ""),
        NOISE: _without_engine(encode_again, ""),
    }
    methods |= {ours(geometry): _with_engine(engine, geometry, seed) for geometry in geometries}
    if baselines:
        methods |= {name: _without_engine(change, "covered") for name, change in BASELINES.items()}
    recognizer = instruments.recognizer
    runs = {}
    for name, method in methods.items():
        run = runs[name] = Run()
        embed = None
        if name == ORIGINAL and cache is not None and recognizer is not None:
            embed = lambda photo, box: cache.get(recognizer, photo, box)  # noqa: E731
        for sample, subject in progress(list(zip(samples, subjects, strict=True)), desc=name):
            output = method(sample, subject)
            run.readings.append(instruments.read(output.photo, subject, identity=identity, embed=embed))
            keep = keep_photos and name.startswith("ganon-hf")
            run.outputs.append(output if keep else replace(output, photo=np.zeros((0, 0, 3), np.uint8)))
        if cache is not None and name == ORIGINAL:
            cache.save()
    return Suite(samples, subjects, runs)


def find_only(samples: Sequence[Sample], instruments: Instruments, *, repeats: int, progress: Progress) -> dict[str, Estimate]:
    """Share of pictures in which the first detector finds a face at all (the engine anonymizes no other)."""
    found = [instruments.locate(sample.photo).landmarks is not None for sample in progress(samples, desc="finding")]
    return {"found": bootstrap_mean(np.array([sample.person for sample in samples]), np.array(found, float), repeats=repeats)}


def coverage_measures(suite: Suite, run: Run, *, repeats: int) -> dict[str, Estimate]:
    """Shares of pictures whose face was replaced, covered, missed, and found anew by either detector."""
    values = {}
    if any(output.status for output in run.outputs):
        statuses = np.array([output.status for output in run.outputs])
        values = {status: (statuses == status).astype(float) for status in ("replaced", "covered", "missed")}
    values["redetected"] = np.array([reading.landmarks is not None for reading in run.readings], float)
    if run.readings[0].second is not None:
        values["redetected_second"] = np.array([bool(reading.second) for reading in run.readings], float)
    return {name: bootstrap_mean(suite.persons, shares, repeats=repeats) for name, shares in values.items()}


def expression_measures(suite: Suite, run: Run, names: Sequence[str], *, repeats: int) -> dict[str, Estimate]:
    """Everything of ``expression`` for one method; blendshapes only where they were read.

    Pictures that came back untouched because no face was found are left out: they would agree perfectly.
    """
    originals = suite.runs[ORIGINAL].readings
    touched = np.array([output.status != "missed" for output in run.outputs])
    measures = landmark_measures(
        [subject.landmarks for subject in suite.subjects],
        [output.asked for output in run.outputs],
        [reading.landmarks if use else None for reading, use in zip(run.readings, touched, strict=True)],
        suite.persons,
        repeats=repeats,
    )
    if names:
        before, after = (np.array([reading.blendshapes for reading in some]) for some in (originals, run.readings))
        after = np.where(touched[:, None], after, np.nan)
        measures |= blendshape_measures(before, after, suite.persons, repeats=repeats)
        emotions = suite.emotions
        score = smile_score(after, names)
        measures["smile_auc"] = smile_auc(score, emotions == SMILING, emotions == NEUTRAL, suite.persons, repeats=repeats)
        rest, smile = pair_rows(suite.samples)
        if len(rest):
            known = np.isfinite(score[rest]) & np.isfinite(score[smile])
            gained = np.where(known, score[smile] > score[rest], np.nan)
            measures["smile_paired"] = bootstrap_mean(suite.persons[rest], gained, repeats=repeats)
    return measures


def identity_measures(suite: Suite, run: Run, attack: Discriminants | None, *, repeats: int) -> dict[str, Estimate]:
    """Recogniser and geometry attack: gallery original neutral, probe this method's smiling; linkage: both this method's."""
    neutral, smiling = pair_rows(suite.samples)
    if not len(neutral):
        return {}
    persons, originals = suite.persons[neutral], suite.runs[ORIGINAL].readings
    measures: dict[str, Estimate] = {}

    def take(readings: Sequence[Reading], rows: np.ndarray) -> np.ndarray:
        return np.array([readings[row].embedding for row in rows])

    if np.isfinite(take(originals, neutral)).all():
        gallery = take(originals, neutral)
        threshold = impostor_threshold(negative_distance(take(originals, smiling), gallery))
        probes = take(run.readings, smiling)
        measures |= recognition_measures(negative_distance(probes, gallery), persons, threshold=threshold, repeats=repeats)
        between = negative_distance(probes, take(run.readings, neutral))
        linked = recognition_measures(between, persons, threshold=threshold, repeats=repeats)
        measures |= {f"linkage_{name}": estimate for name, estimate in linked.items()}
    if attack is not None:

        def describe(readings: Sequence[Reading], rows: np.ndarray) -> np.ndarray:
            return attack(landmark_features([readings[row].landmarks for row in rows]))

        # a gallery entry that could not be read lies at 0, unlike everybody, and does not spoil the others
        gallery, own_gallery = (np.nan_to_num(describe(readings, neutral)) for readings in (originals, run.readings))
        seen = describe(run.readings, smiling)
        found = recognition_measures(cosine_similarity(seen, gallery), persons, repeats=repeats)
        linked = recognition_measures(cosine_similarity(seen, own_gallery), persons, repeats=repeats)
        measures |= {f"geometry_{name}": estimate for name, estimate in found.items()}
        measures["geometry_linkage_rank1"] = linked["rank1"]
    return measures
