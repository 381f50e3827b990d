"""Plots of a report: recognition curves, privacy against expression, coverage by face height.

matplotlib (extra ``eval``) is imported when something is drawn; it draws into files and touches none of its global state. Colors are
those of Okabe & Ito (2008), which color-blind people tell apart; lines differ in style and points in shape as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..harness.methods import DEFAULT
from .report import Report, SetReport

COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
STYLES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX*<>hp"
DPI = 120


def draw_plots(report: Report, folder: Path) -> list[Path]:
    """Write every plot that the report has figures for.

    Args:
        report: what was measured.
        folder: where the PNG files go; made when it is not there.

    Returns:
        the files, in reading order.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'ganon-hf[eval]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for part in report.sets:
        for name in part.recognizers:
            paths += [_tradeoff(part, name, folder), _cmc(part, name, folder), _roc(part, name, folder)]
    paths.append(_coverage(report.coverage, folder))
    return [path for path in paths if path is not None]


def _axes(title: str, x: str, y: str, *, wide: bool = True) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0 if wide else 6.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: Any, folder: Path, *names: str) -> Path:
    path = folder / ("-".join(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names) + ".png")
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


def _set_name(part: SetReport) -> str:
    return part.title.partition(":")[0]


def _lines(axes: Any, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        name: {"color": COLORS[i % len(COLORS)], "linestyle": STYLES[i // len(COLORS) % len(STYLES)], "linewidth": 1.6}
        for i, name in enumerate(methods)
    }


def _legend(axes: Any) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)


def _cmc(part: SetReport, recognizer: str, folder: Path) -> Path | None:
    curves = part.curves.get(recognizer, {})
    if not curves:
        return None
    figure, axes = _axes(f"Who is it? {recognizer}, {_set_name(part)}", "rank", "share of probes found up to this rank")
    styles = _lines(axes, list(curves))
    longest = 1
    banded = next((name for name in curves if name.startswith(DEFAULT)), None)  # ten bands over each other would show nothing
    for name, curve in curves.items():
        ranks = np.arange(1, len(curve["cmc"]) + 1)
        longest = max(longest, len(ranks))
        if name == banded:
            axes.fill_between(ranks, curve["cmc_low"], curve["cmc_high"], color=styles[name]["color"], alpha=0.15, linewidth=0)
        axes.plot(ranks, curve["cmc"], label=name, **styles[name])
    people = max((row[f"{recognizer}/rank1"].people for row in part.figures.values() if f"{recognizer}/rank1" in row), default=longest)
    axes.plot(np.arange(1, longest + 1), np.arange(1, longest + 1) / people, color="#999999", linewidth=1, label="chance")
    axes.set(xlim=(1, longest), ylim=(0, 1.02))
    axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(axes)
    return _save(figure, folder, "cmc", _set_name(part), recognizer)


def _roc(part: SetReport, recognizer: str, folder: Path) -> Path | None:
    curves = {name: curve for name, curve in part.curves.get(recognizer, {}).items() if len(curve["tar"])}
    if not curves:
        return None
    figure, axes = _axes(
        f"Is it the same person? {recognizer}, {_set_name(part)}",
        "pairs of different people accepted (FAR)",
        "pairs of one person accepted (TAR)",
    )
    styles = _lines(axes, list(curves))
    for name, curve in curves.items():
        axes.plot(np.maximum(curve["far"], 1e-3), curve["tar"], label=name, **styles[name])
    chance = np.geomspace(1e-3, 1, 50)
    axes.plot(chance, chance, color="#999999", linewidth=1, label="chance")
    axes.set(xscale="log", xlim=(1e-3, 1), ylim=(0, 1.02))
    _legend(axes)
    return _save(figure, folder, "roc", _set_name(part), recognizer)


def _tradeoff(part: SetReport, recognizer: str, folder: Path) -> Path | None:
    """One point per method: how often the recognizer finds the person, and how much of the expression is kept."""
    key, kept = f"{recognizer}/rank1", "blendshape_correlation"
    points = [
        (name, row[key], row[kept])
        for name, row in part.figures.items()
        if key in row and kept in row and np.isfinite([row[key].value, row[kept].value]).all()
    ]
    if not points:
        return None
    figure, axes = _axes(
        f"Privacy against expression: {recognizer}, {_set_name(part)}",
        "rank-1, original gallery (lower is better)",
        "blendshape correlation",
    )
    for number, (name, who, expression) in enumerate(points):
        axes.errorbar(
            who.value,
            expression.value,
            xerr=_whiskers(who.value, who.low, who.high),
            yerr=_whiskers(expression.value, expression.low, expression.high),
            marker=MARKERS[number % len(MARKERS)],
            color=COLORS[number % len(COLORS)],
            markersize=8,
            elinewidth=1,
            linestyle="none",
            label=name,
        )
    axes.axvline(1 / max(points[0][1].people, 1), color="#999999", linewidth=1, linestyle=":", label="chance")
    axes.set(xlim=(-0.02, 1.02), ylim=(min(0.0, *(e.value for _, _, e in points)) - 0.05, 1.05))
    _legend(axes)
    return _save(figure, folder, "privacy-expression", _set_name(part), recognizer)


def _whiskers(value: float, low: float, high: float) -> np.ndarray:
    return np.maximum(np.nan_to_num([[value - low], [high - value]]), 0)


def _coverage(coverage: Mapping[str, Any], folder: Path) -> Path | None:
    """Share of faces found by height, one line per condition and program."""
    lines = {
        f"{condition}, {program}": entry["rows"]
        for condition, programs in coverage.items()
        if isinstance(programs, dict)
        for program, entry in programs.items()
        if isinstance(entry, dict) and entry.get("rows")
    }
    if not lines:
        return None
    figure, axes = _axes("Faces found by height, 1080p scenes", "face height in pixels", "share found")
    styles = _lines(axes, list(lines))
    for number, (name, rows) in enumerate(lines.items()):
        beside = 1.02 ** (number - (len(lines) - 1) / 2)  # so that equal shares do not hide each other
        heights, shares = [beside * row["height"] for row in rows], [row["found_share"] for row in rows]
        errors = [np.array([row["found_share"] - row["low"] for row in rows]), np.array([row["high"] - row["found_share"] for row in rows])]
        axes.errorbar(
            heights, shares, yerr=np.maximum(errors, 0), marker=MARKERS[number % len(MARKERS)], label=name, elinewidth=0.8, **styles[name]
        )
    ticks = sorted({row["height"] for rows in lines.values() for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(ticks, labels=[str(tick) for tick in ticks])
    axes.minorticks_off()
    _legend(axes)
    return _save(figure, folder, "coverage")
