"""An exported folder scores the report of the package: the same figures, to the last digit, by the command that users have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageEnhance
from typer.testing import CliRunner

from ganon_hf import AnonymizeOptions, Anonymizer
from ganon_hf.cli import main as cli
from ganon_hf.evaluation.metrics.estimates import Estimate
from ganon_hf.hub.card_pictures import read_portrait
from ganon_hf.hub.export import ExportOptions, export

pytestmark = [pytest.mark.hub, pytest.mark.detection, pytest.mark.slow]
pytest.importorskip("diffusers")

PEOPLE = 6
SMALL = ["--with", "geometry=anonymous", "--with", "geometry=original", "--attacks", "seeds,geometry"]
SMALL += ["--no-baselines", "--sheets", "0", "--processes", "1"]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos each of six people who do not exist: upright, and tilted in other light."""
    folder, engine, photo = tmp_path_factory.mktemp("originals"), Anonymizer.from_pretrained(), read_portrait()
    for number in range(PEOPLE):
        person = engine(photo, AnonymizeOptions(seed=100 + number, skin_tone="random")).image
        (folder / f"person-{number}").mkdir()
        person.save(folder / f"person-{number}" / "upright.png")
        ImageEnhance.Brightness(person.rotate(8)).enhance(0.8).save(folder / f"person-{number}" / "tilted.png")
    return folder


def score(originals: Path, out: Path, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli.app, ["evaluate", str(originals), "-o", str(out), *SMALL, *arguments])
    assert result.exit_code == 0, result.output[-3000:]
    return json.loads((out / "report.json").read_text())


def test_the_same_figures(originals: Path, tmp_path: Path) -> None:
    export(tmp_path / "ganon", ExportOptions())
    package = score(originals, tmp_path / "package")
    folder = score(originals, tmp_path / "folder", "--model", str(tmp_path / "ganon"))
    assert folder["sets"] == package["sets"] and folder["left_out"] == package["left_out"]
    names = [report["settings"]["model"].partition("@") for report in (package, folder)]
    assert names[0][0] == "bundled" and names[1][0] != "bundled" and names[0][2] == names[1][2]
    (part,) = package["sets"].values()
    row = {key: Estimate.from_dict(value) for key, value in part["figures"]["ganon-hf"].items()}
    assert row["replaced"].value == 1.0 and row["replaced"].count == 2 * PEOPLE, "it has to have worked on them"
    another = score(originals, tmp_path / "another", "--model", str(tmp_path / "ganon"), "--seed", "1")
    assert another["sets"] != folder["sets"], "the figures depend on what is drawn"
