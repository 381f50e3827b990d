"""One evaluation from pictures to files: what ``ganon-hf evaluate`` and ``scripts/evaluate.py`` do."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._version import __version__
from ..bulk.engine import weights_digest
from ..core.options import AnonymizeOptions
from .attacks.attacker_training import EXPOSED_PICTURES, GEOMETRY_PICTURES, Schooling, learn_emotions, learn_geometry
from .attacks.landmark_attack import Discriminants
from .attacks.limits import POSE_ALONE, RESTING_FACE_OFF, pose_alone, resting_face_off
from .attacks.program_attacks import parrot_trial, prepare_trial, reconstruction_trials
from .data.picture_sets import PictureSet
from .data.samples import Sample
from .figures import (
    blendshape_names,
    coverage_measures,
    emotion_measures,
    expression_measures,
    geometry_measures,
    recognizer_measures,
    recognizer_names,
)
from .methods import DEFAULT, HIDING, ORIGINAL, REFERENCES, Method, engine_method, shuffled_method
from .metrics.estimates import Estimate, bootstrap_mean
from .metrics.recognition import EmbeddingCache, Recognizer
from .pool import Pool, Progress, Tools
from .report.plots import draw_plots
from .report.report import Report, SetReport, write_report, write_sheet
from .suite import Suite, locate, locate_all, run_suite
from .toolkit import Toolkit, available

ATTACKS = ("seeds", "geometry", "parrot", "reconstruction", "emotion")
LEARNING = ATTACKS[1:]  # those that need pictures of other people


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation does.

    Attributes:
        engine_options: rows of the engine; their seeds do not count.
        baselines: also blur, mosaic, solid cover and somebody else's landmarks.
        attacks: from :data:`ATTACKS`; those that learn need ``training`` pictures.
        draws: how often everything that draws is repeated with fresh seeds (1 to 100).
        seed: from which the photos' seeds are drawn.
        repeats: bootstrap resamples (0: no intervals).
        sheets: people to show side by side.
        attack_pictures: that the geometry attack learns from; None: all.
        exposed_pictures: that parrots and reconstruction anonymize and learn from; None: all.
        processes: worker processes.

    Raises:
        ValueError: a value out of its range.
    """

    engine_options: tuple[AnonymizeOptions, ...] = (
        AnonymizeOptions(),
        AnonymizeOptions(privacy="low"),
        AnonymizeOptions(privacy="high"),
        AnonymizeOptions(geometry="original"),
    )
    baselines: bool = True
    attacks: tuple[str, ...] = ATTACKS
    draws: int = 1
    seed: int = 0
    repeats: int = 1000
    sheets: int = 8
    attack_pictures: int | None = GEOMETRY_PICTURES
    exposed_pictures: int | None = EXPOSED_PICTURES
    processes: int = 1

    def __post_init__(self) -> None:
        unknown = [name for name in self.attacks if name not in ATTACKS]
        if unknown:
            raise ValueError(f"attacks must be among {', '.join(ATTACKS)}, but got {unknown[0]!r}.")
        limits = {"draws": (1, 100), "seed": (0, 2**63 - 1), "repeats": (0, 100_000), "sheets": (0, 10_000), "processes": (1, 256)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}, but got {value!r}.")
        if len({engine_method(options).name for options in self.engine_options}) < max(len(self.engine_options), 1):
            raise ValueError("engine_options must be one or more, and all different.")

    def methods(self, *, identity: bool) -> list[Method]:
        """The rows of the report, in order."""
        engines = [engine_method(options) for options in self.engine_options]
        methods = [*REFERENCES, *engines]
        if identity and "seeds" in self.attacks:
            methods += [
                replace(engines[0], name=f"{engines[0].name}, one seed a person", seeds="person"),
                replace(engines[0], name=f"{engines[0].name}, one seed for all", seeds="one"),
            ]
        if self.baselines and identity:
            methods += [shuffled_method(), *HIDING]
        return methods


@dataclass(frozen=True)
class Task:
    """A set of pictures and how it is judged: ``bare`` are the same pictures without a border, for which only the detector is asked."""

    pictures: PictureSet
    identity: bool = True
    bare: PictureSet | None = None


