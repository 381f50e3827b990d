"""The model card: a template filled from the evaluation report and the training log. Missing measurements are named as missing.

Sources: ``report.json`` of the evaluation, the training log (a Markdown file with one table per run, newest first), the model's
own config and weights, and the outcomes of the hard samples in ``card_pictures.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..evaluation.report.report import (
    RECOGNIZER,
    SECTIONS,
    TITLES,
    Report,
    SetReport,
    coverage_markdown,
    format_estimate,
    markdown_table,
    read_report,
)

TEMPLATE = Path(__file__).parent.parent / "card" / "model_card.md"
# Stands for the repository's name in an exported card until it is published under one.
REPO_PLACEHOLDER = "YOUR_NAME/YOUR_MODEL"
NOT_MEASURED = "not measured"
PAPER = "https://doi.org/10.1145/3641107"
MAX_REPORT_BYTES = 20_000_000
# Rows of the report that are this package; the first one is the default.
DEFAULT_METHOD = "ganon-hf"
# Figures of the report for the card's metadata, which the Hub shows: measure (of a recognizer or not) -> name.
HEADLINES = {
    "rank1": "re-identification, rank-1 (lower is better)",
    "linkage_rank1": "linkage, rank-1 (lower is better)",
    "geometry_rank1": "landmark attack, rank-1 (lower is better)",
    "blendshape_correlation": "blendshape correlation (higher is better)",
}
# The example that the Hub shows beside the card: files of the repository, because no hosted service runs this model.
WIDGET = {"src": "samples/photo.jpg", "example_title": "Portrait", "output": {"url": "samples/result.jpg"}}
# Titles of report entries that tell groups of people apart.
GROUP_WORDS = re.compile(r"\b(skin|tone|sex|gender|women|men|female|male|age|young|old)\b", re.I)


def load_report(path: Path) -> Report:
    """Read ``report.json``.

    Raises:
        ValueError: the file is no report; the message names it.
    """
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            raise ValueError(f"it is larger than {MAX_REPORT_BYTES} bytes")
        return read_report(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no report of the evaluation: {type(error).__name__}: {error}") from error


def read_training_log(path: Path) -> dict[str, str]:
    """The table of the newest run: of the first section whose heading starts with "Run".

    Raises:
        ValueError: there is no such table; the message names the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the training log {path} cannot be read: {error}") from error
    section = re.search(r"^## (Run\b.*?)$(.*?)(?=^## |\Z)", text, re.M | re.S)
    rows = re.findall(r"^\|([^|\n]+)\|([^|\n]+)\|\s*$", section.group(2), re.M) if section else []
    record = {name.strip(): value.strip() for name, value in rows if name.strip(" -")}
    if section is None or not record:
        raise ValueError(f'{path} is no training log: it has no section "## Run ..." with a table of two columns.')
    return {"run": section.group(1).strip(), **record}


@dataclass(frozen=True)
class HardSample:
    """A difficult picture and its outcome: the face was ``"replaced"``, ``"covered"`` or ``"missed"``."""

    name: str
    outcome: str
    reason: str = ""


@dataclass(frozen=True)
class OnnxFile:
    """The generator as ONNX, as described in the card.

    Attributes:
        inputs: name -> shape; the batch is a name.
        opset: version of ONNX's operators.
        difference: largest difference to this package's generator over real conditions, in [-1, 1].
    """

    inputs: dict[str, tuple[int | str, ...]]
    opset: int
    difference: float


