from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from standins import DoubtfulEngine, Run, SquareEngine, cpu_seconds, is_anonymized, names, report_of, save, square_photo
from typer.testing import CliRunner

from ganon_hf.bulk.folder import STATE_NAME
from ganon_hf.cli import main as cli
from ganon_hf.core.options import AnonymizeOptions


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---- plans -----------------------------------------------------------------------------------------------------------------------


def test_folder_is_walked_and_names_are_kept(run: Run, tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "sub/c.png", "sub/deep/d.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    save(tmp_path / "in" / ".hidden.png")
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "out") == ["a.png", "b.png", "sub/c.png", "sub/deep/d.png"]
    assert all(is_anonymized(tmp_path / "out" / name) for name in names(tmp_path / "out"))
    *done, left_out = report_of(tmp_path / "r.jsonl")
    assert [Path(str(line["input"])).name for line in done] == ["a.png", "b.png", "c.png", "d.png"]
    notes = tmp_path / "in" / "notes.txt"
    assert f"4 anonymized (4 faces replaced, 0 covered), 1 other file left out ({notes}) -> " in result.stdout
    assert (left_out["input"], left_out["status"], left_out["output"]) == (str(notes), "left out", None)
    assert "does not end in one of" in left_out["error"]


def test_the_closing_lines_say_where_to_look_for_doubtful_covers(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli, "_load_engine", lambda model, device, threads: DoubtfulEngine())
    sure, one, two, many = (
        save(tmp_path / "in" / f"{name}.png", square_photo((96, 64 + count))) for name, count in (("a", 0), ("b", 1), ("c", 2), ("d", 7))
    )

    def told(*arguments: object) -> list[str]:
        result = run(*arguments, "-o", tmp_path / "out", "--overwrite")
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    assert "(1 face replaced, 0 covered)" in told(sure)[0] and len(told(sure)) == 1
    counts, doubts = told(sure, two)
    assert "(2 faces replaced, 2 covered)" in counts, "doubtful ones are covered, too"
    places = "20 x 25 pixels at 0, 5; 20 x 25 pixels at 10, 5"
    assert doubts == f"{two} has 2 doubtful covers, under which there may be no face ({places}): look at it."
    assert f"{one} has 1 doubtful cover, under" in told(one)[1] and "at 42, 5; and 2 more, which --report lists): look" in told(many)[1]
    assert told(sure, one, two)[1] == f"2 photos have 3 doubtful covers, under which there may be no face ({one}; {two}): look at them."
    report = tmp_path / "r.jsonl"
    assert told(one, two, "--report", report)[1].endswith(f"(listed in {report}): look at them.")
    assert [face["status"] for face in report_of(report)[0]["faces"]] == ["replaced", "doubtful"]
    assert told(one, two, "--quiet") == []