def evaluate(
    tasks: Sequence[Task],
    kit: Toolkit,
    output: Path,
    options: EvaluationOptions,
    *,
    training: Sequence[Sample] | None = None,
    coverage: dict[str, Any] | None = None,
    progress: Progress = lambda items, **_: items,
) -> Report:
    """Measure, and write report.json, report.md, plots and sheets (which show the originals) into a folder.

    Args:
        tasks: what is judged.
        kit: what it is judged with; what is not installed is left out and named.
        output: folder; ``output / "cache"`` keeps what the next run can use.
        options: see :class:`EvaluationOptions`.
        training: pictures of other people, for the attackers that learn; None leaves those out.
        coverage: what ``scripts/benchmarks/coverage.py --json`` wrote, to be shown with the rest.
        progress: wraps an iterable, as ``tqdm`` does.

    Raises:
        NoPeopleError: nobody in a set has two usable pictures.
        ImportError, ValueError, OSError: a recognizer or the model cannot be loaded.
    """
    start = time.perf_counter()
    cache = output / "cache"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)  # what is kept there tells people apart
    kit, notes = available(replace(kit, cache=cache))
    recognizers = kit.load_recognizers()
    caches = kit.caches(recognizers)
    parts: list[SetReport] = []
    with Pool(kit, options.processes, progress) as pool:
        digest = pool.map(_loaded_weights, [None], desc="loading")[0]
        school = _learn(options, Schooling(training, pool, cache) if training else None)
        notes += school.notes
        for task in tasks:
            if task.bare is not None:
                parts.append(_detection_alone(task.bare, pool, options))
            parts.append(_evaluate_set(task, pool, options, recognizers, caches, school, output))
    settings = {
        "ganon-hf": __version__,
        "model": f"{kit.model or 'bundled'}@{digest}",
        "seed": options.seed,
        "draws": options.draws,
        "attacks": ", ".join(options.attacks) or "none",
        "pictures of the geometry attack": "none" if school.geometry is None else options.attack_pictures or "all",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processes": options.processes,
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    report = Report(tuple(parts), settings, notes, coverage or {})
    try:
        pictures = draw_plots(report, output / "plots")
    except ImportError as error:
        pictures, report = [], replace(report, notes=(*notes, f"plots: {error}"))
    write_report(output, report, pictures=pictures)
    return report


@dataclass(frozen=True, eq=False)
class School:
    """What was learned from other people.

    Attributes:
        schooling: their pictures, None without any.
        geometry: who knows faces by landmarks.
        emotions: file of a classifier.
        notes: what could not be learned, and why.
    """

    schooling: Schooling | None = None
    geometry: Discriminants | None = None
    emotions: Path | None = None
    notes: tuple[str, ...] = ()


def _learn(options: EvaluationOptions, schooling: Schooling | None) -> School:
    learning = [name for name in options.attacks if name in LEARNING]
    if schooling is None:
        return School(notes=tuple(f"{name}: no pictures of other people to learn from were given" for name in learning))
    notes, geometry, emotions = [], None, None
    if "geometry" in learning:
        try:
            geometry = learn_geometry(schooling, limit=options.attack_pictures)
        except ValueError as error:
            notes.append(f"geometry: {error}")
    if "emotion" in learning:
        try:
            emotions = learn_emotions(schooling)
        except ValueError as error:
            notes.append(f"emotion: {error}")
    return School(schooling, geometry, emotions, tuple(notes))


def _loaded_weights(tools: Tools, item: None) -> str:
    """The digest of what a worker has loaded; ``item`` is there for the pool."""
    return weights_digest(tools.engine)


def _detection_alone(pictures: PictureSet, pool: Pool, options: EvaluationOptions) -> SetReport:
    """Share of pictures in which the first detector finds a face at all (the engine anonymizes no other)."""
    found = [
        not isinstance(subject, str) and subject.landmarks is not None for subject in pool.map(locate, pictures.samples, desc="finding")
    ]
    persons = np.array([sample.person for sample in pictures.samples])
    figures = {"detector": {"found": bootstrap_mean(persons, np.array(found, float), repeats=options.repeats)}}
    return SetReport(f"{pictures.title}, as they are", figures, notes=pictures.notes)


def _evaluate_set(
    task: Task,
    pool: Pool,
    options: EvaluationOptions,
    recognizers: Sequence[Recognizer],
    caches: dict[str, EmbeddingCache],
    school: School,
    output: Path,
) -> SetReport:
    pictures, subjects = locate_all(task.pictures, pool)
    probe = Suite(pictures.samples, subjects, {})
    shown = _shown_people(probe, options.sheets) if task.identity else []
    suite = run_suite(
        pictures.samples,
        subjects,
        pool,
        options.methods(identity=task.identity),
        identity=task.identity,
        draws=options.draws,
        seed=options.seed,
        caches=caches,
        keep_rows=[row for rows in shown for row in rows],
        emotions=school.emotions,
    )
    compare = task.identity and len(suite.pairing) >= 2
    figures: dict[str, dict[str, Estimate]] = {}
    curves: dict[str, dict[str, Any]] = {name: {} for name in recognizer_names(suite)} if compare else {}
    names = blendshape_names(suite)
    metrics = {recognizer.name: recognizer.metric for recognizer in recognizers}
    for method, run in suite.runs.items():
        row = figures[method] = coverage_measures(suite, run, repeats=options.repeats)
        row |= expression_measures(suite, run, names, repeats=options.repeats)
        for name in curves:
            found, curves[name][method] = recognizer_measures(suite, run, name, metrics[name], repeats=options.repeats)
            row |= {f"{name}/{key}": value for key, value in found.items()}
        row |= emotion_measures(suite, run, repeats=options.repeats) if school.emotions is not None else {}
        if school.geometry is not None and compare:
            row |= geometry_measures(suite, run, school.geometry, repeats=options.repeats)
    if compare:
        figures[POSE_ALONE] = pose_alone(suite, repeats=options.repeats)
        figures[RESTING_FACE_OFF] = resting_face_off(suite, repeats=options.repeats)
    notes = [*pictures.notes, *_notes(suite, task.identity, compare)]
    if compare and school.schooling is not None:
        notes += _try_attackers(suite, options, school.schooling, recognizers, caches, figures, output)
    _write_sheets(suite, shown, output / "sheets")
    return SetReport(pictures.title, figures, curves, tuple(notes))


def _try_attackers(
    suite: Suite,
    options: EvaluationOptions,
    schooling: Schooling,
    recognizers: Sequence[Recognizer],
    caches: dict[str, EmbeddingCache],
    figures: dict[str, dict[str, Estimate]],
    output: Path,
) -> list[str]:
    """The attackers who own the program, on the first row of the engine: adds to the figures, and returns notes."""
    method, notes = engine_method(options.engine_options[0]), []
    if not {"parrot", "reconstruction"} & set(options.attacks):
        return []
    try:
        trial = prepare_trial(suite, schooling, method, limit=options.exposed_pictures, seed=options.seed)
    except ValueError as error:
        return [f"parrot and reconstruction: {error}"]
    if "parrot" in options.attacks:
        limit, repeats = options.attack_pictures, options.repeats
        try:
            found, said = parrot_trial(trial, schooling, recognizers, caches, geometry_limit=limit, repeats=repeats, seed=options.seed)
        except ValueError as error:
            found, said = {}, [f"parrot: {error}"]
        figures[method.name] |= found
        notes += said
    if "reconstruction" in options.attacks and recognizers:
        name = recognizers[0].name
        try:
            trials = {method.name: trial}
            if options.baselines:  # blur falls to this attack, which shows that it works
                blur = next(hiding for hiding in HIDING if hiding.name == "blur")
                trials[blur.name] = prepare_trial(suite, schooling, blur, limit=options.exposed_pictures, seed=options.seed)
            for row, (reconstructed, sheet) in reconstruction_trials(trials, name, schooling.pool, repeats=options.repeats).items():
                figures[row] |= reconstructed
                write_sheet(output / "sheets" / f"reconstruction-{row}.png", [[sheet]], titles=["anonymized | reconstruction | original"])
        except ValueError as error:
            notes.append(f"reconstruction: {error}")
    for cache in caches.values():
        cache.save()
    return notes


def _notes(suite: Suite, identity: bool, compare: bool) -> list[str]:
    """How people were compared, what could not be measured, and why faces were not replaced."""
    notes = []
    faceless = sum(subject.landmarks is None for subject in suite.subjects)
    if faceless:
        notes.append(
            f"no face was found in {faceless} of the {len(suite.subjects)} originals; they take no part where people are recognized"
        )
    if identity and not compare:
        notes.append("recognition: fewer than two people have two pictures in which a face is found")
    elif identity:
        pairing = suite.pairing
        how = (
            "the neutral picture is known, the smiling one is to be recognized"
            if pairing.by_emotion
            else "the first picture is known, the others are to be recognized"
        )
        notes.append(f"recognition: {len(pairing)} people, {len(pairing.probes)} probes; {how}")
    if not {"neutral", "happiness"} <= set(suite.emotions):
        notes.append("smile AUC: the pictures are not labeled neutral and happiness")
    reasons = Counter((method, output.reason) for method, run in suite.runs.items() for output in run.outputs if output.reason)
    return notes + [f"{method}: {count} x {reason}" for (method, reason), count in sorted(reasons.items())]


def _shown_people(suite: Suite, count: int) -> list[list[int]]:
    """Rows of the known and the first other picture of some people, evenly spaced."""
    pairing = suite.pairing
    if not len(pairing) or not count:
        return []
    places = np.unique(np.linspace(0, len(pairing) - 1, min(count, len(pairing))).astype(int))
    return [[int(pairing.gallery[place]), int(pairing.probes[np.flatnonzero(pairing.target == place)[0]])] for place in places]


def _write_sheets(suite: Suite, people: list[list[int]], folder: Path) -> None:
    """Original and the engine's pictures side by side, one file a person."""
    names = [name for name in suite.runs if name.startswith(DEFAULT)]
    for rows in people:
        lines = [[suite.samples[row].photo, *(suite.runs[name].outputs[row].photo for name in names)] for row in rows]
        write_sheet(folder / f"person-{suite.samples[rows[0]].person:03d}.png", lines, titles=[ORIGINAL, *names])
