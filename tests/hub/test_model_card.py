"""The card says what was measured and logged, and "not measured" where nothing was."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from ganon_hf.evaluation.report.report import SCHEMA, Report
from ganon_hf.hub.model_card import REPO_PLACEHOLDER, HardSample, check_card, fill_card, load_report, read_training_log

CONFIG = {"conditioning": "mesh", "image_size": 256, "texture_size": 192, "num_appearance": 40, "refinement_channels": 32}
DEFAULT = "ganon-hf"


def estimate(value: float | None, low: float | None = 0.1, high: float | None = 0.9) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "count": 51, "people": 51}


def report_file(folder: Path, **changes: Any) -> Path:
    rows = {"original": {"net/rank1": estimate(1.0)}, DEFAULT: {"net/rank1": estimate(0.1234), "geometry_rank1": estimate(0.3)}}
    sets = {"pairs of 51": rows, **changes.pop("sets", {})}
    content = {
        "schema": SCHEMA,
        "settings": {"seed": 5, "machine": ["x"]},
        "left_out": ["dlib is not installed"],
        "sets": {title: {"figures": figures, "curves": {}, "notes": []} for title, figures in sets.items()},
    }
    path = folder / "report.json"
    path.write_text(json.dumps({**content, **changes}))
    return path


def card(report: Report | None = None, **changes: Any) -> str:
    arguments: dict[str, Any] = {"training": None, "hard_samples": [HardSample("upside down", "missed")], "pictures": ["people.jpg"]}
    return fill_card(config=CONFIG, parameters=1234567, weights="ab" * 32, version="0.1.0", report=report, **{**arguments, **changes})


def section(text: str, title: str) -> str:
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"the card has no section {title}"
    return found.group(1)


def test_figures_come_from_the_report(tmp_path: Path) -> None:
    text = card(load_report(report_file(tmp_path)))
    evaluation = section(text, "Evaluation")
    assert "12.3 % (10.0 to 90.0)" in evaluation and "30.0 % (10.0 to 90.0)" in evaluation
    assert "* seed: 5" in evaluation and "* dlib is not installed" in evaluation
    assert "not measured" not in evaluation.lower().replace("not measured:", "")
    metadata = ModelCard(text).data
    assert {(r.metric_type, r.metric_value) for r in metadata.eval_results} == {("net_rank1", 0.1234), ("geometry_rank1", 0.3)}
    assert all(DEFAULT in r.metric_name and "10.0 to 90.0" in r.metric_name for r in metadata.eval_results)


def test_without_a_report_it_says_not_measured_and_has_no_figure() -> None:
    text = card()
    for title in ("Evaluation", "Fairness", "Environmental cost"):
        assert "not measured" in section(text, title).lower()
        assert not re.search(r"\d+(\.\d+)? %", section(text, title))
    assert "not recorded" in section(text, "Data and licenses") and "No training record" in section(text, "Training")
    assert ModelCard(text).data.eval_results is None


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"net/rank1": estimate(None, None, None)}, id="nothing could be measured"),
        pytest.param({"an unheard-of measure": estimate(0.5)}, id="a measure that has no title"),
    ],
)
def test_what_cannot_be_shown_is_not_shown(row: dict[str, Any], tmp_path: Path) -> None:
    text = card(load_report(report_file(tmp_path, sets={"pairs of 51": {DEFAULT: row}})))
    assert ModelCard(text).data.eval_results is None
    assert "nan" not in text.lower().split() and "50.0 %" not in text


def test_groups_of_people_stand_under_fairness(tmp_path: Path) -> None:
    groups = {"pairs by skin tone: dark": {DEFAULT: {"net/rank1": estimate(0.75)}}}
    text = card(load_report(report_file(tmp_path, sets=groups)))
    assert "75.0 %" in section(text, "Fairness") and "75.0 %" not in section(text, "Evaluation")
    assert [r.metric_value for r in ModelCard(text).data.eval_results] == [0.1234, 0.3]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        f'{{"schema": {SCHEMA}, "sets": 5}}',
        f'{{"schema": {SCHEMA}, "sets": {{"a": {{"figures": 3}}}}}}',
        "\x00",
        "[" * 100_000,
    ],
)
def test_what_is_no_report_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="report.json is no report"):
        load_report(path)


def test_the_newest_run_of_the_log_is_copied(tmp_path: Path) -> None:
    log = tmp_path / "log.md"
    log.write_text(
        "# Log\n\n## Run 2: better\n\n| | |\n|---|---|\n| data | 99 faces |\n| time | 7 hours |\n\n| a | b | c |\n|---|---|---|\n"
        "\n## Run 1: worse\n\n| data | 1 face |\n"
    )
    training = read_training_log(log)
    assert training == {"run": "Run 2: better", "data": "99 faces", "time": "7 hours"}
    text = card(training=training)
    assert "| data | 99 faces |" in section(text, "Training") and "7 hours" in section(text, "Environmental cost")


def test_the_projects_own_log_is_one() -> None:
    assert {"run", "data", "time"} <= set(read_training_log(Path(__file__).parents[2] / "docs" / "training-log.md"))


@pytest.mark.parametrize("content", ["", "# Log\n\n## Ablations\n\n| a | b |\n", "## Run 3\n\nno table\n"])
def test_what_is_no_log_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "log.md").write_text(content)
    with pytest.raises(ValueError, match="log.md is no training log"):
        read_training_log(tmp_path / "log.md")


def test_every_promise_of_a_card_is_kept() -> None:
    text = card(hard_samples=[HardSample("a", "missed"), HardSample("b", "covered", "too small"), HardSample("c", "replaced")])
    for title in ("Use", "Intended use", "How it works", "Data and licenses", "Training", "When it fails", "Fairness", "Citation"):
        assert section(text, title).strip()
    for words in ("no guarantee of anonymity", "voice and the gait", "Not for disguise or deception", "10.1145/3641107", REPO_PLACEHOLDER):
        assert words in text, words
    assert "| 2 | b | covered: too small |" in text and "| 1 | a | **missed: the face is still there** |" in text
    assert "{{" not in text and "{%" not in text and "\n\n\n" not in text
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        assert len([line for line in block.splitlines() if line]) == 3
        compile(block, "card", "exec")


def test_a_checkpoint_of_the_paper_is_described_as_one() -> None:
    text = fill_card(
        config={"conditioning": "landmarks", "image_size": 512},
        parameters=54_404_099,
        weights="00",
        version="1",
        report=None,
        training=None,
        hard_samples=[],
        pictures=[],
    )
    assert "the U-Net of the paper" in text and "54,404,099" in text and "people.jpg" not in text and "None" not in text


@pytest.mark.parametrize(
    ("front", "why"),
    [
        ("library_name: transformers\npipeline_tag: image-to-image\ntags: [a]", "no license"),
        ("license: mit\nlibrary_name: transformers\npipeline_tag: image-to-image", "no tags"),
        ("license: [mit\n", "no YAML"),
    ],
)
def test_metadata_is_checked(front: str, why: str) -> None:
    with pytest.raises(Exception, match="metadata|YAML|yaml|parsing"):
        check_card(f"---\n{front}\n---\n# {why}\n")


def test_the_hub_shows_an_example_where_there_is_one() -> None:
    assert "widget" not in ModelCard(card()).data.to_dict()
    (example,) = ModelCard(card(pictures=["photo.jpg", "result.jpg"])).data.to_dict()["widget"]
    assert (example["src"], example["output"]["url"]) == ("samples/photo.jpg", "samples/result.jpg")


def test_the_risk_is_told_for_each_recipient() -> None:
    text = section(card(), "Residual risk")
    assert all(word in text for word in ("stranger", "acquaintance", "owns this program", "owns the originals"))
