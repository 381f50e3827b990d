"""The Space's work without its page: words for people, tables, sweeping."""

from __future__ import annotations

import json
import os
import re
import time
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from tiny import face_at, noise_photo, same, tiny_engine

from ganon_hf import AnonymizationResult, AnonymizeOptions, FaceReport

SPACE = Path(__file__).parents[2] / "spaces"
PHOTO = Image.fromarray(noise_photo())
DEFAULTS = {
    "geometry": "anonymous",
    "privacy": "medium",
    "skin_tone": "match",
    "look": "match",
    "output": "photo",
    "cover": "tone",
    "keep_occluders": True,
    "min_face_size": 24.0,
}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SPACE))
    import work

    return work


def test_an_anonymized_photo_and_its_account(work: ModuleType) -> None:
    engine = tiny_engine()
    done = work.anonymize(engine, PHOTO, work.make_options(7.0, **DEFAULTS))
    assert same(done.result.image, engine(PHOTO, AnonymizeOptions(seed=7)).image) and same(done.before, PHOTO)
    assert "1 face found, replaced" in work.summary(done) and "Seed 7." in work.summary(done)
    assert done.num_left == 0


def test_progress_names_the_steps(work: ModuleType) -> None:
    steps: list[tuple[float, str]] = []
    work.anonymize(tiny_engine(), PHOTO, work.make_options(7, **DEFAULTS), progress=lambda *step: steps.append(step))
    assert [words for _, words in steps] == ["Looking for faces", "Drawing 1 person", "Putting them into the photo"]
    assert steps == sorted(steps) and all(0 <= share < 1 for share, _ in steps)


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (["replaced", "replaced"], "2 of 2 faces replaced."),
        (["replaced", "covered"], "1 of 2 faces replaced, 1 covered, because they could not be replaced."),
        (["covered"], "1 face found, 1 covered, because they could not be replaced."),
        (["doubtful"], "1 face found, 1 covered, although there may be no face."),
        (
            ["replaced", "covered", "doubtful"],
            "1 of 3 faces replaced, 1 covered, because they could not be replaced, 1 covered, although there may be no face.",
        ),
    ],
)
def test_one_sentence(work: ModuleType, statuses: list[str], words: str) -> None:
    faces = tuple(FaceReport((0, 0, 9, 9), 1.0, status, "small" if status != "replaced" else "") for status in statuses)
    done = work.AnonymizedPhoto(PHOTO, AnonymizationResult(PHOTO, faces), AnonymizeOptions(seed=1))
    assert work.summary(done).startswith(words)


def test_a_photo_without_a_face_is_refused(work: ModuleType) -> None:
    with pytest.raises(work.Refusal, match="No face was found, so nothing was changed"):
        work.anonymize(tiny_engine({}), PHOTO, work.make_options(None, **DEFAULTS))


@pytest.mark.parametrize(
    ("seed", "changes", "words"),
    [
        (-1, {}, "seed must be"),
        (2.0**70, {}, "seed must be"),
        (1, {"look": "girl"}, "look must be"),
        (1, {"geometry": "other"}, "geometry must be"),
        (1, {"min_face_size": 3}, "min_face_size must be"),
        (1, {"color": "red"}, "color"),
        (float("inf"), {}, "infinity|integer"),
    ],
)
def test_options_that_cannot_be_are_refused(work: ModuleType, seed: float, changes: dict[str, object], words: str) -> None:
    with pytest.raises(work.Refusal, match=words):
        work.make_options(seed, **{**DEFAULTS, **changes})


def test_without_a_seed_everybody_is_somebody_else(work: ModuleType) -> None:
    assert len({work.make_options(None, **DEFAULTS).seed for _ in range(8)}) == 8


def test_files_that_cannot_be_read_are_refused_without_their_path(work: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    Image.new("RGB", (9000, 5000)).save(tmp_path / "huge.png")
    PHOTO.save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:3000])
    for name, words in (
        ("text.jpg", "is not a picture"),
        ("cut.png", "cannot be read as a picture"),
        ("huge.png", "45 million pixels"),
        ("gone.png", "deleted here"),
    ):
        with pytest.raises(work.Refusal, match=words) as caught:
            work.read_photo(str(tmp_path / name))
        assert str(tmp_path) not in str(caught.value)


