"""Estimates -> report.json, report.md and side-by-side sheets; and a stored report back again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..._atomic import write_atomically
from ...image_files import save_image
from ..metrics.estimates import Estimate
from .risk import risk_rows

Table = Mapping[str, Mapping[str, Estimate]]

# name of the measure -> (title of the column, how it is written)
TITLES = {
    "replaced": ("replaced", "share"),
    "covered": ("covered", "share"),
    "missed": ("untouched", "share"),
    "found": ("found by the engine's detector", "share"),
    "redetected": ("found again, own detector", "share"),
    "redetected_second": ("found again, dlib HOG", "share"),
    "blendshape_correlation": ("blendshape correlation", "number"),
    "blendshape_correlation_mean": ("mean of single correlations", "number"),
    "blendshape_correlation_raw": ("not centered", "number"),
    "blendshape_error": ("mean absolute error", "fine"),
    "smile_auc": ("smile AUC", "number"),
    "smile_paired": ("smiles more than neutral, same person", "share"),
    "landmark_error": ("landmark error, % of eye distance", "one"),
    "gaze_error": ("gaze error, degrees", "one"),
    "pose_error": ("pose error, degrees", "one"),
    "rank1": ("rank-1", "share"),
    "rank5": ("rank-5", "share"),
    "tar": ("TAR at FAR 1 %", "share"),
    "eer": ("equal error rate", "share"),
    "protected": ("protection success", "share"),
    "always_found": ("people found in all draws", "share"),
    "group_rank1": ("rank-1 within the group", "share"),
    "group_rank5": ("rank-5 within the group", "share"),
    "group_protected": ("protection success within the group", "share"),
    "linkage_rank1": ("linkage rank-1", "share"),
    "linkage_rank5": ("linkage rank-5", "share"),
    "linkage_tar": ("linkage TAR at FAR 1 %", "share"),
    "linkage_eer": ("linkage equal error rate", "share"),
    "linkage_taken_for_one": ("linkage, others taken for one", "share"),
    "geometry_rank1": ("rank-1", "share"),
    "geometry_rank5": ("rank-5", "share"),
    "geometry_linkage_rank1": ("linkage rank-1", "share"),
    "geometry_linkage_rank5": ("linkage rank-5", "share"),
    "emotion_agreement": ("same emotion as in the original", "share"),
    "emotion_kappa": ("beyond chance (kappa)", "number"),
    "emotion_accuracy": ("emotion as labeled", "share"),
    "emotion_balanced_accuracy": ("mean over labels", "share"),
    "emotion_smile_auc": ("smile AUC", "number"),
    "parrot_geometry_rank1": ("parrot rank-1", "share"),
    "parrot_geometry_rank5": ("parrot rank-5", "share"),
    "parrot_geometry_tar": ("parrot TAR at FAR 1 %", "share"),
    "parrot_geometry_linkage_rank1": ("parrot linkage rank-1", "share"),
    "parrot_geometry_linkage_rank5": ("parrot linkage rank-5", "share"),
    "parrot_geometry_linkage_tar": ("parrot linkage TAR", "share"),
    "parrot_rank1": ("parrot rank-1", "share"),
    "parrot_rank5": ("parrot rank-5", "share"),
    "parrot_tar": ("parrot TAR at FAR 1 %", "share"),
    "parrot_linkage_rank1": ("parrot linkage rank-1", "share"),
    "parrot_linkage_rank5": ("parrot linkage rank-5", "share"),
    "parrot_linkage_tar": ("parrot linkage TAR", "share"),
    "reconstruction_rank1": ("reconstruction rank-1", "share"),
    "reconstruction_rank5": ("rank-5", "share"),
    "reconstruction_tar": ("TAR at FAR 1 %", "share"),
    "unattacked_rank1": ("before the attack rank-1", "share"),
    "unattacked_rank5": ("rank-5", "share"),
    "unattacked_tar": ("TAR", "share"),
    "original_rank1": ("original crops rank-1", "share"),
    "original_rank5": ("rank-5", "share"),
    "original_tar": ("TAR", "share"),
    "seam": ("seam energy, output / photo", "one"),
    "told_network": ("told from real, network", "share"),
    "told_statistics": ("told from real, statistics", "share"),
    "told_network_auc": ("AUC, network", "number"),
    "told_statistics_auc": ("AUC, statistics", "number"),
    "kernel_distance": ("kernel distance", "one"),
    "detail_1": ("detail, finest octave", "number"),
    "detail_2": ("2nd", "number"),
    "detail_3": ("3rd", "number"),
    "detail_4": ("4th", "number"),
    "detail_5": ("5th octave", "number"),
    "generator_ms": ("generator, ms a face", "one"),
}
SECTIONS = {
    "Faces": ("found", "replaced", "covered", "missed", "redetected", "redetected_second", "seam"),
    "Expression": (
        "blendshape_correlation",
        "blendshape_correlation_mean",
        "blendshape_correlation_raw",
        "blendshape_error",
        "smile_auc",
        "smile_paired",
    ),
    "Emotion, by a classifier that looks at no landmark": (
        "emotion_agreement",
        "emotion_kappa",
        "emotion_accuracy",
        "emotion_balanced_accuracy",
        "emotion_smile_auc",
    ),
    "Geometry kept": ("landmark_error", "gaze_error", "pose_error"),
    "Geometry attack (discriminants of landmarks found anew)": (
        "geometry_rank1",
        "geometry_rank5",
        "geometry_linkage_rank1",
        "geometry_linkage_rank5",
    ),
    "Parrot by landmarks (learned from pictures that it anonymized itself)": (
        "parrot_geometry_rank1",
        "parrot_geometry_rank5",
        "parrot_geometry_tar",
        "parrot_geometry_linkage_rank1",
        "parrot_geometry_linkage_rank5",
        "parrot_geometry_linkage_tar",
    ),
    "Realism (50 % = cannot be told from real)": ("told_network", "told_network_auc", "told_statistics", "told_statistics_auc"),
    "Distance and detail (energy generated / real)": ("kernel_distance", "detail_1", "detail_2", "detail_3", "detail_4", "detail_5"),
    "Speed": ("generator_ms",),
}
# Of each recognizer, under "NAME/measure"; those of GROUP are against people of one's own group, scripts/benchmarks/leak_by_group.py.
GROUP = ("group_rank1", "group_rank5", "group_protected")
RECOGNIZER = (
    *("rank1", "rank5", "tar", "eer", "protected", "always_found"),
    *GROUP,
    *("linkage_rank1", "linkage_rank5", "linkage_tar", "linkage_eer", "linkage_taken_for_one"),
)
LEARNED = ("parrot_rank1", "parrot_rank5", "parrot_tar", "parrot_linkage_rank1", "parrot_linkage_rank5", "parrot_linkage_tar")
RECONSTRUCTED = tuple(f"{what}_{key}" for what in ("reconstruction", "unattacked", "original") for key in ("rank1", "rank5", "tar"))
SCHEMA = 2


@dataclass(frozen=True)
class SetReport:
    """The figures of one set of pictures.

    Attributes:
        title: name and size of the set.
        figures: method -> measure -> estimate; measures of a recognizer are named ``NAME/measure``.
        curves: recognizer -> method -> lists of numbers, see :func:`identity.recognition_curves`.
        notes: what was left out, and how people were compared.
    """

    title: str
    figures: Table
    curves: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def recognizers(self) -> list[str]:
        """Their names, in order of appearance."""
        return list(dict.fromkeys(key.partition("/")[0] for row in self.figures.values() for key in row if "/" in key))


@dataclass(frozen=True)
class Report:
    """Everything that is written.

    Attributes:
        sets: in order.
        settings: what was run: versions, the model and its digest, seeds.
        notes: what was left out altogether, and why.
        coverage: tables of ``scripts/benchmarks/coverage.py``: condition -> program -> rows; empty without.
    """

    sets: tuple[SetReport, ...]
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    coverage: Mapping[str, Any] = field(default_factory=dict)


def format_estimate(estimate: Estimate | None, kind: str, *, of: int = 0) -> str:
    """``value (low to high)``, with the number of pictures where it is less than ``of``; a dash where nothing could be measured."""
    if estimate is None or not np.isfinite(estimate.value):
        return "-"
    factor, digits, unit = {"share": (100, 1, " %"), "number": (1, 3, ""), "fine": (1, 4, ""), "one": (1, 2, "")}[kind]
    value, low, high = (f"{factor * v:.{digits}f}" for v in (estimate.value, estimate.low, estimate.high))
    count = f" of {estimate.count}" if estimate.count < of else ""
    return f"{value}{unit} ({low} to {high}){count}"


def markdown_table(rows: Table, measures: Sequence[str]) -> str:
    """One line per method; columns that no method has are left out, and so are methods without any of them."""
    columns = [name for name in measures if any(name in row for row in rows.values())]
    if not columns:
        return ""
    lines = ["| |" + "|".join(f" {TITLES[name][0]} " for name in columns) + "|", "|---|" + "---|" * len(columns)]
    most = {name: max(row[name].count for row in rows.values() if name in row) for name in columns}
    for method, row in rows.items():
        if any(name in row for name in columns):
            lines.append(
                f"| {method} |" + "|".join(f" {format_estimate(row.get(name), TITLES[name][1], of=most[name])} " for name in columns) + "|"
            )
    return "\n".join(lines)


def summary(part: SetReport) -> str:
    """One line per method with the strongest attacks side by side and what is kept; empty where nobody was to be recognized.

    An attacker who learned from anonymized pictures finds more people than one who did not, and that is the figure to go by.
    """
    columns = [("found by landmarks", "geometry_rank1"), ("by landmarks, learned (parrot)", "parrot_geometry_rank1")]
    for name in part.recognizers:
        columns += [(f"by {name}", f"{name}/rank1"), (f"by {name}, learned (parrot)", f"{name}/parrot_rank1")]
        columns += [(f"reconstructed, by {name}", f"{name}/reconstruction_rank1"), (f"linked by {name}", f"{name}/linkage_rank1")]
    columns = [(title, key) for title, key in columns if any(key in row for row in part.figures.values())]
    if not columns:
        return ""
    kept = [(TITLES[key][0], key) for key in ("blendshape_correlation", "smile_auc") if any(key in row for row in part.figures.values())]
    lines = ["| |" + "|".join(f" {title} " for title, _ in columns + kept) + "|", "|---|" + "---|" * len(columns + kept)]
    for method, row in part.figures.items():
        cells = [format_estimate(row.get(key), "share") for _, key in columns] + [
            format_estimate(row.get(key), "number") for _, key in kept
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def risk_table(figures: Table) -> str:
    """One line per row of the engine and question of the law; empty where nobody was to be recognized."""
    rows = risk_rows(figures)
    if not rows:
        return ""
    lines = ["| | question | strongest attack | attack | control | risk |", "|---|---|---|---|---|---|"]
    for row in rows:
        attack, control, risk = (format_estimate(one, "share") for one in (row.attack, row.control, row.risk))
        control = f"{100 * row.control.value:.1f} %, chance" if row.guessed else control
        lines.append(f"| {row.method} | {row.question} | {row.attack_name} | {attack} | {control} | {risk} |")
    return "\n".join(lines)


def _set_markdown(part: SetReport, depth: int = 2) -> list[str]:
    top, below = "#" * depth, "#" * (depth + 1)
    paragraphs = [f"{top} {part.title}"]
    if part.notes:
        paragraphs.append("\n".join(f"* {note}" for note in part.notes))
    if table := summary(part):
        paragraphs += [f"{below} In short: share of people found at the first guess, and what is kept", table]
    if table := risk_table(part.figures):
        paragraphs += [f"{below} As the law asks (WP 216): risk = (attack - control) / (1 - control)", table]
    for title, measures in SECTIONS.items():
        if table := markdown_table(part.figures, measures):
            paragraphs += [f"{below} {title}", table]
        if title == "Geometry kept":
            for name in part.recognizers:
                own = {
                    method: {key.partition("/")[2]: e for key, e in row.items() if key.startswith(f"{name}/")}
                    for method, row in part.figures.items()
                }
                paragraphs += [f"{below} Recognizer {name}", markdown_table(own, RECOGNIZER)]
                for heading, learned in (("parrot", LEARNED), ("reconstruction", RECONSTRUCTED)):
                    if table := markdown_table(own, learned):
                        paragraphs += [f"{below} Recognizer {name}: {heading} (learned from pictures that the attacker anonymized)", table]
    return paragraphs


def coverage_markdown(coverage: Mapping[str, Any]) -> str:
    """One line per condition and program, one column per face height."""
    lines, header = [], ""
    for condition, programs in coverage.items():
        for program, entry in programs.items() if isinstance(programs, dict) else ():
            rows = entry.get("rows") if isinstance(entry, dict) else None
            if rows:
                header = header or "| scenes | program |" + "".join(
                    f" {row['height']} px |" for row in rows
                ) + "\n|---|---|" + "---|" * len(rows)
                cells = (f" {row['found_share']:.1%} ({row['low']:.1%} to {row['high']:.1%}) |" for row in rows)
                lines.append(f"| {condition} | {program} |" + "".join(cells))
    return "\n".join([header, *lines]) if lines else ""


def markdown(report: Report, pictures: Sequence[str] = ()) -> str:
    """The whole report; ``pictures`` are paths, relative to where it will stand, of plots to show."""
    parts = ["# Evaluation", "Every figure with its 95 % bootstrap interval over people. What they mean: `docs/evaluation.md`."]
    parts.append("\n".join(f"* {name}: {value}" for name, value in report.settings.items()))
    if report.notes:
        parts.append("Left out:\n\n" + "\n".join(f"* {note}" for note in report.notes))
    for one in report.sets:
        parts += _set_markdown(one)
    if table := coverage_markdown(report.coverage):
        parts += ["## Coverage by face height", table]
    parts += ["## Plots", *(f"![{path}]({path})" for path in pictures)] if pictures else []
    return "\n\n".join(parts) + "\n"


def tables(report: Report, depth: int = 3) -> str:
    """The sets' and the coverage's tables alone, for a page of its own; ``depth`` of the sets' headings."""
    paragraphs = [paragraph for part in report.sets for paragraph in _set_markdown(part, depth)]
    if table := coverage_markdown(report.coverage):
        paragraphs += [f"{'#' * depth} Coverage by face height", table]
    return "\n\n".join(paragraphs)


