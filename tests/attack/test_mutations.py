"""Mutated pictures and films from a seed, and kills at random moments: refused or anonymized, never a traceback, never a face."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import pictures, write_clip
from mutations import mutated, picture_files
from PIL import Image
from scripted import Script, film_script, frame, scripted_engine
from standins import Run, face_pixels, is_anonymized, names, report_of, save
from typer.testing import CliRunner

from ganon_hf.cli.main import app
from ganon_hf.video.mux import concatenate_segments
from ganon_hf.video.reader import VideoFrame
from ganon_hf.video.writer import SegmentWriter, VideoFormat, VideoProperties

pytestmark = pytest.mark.attack
PICTURES, FILMS, KILLS = 250, 15, 4
LONGEST_SECONDS = 60.0
STRAY = 8  # of the 1024 pixels of a "face": encoding again pushes single pixels of damaged noise across the threshold of its color


@pytest.mark.filterwarnings("ignore")
def test_mutated_pictures(run: Run, rng: np.random.Generator, attack_scale: int, tally: Counter[str], tmp_path: Path) -> None:
    whole = picture_files()
    kinds = list(whole)
    for number in range(PICTURES * attack_scale):
        name = kinds[int(rng.integers(len(kinds)))]
        what, content = mutated(whole[name], rng)
        path = tmp_path / "in" / f"{number:05d}-{what}-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    done = run(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl", "--timeout", LONGEST_SECONDS)
    assert done.exit_code == 3
    lines = report_of(tmp_path / "r.jsonl")
    tally.update(str(line["status"]) for line in lines)
    assert len(lines) == PICTURES * attack_scale and set(tally) <= {"ok", "refused"}, [line for line in lines if line["status"] == "failed"]
    assert max(float(line["seconds"]) for line in lines) < LONGEST_SECONDS
    written = {Path(str(line["input"])).name for line in lines if line["status"] == "ok"}
    assert set(names(tmp_path / "out")) == written
    for name in written:
        with Image.open(tmp_path / "out" / name) as image:
            assert len(face_pixels(image)) <= STRAY, f"{name}: a face survived"


def whole_films(folder: Path) -> dict[str, bytes]:
    """A film with faces, and small ones of other kinds."""
    like = VideoProperties(160, 120, Fraction(1, 20), Fraction(20))
    with SegmentWriter(folder / "segment", VideoFormat("h264"), like) as writer:
        for number in range(25):
            writer.write(VideoFrame(frame(number), number, 1))
    concatenate_segments([folder / "segment"], folder / "faces.mp4", VideoFormat("h264"))
    (folder / "segment").unlink()
    write_clip(folder / "small.mkv", pictures(10), codec="ffv1", pixel_format="bgr0")
    write_clip(folder / "small.webm", pictures(10), codec="libvpx-vp9")
    write_clip(folder / "small.avi", pictures(10), codec="mpeg4")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_mutated_films(
    rng: np.random.Generator, attack_scale: int, tally: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ganon_hf.cli.video.load_engine", lambda model, device: scripted_engine(film_script() if "faces" in source.name else Script({}))
    )
    (tmp_path / "whole").mkdir()
    whole = whole_films(tmp_path / "whole")
    kinds = list(whole)
    for number in range(FILMS * attack_scale):
        name = kinds[number % len(kinds)]
        what, content = mutated(whole[name], rng)
        source, out = tmp_path / f"{what}-{name}", tmp_path / "out.mp4"
        source.write_bytes(content)
        started = time.monotonic()
        done = CliRunner().invoke(app, ["video", str(source), "-o", str(out), "--on-no-face", "keep", "-q"])
        assert done.exception is None or isinstance(done.exception, SystemExit), (number, what, name, done.exception)
        assert done.exit_code in (0, 3) and time.monotonic() - started < LONGEST_SECONDS, (number, what, name, done.output)
        assert out.exists() == (done.exit_code == 0) and len(done.stderr.splitlines()) == (done.exit_code == 3)
        tally["ok" if done.exit_code == 0 else "refused"] += 1
        out.unlink(missing_ok=True)
        source.unlink()
        assert [path.name for path in tmp_path.iterdir()] == ["whole"], "nothing else is left"


PROGRAM = """
import sys
from standins import SlowEngine
from ganon_hf.cli import main as cli
if __name__ == "__main__":
    cli._load_engine = SlowEngine
    cli.app()
"""


def test_kills_at_random_moments(run: Run, rng: np.random.Generator, attack_scale: int, tally: Counter[str], tmp_path: Path) -> None:
    """Whatever is killed, what has a name is whole, and the last run finishes the rest."""
    for number in range(12):
        save(tmp_path / "in" / f"{number:02d}.{('jpg', 'png', 'webp')[number % 3]}")
    (tmp_path / "program.py").write_text(PROGRAM)
    support = str(Path(__file__).parents[1] / "support")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([support, *sys.path])}
    command = [sys.executable, str(tmp_path / "program.py"), "anonymize", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    for number in range(KILLS * attack_scale):
        process = subprocess.Popen(
            [*command, "--processes", str(1 + number % 2)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        time.sleep(float(rng.uniform(0.2, 4.0)))
        process.send_signal(signal.SIGKILL)
        errors = process.communicate()[1]
        assert "Traceback" not in errors, errors
        visible = [name for name in names(tmp_path / "out") if not name.startswith(".")] if (tmp_path / "out").exists() else []
        assert all(is_anonymized(tmp_path / "out" / name) for name in visible)
        tally["kills"] += 1
        tally["photos finished between kills"] += len(visible)
        for name in visible[::3]:
            (tmp_path / "out" / name).unlink()  # so that there is something left to interrupt
    time.sleep(1.0)  # workers of the last one are gone by then
    assert run(tmp_path / "in", "-o", tmp_path / "out").exit_code == 0
    assert len(names(tmp_path / "out")) == 12 and all(is_anonymized(tmp_path / "out" / name) for name in names(tmp_path / "out"))
