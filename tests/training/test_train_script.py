"""scripts/train.py as users start it: `accelerate launch`, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import tiny_model, tiny_processor
from training_faces import write_faces

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.modeling_ganon import GanonModel

ROOT = Path(__file__).parents[2]
SMALL = "--refinement_channels 8 --discriminator_channels 4 --patch_size 32 --adversarial_start 4 --validation_steps 10 --logging_steps 1"


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 prepared faces and the tiny model to start from."""
    folder = write_faces(tmp_path_factory.mktemp("faces"), 32, 8)
    tiny_model().save_pretrained(folder / "model")
    tiny_processor().save_pretrained(folder / "model")
    return folder


def command(faces: Path, output: Path, *arguments: str, processes: int = 1) -> list[str]:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
    if processes > 1:  # accelerate launch starts several processes on a CPU through MPI alone; PyTorch's own launcher needs nothing
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    run = [str(ROOT / "scripts" / "train.py"), "--train_data_dir", str(faces), "--output_dir", str(output)]
    return [*launch, *run, "--pretrained_model_name_or_path", str(faces / "model"), *SMALL.split(), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


def launch(faces: Path, output: Path, *arguments: str, processes: int = 1) -> str:
    line = command(faces, output, *arguments, processes=processes)
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=300, cwd=faces)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def test_twenty_steps_resumed_once_give_a_model(faces: Path, tmp_path: Path) -> None:
    steps = ["--train_batch_size", "8", "--checkpointing_steps", "10"]
    log = launch(faces, tmp_path, *steps, "--max_train_steps", "20", "--time_budget_minutes", "0.0001", "--logging_steps", "10")
    assert log.splitlines()[-1].endswith(f"Now run: ganon-hf anonymize photo.jpg -o out.jpg --model {tmp_path}")
    events = EventAccumulator(str(next((tmp_path / "logs" / "ganon").glob("events*"))))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1], "the first step is logged"
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-000001"]
    log = launch(faces, tmp_path, *steps, "--max_train_steps", "20", "--resume_from_checkpoint", "latest")
    assert "Resuming from" in log and "images/s" in log and "of peak" in log
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-000010", "checkpoint-000020"]
    model = GanonModel.from_pretrained(tmp_path)
    assert model.refinement is not None and model.refinement.out.weight.abs().max() > 0
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*")), "what TensorBoard shows"
    photo = np.full((120, 160, 3), 90, np.uint8)
    assert Anonymizer.from_pretrained(tmp_path)(photo, faces=[(20, 20, 90, 100)]).faces[0].status == "covered"


def test_two_processes_learn_what_one_learns(faces: Path, tmp_path: Path) -> None:
    """Four faces each and eight at once: the same batches, so the same losses, and the same weights but for the order of sums."""
    plain = "--max_train_steps 3 --adversarial_start 1 --lr_warmup_steps 0 --ema_decay 0 --max_grad_norm 0".split()
    losses, weights = {}, {}
    for name, size, processes in (("one", 8, 1), ("two", 4, 2), ("half", 4, 1)):
        launch(faces, tmp_path / name, *plain, "--train_batch_size", str(size), processes=processes)
        events = EventAccumulator(str(next((tmp_path / name / "logs" / "ganon").glob("events*"))))
        events.Reload()
        losses[name] = np.array([[event.value for event in events.Scalars(f"train/{part}")] for part in ("l1", "loss")])
        weights[name] = GanonModel.from_pretrained(tmp_path / name).refinement.out.weight.detach()  # type: ignore[union-attr]
    np.testing.assert_allclose(losses["two"], losses["one"], rtol=2e-3)
    # Adam makes steps of one length of gradients that are all but zero, and these may go either way: the median tells
    same, other = ((weights[name] - weights["one"]).abs().median() for name in ("two", "half"))
    assert same < 0.2 * other, (same, other)
    assert not np.allclose(losses["half"], losses["one"], rtol=2e-3), "half a batch is another batch"
    state = json.loads((tmp_path / "two" / "checkpoint-000003" / "training_state.json").read_text())
    assert state == {"step": 3, "num_processes": 2}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_goes_on(faces: Path, tmp_path: Path) -> None:
    """SIGTERM saves and ends well; what kill -9 leaves is the last state, and no half one is taken for whole."""
    launch_line = command(faces, tmp_path, "--train_batch_size", "8", "--max_train_steps", "2000")
    script = [sys.executable, *launch_line[launch_line.index(str(ROOT / "scripts" / "train.py")) :]]  # signals go to the run itself
    for number, name in enumerate(("SIGTERM", "SIGKILL")):
        more = ["--checkpointing_steps", "5"] + (["--resume_from_checkpoint", "latest"] if number else [])
        process = subprocess.Popen([*script, *more], stderr=subprocess.DEVNULL, env=environment(), cwd=faces)
        before = {path.name for path in tmp_path.glob("checkpoint-*")}
        deadline = time.monotonic() + 120
        while len({path.name for path in tmp_path.glob("checkpoint-*")} - before) < 1 and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(getattr(signal, name))
        assert process.wait(60) == (0 if name == "SIGTERM" else -9)
    steps = max(int(path.name[11:]) for path in tmp_path.glob("checkpoint-*") if (path / "training_state.json").exists())
    log = launch(faces, tmp_path, "--train_batch_size", "8", "--max_train_steps", str(steps + 2), "--resume_from_checkpoint", "latest")
    assert f"checkpoint-{steps:06d}" in log and (tmp_path / f"checkpoint-{steps + 2:06d}").is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train_data_dir", "nowhere"], "holds no train-"),
        (["--preset", "enormous"], "mesh, paper"),
        (["--patch_size", "33"], "multiple of 8"),
        (["--preset", "paper"], "multiple of 256 pixels, not 64"),
    ],
)
def test_wrong_options_end_with_one_line(faces: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "train.py"), "--train_data_dir", str(faces), "--output_dir", str(tmp_path)]
    done = subprocess.run([*script, *arguments], capture_output=True, text=True, env=environment(), cwd=faces)
    assert done.returncode not in (0, None) and message in done.stderr and "Traceback" not in done.stderr
