"""Five hundred damaged files through the command line, the same ones on every machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from standins import Run, SquareEngine, face_pixels, names, report_of, square_photo

SUFFIXES = (".jpg", ".png", ".webp", ".bmp", ".tif", ".gif")
COUNT, GOOD = 500, 50


def originals(folder: Path, photo: Image.Image) -> dict[str, bytes]:
    """One valid file per format, with noise so that little of it can be lost unnoticed."""
    pixels = np.asarray(photo).astype(int) - np.random.default_rng(1).integers(0, 40, (photo.height, photo.width, 3))
    for suffix in SUFFIXES:
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"original{suffix}")
    return {suffix: (folder / f"original{suffix}").read_bytes() for suffix in SUFFIXES}


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """1 to 32 bits changed; the header gets its share, since most of what a parser believes stands there."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 33))):
        limit = min(128, len(data)) if rng.random() < 0.5 else len(data)
        damaged[rng.integers(limit)] ^= 1 << rng.integers(8)
    return bytes(damaged)


def wrong_extension(data: bytes, rng: np.random.Generator) -> bytes:
    """What people really have under picture names: text, markup, archives, programs, zeros."""
    heads = (
        b"",
        b"<!DOCTYPE html><html>",
        b"PK\3\4",
        b"\x7fELF",
        b"%PDF-1.7\n",
        b"\0\0\0\x18ftypheic",
        b"\x1f\x8b\x08",
        b"GIF",
        b"II*",
        b"BM",
    )
    return heads[rng.integers(len(heads))] + (rng.bytes(300) if rng.random() < 0.7 else bytes(300))


def make_files(folder: Path, whole: dict[str, bytes]) -> dict[str, str]:
    """Write the files; returns name -> what was done to it."""
    rng = np.random.default_rng(20_230_503)
    kinds = {}
    for index in range(COUNT + GOOD):
        suffix = SUFFIXES[rng.integers(len(SUFFIXES))]
        kind = "good" if index % (COUNT // GOOD + 1) == 0 else ("truncated", "flipped", "wrong extension", "other format")[rng.integers(4)]
        data = whole[suffix]
        if kind == "truncated":
            data = data[: int(len(data) * rng.uniform(0, 0.95))]
        elif kind == "flipped":
            data = flip_bits(data, rng)
        elif kind == "wrong extension":
            data = wrong_extension(data, rng)
        elif kind == "other format":
            data = whole[SUFFIXES[rng.integers(len(SUFFIXES))]]
        name = f"{index:03d}-{kind.replace(' ', '-')}{suffix}"
        (folder / name).write_bytes(data)
        kinds[name] = kind
    return kinds


def check(exit_code: int, kinds: dict[str, str], folder: Path, output: str) -> set[str]:
    """What has to hold whatever the engine; returns the names that were written."""
    assert exit_code == 3
    assert "Traceback" not in output
    lines = {Path(str(line["input"])).name: line for line in report_of(folder / "r.jsonl")}
    assert set(lines) == set(kinds)
    written = {name for name, line in lines.items() if line["status"] == "ok"}
    assert set(names(folder / "out")) == written, "no output for the broken ones, one for each of the others"
    assert all(lines[name]["faces"] for name in written), "nothing is written in which no face was found"
    assert {line["status"] for line in lines.values()} <= {"ok", "refused"}, "a damaged file is never the program's fault"

    by_kind = {kind: {name for name in kinds if kinds[name] == kind} for kind in set(kinds.values())}
    assert by_kind["good"] <= written
    assert by_kind["other format"] <= written, "the content decides, not the name"
    assert not by_kind["truncated"] & written
    assert not by_kind["wrong extension"] & written
    for name in set(kinds) - written:
        assert lines[name]["error"] and name in output
    return written


@pytest.mark.filterwarnings("ignore")
def test_five_hundred_mutated_files(run: Run, engine: SquareEngine, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    kinds = make_files(tmp_path / "in", originals(tmp_path, square_photo()))
    assert sum(kind != "good" for kind in kinds.values()) >= 500
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl")
    for name in check(result.exit_code, kinds, tmp_path, result.output + capfd.readouterr().err):
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
            assert len(face_pixels(image)) == 0, f"{name}: a face survived"


@pytest.mark.detection
def test_five_hundred_mutated_files_with_the_real_engine(astronaut: Image.Image, tmp_path: Path) -> None:
    """In a process of its own, as users run it: nothing may crash the interpreter either."""
    (tmp_path / "in").mkdir()
    kinds = make_files(tmp_path / "in", originals(tmp_path, astronaut.crop((129, 29, 321, 221)).resize((128, 128))))
    command = [Path(sys.executable).parent / "ganon-hf", "anonymize", tmp_path / "in", "-o", tmp_path / "out"]
    done = subprocess.run([*command, "--report", tmp_path / "r.jsonl", "--min-face-size", "32"], capture_output=True, text=True)
    check(done.returncode, kinds, tmp_path, done.stdout + done.stderr)