def test_a_photo_is_turned_upright(work: ModuleType, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    PHOTO.save(tmp_path / "a.jpg", exif=exif)
    assert work.read_photo(str(tmp_path / "a.jpg")).size == (PHOTO.height, PHOTO.width)


def test_what_the_generator_sees(work: ModuleType) -> None:
    pictures = work.what_the_generator_sees(tiny_engine(), PHOTO, work.make_options(7, **DEFAULTS))
    assert [picture.size for picture in pictures] == [(64, 64)] * len(work.GENERATOR_VIEW)
    original, anonymous, drawn = (np.asarray(picture) for picture in pictures)
    assert not np.array_equal(original, anonymous) and original.max() == 255 and drawn.std() > 5


def test_a_covered_face_has_nothing_to_see(work: ModuleType) -> None:
    engine = tiny_engine({(160, 120): [face_at(60, 60, landmarks=False)]})
    with pytest.raises(work.Refusal, match="covered, not replaced: no landmarks"):
        work.what_the_generator_sees(engine, PHOTO, work.make_options(7, **DEFAULTS))


def test_pictures_of_one_pair_have_one_size(work: ModuleType) -> None:
    done = work.anonymize(tiny_engine(), PHOTO, work.make_options(7, **{**DEFAULTS, "output": "crop"}))
    before, after = work.before_and_after(done)
    assert before.size == after.size == (64, 64)


def test_figures_come_from_the_report(work: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANON_REPORT", str(tmp_path / "report.json"))
    assert "Not measured" in work.report_tables()
    row = {
        "net/rank1": {"value": 0.314, "low": 0.2, "high": 0.41},
        "geometry_rank1": {"value": None, "low": 0, "high": 1},
        "seam": {"value": 2},
    }
    sets = {"pairs <b>": {"figures": {"original": {"net/rank1": {"value": 1, "low": 1, "high": 1}}, "ganon-hf": row, "donor": row}}}
    (tmp_path / "report.json").write_text(json.dumps({"sets": {**sets, "no faces": {"figures": {"ganon-hf": {"seam": {"value": 2}}}}}}))
    shown = work.report_tables()
    assert "31 % (20 to 41)" in shown and "<span>-</span>" in shown and "pairs &lt;b&gt;" in shown
    assert "donor" not in shown and "no faces" not in shown and "Not measured" not in shown
    for broken in ("", "[]", '{"sets": 3}', '{"sets": {"a": {}}}', '{"sets": {"a": {"figures": {"ganon-hf": 3}}}}'):
        (tmp_path / "report.json").write_text(broken)
        assert "Not measured" in work.report_tables(), broken


def test_a_zip_of_pictures(work: ModuleType, tmp_path: Path) -> None:
    path = work.save_zip(tmp_path, {name: work.save(tmp_path, name, PHOTO) for name in ("one", "two")})
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["one.jpg", "two.jpg"] and archive.testzip() is None


def test_what_is_old_is_swept(work: ModuleType, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("stays")
    folder = tmp_path / "scratch"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "photo.jpg").write_text("x")
    (folder / "link").symlink_to(tmp_path)
    os.utime(folder / "deep" / "er" / "photo.jpg", (0, 0))  # a copied file brings its old time along
    work.sweep(folder, 30)
    assert (folder / "deep" / "er" / "photo.jpg").exists(), "it came just now"
    time.sleep(0.05)
    for _ in range(3):
        work.sweep(folder, 0.01)
        time.sleep(0.05)  # a folder has changed when its last file went
    assert not list(folder.iterdir()) and outside.read_text() == "stays"


def test_a_copied_example_is_one(work: ModuleType, tmp_path: Path) -> None:
    for path in (SPACE / "examples").iterdir():
        copy = Path(work.copy_example(tmp_path, path.name))
        assert copy.read_bytes() == path.read_bytes() and tmp_path in copy.parents


def test_requirements_hold_what_the_package_depends_on() -> None:
    """The package lies beside app.py and is not installed there: nobody else brings its dependencies."""
    project = tomllib.loads((SPACE.parent / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[^\w.-]", line)[0].lower() for line in project["dependencies"] + project["optional-dependencies"]["video"]}
    listed = {line.split("==")[0].strip().lower() for line in (SPACE / "requirements.txt").read_text().splitlines() if "==" in line}
    brought = {"huggingface_hub", "typer"}  # by transformers and Gradio
    assert needed - brought <= listed


def test_requirements_are_the_tested_versions() -> None:
    tested = dict(
        line.split("==") for line in (SPACE.parent / "constraints.txt").read_text().splitlines() if "==" in line and line[0] != "#"
    )
    tested = {name.lower(): version for name, version in tested.items()}
    lines = [line for line in (SPACE / "requirements.txt").read_text().splitlines() if line and line[0] not in "#-"]
    for name, version in (line.split("==") for line in lines):
        assert tested[name.lower()] == version, name
    assert f"sdk_version: {tested['gradio']}" in (SPACE / "README.md").read_text()