def fill_card(
    *,
    config: Mapping[str, Any],
    parameters: int,
    weights: str,
    version: str,
    report: Report | None,
    training: Mapping[str, str] | None,
    hard_samples: Sequence[HardSample],
    pictures: Sequence[str],
    onnx: OnnxFile | None = None,
) -> str:
    """The text of ``README.md``.

    Args:
        config: of the model.
        parameters: number of values in its weights.
        weights: SHA-256 of ``model.safetensors``.
        version: of this package.
        report: of the evaluation, None if there is none.
        training: of :func:`read_training_log`, None if there is no record.
        hard_samples: difficult pictures and their outcomes.
        pictures: names of the files in ``samples/``.
        onnx: the generator's ONNX file, None if there is none.

    Raises:
        ValueError: the metadata is not valid.
    """
    data = ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="image-to-image",
        tags=[
            "face-anonymization",
            "de-identification",
            "privacy",
            "face",
            "gan",
            "transformers",
            "diffusers",
            *["onnx"] * (onnx is not None),
        ],
        model_name="ganon-hf",
        eval_results=None if report is None else _eval_results(report, version),
        widget=[WIDGET] if {"photo.jpg", "result.jpg"} <= set(pictures) else None,
    )
    text = TEMPLATE.read_text(encoding="utf-8")
    card = ModelCard.from_template(
        data,
        template_str=text,
        repo_id=REPO_PLACEHOLDER,
        paper=PAPER,
        config=config,
        parameters=parameters,
        weights=weights,
        version=version,
        report=report,
        evaluation=[] if report is None else _evaluation(report),
        groups=[] if report is None else _evaluation(report, groups=True),
        coverage="" if report is None else coverage_markdown(report.coverage),
        not_measured=NOT_MEASURED,
        training=training,
        hard_samples=hard_samples,
        pictures=pictures,
        onnx=onnx,
    )
    check_card(str(card))
    return re.sub(r"\n{3,}", "\n\n", str(card)).rstrip() + "\n"


def check_card(text: str) -> None:
    """Check a card's metadata as far as possible without the Hub.

    Raises:
        ValueError: there is no metadata, a needed field is missing or of the wrong kind, or a figure is not finite.
    """
    card = ModelCard(text, ignore_metadata_errors=False)
    fields = card.data.to_dict()
    for name in ("license", "library_name", "pipeline_tag", "tags"):
        value = fields.get(name)
        if not value or not isinstance(value, list if name == "tags" else str):
            raise ValueError(f"the card's metadata must have {name}, but got {value!r}.")
    for result in getattr(card.data, "eval_results", None) or []:
        if not isinstance(result.metric_value, int | float) or not math.isfinite(result.metric_value):
            raise ValueError(f"the card's metadata has a figure that is no number: {result.metric_name} is {result.metric_value!r}.")


def _eval_results(report: Report, version: str) -> list[EvalResult] | None:
    """The headlines of the default method on the first set of pictures that it was attacked on."""
    for part in report.sets:
        method = next((name for name in part.figures if name.startswith(DEFAULT_METHOD)), None)
        if method is None or GROUP_WORDS.search(part.title):
            continue
        results = [
            EvalResult(
                task_type="image-to-image",
                task_name="face anonymization",
                dataset_type="face-pairs",
                dataset_name=part.title,
                metric_type=key.replace("/", "_"),
                metric_name=f"{title}; {method}; {figure}",
                metric_value=round(value, 4),
                source_name=f"ganon-hf {version}, report.json",
                source_url="report.json",
            )
            for key, title, figure, value in _headlines(part, method)
        ]
        if results:
            return results
    return None


def _headlines(part: SetReport, method: str) -> list[tuple[str, str, str, float]]:
    """(key, title, figure with its interval, figure) of a method's headlines."""
    row, found = part.figures[method], []
    for key, estimate in row.items():
        recognizer, _, measure = key.rpartition("/")
        if measure in HEADLINES and math.isfinite(estimate.value):
            title = HEADLINES[measure] + (f", recognizer {recognizer}" if recognizer else "")
            found.append((key, title, format_estimate(estimate, TITLES[measure][1]), estimate.value))
    return found


def _evaluation(report: Report, *, groups: bool = False) -> list[dict[str, Any]]:
    """Per set of pictures its name, notes and tables; either those that tell groups of people apart, or the others."""
    parts = [part for part in report.sets if bool(GROUP_WORDS.search(part.title)) is groups]
    entries = [{"name": part.title, "notes": part.notes, "tables": _tables(part)} for part in parts]
    return [entry for entry in entries if entry["tables"]]


def _tables(part: SetReport) -> list[dict[str, str]]:
    tables = [{"title": title, "table": markdown_table(part.figures, measures)} for title, measures in SECTIONS.items()]
    for name in part.recognizers:
        own = {
            method: {key.removeprefix(f"{name}/"): estimate for key, estimate in row.items() if key.startswith(f"{name}/")}
            for method, row in part.figures.items()
        }
        tables.append({"title": f"Recognizer {name} (gallery: originals, probe: anonymized)", "table": markdown_table(own, RECOGNIZER)})
    return [table for table in tables if table["table"]]
