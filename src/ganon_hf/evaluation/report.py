"""Estimates -> report.json, report.md and side-by-side sheets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .measures import Estimate

Table = Mapping[str, Mapping[str, Estimate]]

# name of the measure -> (title of the column, how it is written)
TITLES = {
    "replaced": ("replaced", "share"),
    "covered": ("covered", "share"),
    "missed": ("untouched", "share"),
    "found": ("found by the engine's detector", "share"),
    "redetected": ("found again, MediaPipe", "share"),
    "redetected_second": ("found again, dlib HOG", "share"),
    "blendshape_correlation": ("blendshape correlation", "number"),
    "blendshape_correlation_mean": ("mean of single correlations", "number"),
    "blendshape_correlation_raw": ("not centred", "number"),
    "blendshape_error": ("mean absolute error", "fine"),
    "smile_auc": ("smile AUC", "number"),
    "smile_paired": ("smiles more than neutral, same person", "share"),
    "landmark_error": ("landmark error, % of eye distance", "one"),
    "gaze_error": ("gaze error, degrees", "one"),
    "pose_error": ("pose error, degrees", "one"),
    "rank1": ("rank-1", "share"),
    "rank5": ("rank-5", "share"),
    "tar": ("TAR at FAR 1 %", "share"),
    "linkage_rank1": ("linkage rank-1", "share"),
    "linkage_rank5": ("linkage rank-5", "share"),
    "linkage_tar": ("linkage TAR", "share"),
    "geometry_rank1": ("rank-1", "share"),
    "geometry_rank5": ("rank-5", "share"),
    "geometry_linkage_rank1": ("linkage rank-1", "share"),
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
    "Faces": ("found", "replaced", "covered", "missed", "redetected", "redetected_second"),
    "Expression": (
        "blendshape_correlation",
        "blendshape_correlation_mean",
        "blendshape_correlation_raw",
        "blendshape_error",
        "smile_auc",
        "smile_paired",
    ),
    "Geometry kept": ("landmark_error", "gaze_error", "pose_error"),
    "Recogniser (gallery: original neutral, probe: smiling)": ("rank1", "rank5", "tar", "linkage_rank1", "linkage_rank5", "linkage_tar"),
    "Geometry attack (discriminants of re-detected landmarks)": ("geometry_rank1", "geometry_rank5", "geometry_linkage_rank1"),
    "Realism (50 % = cannot be told from real)": ("told_network", "told_network_auc", "told_statistics", "told_statistics_auc"),
    "Distance and detail (energy generated / real)": ("kernel_distance", "detail_1", "detail_2", "detail_3", "detail_4", "detail_5"),
    "Speed": ("generator_ms",),
}


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


def markdown(data: Mapping[str, Table], settings: Mapping[str, Any], notes: Sequence[str]) -> str:
    """The whole report."""
    parts = ["# Evaluation", "Every figure with its 95 % bootstrap interval over people. What they mean: `docs/evaluation.md`."]
    parts.append("\n".join(f"* {name}: {value}" for name, value in settings.items()))
    if notes:
        parts.append("Left out:\n\n" + "\n".join(f"* {note}" for note in notes))
    for name, rows in data.items():
        parts.append(f"## {name}")
        for title, measures in SECTIONS.items():
            if table := markdown_table(rows, measures):
                parts += [f"### {title}", table]
    return "\n\n".join(parts) + "\n"


def write_report(folder: Path, data: Mapping[str, Table], settings: Mapping[str, Any], notes: Sequence[str]) -> None:
    """report.json and report.md in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: {method: {key: e.to_dict() for key, e in row.items()} for method, row in rows.items()} for name, rows in data.items()}
    content = {"settings": dict(settings), "left_out": list(notes), "data": plain}
    (folder / "report.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(data, settings, notes), encoding="utf-8")


def write_sheet(path: Path, rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Pictures side by side at full size, (h, w, 3) uint8; shorter rows and smaller pictures leave gray."""
    heights = [max(photo.shape[0] for photo in row) for row in rows]
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    sheet = np.full((sum(heights), sum(widths), 3), 127, np.uint8)
    for number, row in enumerate(rows):
        for column, photo in enumerate(row):
            top, left = sum(heights[:number]), sum(widths[:column])
            sheet[top : top + photo.shape[0], left : left + photo.shape[1]] = photo
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)
