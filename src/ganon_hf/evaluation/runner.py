"""An evaluation from pictures to report: what ``ganon-hf evaluate`` and ``scripts/evaluate.py`` run."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._version import __version__
from ..bulk.engine import weights_digest
from .attacks.attacker_training import TrainingPictures, train_emotion_classifier, train_geometry_attack
from .attacks.landmark_attack import Discriminants
from .attacks.program_attacks import parrot_attack, prepare_attack, reconstruction_attack
from .data.picture_sets import PictureSet
from .data.samples import Sample
from .harness.methods import DEFAULT, OBFUSCATIONS, ORIGINAL, engine_method, report_methods, swapped_landmarks_method
from .harness.options import TRAINED_ATTACKS, EvaluationOptions
from .harness.pool import Pool, Progress, Tools
from .harness.suite import Suite, locate, locate_all, run_suite
from .harness.toolkit import Toolkit, available
from .metrics.age_sex import AgeSexJudge
from .metrics.estimates import Estimate, bootstrap_mean
from .metrics.recognition import EmbeddingCache, Recognizer
from .report.figures import (
    blendshape_names,
    coverage_measures,
    emotion_measures,
    expression_measures,
    geometry_measures,
    recognizer_measures,
    recognizer_names,
)
from .report.limits import POSE_ALONE, RESTING_FACE_OFF, pose_alone, resting_face_off
from .report.plots import draw_plots
from .report.report import Report, SetReport, write_report, write_sheet
from .report.risk import inference_risks, recognition_risks
from .report.same_look import SAME_LOOK, read_looks, same_look


@dataclass(frozen=True)
class EvaluationSet:
    """A set of pictures, and what is measured on it.

    Attributes:
        pictures: of known people.
        identity: whether people are recognized; False measures coverage and expression alone.
        without_border: the same pictures without a border, on which only the detector is measured; None leaves that out.
    """

    pictures: PictureSet
    identity: bool = True
    without_border: PictureSet | None = None


def evaluate(
    sets: Sequence[EvaluationSet],
    toolkit: Toolkit,
    output: Path,
    options: EvaluationOptions,
    *,
    training: Sequence[Sample] | None = None,
    coverage: dict[str, Any] | None = None,
    progress: Progress = lambda items, **_: items,
) -> Report:
    """Evaluate, and write report.json, report.md, plots and sheets (which show the originals) into a folder.

    Args:
        sets: what to evaluate on.
        toolkit: engine and instruments; what is not installed is left out and named in the report.
        output: folder; ``output / "cache"`` keeps what the next run can use.
        options: see :class:`EvaluationOptions`.
        training: pictures of other people, for attacks that are trained; None leaves those out.
        coverage: what ``scripts/benchmarks/coverage.py --json`` wrote, to be shown with the rest.
        progress: wraps an iterable, as ``tqdm`` does.

    Raises:
        NoPeopleError: nobody in a set has two usable pictures.
        ImportError, ValueError, OSError: scikit-learn, a recognizer or the model cannot be loaded.
    """
    start = time.perf_counter()
    cache = output / "cache"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)  # what is kept there tells people apart
    toolkit, notes = available(replace(toolkit, cache=cache))
    recognizers = toolkit.load_recognizers()
    judge = None if options.age_sex_models is None else AgeSexJudge(Path(options.age_sex_models))
    caches = toolkit.caches(recognizers)
    processes = options.processes or os.cpu_count() or 1
    parts: list[SetReport] = []
    with Pool(toolkit, processes, progress) as pool:
        digest = pool.map(_loaded_weights, [None], desc="loading")[0]
        attackers = _train_attackers(options, TrainingPictures(training, pool, cache) if training else None)
        notes += attackers.notes
        for one in sets:
            if one.without_border is not None:
                parts.append(_detection_alone(one.without_border, pool, options))
            parts.append(_evaluate_set(one, pool, options, recognizers, caches, attackers, judge, output))
    settings = {
        "ganon-hf": __version__,
        "model": f"{toolkit.model or 'bundled'}@{digest}",
        "seed": options.seed,
        "draws": options.draws,
        "attacks": ", ".join(options.attacks) or "none",
        "pictures of the geometry attack": "none" if attackers.geometry is None else options.attack_pictures or "all",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processes": processes,
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
class TrainedAttackers:
    """What was trained on pictures of other people.

    Attributes:
        pictures: those pictures, None without any.
        geometry: the landmark attack.
        emotion_classifier: file of the classifier.
        notes: what could not be trained, and why.
    """

    pictures: TrainingPictures | None = None
    geometry: Discriminants | None = None
    emotion_classifier: Path | None = None
    notes: tuple[str, ...] = ()


def _train_attackers(options: EvaluationOptions, pictures: TrainingPictures | None) -> TrainedAttackers:
    trained = [name for name in options.attacks if name in TRAINED_ATTACKS]
    if pictures is None:
        return TrainedAttackers(notes=tuple(f"{name}: no pictures of other people to learn from were given" for name in trained))
    notes, geometry, classifier = [], None, None
    if "geometry" in trained:
        try:
            geometry = train_geometry_attack(pictures, limit=options.attack_pictures)
        except ValueError as error:
            notes.append(f"geometry: {error}")
    if "emotion" in trained:
        try:
            classifier = train_emotion_classifier(pictures)
        except ValueError as error:
            notes.append(f"emotion: {error}")
    return TrainedAttackers(pictures, geometry, classifier, tuple(notes))


def _loaded_weights(tools: Tools, item: None) -> str:
    """The digest of the weights in a worker; the pool passes an ``item``."""
    return weights_digest(tools.engine)


def _detection_alone(pictures: PictureSet, pool: Pool, options: EvaluationOptions) -> SetReport:
    """Share of pictures in which the first detector finds a face at all."""
    found = [
        not isinstance(subject, str) and subject.landmarks is not None for subject in pool.map(locate, pictures.samples, desc="finding")
    ]
    persons = np.array([sample.person for sample in pictures.samples])
    figures = {"detector": {"found": bootstrap_mean(persons, np.array(found, float), repeats=options.repeats)}}
    return SetReport(f"{pictures.title}, as they are", figures, notes=pictures.notes)


def _evaluate_set(
    evaluated: EvaluationSet,
    pool: Pool,
    options: EvaluationOptions,
    recognizers: Sequence[Recognizer],
    caches: dict[str, EmbeddingCache],
    attackers: TrainedAttackers,
    judge: AgeSexJudge | None,
    output: Path,
) -> SetReport:
    pictures, subjects = locate_all(evaluated.pictures, pool)
    probe = Suite(pictures.samples, subjects, {})
    shown = _people_on_sheets(probe, options.sheets) if evaluated.identity else []
    methods = report_methods(options, identity=evaluated.identity)
    suite = run_suite(
        pictures.samples,
        subjects,
        pool,
        methods,
        identity=evaluated.identity,
        draws=options.draws,
        seed=options.seed,
        caches=caches,
        keep_rows=[row for rows in shown for row in rows],
        emotions=attackers.emotion_classifier,
    )
    compare = evaluated.identity and len(suite.pairing) >= 2
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
        row |= emotion_measures(suite, run, repeats=options.repeats) if attackers.emotion_classifier is not None else {}
        if attackers.geometry is not None and compare:
            row |= geometry_measures(suite, run, attackers.geometry, repeats=options.repeats)
    if compare:
        figures[POSE_ALONE] = pose_alone(suite, repeats=options.repeats)
        figures[RESTING_FACE_OFF] = resting_face_off(suite, repeats=options.repeats)
        if judge is not None:
            figures[SAME_LOOK] = _control(suite, judge, metrics, options)
    notes = [*pictures.notes, *_notes(suite, evaluated.identity, compare)]
    if figures.get(SAME_LOOK) == {}:
        notes.append(f"{SAME_LOOK}: somebody has fewer than two other people of the same sex")
    if compare and attackers.pictures is not None:
        notes += _run_program_attacks(suite, options, attackers.pictures, recognizers, caches, figures, output)
    for one in methods if compare else ():
        if one.options is not None and not one.is_control:
            figures[one.name] |= recognition_risks(figures, one.name)
            figures[one.name] |= inference_risks(suite, suite.runs[one.name], repeats=options.repeats)
    _write_sheets(suite, shown, output / "sheets")
    return SetReport(pictures.title, figures, curves, tuple(notes))


def _control(suite: Suite, judge: AgeSexJudge, metrics: Mapping[str, str], options: EvaluationOptions) -> dict[str, Estimate]:
    """Every recognizer's figures where other real people of the same look stand in; ``metrics`` by the recognizers' names."""
    looks = read_looks(suite, judge)
    figures: dict[str, Estimate] = {}
    for name in recognizer_names(suite):
        found = same_look(suite, looks, name, metrics[name], repeats=options.repeats)
        figures |= {f"{name}/{key}": value for key, value in found.items()}
    return figures


def _run_program_attacks(
    suite: Suite,
    options: EvaluationOptions,
    training: TrainingPictures,
    recognizers: Sequence[Recognizer],
    caches: dict[str, EmbeddingCache],
    figures: dict[str, dict[str, Estimate]],
    output: Path,
) -> list[str]:
    """Parrot and reconstruction against the first row of the engine: adds to the figures, and returns notes.

    With the baselines the parrot also learns from the control "somebody else's landmarks": what it finds there comes from the photo around
    the face.
    """
    method, notes = engine_method(options.engine_options[0]), []
    if not {"parrot", "reconstruction"} & set(options.attacks):
        return []
    try:
        setup = prepare_attack(suite, training, method, limit=options.exposed_pictures, seed=options.seed)
    except ValueError as error:
        return [f"parrot and reconstruction: {error}"]
    attacked_by_parrot = [method, *([swapped_landmarks_method()] if options.baselines else [])] if "parrot" in options.attacks else []
    for attacked in attacked_by_parrot:
        own, exposed, limit, repeats = setup, options.exposed_pictures, options.attack_pictures, options.repeats
        try:
            if attacked is not method:
                own = prepare_attack(suite, training, attacked, limit=exposed, seed=options.seed)
            found, said = parrot_attack(own, training, recognizers, caches, geometry_limit=limit, repeats=repeats, seed=options.seed)
        except ValueError as error:
            found, said = {}, [f"parrot: {error}"]
        figures[attacked.name] |= found
        notes += [f"{attacked.name}: {one}" for one in said]
    if "reconstruction" in options.attacks and recognizers:
        name = recognizers[0].name
        try:
            setups = {method.name: setup}
            if options.baselines:  # the attack works on blur, which shows that it is a fair test
                blur = next(one for one in OBFUSCATIONS if one.name == "blur")
                setups[blur.name] = prepare_attack(suite, training, blur, limit=options.exposed_pictures, seed=options.seed)
            for row, (reconstructed, sheet) in reconstruction_attack(setups, name, training.pool, repeats=options.repeats).items():
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
        first, five = 1 / len(pairing), min(1.0, 5 / len(pairing))
        notes.append(
            f"recognition: {len(pairing)} people, {len(pairing.probes)} probes; {how}. Chance: who guesses names the right person first in "
            f"{first:.1%} of the cases, and among the first five in {five:.1%}"
        )
    if not {"neutral", "happiness"} <= set(suite.emotions):
        notes.append("smile AUC: the pictures are not labeled neutral and happiness")
    reasons = Counter((method, output.reason) for method, run in suite.runs.items() for output in run.outputs if output.reason)
    return notes + [f"{method}: {count} x {reason}" for (method, reason), count in sorted(reasons.items())]


def _people_on_sheets(suite: Suite, count: int) -> list[list[int]]:
    """Rows of the gallery picture and the first probe of some people, evenly spaced."""
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
