"""One digest names the weights everywhere: from the files alone, from the loaded model, in reports and in fingerprints."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.numpy
import safetensors.torch
import torch
from tiny import tiny_model, tiny_processor

from ganon_hf.bulk.engine import model_fingerprint, weights_digest, weights_digest_of
from ganon_hf.core.model_loading import load_model
from ganon_hf.core.task import CHECKPOINT


def loaded_digest(folder: Path) -> str:
    engine: Any = SimpleNamespace(model=load_model(str(folder)))
    return weights_digest(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    return tmp_path


def change_floats(folder: Path, dtype: torch.dtype) -> None:
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    smaller = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    safetensors.torch.save_file(smaller, path, {"format": "pt"})


def test_the_weights_in_the_package() -> None:
    assert weights_digest_of(None) == loaded_digest(CHECKPOINT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_files_and_loaded_model_have_one_digest(dtype: torch.dtype, folder: Path) -> None:
    change_floats(folder, dtype)
    assert weights_digest_of(str(folder)) == loaded_digest(folder)


def test_the_code_that_an_exported_folder_names_is_no_weight(folder: Path) -> None:
    before, config = weights_digest_of(str(folder)), folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "code.Model"}, "transformers_version": "1"}))
    assert weights_digest_of(str(folder)) == before == loaded_digest(folder)


def test_other_weights_and_another_configuration_have_other_digests(folder: Path) -> None:
    digests = [weights_digest_of(str(folder))]
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file(tensors | {"geometry.mean": tensors["geometry.mean"] + 1}, path)
    digests.append(weights_digest_of(str(folder)))
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"image_size": 8}))
    digests.append(weights_digest_of(str(folder)))
    assert len(set(digests)) == 3
    assert model_fingerprint(str(folder)).startswith(f"{folder}@{digests[-1]} ganon-hf ")


@pytest.mark.parametrize("name, content", [("config.json", "[]"), ("config.json", '{"dtype": "float7"}'), ("model.safetensors", "noise")])
def test_damaged_files_are_an_error_that_names_the_folder(name: str, content: str, folder: Path) -> None:
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match="cannot be used") as caught:
        weights_digest_of(str(folder))
    assert str(folder) in str(caught.value)


def test_a_model_that_is_nowhere_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no config.json"):
        weights_digest_of(str(tmp_path))
    with pytest.raises(OSError, match="no folder"):
        model_fingerprint("nowhere")
