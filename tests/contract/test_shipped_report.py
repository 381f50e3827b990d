"""The report in the package is of the weights in the package: who changes one changes the other (scripts/ship_report.py)."""

from __future__ import annotations

import json
import re

import pytest

from ganon_hf.anonymizer import Anonymizer
from ganon_hf.evaluation.toolkit import weights_digest
from ganon_hf.export import REPORT, ExportError, ExportOptions, find_report, measured_weights, require_same_weights
from ganon_hf.model_card import HEADLINES, OURS, load_report
from tiny import tiny_engine


def test_it_measured_the_shipped_weights() -> None:
    engine = Anonymizer.from_pretrained()
    assert measured_weights(load_report(REPORT)) == weights_digest(engine), "evaluate the new weights, then scripts/ship_report.py"
    assert find_report(ExportOptions(), engine) == REPORT


def test_it_has_the_headlines_and_names_no_place() -> None:
    report, text = load_report(REPORT), REPORT.read_text(encoding="utf-8")
    keys = {key.rpartition("/")[2] for part in report.sets for method, row in part.figures.items() if method == OURS for key in row}
    assert set(HEADLINES) <= keys
    assert len(text) < 200_000 and not re.search(r"(?<![\w.])(?:/[\w.-]+){2,}|[A-Za-z]:\\\\", text)
    assert all(not part["curves"] for part in json.loads(text)["sets"].values())


def test_other_weights_do_not_get_it() -> None:
    assert find_report(ExportOptions(), tiny_engine()) is None
    with pytest.raises(ExportError, match="measured other weights"):
        require_same_weights(load_report(REPORT), tiny_engine(), REPORT)
