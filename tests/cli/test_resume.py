from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from standins import Run, SquareEngine, is_anonymized, names, report_of, save, square_photo

from ganon_hf.bulk.folder import STATE_NAME
from ganon_hf.cli import main as cli

# ---- a second run ----------------------------------------------------------------------------------------------------------------


def test_finished_photos_are_skipped_without_loading_the_engine(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "in" / "a.png")
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--seed", 7).exit_code == 0

    def explode(*arguments: object) -> None:
        raise AssertionError("the engine was loaded")

    monkeypatch.setattr(cli, "_load_engine", explode)
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--seed", 7, "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 0 and "1 finished before" in result.stdout
    (line,) = report_of(tmp_path / "r.jsonl")
    assert line["status"] == "skipped" and len(line["faces"]) == 1 and line["output"]  # type: ignore[arg-type]


def test_what_changed_is_redone(run: Run, engine: SquareEngine, tmp_path: Path) -> None:
    photo, out = save(tmp_path / "in" / "a.png"), tmp_path / "out"
    run(tmp_path / "in", "-o", out)
    run(tmp_path / "in", "-o", out, "--min-score", 0.4)
    assert engine.calls == 2, "other options"
    save(photo, square_photo(seed=9))
    assert run(tmp_path / "in", "-o", out, "--min-score", 0.4).exit_code == 0
    assert engine.calls == 3, "other photo"
    (out / "a.png").unlink()
    run(tmp_path / "in", "-o", out, "--min-score", 0.4)
    assert engine.calls == 4, "output gone"
    run(tmp_path / "in", "-o", out, "--min-score", 0.4, "--overwrite")
    assert engine.calls == 5, "on request"
    run(tmp_path / "in", "-o", out, "--min-score", 0.4)
    assert engine.calls == 5


def test_a_file_of_somebody_else_is_not_replaced(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    mine = save(tmp_path / "out" / "a.png", square_photo(seed=4))
    before = mine.read_bytes()
    result = run(tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 3 and "exists already" in result.stderr and mine.read_bytes() == before
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--overwrite").exit_code == 0
    save(mine, square_photo(seed=4))  # edited after the run
    assert run(tmp_path / "in", "-o", tmp_path / "out").exit_code == 3


def test_a_torn_state_file_costs_only_what_was_torn(run: Run, engine: SquareEngine, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    run(tmp_path / "in", "-o", tmp_path / "out")
    state = tmp_path / "out" / STATE_NAME
    state.write_bytes(b"\xff garbage\n[1]\n" + state.read_bytes()[:-30])
    (tmp_path / "out" / "b.png").unlink()
    assert run(tmp_path / "in", "-o", tmp_path / "out").exit_code == 0
    assert engine.calls == 3
    assert run(tmp_path / "in", "-o", tmp_path / "out").exit_code == 0
    assert engine.calls == 3


def test_the_state_file_names_no_input(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "patients-of-dr-no" / "a.png")
    run(tmp_path / "patients-of-dr-no", "-o", tmp_path / "out")
    assert "patients" not in (tmp_path / "out" / STATE_NAME).read_text()


def test_two_runs_do_not_share_an_output_folder(run: Run, tmp_path: Path) -> None:
    import fcntl

    save(tmp_path / "in" / "a.png")
    run(tmp_path / "in", "-o", tmp_path / "out")
    with open(tmp_path / "out" / STATE_NAME, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        result = run(tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 2 and "Another run" in result.stderr


# ---- interruption ----------------------------------------------------------------------------------------------------------------

SLOW_WRITER = """
import sys, time
from PIL import Image
from standins import SquareEngine
from ganon_hf.cli import main as cli
save = Image.Image.save
def half(self, file, **options):
    if sys.argv.pop() == "b.png":
        file.write(b"half a picture")
        file.flush()
        print("now", flush=True)
        time.sleep(60)
    save(self, file, **options)
sys.argv += ["x", "b.png", "a.png"]  # the second picture is interrupted
cli._load_engine = SquareEngine
Image.Image.save = half
cli.app(args=["anonymize", "--processes", "1", *sys.argv[1:4]])
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_no_partial_file_and_can_go_on(how: signal.Signals, run: Run, engine: SquareEngine, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "in" / name)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    command = [sys.executable, "-c", SLOW_WRITER, str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it, and their children too
    )
    assert process.stdout is not None and process.stdout.readline() == "now\n"
    process.send_signal(how)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    assert "Traceback" not in errors
    visible = [name for name in names(tmp_path / "out") if not name.startswith(".")]
    assert visible == ["a.png"] and is_anonymized(tmp_path / "out" / "a.png")
    if how != signal.SIGKILL:
        assert names(tmp_path / "out") == ["a.png"]  # a killed process cannot clean up; the next run does
    assert run(tmp_path / "in", "-o", tmp_path / "out").exit_code == 0
    assert names(tmp_path / "out") == ["a.png", "b.png", "c.png"] and engine.calls == 2


SLOW_WORKERS = """
import sys
import standins
from ganon_hf.cli import main as cli
cli._load_engine = standins.SlowEngine
cli.app(args=["anonymize", "--processes", "2", *sys.argv[1:]])
"""


def test_ctrl_c_ends_all_processes_and_keeps_what_is_finished(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in range(12):
        save(tmp_path / "in" / f"{number:02d}.png")
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_WORKERS, str(tmp_path / "in"), "-o", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "support")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    )
    while process.poll() is None and len(list(out.glob("[!.]*"))) < 3:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in errors and "run the same command again" in errors
    finished = names(out)
    assert 3 <= len(finished) < 12 and all(is_anonymized(out / name) for name in finished), "whole pictures, and no temporary file"
    with pytest.raises(ProcessLookupError):
        while True:  # the last workers may be on their way out
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    result = run(tmp_path / "in", "-o", out)
    assert result.exit_code == 0 and f"{len(finished)} finished before" in result.stdout and len(names(out)) == 12
