"""The report in the package is of the weights in the package: who changes one changes the other (scripts/maintain/ship_report.py)."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from script_loading import load_script
from tiny import tiny_engine

from ganon_hf.bulk.engine import weights_digest
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.evaluation.metrics.estimates import Estimate
from ganon_hf.evaluation.report.report import Report, SetReport, to_json
from ganon_hf.hub.export import REPORT, ExportError, ExportOptions, find_report, measured_weights, require_same_weights
from ganon_hf.hub.model_card import DEFAULT_METHOD, HEADLINES, load_report


def test_it_measured_the_shipped_weights() -> None:
    engine = Anonymizer.from_pretrained()
    assert measured_weights(load_report(REPORT)) == weights_digest(engine), "evaluate the new weights, then scripts/maintain/ship_report.py"
    assert find_report(ExportOptions(), engine) == REPORT


def test_the_digest_does_not_depend_on_who_read_the_weights() -> None:
    engine = tiny_engine()
    digest = weights_digest(engine)
    engine.model.config.transformers_version = "5.99.0"
    assert weights_digest(engine) == digest
    engine.model.config.num_identity += 1
    assert weights_digest(engine) != digest


def test_it_has_the_headlines_and_names_no_place() -> None:
    report, text = load_report(REPORT), REPORT.read_text(encoding="utf-8")
    keys = {
        key.rpartition("/")[2] for part in report.sets for method, row in part.figures.items() if method == DEFAULT_METHOD for key in row
    }
    assert set(HEADLINES) <= keys
    assert len(text) < 200_000 and not re.search(r"(?<![\w.])(?:/[\w.-]+){2,}|[A-Za-z]:\\\\", text)
    assert all(not part["curves"] for part in json.loads(text)["sets"].values())


def test_other_weights_do_not_get_it() -> None:
    assert find_report(ExportOptions(), tiny_engine()) is None
    with pytest.raises(ExportError, match="measured other weights"):
        require_same_weights(load_report(REPORT), tiny_engine(), REPORT)


def test_sets_of_two_runs_stand_in_one_report() -> None:
    joined, shipped_text = (getattr(load_script("maintain/ship_report"), name) for name in ("joined", "shipped_text"))
    estimate = {"ganon-hf": {"seam": Estimate(0.5, 0.1, 0.9, 9, 9)}}
    curves = {"net": {"ganon-hf": {"x": [0.0, 1.0]}}}
    first = Report((SetReport("pairs", estimate, curves, ("a",)),), {"model": "bundled@1", "draws": 2, "minutes": 3}, ("no dlib",))
    second = Report((SetReport("portraits", estimate, {}, ("b",)),), {"model": "x@1", "draws": 1, "minutes": 4}, ("no dlib", "no plots"))
    both = json.loads(shipped_text(joined([first, second])))
    assert list(both["sets"]) == ["pairs", "portraits"] and both["left_out"] == ["no dlib", "no plots"]
    assert both["sets"]["portraits"]["notes"] == ["a run of its own, draws: 1", "b"] and both["sets"]["pairs"]["notes"] == ["a"]
    assert both["settings"] == first.settings and both["sets"]["pairs"]["curves"] == {}
    with pytest.raises(ValueError, match="may be there once"):
        joined([first, first])
    for place in ("/srv/photos/x", r"C:\\photos"):
        with pytest.raises(ValueError, match="names a path"):
            shipped_text(replace(first, notes=(f"from {place}",)))


def test_each_figure_takes_one_line() -> None:
    share = Estimate(0.5, 0.1, 0.9, 9, 9)
    report = Report((SetReport('pairs "a"', {"ganon-hf": {"seam": share, "rank1": share}}, notes=("b", "{c}")),), {"model": "m"}, ("d",))
    text = load_script("maintain/ship_report").shipped_text(report)
    assert json.loads(text) == to_json(report)
    assert [line.strip() for line in text.splitlines()].count('"seam": ' + json.dumps(share.to_dict(), separators=(",", ":")) + ",") == 1


def test_a_later_run_of_the_same_set_adds_its_measures() -> None:
    joined = load_script("maintain/ship_report").joined
    share = Estimate(0.5, 0.1, 0.9, 9, 9)
    first = Report((SetReport("pairs", {"ganon-hf": {"seam": share}}, notes=("a",)),), {"model": "m", "attacks": "none"})
    later = Report((SetReport("pairs", {"ganon-hf": {"seam": share, "parrot_rank1": share}}, notes=("a", "b")),), {"attacks": "parrot"})
    (part,) = joined([first, later]).sets
    assert list(part.figures["ganon-hf"]) == ["seam", "parrot_rank1"]
    assert part.notes == ("a", "more measures from a run of its own, attacks: parrot", "b")
    with pytest.raises(ValueError, match="adds no measure"):
        joined([first, first])
    # the risk of singling out is that of all attacks together
    strong, risk = Estimate(0.8, 0.7, 0.9, 9, 9), {"singling_out_attack": share, "singling_out_control": share, "singling_out_risk": share}
    weak = Report((SetReport("pairs", {"ganon-hf": {"net/rank1": share, **risk}}),), {})
    learned = Report(
        (SetReport("pairs", {"ganon-hf": {"net/rank1": share, "net/parrot_rank1": strong, "singling_out_attack": strong}}),), {}
    )
    assert joined([weak, learned]).sets[0].figures["ganon-hf"]["singling_out_attack"] == strong
    other = Report((SetReport("pairs", {"ganon-hf": {"seam": replace(share, value=0.6), "x": share}}),), {})
    with pytest.raises(ValueError, match="differ in 'seam' of 'ganon-hf'"):
        joined([first, other])
