"""The paper's recipe with the published network, 54 million weights: dots in, the person on black out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import KnownFaces, noise_photo, tiny_model
from training_faces import Recording, record_uploads, write_faces

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.modeling_ganon import GanonModel
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.training import trainer
from ganon_hf.training.checkpoints import find_checkpoints
from ganon_hf.training.options import PRESETS, TrainingOptions


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tight faces of 256 px, the smallest that eight halvings leave something of, and one held out."""
    return write_faces(tmp_path_factory.mktemp("faces"), 2, 1, size=256, tight=True)


@pytest.fixture
def options(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingOptions:
    tiny_model().save_pretrained(tmp_path / "statistics")
    monkeypatch.setattr(trainer, "CHECKPOINT", tmp_path / "statistics")
    recipe = {"preset": "paper", **PRESETS["paper"]}
    folders = {"train_data_dir": str(faces), "output_dir": str(tmp_path / "run")}
    return TrainingOptions(**recipe, **folders, train_batch_size=1, logging_steps=1, checkpointing_steps=100, validation_steps=100)


def test_dots_in_face_out(options: TrainingOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps on one face: the error falls, and what is saved loads, anonymizes, and goes to the Hub as a whole."""
    output, uploaded = Path(options.output_dir), record_uploads(monkeypatch)
    tiny_model().save_pretrained(output)  # an earlier model of another kind in the same folder
    hub = {"push_to_hub": True, "hub_model_id": "user/name"}
    run = Recording(replace(options, max_train_samples=1, max_train_steps=2, **hub))
    start = {name: value.clone() for name, value in run.unwrapped_model.state_dict().items()}
    run.run()
    assert all(sorted(parts) == ["adversarial", "discriminator", "l1", "loss"] for parts in run.losses)
    for parts in run.losses:
        assert parts["loss"] == pytest.approx(100 * parts["l1"] + parts["adversarial"], rel=1e-5)
    errors = [parts["l1"] for parts in run.losses]
    assert errors[0] > errors[1], errors

    shards = set(json.loads((output / "model.safetensors.index.json").read_text())["weight_map"].values())
    assert uploaded == {*shards, "model.safetensors.index.json", "config.json", "preprocessor_config.json"} and len(shards) > 1
    engine = Anonymizer.from_pretrained(output, detector=KnownFaces())
    model = engine.model
    assert (model.config.conditioning, model.config.image_size) == ("landmarks", 256)
    for name, value in model.state_dict().items():
        assert torch.equal(value, run.unwrapped_model.state_dict()[name]), name
        assert torch.equal(value, start[name]) is name.startswith("geometry."), name
    statistics = tiny_model().geometry.state_dict()
    assert all(torch.equal(value, statistics[name]) for name, value in model.geometry.state_dict().items())
    assert engine(noise_photo(), AnonymizeOptions(seed=1)).faces[0].status == "replaced"


@pytest.mark.slow
def test_resuming_gives_the_losses_of_an_uninterrupted_run(options: TrainingOptions, tmp_path: Path) -> None:
    """Dropout draws from PyTorch's generator: its state is saved, and nothing between the steps draws from it."""
    options = replace(options, max_train_steps=6, validation_steps=3)
    whole = Recording(options)
    whole.run()
    parts = replace(options, output_dir=str(tmp_path / "parts"))
    first = Recording(replace(parts, time_budget_minutes=1e-9))  # stops after its first step and saves
    first.run()
    assert [path.name for path in find_checkpoints(tmp_path / "parts")] == ["checkpoint-000001"]
    second = Recording(replace(parts, resume_from_checkpoint="latest"))
    second.run()
    assert first.losses + second.losses == whole.losses, "equal to the last bit"
    one, two = (GanonModel.from_pretrained(folder).state_dict() for folder in (options.output_dir, tmp_path / "parts"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    picture = Image.open(Path(options.output_dir) / "samples" / "step-000006.png")
    assert picture.size == (256, 2 * 256), "the held-out face, and what was made of its dots"
    errors = [loss["l1"] for loss in whole.losses]
    assert np.mean(errors[-2:]) < 0.8 * np.mean(errors[:2]), errors
