"""Resumable states of a run and the model folder: written complete or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from accelerate import Accelerator

from .._atomic import TEMPORARY_PREFIX, rename_into_place, sync
from ..core.image_processing_ganon import GanonImageProcessor
from ..core.modeling_ganon import GanonModel

_PREFIX = "checkpoint-"
_STATE = "training_state.json"


def save_model(model: GanonModel, folder: Path) -> None:
    """Write configuration, weights and image processor; each file appears whole, an older one is replaced by it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=folder) as partial:
        model.save_pretrained(partial, max_shard_size="15MB" if model.config.conditioning == "landmarks" else "100MB")
        GanonImageProcessor(model.config.conditioning, model.config.image_size).save_pretrained(partial)
        files = sorted(Path(partial).iterdir())
        names = {file.name for file in files}
        for file in files:
            file.chmod(0o644)
            sync(file)
            rename_into_place(file, folder / file.name)
        # transformers would take a model.safetensors of before for the model, whatever an index beside it says
        for old in (*folder.glob("model*.safetensors"), *folder.glob("model*.safetensors.index.json")):
            if old.name not in names:
                old.unlink()


def find_states(output_dir: Path) -> list[Path]:
    """Whole states of a run, oldest first."""
    found = [path for path in output_dir.glob(f"{_PREFIX}*") if (path / _STATE).is_file() and path.name[len(_PREFIX) :].isdigit()]
    return sorted(found, key=lambda path: int(path.name[len(_PREFIX) :]))


def save_state(accelerator: Accelerator, averaged: GanonModel | None, output_dir: Path, step: int, limit: int) -> None:
    """Save what a run needs to go on from ``step``: ``checkpoint-000500`` with Accelerate's files and, in ``model``, a loadable model.

    Args:
        accelerator: whose prepared objects are saved; every process must call.
        averaged: the model with averaged weights; looked at in the main process only.
        output_dir: folder of the run.
        step: updates made.
        limit: so many states are kept.
    """
    target = output_dir / f"{_PREFIX}{step:06d}"
    partial = output_dir / f"{TEMPORARY_PREFIX}{target.name}.tmp"  # the same in every process
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if averaged is not None:
            save_model(averaged, partial / "model")
        (partial / _STATE).write_text(json.dumps({"step": step, "num_processes": accelerator.num_processes}))
        sync(partial)
        shutil.rmtree(target, ignore_errors=True)
        rename_into_place(partial, target)
        for old in find_states(output_dir)[:-limit]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_state(accelerator: Accelerator, output_dir: Path, which: str) -> tuple[int, Path]:
    """Load a saved state into the accelerator's prepared objects.

    The optimizer's and the random generators' files are PyTorch's own: load only states that you made yourself.

    Args:
        accelerator: with everything prepared.
        output_dir: folder of the run.
        which: folder of a state, or ``"latest"``.

    Returns:
        Updates made, and the state's folder.

    Raises:
        FileNotFoundError: there is no whole state.
        ValueError: it was saved by another number of processes.
    """
    if which == "latest":
        states = find_states(output_dir)
        if not states:
            raise FileNotFoundError(f"{output_dir} holds no {_PREFIX}* to resume from.")
        folder = states[-1]
    else:
        folder = Path(which)
        if not (folder / _STATE).is_file():
            raise FileNotFoundError(f"{folder} is no saved training state: it has no {_STATE}.")
    state = json.loads((folder / _STATE).read_text())
    if state["num_processes"] != accelerator.num_processes:
        raise ValueError(f"{folder} was saved by {state['num_processes']} process(es), but now there are {accelerator.num_processes}.")
    accelerator.load_state(str(folder))
    return int(state["step"]), folder
