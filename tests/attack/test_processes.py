"""Killed parents, photos that never end, closed streams, links that lead away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import Result
from clips import pictures, write_clip
from limited_disk import largest_file
from scripted import Script, film_script, scripted_engine
from standins import ENDLESS, EndlessEngine, Run, SquareEngine, is_anonymized, names, report_of, save, square_photo
from typer.testing import CliRunner

from ganon_hf.bulk.folder import plan
from ganon_hf.bulk.folder import run as run_jobs
from ganon_hf.bulk.tasks import Settings
from ganon_hf.cli.main import app
from ganon_hf.core.options import AnonymizeOptions

pytestmark = pytest.mark.attack
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1] / "support"), *sys.path])}
SQUARES = "from standins import SquareEngine\nfrom ganon_hf.cli import main as cli\ncli._load_engine = SquareEngine\ncli.app()"


@pytest.mark.parametrize(("processes", "together"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_a_photo_without_end_costs_that_photo(processes: int, together: int, tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / "in" / f"{number}.png", square_photo(ENDLESS if number == 2 else (96, 64)))
    jobs, _ = plan([str(tmp_path / "in")], str(tmp_path / "out"))
    settings, started = Settings(AnonymizeOptions(on_no_face="raise")), time.monotonic()
    outcomes = list(run_jobs(jobs, settings, EndlessEngine, None, processes=processes, photos_per_call=together, photo_seconds=1.0))
    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "failed", "ok", "ok", "ok"]
    assert "took longer than 1 seconds" in outcomes[2].error and "--timeout" in outcomes[2].error
    assert names(tmp_path / "out") == [f"{number}.png" for number in (0, 1, 3, 4, 5)] and time.monotonic() - started < 40


def test_the_command_has_a_limit(run: Run, engine: SquareEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganon_hf.cli.main._load_engine", lambda model, device, threads: EndlessEngine())
    for name, size in (("a.png", ENDLESS), ("b.png", (96, 64))):
        save(tmp_path / "in" / name, square_photo(size))
    done = run(tmp_path / "in", "-o", tmp_path / "out", "--timeout", "1", "--report", tmp_path / "r.jsonl")
    assert done.exit_code == 3 and "a.png: took longer than 1 seconds" in done.stderr
    assert [line["status"] for line in report_of(tmp_path / "r.jsonl")] == ["failed", "ok"] and names(tmp_path / "out") == ["b.png"]


# A worker that is busy with starting: in Python, and in one long call that holds the interpreter's lock, as loading a library does.
STARTING = """
import ctypes, os, sys, time
from ganon_hf.bulk.process_pool import ProcessPool
from ganon_hf.bulk.worker_pool import WorkerPool

def say():
    with open(sys.argv[1], "a") as file:
        file.write(f"{os.getpid()}\\n")

def start(*_):
    say()
    if sys.argv[2] == "locked":
        ctypes.PyDLL(None).sleep(30)
    time.sleep(30)

def work(tools, item):
    pass

class Handler:
    def discard(self, task):
        pass

class Task:
    pixels = 1

if __name__ == "__main__":
    if sys.argv[3] == "untrusted":
        pool = WorkerPool(start, Handler(), 2)
        pool.submit([Task()])
        pool.submit([Task()])
        time.sleep(60)
    with ProcessPool(start, 2) as pool:
        list(pool.imap(work, range(2)))
"""


@pytest.mark.parametrize("pool", ["untrusted", "trusted"])
@pytest.mark.parametrize("how", ["python", "locked"])
def test_workers_end_with_a_killed_parent_while_they_start(how: str, pool: str, tmp_path: Path) -> None:
    if how == "locked" and sys.platform != "linux":
        pytest.skip("only Linux ends a process that holds the interpreter's lock")
    (tmp_path / "program.py").write_text(STARTING)
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "pids"), how, pool]
    parent = subprocess.Popen(command, env=ENVIRONMENT)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "pids").exists() or len((tmp_path / "pids").read_text().split()) < 2:
            assert time.monotonic() < deadline and parent.poll() is None
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()
    killed = time.monotonic()
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() - killed < 1.0
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---- closed streams -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["2>&-", "2>&- >&-", "<&- 2>&- >&-", "| true", "2>&1 | true"])
def test_closed_streams_end_quietly(closed: str, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        save(tmp_path / "in" / name)
    save(tmp_path / "in" / "c.jpg").write_bytes(b"no picture")
    (tmp_path / "program.py").write_text(SQUARES)
    command = f"{sys.executable} {tmp_path}/program.py anonymize {tmp_path}/in -o {tmp_path}/out --processes 1"
    whole = f"set -o pipefail; {command} {closed}"
    done = subprocess.run(["bash", "-c", whole], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert all(is_anonymized(tmp_path / "out" / name) for name in names(tmp_path / "out"))
    if "|" not in closed:
        assert names(tmp_path / "out") == ["a.jpg", "b.jpg"] and done.returncode == 3
        assert len((tmp_path / "out" / ".ganon-hf-state.jsonl").read_text().splitlines()) == 2, "nothing was printed into a file"


# ---- links that lead away ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("depth", ["sub", "sub/deeper"])
def test_a_link_in_the_output_folder_is_not_followed(depth: str, overwrite: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    save(tmp_path / "in" / depth / "a.png")
    save(tmp_path / "in" / "b.png")
    elsewhere = tmp_path / "elsewhere"
    save(elsewhere / "a.png", square_photo(seed=4))
    (elsewhere / ".ganon-hf-0123456789abcdef.tmp").touch()
    before = sorted(elsewhere.rglob("*"))
    content = (elsewhere / "a.png").read_bytes()
    link = tmp_path / "out" / depth
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    done = run(tmp_path / "in", "-o", tmp_path / "out", *overwrite)
    assert done.exit_code == 3 and "is a link, and results are written below" in done.stderr
    assert sorted(elsewhere.rglob("*")) == before and (elsewhere / "a.png").read_bytes() == content
    assert is_anonymized(tmp_path / "out" / "b.png")


def test_an_output_folder_that_is_a_link_itself_was_named_by_the_user(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "in" / "sub" / "a.png")
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    assert run(tmp_path / "in", "-o", tmp_path / "out").exit_code == 0 and names(tmp_path / "real") == ["sub/a.png"]


# ---- films that cannot be used ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"no film", b"\0\0\0\x18ftypisom" + bytes(500), b"\x1a\x45\xdf\xa3" + bytes(500)])
def test_a_film_that_cannot_be_used_leaves_nothing(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganon_hf.cli.video.load_engine", lambda model, device: scripted_engine(film_script()))
    (tmp_path / "a.mp4").write_bytes(content)
    done = video(tmp_path / "a.mp4", tmp_path / "out.mp4")
    assert done.exit_code == 3 and len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


@pytest.mark.parametrize("keep", ["keep", "raise"])
def test_a_film_that_does_not_fit_the_codec_or_the_disk_leaves_nothing(keep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganon_hf.cli.video.load_engine", lambda model, device: scripted_engine(Script({})))
    clip = write_clip(tmp_path / "a.mp4", pictures(8), aspect=Fraction(4, 3))
    done = video(clip, tmp_path / "out.webm", "--codec", "vp9", "--on-no-face", keep)
    assert done.exit_code == 2 and "square pixels" in done.stderr
    with largest_file(100):
        done = video(clip, tmp_path / "full.mp4", "--on-no-face", keep)
    assert done.exit_code == 3 and len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


def video(source: Path, out: Path, *more: str) -> Result:
    done = CliRunner().invoke(app, ["video", str(source), "-o", str(out), *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done
