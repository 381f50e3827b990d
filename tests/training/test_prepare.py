"""From any picture data set to a folder of training faces: nothing is lost silently, workers decide nothing, nobody is in two splits."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Image, load_dataset
from huggingface_hub import DatasetCard
from PIL import Image as Pictures
from tiny import KnownFaces, face_at, noise_photo

from ganon_hf._atomic import TEMPORARY_PREFIX
from ganon_hf.core.face_mesh import FACE_OVAL
from ganon_hf.core.faces import Face
from ganon_hf.training import prepare
from ganon_hf.training.dataset_card import REASONS, SelectionCounts, write_card
from ganon_hf.training.face_measurement import MEASURED_SCHEMA, measure_row
from ganon_hf.training.face_selection import NO_FACE_REASONS, SelectionOptions, Selector, drop_reason, is_grayscale, split_of
from ganon_hf.training.persons import person_id
from ganon_hf.training.prepare import PrepareOptions, open_source, prepare_dataset
from ganon_hf.training.shards import SCHEMA, find_shards, read_shards

SIZE = 64
FACE = face_at(80, 60, 60)


class LeftOut:
    """A matte in which everything but the crop's left quarter is the person."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        matte = np.ones(image.shape[:2], np.float32)
        matte[:, : image.shape[1] // 4] = 0
        return matte


def known_faces() -> KnownFaces:
    return KnownFaces({(160, 120): [FACE], (170, 120): [], (150, 120): [face_at(70, 60, 60, yaw=75)]})


def nobody() -> KnownFaces:
    return KnownFaces({})


def broken_detector() -> Callable[..., list[Face]]:
    def detect(image: np.ndarray, **options: Any) -> list[Face]:
        if image.shape[1] == 150:
            raise RuntimeError("the power went out")
        return known_faces()(image, **options)

    return detect


def png(photo: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Pictures.fromarray(photo).save(buffer, "PNG")
    return buffer.getvalue()


def cell(photo: np.ndarray, **values: Any) -> dict[str, Any]:
    row = {"image": {"bytes": png(photo), "path": None}, "source": "a", "person": None, "emotion": None, "grayscale": None, "row": 0}
    return row | values


def rows(people: int = 12) -> list[dict[str, Any]]:
    """Two pictures of each person, some of nobody in particular, and one of everything that goes wrong."""
    good = [cell(noise_photo(seed=2 * number + half), person=number) for number in range(people) for half in (0, 1)]
    unknown = [cell(noise_photo(seed=100 + number)) for number in range(4)]
    bad = [
        cell(noise_photo(), image={"bytes": b"no picture", "path": None}, person=1),
        cell(noise_photo(width=170)),
        cell(noise_photo(width=150)),
        cell(noise_photo(seed=0), person=11),
    ]
    return [*good, *bad, *unknown]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr(prepare, "_ROWS_PER_PART", 5)
    monkeypatch.setattr(prepare, "_BYTES_PER_SHARD", 40_000)
    table = [{name: row[name] for name in ("image", "source", "person", "emotion")} for row in rows()]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "rows.parquet")
    return open_source([tmp_path / "rows.parquet"])


def make(
    data: Dataset,
    folder: Path,
    *,
    detector: Any = known_faces,
    processes: int = 1,
    reselect: bool = False,
    tight: bool = False,
    **selection: Any,
) -> SelectionCounts:
    chosen = SelectionOptions(**{"validation_share": 0.25, **selection})
    options = PrepareOptions(SIZE, "cc0-1.0", "a", chosen, processes, reselect, tight)
    return prepare_dataset(data, folder, options, detector=detector, matte=LeftOut)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ---- the whole way


def test_a_folder_of_faces(data: Dataset, tmp_path: Path) -> None:
    counts = make(data, tmp_path / "out")
    assert counts.dropped == {"unreadable": 1, "no_face": 1, "turned_away": 1, "duplicate": 1}
    assert sum(counts.kept.values()) == 28 and set(counts.kept) == {"train", "validation"}
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files[:4] == [".parts", "README.md", "contact_sheet.png", "settings.json"]
    assert not [name for name in files if TEMPORARY_PREFIX in name]
    assert len(find_shards(tmp_path / "out", "train")) > 1, "dealt to several shards"
    for split, count in counts.kept.items():
        faces = read_shards(find_shards(tmp_path / "out", split))
        assert len(faces) == count and faces.image(0).shape == (SIZE, SIZE, 3)
        assert np.allclose(faces.landmarks[0][:468, :2].mean(axis=0), SIZE / 2, atol=4)
        matte = faces.matte(0)
        assert (matte[:, : SIZE // 8] == 0).all() and (matte[:, SIZE // 2] == 255).all()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: cc0-1.0" in card and f"| train | {counts.kept['train']} |" in card and "| duplicate | 1 | the same pixels" in card
    with Pictures.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.width == 12 * 128


def test_datasets_opens_the_folder(data: Dataset, tmp_path: Path) -> None:
    counts = make(data, tmp_path / "out")
    opened = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in opened.items()} == counts.kept
    row = opened["train"][0]
    assert row["image"].size == (SIZE, SIZE) and row["matte"].mode == "L" and len(row["landmarks"]) == 478 * 3
    assert opened["train"].column_names == SCHEMA.names


@pytest.mark.parametrize(("license_name", "tight"), [("cc-by-4.0", False), ("no", True)])
def test_the_card_is_metadata_and_text(tmp_path: Path, license_name: str, tight: bool) -> None:
    counts = SelectionCounts({"train": 3, "validation": 1}, {"no_face": 2})
    write_card(tmp_path, "my faces", counts, SIZE, license_name, SelectionOptions(), tight=tight)
    card = DatasetCard.load(tmp_path / "README.md")
    assert card.data.license == license_name, "text, also where YAML would read it as a truth value"
    files = [{"split": split, "path": f"{split}-*.parquet"} for split in counts.kept]
    assert card.data.to_dict() == {"license": license_name, "configs": [{"config_name": "default", "data_files": files}]}
    lines = (tmp_path / "README.md").read_text().splitlines()
    if license_name == "cc-by-4.0":  # byte for byte what earlier versions wrote
        header = ["---", "license: cc-by-4.0", "configs:", "- config_name: default", "  data_files:", "  - split: train"]
        assert lines[:11] == [*header, "    path: train-*.parquet", "  - split: validation", "    path: validation-*.parquet", "---", ""]
    assert "# my faces" in lines and "| train | 3 |" in lines and "| no_face | 2 | no face was found |" in lines
    assert any("made from 6 pictures" in line for line in lines)
    assert any("The face oval fills the crop" in line for line in lines) is tight


@pytest.mark.slow
def test_the_workers_make_no_difference(data: Dataset, tmp_path: Path) -> None:
    for processes in (1, 2):
        make(data, tmp_path / str(processes) / "out", processes=processes)
    assert contents(tmp_path / "1" / "out") == contents(tmp_path / "2" / "out")


def test_twice_the_same_bytes(data: Dataset, tmp_path: Path) -> None:
    make(data, tmp_path / "one" / "out")
    make(data, tmp_path / "two" / "out")
    assert contents(tmp_path / "one" / "out") == contents(tmp_path / "two" / "out")


def test_a_person_is_in_one_split(data: Dataset, tmp_path: Path) -> None:
    make(data, tmp_path / "out")
    train, validation = (set(read_shards(find_shards(tmp_path / "out", split)).persons.tolist()) for split in ("train", "validation"))
    assert (train & validation) <= {-1} and validation - {-1}
    make(data, tmp_path / "other", seed=1)
    other = set(read_shards(find_shards(tmp_path / "other", "validation")).persons.tolist())
    assert other != validation, "the seed decides"


@pytest.mark.parametrize(("share", "split"), [(0.0, "train"), (1.0, "validation")])
def test_everything_in_one_split(data: Dataset, tmp_path: Path, share: float, split: str) -> None:
    counts = make(data, tmp_path / "out", validation_share=share, keep_all=True)
    assert counts.kept == {split: 30} and set(counts.dropped) == {"unreadable", "no_face"}, "turned heads and duplicates stay"
    assert len(load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))[split]) == 30


