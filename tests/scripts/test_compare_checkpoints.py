"""scripts/benchmarks/compare_checkpoints.py and scripts/maintain/people_sheet.py with a model of a few kilobytes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from script_loading import load_script
from tiny import KnownFaces, face_at, noise_photo, tiny_engine, tiny_model, tiny_processor

from ganon_hf.core.geometry import normalize_pose
from ganon_hf.evaluation.report import people_sheet as people

WIDE, TIGHT = (160, 120), (80, 70)
BORDERED = (116, 106)  # a quarter of 70 on every side


@pytest.fixture(scope="module")
def comparison() -> ModuleType:
    return load_script("benchmarks/compare_checkpoints")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose refinement does something."""
    folder = tmp_path_factory.mktemp("refined") / "step-1"
    model = tiny_model(refinement_channels=8)
    with torch.no_grad():
        weight = model.refinement.out.weight
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(5)))
        model.refinement.out.bias.fill_(0.3)
    model.save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def faces() -> KnownFaces:
    return KnownFaces({WIDE: [face_at(60, 60)], TIGHT: [face_at(40, 35)], BORDERED: [face_at(58, 53)]})


def write_pictures(path: Path) -> Path:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    cells = []
    for number in range(8):
        buffer = io.BytesIO()
        Image.fromarray(noise_photo(*(TIGHT if number == 7 else WIDE), seed=number, gray=number == 6)).save(buffer, "PNG")
        cells.append({"bytes": buffer.getvalue(), "path": None})
    columns = {
        "image": cells,
        "source": ["a"] * 4 + ["b"] * 4,
        "person": [0, 0, 1, 1, 0, 0, 1, None],  # 0 of a is not 0 of b
        "emotion": ["neutral", "happiness"] * 3 + [None, None],
        "grayscale": [False] * 6 + [True, False],
    }
    parquet.write_table(pa.table(columns), path)
    return path


def test_compare_checkpoints(
    tmp_path: Path, checkpoint: Path, faces: KnownFaces, comparison: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "YuNetDetector", lambda: faces)
    monkeypatch.setattr(comparison, "REALISM_SIZE", 64)
    pictures, out = write_pictures(tmp_path / "held-out.parquet"), tmp_path / "out"
    fast = ["--epochs", "1", "--repeats", "5", "--shown", "4"]
    threads = torch.get_num_threads()
    try:
        comparison.main([str(checkpoint), "--pictures", str(pictures), "--output-dir", str(out), *fast])
    finally:
        torch.set_num_threads(threads)
    report = json.loads((out / "report.json").read_text())
    (title,) = report["sets"]
    assert title == "held-out: 8 pictures of 5 people"
    rows = report["sets"][title]["figures"]
    ours = [f"{name}, {geometry} geometry" for geometry in ("original", "anonymous") for name in ("prior", "step-1")]
    assert list(rows) == ["original", "original, encoded again", *ours]
    for name in ours:
        assert rows[name]["replaced"]["value"] == 1 and rows[name]["generator_ms"]["value"] > 0
        assert rows[name]["told_network"]["count"] == 8 and rows[name]["detail_1"]["value"] > 0
    assert rows["prior, original geometry"]["detail_1"] != rows["step-1, original geometry"]["detail_1"]
    assert "told_network" not in rows["original"], "nobody is told from himself"
    assert report["left_out"] == []
    unread = rows["original"].get("blendshape_correlation", {"value": None})
    assert unread["value"] is None, "no face can be read in noise"
    text = (out / "report.md").read_text()
    assert "told from real, network" in text and "| step-1, anonymous geometry |" in text
    with Image.open(out / "sheets" / "held-out-anonymous.png") as sheet:
        assert sheet.size == (3 * 256, 24 + 4 * 256), "original | prior | checkpoint"


def test_a_checkpoint_without_refinement_is_the_prior(tmp_path: Path, faces: KnownFaces, comparison: ModuleType) -> None:
    tiny_model().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    plain, prior = comparison.load_engine(tmp_path, faces), comparison.load_engine(tmp_path, faces, refined=False)
    inputs = plain.plan(noise_photo()).inputs
    assert (plain.generate(inputs)[0] == prior.generate(inputs)[0]).all()


def test_the_prior_row_is_what_the_checkpoint_calls_coarse(checkpoint: Path, faces: KnownFaces, comparison: ModuleType) -> None:
    refined, prior = comparison.load_engine(checkpoint, faces), comparison.load_engine(checkpoint, faces, refined=False)
    inputs = refined.plan(noise_photo()).inputs
    with torch.inference_mode():
        made = refined.model(**inputs[0])
    assert np.allclose(prior.generate(inputs)[0], refined.image_processor.postprocess(made.coarse)[0])
    assert not np.allclose(prior.generate(inputs)[0], refined.generate(inputs)[0])


def test_people_sheet(tmp_path: Path, checkpoint: Path) -> None:
    module, path = load_script("maintain/people_sheet"), tmp_path / "new" / "people.png"
    module.main(["--out", str(path), "--checkpoint", str(checkpoint), "--seeds", "1", "2", "--side", "40"])
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    assert pixels.shape == (2 * 40, len(people.EXPRESSIONS) * 40, 3)
    assert np.abs(pixels[:40] - pixels[40:]).max() > 20, "two seeds, two people"
    assert (pixels.max(axis=2) - pixels.min(axis=2)).mean() > 5, "in color"


def test_expressions_do_what_they_say() -> None:
    """On the bundled statistics; the tiny model's are noise."""
    from ganon_hf import Anonymizer

    space = people.ExpressionSpace(Anonymizer.from_pretrained().shape_model)
    shapes = {name: space.canonical_landmarks(expression) for name, expression in people.EXPRESSIONS.items()}
    neutral = shapes["neutral"]

    def moved(name: str, point: int, axis: int) -> float:
        return float(shapes[name][point, axis] - neutral[point, axis])

    assert moved("smile", 61, 1) < -0.04 and moved("smile", 61, 0) < -0.04 and moved("smile", 291, 0) > 0.04
    assert moved("surprise", 105, 1) < -0.04 and moved("surprise", 152, 1) > 0.04
    assert moved("anger", 55, 1) > 0.02
    assert np.linalg.norm(shapes["laugh"][13] - shapes["laugh"][14]) > 0.1 > np.linalg.norm(neutral[13] - neutral[14])
    assert np.allclose(shapes["eyes closed"][159], shapes["eyes closed"][145])
    for name, expression in people.EXPRESSIONS.items():
        yaw, pitch, roll = normalize_pose(space.face(expression, 256).landmarks)[1].angles
        assert abs(yaw - expression.yaw) < 4 and abs(pitch) < 5 and abs(roll) < 2, name


def test_a_refused_portrait_names_the_seed() -> None:
    engine = tiny_engine()
    hidden = face_at(32, 32, landmarks=False)
    with pytest.raises(RuntimeError, match="seed 3"):
        people.portrait(engine, hidden, 64, 3)
