"""Crops for others to compare with: aligned ones come out, and what comes out is anonymized under the same names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_loading import load_script
from standins import names
from tiny import KnownFaces, face_at, noise_photo
from typer.testing import CliRunner

from ganon_hf.cli import main as cli
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.evaluation.metrics.arcface import TEMPLATE


def write_people(folder: Path, photos: dict[str, Image.Image]) -> Path:
    for name, photo in photos.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photo.save(folder / name)
    return folder


def test_eyes_nose_and_mouth_come_to_lie_on_the_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mark at the right eye of the photo is at the template's right eye, whatever the side; who has no face is counted."""
    face = face_at(70, 60, 80)
    assert face.landmarks is not None
    photo = noise_photo() // 4
    x, y = face.landmarks[[33, 133], :2].mean(axis=0).astype(int)
    photo[y - 1 : y + 2, x - 1 : x + 2] = 255
    people = {"ann/a.png": photo, "ann/b.png": photo, "bob/a.png": photo, "bob/b.png": noise_photo(90, 90)}
    folder = write_people(tmp_path / "people", {name: Image.fromarray(pixels) for name, pixels in people.items()})
    for side in (112, 256):
        out = tmp_path / str(side)
        arguments = [str(folder), "--side", str(side), "--output-dir", str(out)]
        load_script("benchmarks/aligned_crops").main(arguments, KnownFaces({(160, 120): [face]}))
        assert capsys.readouterr().out == "3 crops of 2 people; no face in 1 photos\n"
        assert names(out) == ["0/0.png", "0/1.png", "1/0.png"]
        crop = np.asarray(Image.open(out / "0" / "0.png"))
        rows, columns = np.nonzero(crop.min(axis=2) > 200)
        assert crop.shape == (side, side, 3)
        assert np.hypot(columns.mean() - TEMPLATE[0, 0] * side / 112, rows.mean() - TEMPLATE[0, 1] * side / 112) < 0.05 * side


def test_a_side_below_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load_script("benchmarks/aligned_crops").main([str(tmp_path), "--side", "0", "--output-dir", str(tmp_path / "out")])
    assert "--side must be at least 1, but got 0" in capsys.readouterr().err


@pytest.mark.detection
def test_aligned_crops_are_anonymized_under_their_names_and_in_their_sizes(astronaut: Image.Image, tmp_path: Path) -> None:
    """A face that fills its picture, the chin at the edge, is found and replaced: the very crops that benchmarks hand around."""
    script, detector = load_script("benchmarks/aligned_crops"), YuNetDetector()
    photos = {"plain": astronaut, "mirrored": astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)}
    for side in (112, 256):
        for name, photo in photos.items():
            crop = script.aligned_crop(np.asarray(photo), detector, side)
            assert crop is not None
            (tmp_path / "crops" / str(side)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(crop).save(tmp_path / "crops" / str(side) / f"{name}.png")
    arguments = ["anonymize", str(tmp_path / "crops"), "-o", str(tmp_path / "out"), "--processes", "1", "--seed", "1"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0 and "4 anonymized (4 faces replaced, 0 covered)" in result.output, result.output
    assert names(tmp_path / "out") == names(tmp_path / "crops")
    for name in names(tmp_path / "out"):
        before, after = (np.asarray(Image.open(tmp_path / folder / name)).astype(int) for folder in ("crops", "out"))
        middle = np.s_[before.shape[0] // 3 : -before.shape[0] // 4, before.shape[1] // 3 : -before.shape[1] // 3]
        assert before.shape == after.shape and np.abs(before - after)[middle].mean() > 8