def test_a_stopped_run_goes_on(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power"):
        make(data, tmp_path / "out", detector=broken_detector)
    parts = sorted((tmp_path / "out" / ".parts").iterdir())
    assert len(parts) == 5 and not (tmp_path / "out" / "README.md").exists(), "a folder without a card is not complete"
    times = [path.stat().st_mtime_ns for path in parts]
    make(data, tmp_path / "out")
    assert [path.stat().st_mtime_ns for path in parts] == times
    make(data, tmp_path / "straight" / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "straight" / "out")


def test_other_settings_are_refused(data: Dataset, tmp_path: Path) -> None:
    make(data, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError, match="prepared with other settings: selection was .*--reselect"):
        make(data, tmp_path / "out", max_yaw=30)
    with pytest.raises(ValueError, match="data was .*another folder"):
        make(data.select(range(20)), tmp_path / "out")
    with pytest.raises(ValueError, match="data was .*another folder"):
        make(data.select(range(20)), tmp_path / "out", reselect=True)
    with pytest.raises(ValueError, match="image_size was 64 and is 96"):
        prepare_dataset(data, tmp_path / "out", PrepareOptions(96, "cc0-1.0", "a"), detector=known_faces, matte=LeftOut)
    assert contents(tmp_path / "out") == before
    counts = make(data, tmp_path / "out", max_yaw=80, validation_share=0, reselect=True, detector=broken_detector)
    assert counts.kept == {"train": 29}, "selected anew without looking for faces again"
    assert not list((tmp_path / "out").glob("validation*")), "no shard of the earlier selection stays"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        make(data, tmp_path / "full")


def test_tight_crops_end_at_the_face_oval(data: Dataset, tmp_path: Path) -> None:
    make(data, tmp_path / "tight", tight=True, validation_share=0)
    make(data, tmp_path / "loose", validation_share=0)
    tight, loose = (read_shards(find_shards(tmp_path / name, "train")) for name in ("tight", "loose"))
    assert tight.tight and not loose.tight and tight.image_size == loose.image_size == SIZE
    oval = tight.landmarks[:, FACE_OVAL, :2]
    low, high = oval.min(axis=1), oval.max(axis=1)
    assert np.allclose((high - low).max(axis=1), SIZE, atol=1e-3), "its longer side fills the square"
    assert np.allclose((low + high) / 2, SIZE / 2, atol=1e-3), "in the middle"
    assert (tight.resolution < loose.resolution).all() and not np.array_equal(tight.image(0), loose.image(0))
    assert "fills the crop" in (tmp_path / "tight" / "README.md").read_text()
    assert json.loads((tmp_path / "tight" / "settings.json").read_text())["tight"] is True
    for reselect in (False, True):
        with pytest.raises(ValueError, match="tight was True and is False now.*another folder"):
            make(data, tmp_path / "tight", validation_share=0, reselect=reselect)


def test_a_folder_of_before_there_were_tight_crops_goes_on(data: Dataset, tmp_path: Path) -> None:
    make(data, tmp_path / "out")
    path = tmp_path / "out" / "settings.json"
    settings = json.loads(path.read_text())
    del settings["tight"]
    path.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="tight was False and is True now"):
        make(data, tmp_path / "out", tight=True)
    assert sum(make(data, tmp_path / "out", detector=broken_detector).kept.values()) == 28, "nothing is looked for again"


