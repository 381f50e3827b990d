"""Five hundred damaged files through the command line, the same ones on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from standins import Run, SquareEngine, face_pixels, names, report_of, square_photo

SUFFIXES = (".jpg", ".png", ".webp", ".bmp", ".tif", ".gif")
COUNT, GOOD = 500, 50


def originals(folder: Path) -> dict[str, bytes]:
    """One valid file per format, with noise so that little of it can be lost unnoticed."""
    noise = np.random.default_rng(1).integers(0, 40, (64, 96, 3), dtype=np.uint8)
    photo = Image.fromarray(np.clip(np.asarray(square_photo()).astype(int) - noise, 0, 255).astype(np.uint8))
    for suffix in SUFFIXES:
        photo.save(folder / f"original{suffix}")
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


@pytest.mark.filterwarnings("ignore")
def test_five_hundred_mutated_files(run: Run, engine: SquareEngine, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    kinds = make_files(tmp_path / "in", originals(tmp_path))
    assert sum(kind != "good" for kind in kinds.values()) >= 500
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl")

    assert result.exit_code == 3
    assert "Traceback" not in result.output + capfd.readouterr().err
    lines = {Path(str(line["input"])).name: line for line in report_of(tmp_path / "r.jsonl")}
    assert set(lines) == set(kinds)
    written = {name for name, line in lines.items() if line["status"] == "ok"}
    assert set(names(tmp_path / "out")) == written, "no output for the broken ones, one for each of the others"
    assert {line["status"] for line in lines.values()} <= {"ok", "refused"}, "a damaged file is never the program's fault"

    by_kind = {kind: {name for name in kinds if kinds[name] == kind} for kind in set(kinds.values())}
    assert by_kind["good"] <= written
    assert by_kind["other format"] <= written, "the content decides, not the name"
    assert not by_kind["truncated"] & written
    assert not by_kind["wrong extension"] & written
    for name in by_kind["truncated"] | by_kind["wrong extension"]:
        assert lines[name]["error"] and name in result.stderr
    for name in written:
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
            assert len(face_pixels(image)) == 0, f"{name}: a face survived"
