"""Hostile and damaged model folders: no code of theirs runs, and what is wrong is one line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from standins import save
from tiny import tiny_model, tiny_processor
from typer.testing import CliRunner

from ganon_hf.cli.main import app
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.model_loading import load_image_processor, load_model

pytestmark = pytest.mark.attack
EVIL = "from pathlib import Path\nPath({mark!r}).touch()\nfrom transformers import {base}\nclass Evil({base}):\n    pass\n"
AUTO_MAP = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoImageProcessor": "evil.Evil"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def change(path: Path, **values: object) -> None:
    """Entries of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def plant(folder: Path) -> Path:
    """Code in a folder that leaves a mark when it runs."""
    mark = folder.parent / "it-ran"
    (folder / "evil.py").write_text(EVIL.format(mark=str(mark), base="PreTrainedConfig"))
    return mark


def test_code_beside_a_model_of_ours_does_not_run(folder: Path) -> None:
    mark = plant(folder)
    change(folder / "config.json", auto_map=AUTO_MAP)
    change(folder / "preprocessor_config.json", auto_map=AUTO_MAP)
    assert Anonymizer.from_pretrained(folder).model.config.model_type == "ganon"
    assert not mark.exists()


@pytest.mark.parametrize("what", ["config.json", "preprocessor_config.json"])
def test_a_kind_of_their_own_is_refused_and_yes_on_the_terminal_runs_nothing(what: str, folder: Path, tmp_path: Path) -> None:
    """Without a word from us transformers asks on the terminal, and takes "y" for permission."""
    mark = plant(folder)
    own = {"model_type": "evil"} if what == "config.json" else {"image_processor_type": "Evil"}
    change(folder / what, auto_map=AUTO_MAP, **own)
    photo = save(tmp_path / "a.png")
    command = ["anonymize", photo, "-o", tmp_path / "out", "--model", folder, "--processes", 1]
    done = CliRunner().invoke(app, list(map(str, command)), input="y\ny\n")
    assert not mark.exists()
    assert done.exit_code == 2 and isinstance(done.exception, SystemExit) and "evil" in done.stderr.lower()
    assert len(done.stderr.splitlines()) == 1, done.stderr


def weights(folder: Path, **changes: torch.Tensor) -> None:
    content = load_file(folder / "model.safetensors")
    save_file(content | changes, folder / "model.safetensors", {"format": "pt"})


def huge_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")


def bomb_header(folder: Path) -> None:
    entry = {"geometry.mean": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    text = json.dumps(entry).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)


def as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))


def pickle_by_name(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps({"a": 1}))


def elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"a": "../../b.safetensors"}}))


DAMAGED: dict[str, Callable[[Path], object]] = {
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "a header of a terabyte": huge_header,
    "a tensor of four terabytes": bomb_header,
    "cut off": lambda folder: os.truncate(folder / "model.safetensors", 20_000),
    "noise": lambda folder: (folder / "model.safetensors").write_bytes(os.urandom(4000)),
    "a pickle": as_pickle,
    "a pickle under another name": pickle_by_name,
    "weights of another folder": elsewhere,
    "whole numbers": lambda folder: weights(folder, **{"geometry.mean": torch.zeros(1434, dtype=torch.int64)}),
    "another shape": lambda folder: weights(folder, **{"geometry.mean": torch.zeros(3)}),
    "a billion people": lambda folder: change(folder / "config.json", num_people=10**9),
    "many people": lambda folder: change(folder / "config.json", num_people=4096, people_texture_size=4096),
    "a size in words": lambda folder: change(folder / "config.json", texture_size="large"),
    "a negative size": lambda folder: change(folder / "config.json", image_size=-256),
    "a list of everything": lambda folder: (folder / "config.json").write_text("[]"),
    "a config that is no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "a config with zero bytes": lambda folder: (folder / "config.json").write_bytes(b"\0\xff"),
    "a quantization": lambda folder: change(folder / "config.json", quantization_config={"quant_method": "bitsandbytes"}),
    "an unknown type of numbers": lambda folder: change(folder / "config.json", dtype="float7"),
    "another model": lambda folder: change(folder / "config.json", model_type="bert"),
    "no image processor": lambda folder: (folder / "preprocessor_config.json").unlink(),
    "another image processor": lambda folder: change(folder / "preprocessor_config.json", image_processor_type="ViTImageProcessor"),
    "an image processor of another size": lambda folder: change(folder / "preprocessor_config.json", image_size=10**9),
}


@pytest.mark.parametrize("row", DAMAGED)
def test_a_damaged_folder_is_one_error(row: str, folder: Path) -> None:
    DAMAGED[row](folder)
    with pytest.raises((OSError, ValueError)) as caught:
        Anonymizer.from_pretrained(folder)
    assert str(caught.value)


def test_the_command_says_it_in_one_line_with_workers_too(folder: Path, tmp_path: Path) -> None:
    DAMAGED["whole numbers"](folder)
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    command = [
        "from ganon_hf.cli.main import app; app()",
        "anonymize",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--model",
        folder,
        "--processes",
        2,
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", *map(str, command)], capture_output=True, text=True, env=environment)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("Error: ") and "geometry.mean" in line and not list((tmp_path / "out").glob("[!.]*"))


def test_whole_folders_load(folder: Path) -> None:
    assert load_image_processor(str(folder)).image_size == load_model(str(folder)).config.image_size
