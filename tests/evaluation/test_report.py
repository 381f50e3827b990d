"""A report on disk: JSON, Markdown, tables for a page, sheets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganon_hf.evaluation.metrics import estimates as measures
from ganon_hf.evaluation.report import report


def test_report(tmp_path: Path) -> None:
    few = measures.Estimate(1.0, 1.0, 1.0, 2, 2)
    good, unknown = measures.Estimate(0.5, 0.4, 0.6, 10, 5), measures.Estimate(float("nan"), float("nan"), float("nan"), 0, 0)
    rows = {
        "original": {"dlib/rank1": good, "other/rank1": few, "smile_auc": good},
        "blur": {"dlib/rank1": unknown},
        "mosaic": {"dlib/rank1": few},
    }
    written = report.Report((report.SetReport("some: 2 pictures", rows, notes=("a note",)),), {"seed": 1}, ("blendshapes: no model",))
    report.write_report(tmp_path / "new", written)
    content = json.loads((tmp_path / "new" / "report.json").read_text())
    stored = content["sets"]["some: 2 pictures"]["figures"]
    assert content["schema"] == report.SCHEMA
    assert stored["original"]["dlib/rank1"] == {"value": 0.5, "low": 0.4, "high": 0.6, "count": 10, "people": 5}
    assert stored["blur"]["dlib/rank1"]["value"] is None
    text = (tmp_path / "new" / "report.md").read_text()
    assert "50.0 % (40.0 to 60.0)" in text and "| blur | - |" in text and "blendshapes: no model" in text and "* a note" in text
    assert "| mosaic | 100.0 % (100.0 to 100.0) of 2 |" in text, "how many pictures there were"
    short, rest = text.split("### Expression")
    assert "| by dlib | by other | smile AUC |" in short and "| mosaic | 100.0 % (100.0 to 100.0) | - | - |" in short
    assert rest.count("| blur |") == 1, "no line where the method has no figure"
    assert "### Recognizer dlib\n" in text and "### Recognizer other\n" in text, "a table each"
    assert set(report.TITLES) == {
        name for names in (*report.SECTIONS.values(), report.RECOGNIZER, report.LEARNED, report.RECONSTRUCTED) for name in names
    }
    again = report.read_report(tmp_path / "new" / "report.json")
    assert report.markdown(again) == text, "a stored report says the same"
    page = tmp_path / "page.md"
    page.write_text("# Page\n<!-- report: tables -->\nold\n<!-- /report: tables -->\nend\n")
    path = Path(__file__).resolve().parents[2] / "scripts" / "maintain" / "report_tables.py"
    command = [sys.executable, str(path), str(tmp_path / "new" / "report.json"), "--pages", str(page)]
    subprocess.run(command, check=True)
    written = page.read_text()
    assert (
        "\n### some: 2 pictures\n" in written and "#### Recognizer dlib" in written and "old" not in written and written.endswith("end\n")
    )
    subprocess.run(command, check=True)
    assert page.read_text() == written, "a second time changes nothing"
    for name, model, code in (("first", "a", 0), ("second", "a", 0), ("third", "b", 2)):
        other = report.Report((report.SetReport(f"{name}: 1 picture", rows),), {"model": model})
        report.write_report(tmp_path / name, other)
        both = [str(tmp_path / folder / "report.json") for folder in dict.fromkeys(("first", name))]
        done = subprocess.run([*command[:2], *both, "--pages", str(page)], capture_output=True, text=True)
        assert done.returncode == code and ("different weights: a, b" in done.stderr) == bool(code)
    text = page.read_text()
    assert "\n### first: 1 picture\n" in text and "\n### second: 1 picture\n" in text, "two runs of the same weights on one page"
    (tmp_path / "old.json").write_text('{"data": {}}')
    with pytest.raises(ValueError, match="schema"):
        report.read_report(tmp_path / "old.json")
    assert [path.name for path in (tmp_path / "new").iterdir() if path.name.startswith("tmp")] == []


def test_sheet(tmp_path: Path) -> None:
    report.write_sheet(tmp_path / "a" / "s.png", [[np.zeros((4, 5, 3), np.uint8)] * 2, [np.full((3, 6, 3), 255, np.uint8)]])
    with Image.open(tmp_path / "a" / "s.png") as sheet:
        assert sheet.size == (11, 7) and sheet.getpixel((0, 4)) == (255, 255, 255) and sheet.getpixel((10, 6)) == (127, 127, 127)


def test_sheet_with_titles(tmp_path: Path) -> None:
    report.write_sheet(tmp_path / "s.png", [[np.zeros((4, 90, 3), np.uint8)] * 2], titles=["left", "right"])
    with Image.open(tmp_path / "s.png") as sheet:
        head = np.asarray(sheet)[:24]
        assert sheet.size == (180, 28) and (head[:, :90] < 128).any() and (head[:, 90:] < 128).any()
