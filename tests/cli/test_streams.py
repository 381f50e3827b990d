"""``-`` as input and as output: one photo through standard streams, and nothing else on them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from standins import SquareEngine, face_pixels, names, report_of, save, square_photo
from typer.testing import CliRunner

from ganon_hf.cli import main as cli

pytestmark = pytest.mark.usefixtures("engine")


def encoded(name: str, image: Image.Image | None = None) -> bytes:
    file = io.BytesIO()
    (image or square_photo()).save(file, name)
    return file.getvalue()


def through(*arguments: object, stdin: bytes = b"") -> Result:
    result = CliRunner().invoke(cli.app, ["anonymize", *map(str, arguments)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def picture(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert len(face_pixels(image)) == 0
    return image


@pytest.mark.parametrize(("given", "written"), [("JPEG", "JPEG"), ("WEBP", "WEBP"), ("PNG", "PNG"), ("BMP", "PNG")])
def test_from_standard_input_to_standard_output(given: str, written: str) -> None:
    result = through("-", "-o", "-", stdin=encoded(given))
    assert result.exit_code == 0, result.stderr
    assert picture(result.stdout_bytes).format == written and picture(result.stdout_bytes).size == (96, 64)
    assert result.stderr == "1 anonymized (1 face replaced, 0 covered) -> standard output\n"


def test_from_standard_input_to_a_file(tmp_path: Path) -> None:
    out = tmp_path / "new" / "result.webp"
    assert through("-", "-o", out, stdin=encoded("PNG")).exit_code == 0
    assert picture(out.read_bytes()).format == "WEBP" and names(tmp_path) == ["new/result.webp"]
    before = out.read_bytes()
    refused = through("-", "-o", out, stdin=encoded("PNG"))
    assert refused.exit_code == 3 and "exists already" in refused.stderr and out.read_bytes() == before
    assert through("-", "-o", out, "--overwrite", stdin=encoded("PNG", square_photo(seed=1))).exit_code == 0
    assert out.read_bytes() != before


def test_from_a_file_to_standard_output(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.jpg")
    result = through(photo, "-o", "-", "--quiet", "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 0 and picture(result.stdout_bytes).format == "JPEG" and result.stderr == ""
    assert names(tmp_path) == ["a.jpg", "r.jsonl"]
    (line,) = report_of(tmp_path / "r.jsonl")
    assert (line["input"], line["output"], line["status"], len(line["faces"])) == (str(photo), "-", "ok", 1)


def test_a_stream_is_marked_on_request(tmp_path: Path) -> None:
    result = through("-", "-o", "-", "--mark", "--report", tmp_path / "r.jsonl", stdin=encoded("JPEG"))
    assert result.exit_code == 0 and b"compositeWithTrainedAlgorithmicMedia" in result.stdout_bytes
    assert report_of(tmp_path / "r.jsonl")[0]["marked"] is True


@pytest.mark.parametrize(
    ("stdin", "reason"),
    [
        (b"", "is empty"),
        (b"no picture", "is not a picture"),
        (encoded("PNG")[:200], "cannot be decoded"),
        (encoded("PNG", square_photo(box=None)), "no face was found (--on-no-face keep"),
    ],
    ids=["empty", "text", "cut", "no face"],
)
def test_a_refused_photo_leaves_standard_output_empty(stdin: bytes, reason: str) -> None:
    result = through("-", "-o", "-", stdin=stdin)
    assert result.exit_code == 3 and result.stdout_bytes == b"" and reason in result.stderr


def test_a_photo_without_a_face_is_copied_on_request() -> None:
    result = through("-", "-o", "-", "--on-no-face", "keep", stdin=encoded("PNG", square_photo(box=None)))
    assert result.exit_code == 0 and picture(result.stdout_bytes).size == (96, 64)
    assert "0 anonymized" in result.stderr and "1 copied unchanged, because no face was found" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-", "in/a.png", "-o", "out"], "one photo, but 2 inputs"),
        (["in", "-o", "-"], "in is not a file"),
        (["in/*.png", "-o", "-"], "is not a file"),
        (["nowhere.png", "-o", "-"], "is not a file"),
        (["-", "-o", "out"], "must name a file that ends in one of"),
        (["-", "-o", "in"], "must name a file that ends in one of"),
        (["-", "-o", "photo.xyz"], "must name a file that ends in one of"),
    ],
)
def test_where_a_dash_cannot_mean_one_photo(
    arguments: list[str], reason: str, engine: SquareEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("in/a.png"))
    result = through(*arguments, stdin=encoded("PNG"))
    assert result.exit_code == 2 and reason in result.stderr and result.stdout == ""
    assert names(tmp_path) == ["in/a.png"] and engine.calls == 0


def test_a_picture_is_not_sent_to_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("typer.get_binary_stream", lambda name: screen)
    result = through(save(tmp_path / "a.png"), "-o", "-")
    assert result.exit_code == 2 and "is a terminal" in result.stderr and screen.getvalue() == b""


def test_a_reader_that_has_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.BytesIO):
        def write(self, content: object) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("typer.get_binary_stream", lambda name: Closed())
    result = through(save(tmp_path / "a.png"), "-o", "-")
    assert result.exit_code == 3 and "cannot be written (Broken pipe)" in result.stderr and "0 anonymized" in result.stderr


@pytest.mark.detection
def test_the_module_is_the_command_and_pipes_a_real_photo(astronaut: Image.Image) -> None:
    command = [sys.executable, "-m", "ganon_hf"]
    assert subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout.startswith("ganon-hf ")
    done = subprocess.run([*command, "anonymize", "-", "-o", "-", "--seed", "7"], input=encoded("JPEG", astronaut), capture_output=True)
    assert done.returncode == 0, done.stderr
    result = Image.open(io.BytesIO(done.stdout))
    assert result.format == "JPEG" and result.size == astronaut.size
    assert done.stderr.decode() == "1 anonymized (1 face replaced, 0 covered) -> standard output\n", "no library says anything"