def to_json(report: Report) -> dict[str, Any]:
    """The content of ``report.json``; ``schema`` changes whenever a reader would have to."""
    sets = {
        part.title: {
            "figures": {method: {key: e.to_dict() for key, e in row.items()} for method, row in part.figures.items()},
            "curves": part.curves,
            "notes": list(part.notes),
        }
        for part in report.sets
    }
    content = {"schema": SCHEMA, "settings": dict(report.settings), "left_out": list(report.notes), "sets": sets}
    return content | ({"coverage": dict(report.coverage)} if report.coverage else {})


def read_report(path: Path) -> Report:
    """A ``report.json``.

    Raises:
        ValueError: it is none, or of another schema.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no report of schema {SCHEMA}: run the evaluation again.")
    sets = tuple(
        SetReport(
            title,
            {method: {key: Estimate.from_dict(e) for key, e in row.items()} for method, row in part["figures"].items()},
            part["curves"],
            tuple(part["notes"]),
        )
        for title, part in content["sets"].items()
    )
    return Report(sets, content["settings"], tuple(content["left_out"]), content.get("coverage", {}))


def read_coverage(path: Path | None) -> dict[str, Any] | None:
    """What ``scripts/benchmarks/coverage.py --json`` wrote.

    Raises:
        ValueError: it is no JSON object.
    """
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold the tables of scripts/benchmarks/coverage.py, but holds a {type(content).__name__}.")
    return content


def write_report(folder: Path, report: Report, *, pictures: Sequence[Path] = ()) -> None:
    """report.json and report.md in a folder; ``pictures`` lie in it and are shown."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "report.json", json.dumps(to_json(report), indent=1, allow_nan=False) + "\n")
    write_atomically(folder / "report.md", markdown(report, [path.relative_to(folder).as_posix() for path in pictures]))


def write_sheet(path: Path, rows: Sequence[Sequence[np.ndarray]], *, titles: Sequence[str] = ()) -> None:
    """Pictures side by side at full size, (h, w, 3) uint8; what is missing is gray. ``titles`` stand above the columns."""
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    if titles:
        rows = [[_title(text, width) for text, width in zip(titles, widths, strict=False)], *rows]
    heights = [max(photo.shape[0] for photo in row) for row in rows]
    sheet = np.full((sum(heights), sum(widths), 3), 127, np.uint8)
    for number, row in enumerate(rows):
        for column, photo in enumerate(row):
            top, left = sum(heights[:number]), sum(widths[:column])
            sheet[top : top + photo.shape[0], left : left + photo.shape[1]] = photo
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(Image.fromarray(sheet), path)


def _title(text: str, width: int) -> np.ndarray:
    strip = Image.new("RGB", (width, 24), "white")
    ImageDraw.Draw(strip).text((4, 6), text, fill="black")
    return np.asarray(strip)
