"""A disk that takes no more: what is finished stays, what is not leaves nothing, and one line says why."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from limited_disk import largest_file
from PIL import Image
from scripted import film_script, frame, scripted_engine
from standins import Run, is_anonymized, names, report_of, save, square_photo
from typer.testing import CliRunner

from ganon_hf._atomic import LineLog, storage_problem
from ganon_hf.bulk.folder import STATE_NAME
from ganon_hf.cli.main import app
from ganon_hf.video.mux import concatenate_segments
from ganon_hf.video.reader import VideoFrame
from ganon_hf.video.writer import SegmentWriter, VideoFormat, VideoProperties

pytestmark = pytest.mark.attack
SMALL, LARGE = (96, 64), (400, 300)


def noisy_photo(size: tuple[int, int]) -> Image.Image:
    """A "face" in noise, which no format makes small."""
    noise = np.random.default_rng(0).integers(0, 160, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    image.paste(square_photo().crop((24, 16, 56, 48)), (24, 16))
    return image


def check_line(error: str) -> None:
    """One line for a person."""
    assert "Traceback" not in error and "Error:" not in error, error


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".gif"])
def test_a_photo_that_does_not_fit_is_not_published(suffix: str, run: Run, tmp_path: Path) -> None:
    for name, size in (("a", SMALL), ("b", LARGE), ("c", SMALL)):
        save(tmp_path / "in" / f"{name}.png", noisy_photo(size)).rename(tmp_path / "in" / f"{name}{suffix}")
    out = tmp_path / "out"
    command = (tmp_path / "in", "-o", out, "--report", tmp_path / "r.jsonl")
    whole = run(*command)
    assert whole.exit_code == 0, whole.stderr
    size = (out / f"b{suffix}").stat().st_size
    for path in out.iterdir():
        path.unlink()
    with largest_file(size - 100):  # just too small: the last write is taken in part
        done = run(*command)
    assert done.exit_code == 3 and "2 anonymized" in done.stdout and "1 failed" in done.stdout, done.stderr
    check_line(done.stderr)
    assert f"b{suffix}: the file became larger" in done.stderr
    assert names(out) == [f"a{suffix}", f"c{suffix}"] and all(is_anonymized(out / name) for name in names(out))
    assert [line["status"] for line in report_of(tmp_path / "r.jsonl")] == ["ok", "failed", "ok"]
    assert len((out / STATE_NAME).read_text().splitlines()) == 2
    again = run(*command)
    assert again.exit_code == 0 and "1 anonymized" in again.stdout and "2 finished before" in again.stdout


def test_a_state_file_that_does_not_fit_publishes_nothing(run: Run, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        save(tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / STATE_NAME).write_bytes(b"{}\n" * 10_000)
    with largest_file(30_040):
        done = run(tmp_path / "in", "-o", tmp_path / "out")
    assert done.exit_code == 3 and "2 failed" in done.stdout, done.stderr
    check_line(done.stderr)
    assert names(tmp_path / "out") == [] and (tmp_path / "out" / STATE_NAME).read_bytes() == b"{}\n" * 10_000


IN_A_PROCESS = "from standins import SquareEngine\nfrom ganon_hf.cli import main as cli\ncli._load_engine = SquareEngine\ncli.app()"


def test_a_report_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    """In a process of its own: what a full disk refused was tried again at its end, with a traceback of the interpreter."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    for name in ("a.jpg", "b.jpg"):
        save(tmp_path / "in" / name)
    (tmp_path / "r.jsonl").symlink_to("/dev/full")
    command = ["anonymize", tmp_path / "in", "-o", tmp_path / "out", "--processes", "1", "--report", tmp_path / "r.jsonl", "-q"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1] / "support"), *sys.path])}
    done = subprocess.run([sys.executable, "-c", IN_A_PROCESS, *map(str, command)], capture_output=True, text=True, env=environment)
    assert done.returncode == 3 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("failed: ") and "r.jsonl: the disk is full" in line


def test_half_a_line_is_taken_back(tmp_path: Path) -> None:
    """What a full disk took of a line goes, and the log can be continued."""
    log = LineLog(tmp_path / "log")
    log.append(b"one")
    write = log.file.write

    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(log_file, name)

        def write(self, data: memoryview) -> int:
            if len(data) < 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(data[:-2])

    log_file, log.file = log.file, Full()  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space"):
        log.append(b"two and more")
    log.file = log_file
    log.append(b"three")
    log.close()
    assert (tmp_path / "log").read_bytes() == b"one\nthree\n"


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EIO", "EFBIG", "EROFS"])
def test_what_a_disk_says_is_told_in_words(code: str) -> None:
    error = OSError(getattr(errno, code), "strange")
    wrapped = RuntimeError("export failed")
    wrapped.__cause__ = error
    assert storage_problem(error) and storage_problem(error) == storage_problem(wrapped)
    assert storage_problem(OSError(errno.ENOENT, "no")) is None and storage_problem(ValueError()) is None


def film(folder: Path) -> Path:
    like = VideoProperties(160, 120, Fraction(1, 20), Fraction(20))
    with SegmentWriter(folder / "segment", VideoFormat("lossless"), like) as writer:
        for number in range(25):
            writer.write(VideoFrame(frame(number), number, 1))
    concatenate_segments([folder / "segment"], folder / "film.mkv", VideoFormat("lossless"))
    (folder / "segment").unlink()
    return folder / "film.mkv"


def video(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["video", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mkv", "lossless"), (".webm", "vp9")])
def test_a_film_that_does_not_fit_is_not_published(suffix: str, codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganon_hf.cli.video.load_engine", lambda model, device: scripted_engine(film_script()))
    source, out = film(tmp_path), tmp_path / f"out{suffix}"
    command = (source, "-o", out, "--codec", codec, "--seed", 7, "--report", tmp_path / "r.json")
    assert video(*command).exit_code == 0
    content = out.read_bytes()
    out.unlink()
    for largest in (len(content) - 10, len(content) // 2, 1000):
        with largest_file(largest):
            done = video(*command)
        assert done.exit_code == 3, (largest, done.output)
        check_line(done.stderr)
        assert "the file became larger" in done.stderr and len(done.stderr.splitlines()) == 1
        assert not out.exists()
    assert video(*command).exit_code == 0 and out.read_bytes() == content
    out.unlink()
    report = (tmp_path / "r.json").read_text()
    with largest_file(len(report) - 1):
        assert video(*command).exit_code == 3
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(report), "the earlier report stands"
