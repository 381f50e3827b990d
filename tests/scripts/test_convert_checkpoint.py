"""scripts/maintain/convert_checkpoint.py: a Lightning checkpoint of the published network becomes a folder that everything loads."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from script_loading import load_script
from tiny import KnownFaces, noise_photo, same, tiny_model
from torch.nn import functional

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.modeling_ganon import GanonModel, LandmarkGenerator
from ganon_hf.core.options import AnonymizeOptions


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("maintain/convert_checkpoint")


@pytest.fixture(scope="module")
def generator() -> dict[str, torch.Tensor]:
    """Weights that spread values over the whole range of the output."""
    shapes = LandmarkGenerator().to("meta").state_dict()
    seeds = (torch.Generator().manual_seed(number) for number in range(len(shapes)))
    return {name: torch.randn(one.shape, generator=seed) * 0.05 for (name, one), seed in zip(shapes.items(), seeds, strict=True)}


def save(path: Path, tensors: dict[str, torch.Tensor], **changes: Any) -> Path:
    """What Lightning writes around a state dict."""
    state = {f"generator.{name}": tensor for name, tensor in tensors.items()}
    state["discriminator.model.0.weight"] = torch.zeros(64, 6, 4, 4)
    content = {"epoch": 24, "pytorch-lightning_version": "1.9.0", "state_dict": state, "hyper_parameters": {"lr": 2e-4, "out_dir": "/data"}}
    torch.save({**content, **changes}, path)
    return path


@pytest.fixture(scope="module")
def converted(script: ModuleType, generator: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    tiny_model().save_pretrained(folder / "statistics")
    arguments = [str(save(folder / "paper.ckpt", generator)), "-o", str(folder / "out"), "--statistics", str(folder / "statistics")]
    assert script.main(arguments) == 0
    return folder / "out"


def test_weights_and_statistics_arrive(converted: Path, generator: dict[str, torch.Tensor]) -> None:
    assert {path.name for path in converted.iterdir()} == {"config.json", "preprocessor_config.json", "model.safetensors"}
    model = GanonModel.from_pretrained(converted)
    assert (model.config.conditioning, model.config.image_size) == ("landmarks", 512)
    assert model.generator is not None
    assert all(torch.equal(tensor, generator[name]) for name, tensor in model.generator.state_dict().items())
    for name, tensor in tiny_model().geometry.state_dict().items():
        assert torch.equal(model.geometry.state_dict()[name], tensor), name


def published_network(weights: dict[str, torch.Tensor], dots: torch.Tensor) -> torch.Tensor:
    """The published generator as its table of layers says, after training, without a class of ours."""
    hidden, skips = dots, []
    for number in range(1, 9):
        hidden = functional.conv2d(hidden, weights[f"down{number}.model.0.weight"], stride=2, padding=1)
        hidden = functional.leaky_relu(hidden if number in (1, 8) else functional.instance_norm(hidden), 0.2)
        skips.append(hidden)
    for number in range(1, 8):
        hidden = functional.conv_transpose2d(hidden, weights[f"up{number}.model.0.weight"], stride=2, padding=1)
        hidden = torch.cat([functional.relu(functional.instance_norm(hidden)), skips[7 - number]], dim=1)
    hidden = functional.pad(functional.interpolate(hidden, scale_factor=2, mode="nearest"), (1, 0, 1, 0))
    return functional.conv2d(hidden, weights["final.2.weight"], weights["final.2.bias"], padding=1).tanh()


def test_the_folder_computes_what_the_published_network_does(converted: Path, generator: dict[str, torch.Tensor]) -> None:
    dots = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(99)).clamp(-1, 1)
    with torch.inference_mode():
        expected, images = published_network(generator, dots), GanonModel.from_pretrained(converted)(dots).images
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)
    # the authors' own network, filled and fed the same, has this mean and spread
    assert (expected.mean().item(), expected.std().item()) == (pytest.approx(-0.178760, abs=2e-4), pytest.approx(0.669225, abs=2e-4))


def test_the_folder_anonymizes(converted: Path) -> None:
    engine = Anonymizer.from_pretrained(converted, detector=KnownFaces())
    results = [engine(noise_photo(), AnonymizeOptions(seed=7, geometry=geometry)) for geometry in ("anonymous", "original")]
    assert [result.faces[0].status for result in results] == ["replaced"] * 2
    assert not same(results[0].image, results[1].image)
    assert engine(noise_photo(), AnonymizeOptions(seed=7, output="crop")).image.size == (512, 512)


def test_without_statistics_everybody_gets_the_average_face(
    script: ModuleType, generator: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = save(tmp_path / "paper.ckpt", generator)
    arguments = [checkpoint, "-o", tmp_path / "out", "--statistics", tmp_path / "none", "--image-size", "256"]
    assert script.main([str(argument) for argument in arguments]) == 0
    assert "average face" in capsys.readouterr().err
    model = GanonModel.from_pretrained(tmp_path / "out")
    assert model.config.image_size == 256
    assert np.allclose(model.geometry.mean.numpy().reshape(478, 3), MEAN_LANDMARKS, atol=1e-6)


class Unpicklable:
    """Stands for anything but plain data in a checkpoint; loading it would run code."""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path, tensors: None, ["cannot be read"]),
        (lambda path, tensors: path.write_bytes(b"no checkpoint"), ["cannot be read"]),
        (lambda path, tensors: save(path, tensors, hyper_parameters=Unpicklable()), ["cannot be read"]),
        (lambda path, tensors: torch.save([1, 2], path), ["no 'state_dict'"]),
        (lambda path, tensors: save(path, {}), ["starts with 'generator.'", "discriminator.model.0.weight"]),
        (lambda path, tensors: save(path, {**tensors, "down9.model.0.weight": torch.zeros(1)}), ["down9.model.0.weight is not part"]),
        (lambda path, tensors: save(path, {n: t for n, t in tensors.items() if n != "final.2.bias"}), ["final.2.bias is missing"]),
        (lambda path, tensors: save(path, {**tensors, "final.2.bias": torch.zeros(4)}), ["final.2.bias should be (3,), but is (4,)"]),
        (lambda path, tensors: save(path, {**tensors, "final.2.bias": torch.full((3,), torch.nan)}), ["final.2.bias", "not finite"]),
    ],
    ids=["absent", "garbage", "code", "list", "no generator", "extra", "missing", "shape", "nan"],
)
def test_what_is_no_such_checkpoint_is_refused(
    script: ModuleType, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, words: list[str]
) -> None:
    path = tmp_path / "paper.ckpt"
    # one element spread out over each shape: the files stay small
    make(path, {name: torch.zeros(1).expand(tensor.shape) for name, tensor in LandmarkGenerator().to("meta").state_dict().items()})
    statistics = str(converted.parent / "statistics")
    assert script.main([str(path), "-o", str(tmp_path / "out"), "--statistics", statistics]) == 3
    message = capsys.readouterr().err
    assert "paper.ckpt" in message and all(word in message for word in words), message
    assert "Traceback" not in message and not (tmp_path / "out").exists()


def test_impossible_sizes_are_refused(script: ModuleType, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [tmp_path / "any.ckpt", "-o", tmp_path / "out", "--image-size", 300, "--statistics", converted.parent / "statistics"]
    assert script.main([str(argument) for argument in arguments]) == 3
    assert "multiple of 256" in capsys.readouterr().err


def test_statistics_that_are_none_are_refused(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert script.main([str(tmp_path / "any.ckpt"), "-o", str(tmp_path / "out"), "--statistics", str(tmp_path)]) == 3
    assert "no shape statistics" in capsys.readouterr().err