def test_no_face_at_all_is_an_error(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no picture was kept.*no_face"):
        make(data, tmp_path / "out", detector=nobody)


# ---- sources


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for number in range(4):
        folder = tmp_path / "photos" / f"person {number // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(png(noise_photo(seed=number)))
    (tmp_path / "photos" / "person 1" / "broken.png").write_bytes(png(noise_photo())[:200])
    data = open_source([tmp_path / "photos"], columns={"person": "label"})
    counts = make(data, tmp_path / "out", validation_share=0)
    assert counts.kept == {"train": 4} and counts.dropped == {"unreadable": 1}
    persons = read_shards(find_shards(tmp_path / "out", "train")).persons
    assert len(set(persons.tolist())) == 2 and (persons >= 0).all()


def test_a_picture_feature(tmp_path: Path) -> None:
    pictures = [Pictures.fromarray(noise_photo(seed=number)) for number in range(3)]
    data = Dataset.from_dict({"photo": pictures, "who": ["ann", "ben", "ann"]}).cast_column("photo", Image())
    data.save_to_disk(str(tmp_path / "saved"))
    data.to_parquet(tmp_path / "pictures.parquet")
    opened = open_source([tmp_path / "pictures.parquet"], columns={"image": "photo", "person": "who"})
    make(opened, tmp_path / "out", validation_share=0)
    persons = read_shards(find_shards(tmp_path / "out", "train")).persons.tolist()
    assert persons[0] == persons[2] != persons[1]


def test_files_that_label_different_things_are_one_source(tmp_path: Path) -> None:
    rows = {"image": [{"bytes": png(noise_photo()), "path": None}], "person": [1], "source": ["mine"]}
    pq.write_table(pa.table({**rows, "emotion": ["fear"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"age": [30], **rows}), tmp_path / "b.parquet")
    opened = open_source([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert len(opened) == 2 and sorted(opened.column_names) == ["image", "person", "source"]


@pytest.mark.parametrize(
    ("inputs", "columns", "said"),
    [
        ([], {}, "got nothing"),
        (["a.parquet", "folder"], {}, "one folder or data set"),
        (["rows.parquet"], {"person": "name"}, "it has image, source, person, emotion"),
        (["rows.parquet"], {"image": "photo"}, "Name the picture column"),
        (["rows.parquet"], {"height": "source"}, "columns must map image"),
    ],
)
@pytest.mark.usefixtures("data")
def test_sources_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str], columns: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        open_source(inputs, columns=columns)


@pytest.mark.parametrize(
    ("source", "person", "same_as"),
    [("a", 5, ("a", 5)), ("a", "ann", ("a", "ann"))],
)
def test_people_have_one_number(source: str, person: int | str, same_as: tuple[str, int | str]) -> None:
    assert person_id(source, person) == person_id(*same_as) >= 0
    assert person_id(source, person) != person_id("b", person), "number 5 of another source is another person"
    assert person_id(source, person) < 2**63


def test_people_without_a_number() -> None:
    assert person_id("a", None) == person_id("a", -1) == person_id("a", float("nan")) == -1
    assert person_id("a", 5.0) == person_id("a", 5)
    for bad in (2**32, 1.5, True):
        with pytest.raises(ValueError, match="person must be"):
            person_id("a", bad)  # type: ignore[arg-type]


# ---- reasons


def blurred() -> np.ndarray:
    return cv2.resize(noise_photo(8, 6), (160, 120), interpolation=cv2.INTER_CUBIC)


def with_points(change: Callable[[np.ndarray], np.ndarray]) -> Face:
    points = np.array(FACE.landmarks)
    return Face(FACE.box, 0.9, change(points))


REASON_TABLE = [
    ("an ordinary face", None, noise_photo(), FACE),
    ("another ordinary face, turned a little", None, noise_photo(), face_at(80, 60, 60, yaw=40)),
    ("a profile", "turned_away", noise_photo(), face_at(80, 60, 60, yaw=75)),
    ("half of the face is beyond the edge", "cut_off", noise_photo(), face_at(0, 60, 60)),
    ("28 pixels for 256", "too_small", noise_photo(), face_at(80, 60, 28)),
    ("out of focus", "blurred", blurred(), FACE),
    ("a mesh pulled apart", "implausible_mesh", noise_photo(), with_points(lambda p: p * np.where(np.arange(478) % 2, 1.0, 1.6)[:, None])),
    ("all points in one place", "no_pose", noise_photo(), with_points(lambda p: np.full_like(p, 60))),
    ("a face that no mesh fits", "no_landmarks", noise_photo(), face_at(80, 60, 60, landmarks=False)),
    ("nobody", "no_face", noise_photo(), None),
    ("a bystander far away", "no_face", noise_photo(), face_at(80, 60, 20)),
]


@pytest.mark.parametrize(("reason", "photo", "face"), [row[1:] for row in REASON_TABLE], ids=[row[0] for row in REASON_TABLE])
def test_reasons(reason: str | None, photo: np.ndarray, face: Face | None) -> None:
    measured = measure_row(cell(photo), KnownFaces({(160, 120): [face] if face else []}), LeftOut(), 256)
    assert drop_reason(measured, SelectionOptions()) == reason
    kept = drop_reason(measured, SelectionOptions(keep_all=True))
    assert kept == (reason if reason in NO_FACE_REASONS else None)
    pa.Table.from_pylist([measured], MEASURED_SCHEMA)
    assert reason is None or reason in REASONS


@pytest.mark.parametrize(
    "image",
    [
        {"bytes": b"", "path": None},
        {"bytes": b"GIF89a and nothing else", "path": None},
        {"bytes": png(noise_photo())[:300], "path": None},
        {"bytes": None, "path": "gone.png"},
        {"bytes": None, "path": None},
        None,
    ],
    ids=["empty", "header only", "truncated", "missing file", "no place", "null"],
)
def test_what_cannot_be_read_is_counted(image: Any) -> None:
    measured = measure_row(cell(noise_photo(), image=image), known_faces(), LeftOut(), SIZE)
    assert measured["reason"] == "unreadable" and measured["image"] is None
    pa.Table.from_pylist([measured], MEASURED_SCHEMA)


def test_a_face_that_fills_its_picture_is_found_with_a_border() -> None:
    """A detector that wants something around the face gets it; the crop does not show the border as a person."""
    photo = noise_photo(100, 100)
    bordered = KnownFaces({(150, 150): [face_at(75, 75, 100)]})
    measured = measure_row(cell(photo), bordered, LeftOut(), SIZE)
    assert bordered.calls == 2 and measured["reason"] is None and measured["visible"] > 0.95
    matte = np.array(Pictures.open(io.BytesIO(measured["matte"]["bytes"])))
    assert (matte[:, -2:] == 0).all() and matte[SIZE // 2, SIZE // 2] == 255, "beyond the photo is no person"


@pytest.mark.parametrize(
    ("photo", "told", "expected"),
    [
        (noise_photo(), None, False),
        (noise_photo(gray=True), None, True),
        (np.clip(noise_photo(gray=True) * np.array([1.0, 0.98, 0.95]), 0, 255).astype(np.uint8), None, True),
        (noise_photo(), True, True),
        (noise_photo(gray=True), False, True),
    ],
    ids=["color", "gray", "toned", "said to be gray", "said to be color but gray"],
)
def test_grayscale(photo: np.ndarray, told: bool | None, expected: bool) -> None:
    assert is_grayscale(measure_row(cell(photo, grayscale=told), known_faces(), LeftOut(), SIZE), SelectionOptions()) is expected


def test_measures_have_their_units() -> None:
    measured = measure_row(cell(noise_photo(), person=5, emotion=""), known_faces(), LeftOut(), SIZE)
    assert measured["resolution"] == pytest.approx(60 / 2.7 * 3.36 / SIZE, rel=0.1), "photo pixels per crop pixel"
    assert measured["yaw"] == pytest.approx(0, abs=0.5) and measured["misfit"] < 0.01 and measured["visible"] == 1
    assert measured["emotion"] is None and measured["person"] == person_id("a", 5)
    soft = measure_row(cell(cv2.GaussianBlur(noise_photo(), (0, 0), 2)), known_faces(), LeftOut(), SIZE)
    dark = measure_row(cell(noise_photo() // 3), known_faces(), LeftOut(), SIZE)
    assert soft["sharpness"] < measured["sharpness"] / 5, "blur counts"
    assert dark["sharpness"] == pytest.approx(measured["sharpness"], rel=0.2), "darkness does not"


def test_the_largest_face_counts() -> None:
    faces = [face_at(120, 90, 30), face_at(60, 60, 60), face_at(30, 90, 50, landmarks=False)]
    measured = measure_row(cell(noise_photo()), KnownFaces({(160, 120): faces}), LeftOut(), SIZE)
    assert measured["resolution"] == pytest.approx(60 / 2.7 * 3.36 / SIZE, rel=0.1)


# ---- selection


def test_the_first_of_two_equal_pictures_stays() -> None:
    selector = Selector(SelectionOptions(validation_share=0))
    good = measure_row(cell(noise_photo()), known_faces(), LeftOut(), SIZE)
    assert [selector(row) for row in (good | {"sharpness": 0.0}, good, good)] == [(None, "blurred"), ("train", None), (None, "duplicate")]


def test_the_share_is_of_people() -> None:
    options = SelectionOptions(validation_share=0.2, seed=3)
    splits = [split_of(person, b"", options) for person in range(2000)]
    assert 0.17 < splits.count("validation") / 2000 < 0.23
    assert splits == [split_of(person, b"another picture", options) for person in range(2000)]
    unknown = {split_of(-1, bytes([number]), options) for number in range(50)}
    assert unknown == {"train", "validation"}, "pictures of unknown people are told apart by what they show"


@pytest.mark.parametrize(
    "changes",
    [{"validation_share": 1.5}, {"min_visible": -0.1}, {"max_yaw": -1.0}, {"min_sharpness": float("nan")}, {"seed": -1}],
)
def test_options_check_themselves(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changes))} must"):
        SelectionOptions(**changes)


@pytest.mark.parametrize("changes", [{"image_size": 8}, {"processes": 0}])
def test_prepare_options_check_themselves(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changes))} must"):
        PrepareOptions(**changes)


# ---- the real thing


@pytest.mark.detection
def test_the_script_on_a_photo(tmp_path: Path, astronaut: Pictures.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    astronaut.save(tmp_path / "photos" / "a.png")
    Pictures.fromarray(noise_photo(200, 200)).save(tmp_path / "photos" / "b.png")
    path = Path(__file__).resolve().parents[2] / "scripts" / "prepare_dataset.py"
    spec = importlib.util.spec_from_file_location("prepare_dataset", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    arguments = [str(tmp_path / "photos"), "--output-dir", str(tmp_path / "out"), "--license", "cc0-1.0", "--validation-share", "0"]
    monkeypatch.setattr(sys, "argv", ["prepare_dataset.py", *arguments, "--processes", "1", "--source", "nasa"])
    script.main()
    faces = read_shards(find_shards(tmp_path / "out", "train"))
    assert len(faces) == 1 and faces.image_size == 256 and not faces.grayscale[0] and faces.persons[0] == -1
    matte = faces.matte(0)
    assert matte[128, 128] == matte[10, 128] == 255 and matte[140:170, :10].mean() < 40, "the flag behind her is no person, her hair is"
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["source"] == "nasa" and str(tmp_path) not in (tmp_path / "out" / "settings.json").read_text()
