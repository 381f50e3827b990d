"""The main job with the real engine: a photo of a person through the command line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from standins import names, report_of
from typer.testing import CliRunner

import ganon_hf
from ganon_hf.bulk.engine import weights_digest
from ganon_hf.cli import main as cli

pytestmark = pytest.mark.detection
ROOT = Path(__file__).parents[2]


def anonymize(*arguments: object) -> Result:
    """The command as users type it; the engine is loaded anew, as in life."""
    result = CliRunner().invoke(cli.app, ["anonymize", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_person_becomes_another_one_and_the_rest_stays(astronaut_path: Path, tmp_path: Path) -> None:
    result = anonymize(astronaut_path, "-o", tmp_path / "out", "--seed", 7, "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 0, result.output
    (line,) = report_of(tmp_path / "r.jsonl")
    (face,) = line["faces"]
    assert face["status"] == "replaced" and face["score"] > 0.5
    before, after = pixels(astronaut_path), pixels(tmp_path / "out" / "astronaut.png")
    assert before.shape == after.shape
    difference = np.abs(after - before).max(axis=2)
    x_min, y_min, x_max, y_max = (int(face["box"][name]) for name in ("xmin", "ymin", "xmax", "ymax"))
    width, height = x_max - x_min, y_max - y_min
    inside = difference[y_min + height // 4 : y_max - height // 4, x_min + width // 4 : x_max - width // 4]
    assert np.median(inside) > 8, "the middle of the face is somebody else's"
    outside = difference.copy()
    # the head is warped up to half a face beyond its outline, which reaches beyond the detector's box
    down, across = height * 3 // 4, width * 3 // 4
    outside[max(0, y_min - down) : y_max + down, max(0, x_min - across) : x_max + across] = 0
    assert outside.max() == 0, "nothing but the face and what is warped around it was touched"


def test_the_seed_decides_and_no_seed_is_fresh(astronaut_path: Path, tmp_path: Path) -> None:
    runs = {"a": ["--seed", 7], "b": ["--seed", 7], "c": ["--seed", 8], "d": [], "e": []}
    for name, arguments in runs.items():
        assert anonymize(astronaut_path, "-o", tmp_path / f"{name}.png", *arguments).exit_code == 0
    data = {name: (tmp_path / f"{name}.png").read_bytes() for name in runs}
    assert data["a"] == data["b"]
    assert len({data[name] for name in "acde"}) == 4


def test_the_report_says_how_to_make_a_result_again(astronaut_path: Path, tmp_path: Path) -> None:
    options = ["--privacy", "low", "--skin-tone", "random", "--cover", "black"]
    assert anonymize(astronaut_path, "-o", tmp_path / "a.png", *options, "--report", tmp_path / "r.jsonl").exit_code == 0
    (line,) = report_of(tmp_path / "r.jsonl")
    (told,) = re.findall(r"`(AnonymizeOptions\(.*line.*\))`", (ROOT / "docs" / "photos.md").read_text())
    again = eval(told, {"AnonymizeOptions": ganon_hf.AnonymizeOptions, "line": line})  # the words of the docs
    assert (again.privacy, again.skin_tone, again.output, again.cover) == ("low", "random", "photo", "black")
    engine = ganon_hf.Anonymizer.from_pretrained()
    result = engine(astronaut_path, again)
    assert np.array_equal(pixels(tmp_path / "a.png"), np.asarray(result.image).astype(int)) and result.seed == line["seed"]
    assert line["weights"] == weights_digest(engine), "as `ganon-hf evaluate` and exported folders name them"
    assert line["version"] == ganon_hf.__version__ and line["model"] == f"bundled@{line['weights']} ganon-hf {line['version']}"


def test_command_line_and_library_agree(astronaut_path: Path, tmp_path: Path) -> None:
    assert anonymize(astronaut_path, "-o", tmp_path / "a.png", "--seed", 3, "--min-face-size", 48).exit_code == 0
    result = ganon_hf.Anonymizer.from_pretrained()(astronaut_path, ganon_hf.AnonymizeOptions(seed=3, min_face_size=48))
    assert np.array_equal(pixels(tmp_path / "a.png"), np.asarray(result.image.convert("RGB")).astype(int))


def test_faces_are_found_in_photos_stored_sideways(astronaut: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    astronaut.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "sideways.jpg", exif=exif)
    assert anonymize(tmp_path / "sideways.jpg", "-o", tmp_path / "out").exit_code == 0
    assert pixels(tmp_path / "out" / "sideways.jpg").shape == (512, 512, 3)


def test_a_photo_without_people_is_refused(tmp_path: Path) -> None:
    y, x = np.mgrid[:200, :300]
    Image.fromarray(np.stack([x % 256, y, (x + y) % 256], axis=-1).astype(np.uint8)).save(tmp_path / "a.png")
    result = anonymize(tmp_path / "a.png", "-o", tmp_path / "out")
    assert result.exit_code == 3 and "no face was found" in result.stderr and names(tmp_path / "out") == []


def test_damaged_photos_do_not_stop_the_real_engine(astronaut: Image.Image, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    astronaut.resize((256, 256)).save(folder / "good.jpg")
    data = (folder / "good.jpg").read_bytes()
    for share in (0.2, 0.6):
        (folder / f"cut{share}.jpg").write_bytes(data[: int(len(data) * share)])
    for mode in ("L", "CMYK"):
        astronaut.resize((256, 256)).convert(mode).save(folder / f"{mode}.jpg")
    Image.new("RGB", (1, 1)).save(folder / "one-pixel.png")
    Image.new("RGB", (4000, 1)).save(folder / "line.png")
    result = anonymize(folder, "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 3
    assert names(tmp_path / "out") == ["CMYK.jpg", "L.jpg", "good.jpg"]
    assert {line["status"] for line in report_of(tmp_path / "r.jsonl")} == {"ok", "refused"}
