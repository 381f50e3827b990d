"""The model folder and the resumable checkpoints of a run; both appear complete or not at all."""

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
_HALF = {"prior.luma", "prior.chroma", "prior.luma_appearance", "prior.chroma_appearance"}
_STATE = "training_state.json"


def save_model(model: GanonModel, folder: Path) -> None:
    """Write configuration, weights and image processor. Each file appears complete and replaces an older one.

    The prior's maps, two thirds of all numbers, are stored in half precision, which rounds them by a sixteenth of a gray value at most.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=folder) as partial:
        state = {name: value.half() if name in _HALF else value for name, value in model.state_dict().items()}
        model.save_pretrained(partial, state_dict=state, max_shard_size="15MB" if model.config.conditioning == "landmarks" else "100MB")
        GanonImageProcessor(model.config.conditioning, model.config.image_size).save_pretrained(partial)
        files = sorted(Path(partial).iterdir())
        names = {file.name for file in files}
        for file in files:
            file.chmod(0o644)
            sync(file)
            rename_into_place(file, folder / file.name)
        # transformers prefers a model.safetensors left by an earlier run to the index of new shards
        for old in (*folder.glob("model*.safetensors"), *folder.glob("model*.safetensors.index.json")):
            if old.name not in names:
                old.unlink()


def find_checkpoints(output_dir: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path for path in output_dir.glob(f"{_PREFIX}*") if (path / _STATE).is_file() and path.name[len(_PREFIX) :].isdigit()]
    return sorted(found, key=lambda path: int(path.name[len(_PREFIX) :]))


def save_checkpoint(accelerator: Accelerator, ema_model: GanonModel | None, output_dir: Path, step: int, limit: int) -> None:
    """Save what a run needs to continue from ``step``: ``checkpoint-000500`` with Accelerate's files and, in ``model``, a loadable model.

    Args:
        accelerator: its prepared objects are saved; every process must call this function.
        ema_model: the model with averaged weights; only used in the main process.
        output_dir: folder of the run.
        step: updates made so far.
        limit: number of checkpoints to keep; older ones are deleted.
    """
    target = output_dir / f"{_PREFIX}{step:06d}"
    partial = output_dir / f"{TEMPORARY_PREFIX}{target.name}.tmp"  # the same in every process
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if ema_model is not None:
            save_model(ema_model, partial / "model")
        (partial / _STATE).write_text(json.dumps({"step": step, "num_processes": accelerator.num_processes}))
        sync(partial)
        shutil.rmtree(target, ignore_errors=True)
        rename_into_place(partial, target)
        for old in find_checkpoints(output_dir)[:-limit]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_checkpoint(accelerator: Accelerator, output_dir: Path, which: str) -> tuple[int, Path]:
    """Load a checkpoint into the accelerator's prepared objects.

    The states of the optimizers and random generators are pickle files, so load only checkpoints that you trust.

    Args:
        accelerator: with everything prepared.
        output_dir: folder of the run.
        which: folder of a checkpoint, or ``"latest"``.

    Returns:
        number of updates made, and the checkpoint's folder.

    Raises:
        FileNotFoundError: there is no complete checkpoint.
        ValueError: it was saved with another number of processes.
    """
    if which == "latest":
        checkpoints = find_checkpoints(output_dir)
        if not checkpoints:
            raise FileNotFoundError(f"{output_dir} holds no {_PREFIX}* to resume from. Leave out resume_from_checkpoint to start anew.")
        folder = checkpoints[-1]
    else:
        folder = Path(which)
        if not (folder / _STATE).is_file():
            raise FileNotFoundError(f"{folder} is not a training checkpoint: it has no {_STATE}.")
    state = json.loads((folder / _STATE).read_text())
    if state["num_processes"] != accelerator.num_processes:
        raise ValueError(
            f"{folder} was saved with {state['num_processes']} process(es), but now there are {accelerator.num_processes}. "
            "Launch the same number of processes to resume from it."
        )
    accelerator.load_state(str(folder))
    return int(state["step"]), folder