def test_one_photo_to_one_file(run: Run, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    assert run(photo, "-o", tmp_path / "new" / "result.jpg").exit_code == 0
    assert is_anonymized(tmp_path / "new" / "result.jpg")
    assert os.listdir(tmp_path / "new") == ["result.jpg"]  # no state file in a folder of the user's
    assert run(photo, "-o", tmp_path / "new" / "result.jpg").exit_code == 3
    assert run(photo, "-o", tmp_path / "new" / "result.jpg", "--overwrite").exit_code == 0


def test_globs_keep_the_names_below_their_fixed_part(run: Run, tmp_path: Path) -> None:
    for name in ("x/a.png", "x/b.jpg", "y/a.png", "top.png"):
        save(tmp_path / "in" / name)
    assert run(f"{tmp_path}/in/*/a.png", "-o", tmp_path / "one").exit_code == 0
    assert names(tmp_path / "one") == ["x/a.png", "y/a.png"]
    assert run(f"{tmp_path}/in/**/*.png", "-o", tmp_path / "two").exit_code == 0
    assert names(tmp_path / "two") == ["top.png", "x/a.png", "y/a.png"]
    assert run(f"{tmp_path}/in/*", "-o", tmp_path / "three").exit_code == 0
    assert names(tmp_path / "three") == ["top.png", "x/a.png", "x/b.jpg", "y/a.png"]


def test_a_name_with_brackets_is_a_name_not_a_pattern(run: Run, tmp_path: Path) -> None:
    assert run(save(tmp_path / "a[1].png"), "-o", tmp_path / "out").exit_code == 0
    assert names(tmp_path / "out") == ["a[1].png"]


def test_output_inside_the_input_is_not_an_input(run: Run, engine: SquareEngine, tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    for _ in range(2):
        assert run(tmp_path, "-o", tmp_path / "anonymous").exit_code == 0
    assert names(tmp_path) == ["a.png", "anonymous/a.png"] and engine.calls == 1
    assert run(f"{tmp_path}/**/*.png", "-o", tmp_path / "anonymous").exit_code == 0
    assert names(tmp_path) == ["a.png", "anonymous/a.png"] and engine.calls == 1


def test_the_same_photo_named_twice_is_done_once(run: Run, engine: SquareEngine, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    assert run(photo, photo, "-o", tmp_path / "out").exit_code == 0
    assert engine.calls == 1


USAGE_ERRORS = {
    "missing input": (["nowhere.png", "-o", "out"], "does not exist"),
    "pattern that matches nothing": (["in/*.tiff", "-o", "out"], "Nothing matches"),
    "folder without pictures": (["empty", "-o", "out"], "No picture was found"),
    "two inputs, one name": (["in/a.png", "other/a.png", "-o", "out"], "would both become"),
    "in place": (["in", "-o", "in"], "originals are never overwritten"),
    "in place, one file": (["in/a.png", "-o", "in/a.png"], "originals are never overwritten"),
    "in place, through a link": (["in", "-o", "link-to-in"], "originals are never overwritten"),
    "in place, through a link to the photo": (["in/a.png", "-o", "link.png", "--overwrite"], "originals are never overwritten"),
    "a folder into one file": (["in", "-o", "out.png"], "name a folder"),
    "several photos into one file": (["in/a.png", "in/b.png", "-o", "out.png"], "name a folder"),
    "one photo to a file of another kind": (["in/a.png", "-o", "x.xyz"], "For a folder of that name, end it in a slash: x.xyz/"),
    "one photo to a film": (["in/a.png", "-o", "out.mp4"], "pictures are written as .jpg"),
    "unknown device": (["in", "-o", "out", "--device", "gpu"], "--device: the device 'gpu' cannot be used"),
    "no such device": (["in", "-o", "out", "--device", "cuda:99"], "--device: the device 'cuda:99' cannot be used"),
    "no such model": (["in", "-o", "out", "--model", "nope"], "there is no folder 'nope'; name a folder, or a repository"),
    "no such repository": (["in", "-o", "out", "--model", "nobody/nothing"], "no such repository could be fetched from the Hub"),
    "privacy of a shape that is kept": (["in", "-o", "out", "--privacy", "high", "--geometry", "original"], "has no effect with geometry"),
    "output is a file": (["in", "-o", "notes.txt"], "not a folder"),
    "unknown metadata": (["in", "-o", "out", "--keep-metadata", "gps"], "gps"),
    "report over a photo": (["in", "-o", "out", "--report", "in/a.png"], ".jsonl"),
    "report in no folder": (["in", "-o", "out", "--report", "nowhere/r.jsonl"], "No such file"),
    "report over the state file": (["in", "-o", "out", "--report", f"in/{STATE_NAME}"], "--report must name"),
    "seed out of range": (["in", "-o", "out", "--seed", str(2**63)], "seed"),
    "unknown choice": (["in", "-o", "out", "--geometry", "none"], "geometry"),
    "no output": (["in"], "--out"),
    "unknown option": (["in", "-o", "out", "--blur"], "--blur"),
}


@pytest.mark.parametrize("row", USAGE_ERRORS)
def test_usage_error_is_found_before_anything_is_written(
    row: str, run: Run, engine: SquareEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/b.png", "other/a.png"):
        save(Path(name))
    Path("empty").mkdir()
    Path("notes.txt").write_text("mine")
    Path("link-to-in").symlink_to("in")
    Path("link.png").symlink_to("in/a.png")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    arguments, reason = USAGE_ERRORS[row]
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert reason in result.stderr and (result.stderr.count("\n") == 1 or "Usage:" in result.stderr), "one line"
    assert r"\n" not in result.stderr
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file() and path.name != STATE_NAME} == before
    assert engine.calls == 0


def test_a_model_that_cannot_be_loaded_is_a_usage_error(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(
        cli.app, ["anonymize", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(tmp_path / "empty")]
    )
    assert result.exit_code == 2 and "cannot be loaded" in result.stderr and names(tmp_path / "out") == []


def test_the_report_may_lie_in_the_new_output_folder(run: Run, tmp_path: Path) -> None:
    assert run(save(tmp_path / "a.png"), "-o", tmp_path / "out", "--report", tmp_path / "out" / "r.jsonl").exit_code == 0
    (line,) = report_of(tmp_path / "out" / "r.jsonl")
    assert line["model"].startswith("bundled@") and line["seconds"] >= 0 and line["faces"][0]["status"] == "replaced"


def test_a_folder_may_have_a_dot_in_its_name(run: Run, tmp_path: Path) -> None:
    photo = save(tmp_path / "in" / "a.png")
    assert run(photo, "-o", f"{tmp_path}/trip.2024/").exit_code == 0 and names(tmp_path / "trip.2024") == ["a.png"]
    assert run(photo, "-o", tmp_path / "trip.2024", "--overwrite").exit_code == 0, "it is there now"
    assert run(tmp_path / "in", "-o", tmp_path / "out.v2").exit_code == 0


# ---- bad inputs do not stop the batch --------------------------------------------------------------------------------------------


def test_bad_inputs_are_named_and_the_rest_is_done(run: Run, tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", save(tmp_path / "outside.png")
    good = [save(folder / name) for name in ("good1.png", "good2.jpg", "sub/good3.webp", "line\nbreak.png", "-dash.png", "ünïcode.png")]
    save(folder / "no-face.png", square_photo(box=None))
    (folder / "text.jpg").write_text("not an image")
    (folder / "empty.png").touch()
    (folder / "cut.png").write_bytes(good[0].read_bytes()[:200])
    (folder / "leaves.png").symlink_to(outside)
    (folder / "linked-folder").symlink_to(tmp_path)
    square_photo().save(folder / "moves.gif", save_all=True, append_images=[square_photo(seed=2)])
    os.mkfifo(folder / "pipe.jpg")
    result = run(folder, "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 3
    assert names(tmp_path / "out") == sorted(str(path.relative_to(folder)) for path in good)
    reasons = {
        "no-face.png": "no face was found",
        "text.jpg": "is not a picture",
        "empty.png": "is empty",
        "cut.png": "cannot be decoded",
        "leaves.png": "leaves the input folder",
        "linked-folder": "link to a folder",
        "moves.gif": "animated",
        "pipe.jpg": "not a regular file",
    }
    lines = {Path(str(line["input"])).name: line for line in report_of(tmp_path / "r.jsonl")}
    assert len(lines) == len(good) + len(reasons)
    for name, reason in reasons.items():
        assert lines[name]["status"] == "refused" and reason in str(lines[name]["error"]) and lines[name]["output"] is None
        assert any(name in line and reason in line for line in result.stderr.splitlines()), name
    assert len(result.stderr.splitlines()) == len(reasons)
    assert lines["line\nbreak.png"]["status"] == "ok" and len(lines["good1.png"]["faces"]) == 1  # type: ignore[arg-type]


def test_undecodable_name_is_handled(run: Run, tmp_path: Path) -> None:
    source = os.path.join(os.fsencode(tmp_path), b"in", b"caf\xe9.png")
    save(Path(os.fsdecode(source)))
    (tmp_path / "in" / os.fsdecode(b"bad\xe9.png")).write_text("x")
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl").exit_code == 3
    assert os.listdir(os.fsencode(tmp_path / "out")).count(b"caf\xe9.png") == 1
    assert len(report_of(tmp_path / "r.jsonl")) == 2


def test_photo_without_a_face_is_written_only_on_request(run: Run, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.jpg", square_photo(box=None), comment=b"SECRET")
    assert run(photo, "-o", tmp_path / "out").exit_code == 3 and names(tmp_path / "out") == []
    assert run(photo, "-o", tmp_path / "out", "--on-no-face", "keep").exit_code == 0
    assert b"SECRET" not in (tmp_path / "out" / "a.jpg").read_bytes()


def test_a_photo_without_a_face_is_never_called_anonymized(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "b.png", square_photo(box=None))
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--on-no-face", "keep", "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 0
    assert "1 anonymized (1 face replaced, 0 covered), 1 copied unchanged, because no face was found -> " in result.stdout
    assert [(line["status"], line["output"] is not None) for line in report_of(tmp_path / "r.jsonl")] == [("ok", True), ("copied", True)]


def test_an_error_of_the_engine_costs_one_photo(run: Run, engine: SquareEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "in" / name)
    original = SquareEngine.plan

    def fail_once(self: SquareEngine, *arguments: object) -> object:
        result = original(self, *arguments)  # type: ignore[arg-type]
        if self.calls == 2:
            raise RuntimeError("generator\nbroke")
        return result

    monkeypatch.setattr(SquareEngine, "plan", fail_once)
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 3 and names(tmp_path / "out") == ["a.png", "c.png"]
    assert [line["status"] for line in report_of(tmp_path / "r.jsonl")] == ["ok", "failed", "ok"]
    assert r"RuntimeError: generator\nbroke" in result.stderr


# ---- options, help ---------------------------------------------------------------------------------------------------------------


def test_options_reach_the_engine_under_the_same_names(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[AnonymizeOptions] = []
    original = SquareEngine.plan

    def spy(self: SquareEngine, image: Image.Image, options: AnonymizeOptions) -> object:
        seen.append(options)
        return original(self, image, options)

    monkeypatch.setattr(SquareEngine, "plan", spy)
    arguments = [
        "--seed",
        3,
        "--privacy",
        "high",
        "--skin-tone",
        "random",
        "--output",
        "crop",
        "--min-face-size",
        48,
        "--min-score",
        0.25,
    ]
    assert run(save(tmp_path / "a.png"), "-o", tmp_path / "out", *arguments).exit_code == 0
    expected = {"seed": 3, "privacy": "high", "skin_tone": "random", "output": "crop", "min_face_size": 48}
    assert seen == [AnonymizeOptions(**expected, min_score=0.25, on_no_face="raise")]  # type: ignore[arg-type]


def test_defaults_are_those_of_the_library(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[AnonymizeOptions] = []
    monkeypatch.setattr(SquareEngine, "plan", lambda self, image, options: seen.append(options) or 1 / 0)
    run(save(tmp_path / "a.png"), "-o", tmp_path / "out")
    assert seen == [AnonymizeOptions(on_no_face="raise")]


def test_quiet_says_only_what_went_wrong(run: Run, tmp_path: Path) -> None:
    assert run(save(tmp_path / "a.png"), "-o", tmp_path / "out", "--quiet").output == ""
    (tmp_path / "bad.png").touch()
    assert run(tmp_path / "bad.png", "-o", tmp_path / "out", "--quiet").output.count("\n") == 1


def test_metadata_is_kept_on_request_only(run: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "EOS R5"
    photo = save(tmp_path / "a.jpg", exif=exif)
    run(photo, "-o", tmp_path / "none")
    run(photo, "-o", tmp_path / "camera", "--keep-metadata", "camera")
    for folder, expected in (("none", {}), ("camera", {0x0110: "EOS R5"})):
        with Image.open(tmp_path / folder / "a.jpg") as image:
            assert dict(image.getexif()) == expected


def test_version() -> None:
    import ganon_hf

    assert CliRunner().invoke(cli.app, ["--version"]).stdout == f"ganon-hf {ganon_hf.__version__}\n"


def test_installed_command_helps_within_half_a_second() -> None:
    command = [str(Path(sys.executable).parent / "ganon-hf"), "--help"]
    assert "anonymize" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert cpu_seconds(command) < 0.5
