"""scripts/benchmarks/leak_by_group.py: groups, fair galleries, and the way from Parquet file to report with a model of a few kilobytes."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from script_loading import load_script
from tiny import face_at, noise_photo, tiny_engine

from ganon_hf.evaluation.data.samples import Sample
from ganon_hf.evaluation.harness.pool import Tools
from ganon_hf.evaluation.harness.readings import Instruments, Output, Reading, Subject
from ganon_hf.evaluation.harness.suite import Run, Suite
from ganon_hf.evaluation.report.report import read_report

FACE = face_at(60, 60)
SKIN = {"light": (240, 215, 195), "medium": (190, 145, 115), "dark": (95, 65, 50)}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("benchmarks/leak_by_group")


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("0-2", "0 to 9 years"),
        ("3-9", "0 to 9 years"),
        ("10-19", "10 to 39 years"),  # most of a decade decides
        ("30-39", "10 to 39 years"),
        ("40-49", "40 to 59 years"),
        ("60-69", "60 years and more"),
        ("70+", "60 years and more"),
        ("12", "0 to 9 years"),
    ],
)
def test_age_groups(script: ModuleType, text: str, group: str) -> None:
    assert script.age_group(text) == group


def suite_of(photos: list[np.ndarray], known: np.ndarray, seen: list[np.ndarray], faceless: tuple[int, ...] = ()) -> Suite:
    """Everybody once: ``known`` embeddings of the originals, and of each draw the ``seen`` ones, the same for all methods."""
    script = load_script("benchmarks/leak_by_group")
    subjects = [Subject(FACE.box, None if row in faceless else FACE.landmarks) for row in range(len(photos))]

    def readings(vectors: np.ndarray) -> list[Reading]:
        return [Reading(None, None, np.zeros(52), embeddings={"toy": vector}) for vector in vectors]

    outputs = [Output(photo, "missed" if row in faceless else "replaced") for row, photo in enumerate(photos)]
    runs = {method.name: Run(outputs * len(seen), [one for vectors in seen for one in readings(vectors)]) for method in script.METHODS}
    runs["original"] = Run(outputs, readings(known))
    return Suite([Sample(photo, 100 + row) for row, photo in enumerate(photos)], subjects, runs)


def plain(color: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (120, 160, 3)).copy()


def test_groups_are_of_labels_and_of_the_photos_skin(script: ModuleType) -> None:
    photos = [plain(color) for color in (*SKIN.values(), (128, 128, 128), SKIN["dark"])]
    labels = {100: ("woman", "3-9"), 101: ("man", "20-29"), 102: ("man", "70+"), 103: ("woman", "40-49"), 104: ("man", "20-29")}
    found = script.make_groups(suite_of(photos, np.eye(5), [np.eye(5)], faceless=(4,)), labels)
    assert {group: rows.tolist() for group, rows in found.items()} == {
        "everybody": [0, 1, 2, 3, 4],
        "women": [0, 3],
        "men": [1, 2, 4],
        "0 to 9 years": [0],
        "10 to 39 years": [1, 4],
        "40 to 59 years": [3],
        "60 years and more": [2],
        "light skin": [0],
        "medium skin": [1],
        "dark skin": [2],
    }, "a gray photo and one without a face show no skin tone"


def test_a_group_is_no_safer_because_it_is_larger(script: ModuleType) -> None:
    """A recognizer that sees nothing but sex finds few of many women and each of few men; within galleries of one size, both alike."""
    women, men = 12, 3
    sex = np.repeat([[1.0, 0.0], [0.0, 1.0]], [women, men], axis=0)
    labels = {100 + row: ("woman" if row < women else "man", "20-29") for row in range(women + men)}
    part = script.measure(suite_of([plain(SKIN["light"])] * (women + men), sex, [sex, sex]), labels, {"toy": "cosine"}, repeats=5)
    row = {group: part.figures[f"ganon-hf: {group}"] for group in ("women", "men", "everybody")}
    assert row["women"]["toy/rank1"].value == pytest.approx(1 / women) and row["men"]["toy/rank1"].value == pytest.approx(1 / men)
    assert [row[group]["toy/group_rank1"].value for group in ("women", "men")] == pytest.approx([1 / 3, 1 / 3])
    assert 1 / 3 < row["everybody"]["toy/group_rank1"].value < 1, "among both sexes, sex tells more"
    assert row["men"]["toy/group_rank1"].people == 3
    assert row["men"]["replaced"].value == 1 and "replaced" not in part.figures["ganon-hf: light skin"], "skin is measured in faces"
    assert "33.3 %" in part.notes[0] and "women 12, men 3" in part.notes[1]


def test_protection_is_measured_against_the_own_group(script: ModuleType) -> None:
    """Women who all look alike are below the threshold of women, though above that of everybody."""
    women, men = np.array([[0.0, 0.01 * row] for row in range(4)]), np.array([[10.0 * row, 50.0] for row in range(40)])
    known = np.concatenate([women, men])
    seen = known.copy()
    seen[:4] += np.array([0.0, 3.0])  # further from their originals than women are apart, nearer than men are
    labels = {100 + row: ("woman" if row < 4 else "man", "20-29") for row in range(44)}
    part = script.measure(suite_of([plain(SKIN["dark"])] * 44, known, [seen]), labels, {"toy": "euclidean"}, repeats=5)
    found = {group: part.figures[f"ganon-hf: {group}"] for group in ("women", "men")}
    assert found["women"]["toy/protected"].value == 0 and found["women"]["toy/group_protected"].value == 1
    assert found["men"]["toy/protected"].value == found["men"]["toy/group_protected"].value == 0


def test_a_group_of_one_is_an_error(script: ModuleType) -> None:
    labels = {100: ("woman", "20-29"), 101: ("man", "20-29"), 102: ("man", "20-29")}
    with pytest.raises(ValueError, match="two people"):
        script.measure(suite_of([plain(SKIN["dark"])] * 3, np.eye(3), [np.eye(3)]), labels, {"toy": "cosine"}, repeats=5)


class CornerColors:
    """A recognizer of backgrounds: the first pixels of the photo, which no anonymization changes."""

    name, metric = "corner", "euclidean"

    def __call__(self, photo: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
        return photo[0, :16].astype(float).ravel()


def test_from_parquet_to_report(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for number in range(4):
        stream = io.BytesIO()
        Image.fromarray(noise_photo(seed=number)).save(stream, "PNG")
        one = {"image": {"bytes": stream.getvalue(), "path": None}, "person": number, "emotion": None}
        rows.append({**one, "sex": ("woman", "man")[number % 2], "age": "20-29"})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "eval-wild-00000-of-00001.parquet")
    engine = tiny_engine()

    class TinyToolkit:
        def __init__(self, model: str | None, recognizers: tuple[str, ...], cache: Path) -> None:
            assert (model, recognizers, cache) == (None, ("corner",), tmp_path / "report" / "cache")

        def load_recognizers(self) -> list[CornerColors]:
            return [CornerColors()]

        def caches(self, recognizers: list[CornerColors]) -> dict[str, object]:
            return {}

        def __call__(self) -> Tools:
            return Tools(engine, Instruments(engine.detector, recognizers=[CornerColors()]))

    monkeypatch.setattr(script, "Toolkit", TinyToolkit)
    monkeypatch.setattr(script, "Anonymizer", SimpleNamespace(from_pretrained=lambda model: engine))
    monkeypatch.setattr(script, "measure_skin_shade", lambda photo, landmarks: None)
    out = tmp_path / "report"
    script.main(["--faces", str(tmp_path), "--recognizer", "corner", "--draws", "2", "--repeats", "5", "--output-dir", str(out)])
    assert "ganon-hf, look random: women" in capsys.readouterr().out
    report = read_report(out / "report.json")
    (part,) = report.sets
    assert report.settings["draws"] == 2 and str(report.settings["model"]).startswith("bundled@")
    for method in ("ganon-hf", "ganon-hf, look random", "ganon-hf, somebody else's landmarks", "ganon-hf, unchanged pixels alone"):
        row = part.figures[f"{method}: men"]
        assert row["corner/rank1"].value == row["corner/group_rank1"].value == 1, "the background tells everybody"
        assert ("replaced" in row) is (method in ("ganon-hf", "ganon-hf, look random")), "a control replaces nobody"
    assert part.figures["ganon-hf: everybody"]["replaced"].value == 1
