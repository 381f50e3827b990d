"""The figures in README and docs are those of the report in the package: scripts/maintain/report_tables.py writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from script_loading import load_script

from ganon_hf.evaluation.metrics.estimates import Estimate
from ganon_hf.evaluation.report.report import Report, SetReport, read_report
from ganon_hf.hub.export import REPORT

TABLES = load_script("maintain/report_tables")
SOME = Estimate(0.156, 0.08, 0.254, 51, 51)
UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"), 0, 0)


def page(*names: str) -> str:
    return "".join(f"before {name}\n<!-- report: {name} -->\nold\n<!-- /report: {name} -->\nafter {name}\n" for name in names)


def small_report(**more: Estimate) -> Report:
    figures = {"original": {"net/rank1": SOME}, "ganon-hf": {"net/rank1": SOME, "blendshape_correlation": UNKNOWN, **more}}
    return Report((SetReport("faces alone", {"ganon-hf": {"seam": SOME}}), SetReport("pairs", figures)), {})


@pytest.mark.parametrize("path", TABLES.PAGES, ids=lambda path: path.name)
def test_pages_hold_the_figures_of_the_report_in_the_package(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == TABLES.filled(text, read_report(REPORT)), "run scripts/maintain/report_tables.py"


def test_blocks_are_written_and_the_rest_stays() -> None:
    text = TABLES.filled(page(*TABLES.BLOCKS), small_report())
    assert "\nold\n" not in text and all(f"before {name}\n" in text and f"after {name}\n" in text for name in TABLES.BLOCKS)
    assert "| ganon-hf, default | 16 % (8 to 25) | - |" in text and "51 people. Chance is 2 %." in text
    assert "Gaussian blur" not in text and "landmarks |" not in text, "what was not measured has no row and no column"
    assert "own output" not in text
    assert TABLES.filled(text, small_report()) == text
    assert "16 % (8 to 25; landmarks)" in TABLES.filled(page("levels"), small_report(parrot_geometry_rank1=SOME)).replace("\n", " ")


def block(name: str, *parts: SetReport) -> str:
    """A block of a report with more sets; line breaks as spaces."""
    report = small_report()
    return TABLES.filled(page(name), replace(report, sets=(*report.sets, *parts))).replace("\n", " ")


def test_who_is_found_in_all_draws_stands_beside_the_levels() -> None:
    assert "People found in all draws" not in TABLES.filled(page("levels"), small_report()), "there was but one draw"
    text = TABLES.filled(page("levels"), small_report(**{"net/always_found": SOME})).replace("\n", " ")
    assert "People found in all draws, whatever the seed: default 16 % (8 to 25; net)." in text


def test_expressions_are_those_of_their_set() -> None:
    assert "Not measured" in block("expressions") and "Rarer" not in block("headline")
    figures = {
        "ganon-hf": {"emotion_agreement": SOME, "emotion_kappa": SOME},
        TABLES.REENCODED: {"emotion_agreement": replace(SOME, value=1)},
    }
    alone = SetReport("eval-expressions: 9 pictures of 7 people, as they are", {"detector": {"found": SOME}})
    part = SetReport("eval-expressions: 9 pictures of 7 people", figures)
    assert "| ganon-hf, default | 16 % (8 to 25) | 0.16 |" in block("expressions", alone, part)
    assert "9 pictures of 7 people." in block("expressions", alone, part)
    assert "Rarer expressions (9 pictures of 7 people)" in block("headline", alone, part)


def test_groups_stand_beside_each_other_with_their_control() -> None:
    assert "Not measured" in block("groups")
    few, many = replace(SOME, people=20), replace(SOME, value=0.5)
    methods = ("ganon-hf", "ganon-hf, look random", "ganon-hf, somebody else's landmarks")
    groups = {"women": few, "men": many}
    rows = {
        f"{method}: {group}": {"net/group_rank1": one, "net/protected": SOME, "net/group_protected": many}
        for method in methods
        for group, one in groups.items()
    }
    text = block("groups", SetReport("eval-wild by sex, age and skin tone: one photo each of 71 people", rows))
    some, half = " 16 % (8 to 25) |", " 50 % (8 to 25) |"
    assert f"| women | 20 |{3 * some} | men | 51 |{3 * half}" in text and f"| women | 20 |{3 * some}{3 * half}" in text
    assert "among 20 people of the same group, so chance is 5.0 %" in text


def test_what_is_empty_has_no_row() -> None:
    part = SetReport("across-days: 2 pictures", {"ganon-hf": {"net/rank1": SOME}, TABLES.LOOK_ALIKE: {}})
    assert "control" not in block("days", part)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no block", "NAME one of"),
        ("<!-- report: headline -->\n", "must hold pairs"),
        (page("nonsense"), "no block 'nonsense'"),
    ],
)
def test_pages_without_proper_blocks_are_errors(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        TABLES.filled(text, small_report())


def test_a_report_without_people_is_an_error() -> None:
    with pytest.raises(ValueError, match="rank-1"):
        TABLES.filled(page("headline"), Report((SetReport("faces", {"ganon-hf": {"seam": SOME}}),), {}))
