"""scripts/benchmarks/look_agreement.py and detail_by_size.py with a model of a few kilobytes."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from script_loading import load_script
from tiny import KnownFaces, face_at, noise_photo, tiny_engine, tiny_model, tiny_processor

from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.evaluation.metrics.age_sex import AgeSex

SIZE, LARGE = (160, 120), (320, 240)


@pytest.fixture(scope="module")
def look() -> ModuleType:
    return load_script("benchmarks/look_agreement")


@pytest.fixture(scope="module")
def detail() -> ModuleType:
    return load_script("benchmarks/detail_by_size")


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_processor().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


class ColorJudge:
    """Reads whether a face is the noise of the photo: before a man of 8, after a woman of 40."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, photo: np.ndarray, landmarks: np.ndarray) -> AgeSex:
        x, y = landmarks[4, :2].astype(int)
        noisy = photo[y - 8 : y + 8, x - 8 : x + 8].std() > 35
        return AgeSex(0.95, 8.0, 1.0) if noisy else AgeSex(0.1, 40.0, 1.0)


def test_shares_are_of_what_the_judge_is_sure_of(look: ModuleType) -> None:
    man, boy, unsure = AgeSex(0.9, 40, 1), AgeSex(0.9, 6, 1), AgeSex(0.6, 15, 9)
    found = look.agreement([man, man, boy, unsure], [man, AgeSex(0.1, 45, 9), man, boy])
    assert found["faces"] == 4
    assert found["sex"] == {"share": pytest.approx(2 / 3), "of": 3}, "whoever is sure before counts, however it is after"
    assert found["age"] == {"share": pytest.approx(2 / 3), "of": 3}
    assert found["child"] == {"share": 0.0, "of": 1} and found["adult"] == {"share": 1.0, "of": 2}
    assert found["both"] == {"share": pytest.approx(1 / 3), "of": 3}
    assert found["years apart"]["mean"] == pytest.approx((0 + 5 + 34 + 9) / 4) and found["years older"] == pytest.approx((5 + 34 - 9) / 4)
    nobody = look.agreement([], [])
    assert nobody["sex"] == {"share": None, "of": 0} and nobody["years apart"] is None
    assert "-" in "\n".join(look.lines("nobody", nobody))


def test_only_replaced_faces_of_some_height_are_judged(look: ModuleType) -> None:
    faces = [face_at(60, 60), face_at(130, 60, 20), face_at(120, 100, 50, landmarks=False)]
    engine = tiny_engine({SIZE: faces})
    judged, left = look.judge_photo("a", noise_photo(), engine, ColorJudge(Path()), AnonymizeOptions(), seeds=[1, 2], min_height=40)
    assert [(one.seed, one.box) for one in judged] == [(1, faces[0].box), (2, faces[0].box)]
    assert left == 2, "the one without landmarks is covered, once for each seed; the small one does not count"
    assert all(one.before.is_man and not one.after.is_man for one in judged), "read in the photo, and in the output"


def test_look_agreement(
    tmp_path: Path, checkpoint: str, look: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(look, "YuNetDetector", lambda: KnownFaces({SIZE: [face_at(60, 60)]}))
    monkeypatch.setattr(look, "AgeSexJudge", ColorJudge)
    monkeypatch.setattr(look, "reencode", lambda photo, box: photo)  # noise loses more by it than a face would
    monkeypatch.setattr(look.torch, "set_num_threads", lambda count: None)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        Image.fromarray(noise_photo(seed=number)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    arguments = [
        "--photos",
        str(tmp_path / "photos"),
        "--checkpoint",
        checkpoint,
        "--with",
        "geometry=original",
        "--json",
        str(tmp_path / "r"),
    ]
    look.main(arguments)
    printed = capsys.readouterr().out
    assert "2 photos, 0 faces" in printed and "same sex: 0.0 % of 2" in printed and "0.png" in printed
    assert "encoded again: 2 faces\n  same sex: 100.0 % of 2" in printed
    content = json.loads((tmp_path / "r").read_text())
    assert content["anonymized"]["child"] == {"share": 0.0, "of": 2} and len(content["faces"]) == 2
    assert content["faces"][0]["seed"] != content["faces"][1]["seed"], "other people in every photo"


def test_detail_is_measured_at_the_photos_own_size(detail: ModuleType) -> None:
    face = face_at(160, 120, 200)
    assert face.landmarks is not None
    size = detail.native_size(face.landmarks)
    assert size % 32 == 0 and 1.1 < size / 200 < 1.4
    assert detail.scaled(noise_photo(), 0.5).shape == (60, 80, 3)


def test_an_output_like_its_photo_has_as_much_detail(detail: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, photo, face = tiny_engine(), noise_photo(*LARGE), face_at(160, 120, 150)
    real, generated = detail.measure_face(photo, face, engine, AnonymizeOptions(seed=1), 1.0)
    assert len(real) == len(generated) == 5 and generated[0] < 0.5 * real[0], "a face in noise is smoother than noise"
    monkeypatch.setattr(detail, "run_engine", lambda engine, photo, options, faces: detail_output(photo, faces[0].landmarks))
    real, generated = detail.measure_face(photo, face, engine, AnonymizeOptions(seed=1), 0.7)
    assert generated == pytest.approx(real)


def detail_output(photo: np.ndarray, landmarks: np.ndarray) -> object:
    """An output that is its photo."""
    from ganon_hf.evaluation.harness.readings import Output

    return Output(photo, "replaced", target_landmarks=landmarks)


def test_detail_by_size(
    tmp_path: Path, checkpoint: str, detail: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = KnownFaces({LARGE: [face_at(160, 120, 150)], SIZE: [face_at(60, 60)]})
    monkeypatch.setattr(detail, "YuNetDetector", lambda: known)
    monkeypatch.setattr(detail.torch, "set_num_threads", lambda count: None)
    (tmp_path / "photos").mkdir()
    for number, size in enumerate((LARGE, LARGE, SIZE)):
        Image.fromarray(noise_photo(*size, seed=number)).save(tmp_path / "photos" / f"{number}.png")
    common = ["--pictures", str(tmp_path / "photos"), "--checkpoint", checkpoint, "--heights", "100", "140", "--repeats", "5"]
    detail.main([*common, "--json", str(tmp_path / "r")])
    printed = capsys.readouterr().out
    for row in ("100 px, native, 2 faces", "100 px, enlarged, 1 faces", "140 px, native, 2 faces", "140 px, enlarged, 1 faces"):
        assert row in printed, row
    rows = json.loads((tmp_path / "r").read_text())
    assert set(rows["100 px, native, 2 faces"]) == {f"detail_{number}" for number in range(1, 6)}
    detail.main([*common, "--enlarge", "1.1"])
    assert "enlarged" not in capsys.readouterr().out
