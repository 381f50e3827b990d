"""From pictures to a report: data, baselines, the suite with stand-ins, instruments where they are installed."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganon_hf.evaluation import baselines, expression, geometry_attack, identity, measures, pairs, readings, report, suite
from ganon_hf.faces import AnonymizationResult, AnonymizeOptions, Face, FaceReport
from ganon_hf.topology import MEAN_SHAPE


def test_embedding_cache(tmp_path: Path) -> None:
    class Counter:
        calls = 0

        def embed(self, photo: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
            self.calls += 1
            return np.full(4, photo.mean())

    counter, photo = Counter(), np.full((8, 8, 3), 5, np.uint8)
    for _ in range(2):
        cache = identity.EmbeddingCache(tmp_path / "c.npz", 4)
        assert cache.get(counter, photo, (0, 0, 8, 8))[0] == 5  # type: ignore[arg-type]
        cache.get(counter, photo, (1, 0, 8, 8))  # type: ignore[arg-type]  another box is another face
        cache.save()
    assert counter.calls == 2


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_baselines_change_the_face_and_nothing_else(name: str) -> None:
    photo = np.random.default_rng(3).integers(0, 256, (120, 100, 3), dtype=np.uint8)
    box = (30.0, 40.0, 70.0, 90.0)
    before = photo.copy()
    result = baselines.BASELINES[name](photo, box)
    assert (photo == before).all() and result.dtype == np.uint8
    changed = np.argwhere((result != photo).any(axis=2))
    assert changed[:, 0].min() >= 35 and changed[:, 0].max() < 95 and changed[:, 1].min() >= 26 and changed[:, 1].max() < 74
    inside = result[45:85, 35:65].astype(float)
    assert inside.std() < 0.4 * photo.std()
    assert (baselines.BASELINES[name](photo, (300.0, 300.0, 310.0, 310.0)) == photo).all(), "outside the picture there is nothing to do"


def test_pairs_are_people_with_both_pictures() -> None:
    photo = np.zeros((4, 4, 3), np.uint8)
    labels = [(2, "happiness"), (1, "neutral"), (2, "neutral"), (3, "neutral"), (1, "happiness"), (1, "neutral"), (4, "")]
    neutral, smiling = pairs.pair_rows([pairs.Sample(photo, person, emotion) for person, emotion in labels])
    assert neutral.tolist() == [1, 2] and smiling.tolist() == [4, 0]


def test_border() -> None:
    photo = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    framed = pairs.with_border(photo, 0.25)
    assert framed.shape == (12, 10, 3) and (framed[2:-2, 2:-2] == photo).all() and (framed[0, 0] == photo[0, 0]).all()
    assert pairs.with_border(photo, 0.0) is photo


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no eval-pairs-\*\.parquet"):
        pairs.read_samples(tmp_path, "eval-pairs")


def test_samples_from_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as parquet

    def picture(value: int) -> dict[str, object]:
        buffer = io.BytesIO()
        Image.new("RGB", (6, 8), (value,) * 3).save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    for shard in range(2):
        values = [10 * shard + i for i in range(3)]
        table = {"image": [picture(v) for v in values], "person": [0, 1, 2 + shard], "emotion": ["neutral", None, "happiness"]}
        parquet.write_table(pa.table(table), tmp_path / f"some-0000{shard}-of-00002.parquet")
    samples = pairs.read_samples(tmp_path, "some", people=2)
    assert [(sample.person, sample.emotion, int(sample.photo[0, 0, 0])) for sample in samples] == [
        (0, "neutral", 0),
        (1, "", 1),
        (0, "neutral", 10),
        (1, "", 11),
    ]
    assert pairs.read_persons(tmp_path, "some").tolist() == [0, 1, 2, 0, 1, 3]
    assert [int(photo[0, 0, 0]) for photo in pairs.read_photos(tmp_path, "some", [1, 3, 5])] == [1, 10, 12]


class StubDetector:
    """Sees the mean face wherever the middle of the picture is not black."""

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        if image[30, 30].sum() == 0:
            return []
        points = 12 * MEAN_SHAPE + [30, 30, 0]
        return [Face((14.0, 14.0, 46.0, 46.0), 0.9, points)]


class StubEngine:
    """Whitens the picture; refuses dark ones."""

    def plan(self, photo: np.ndarray, options: AnonymizeOptions) -> object:
        faces = () if photo[30, 30].sum() == 0 else (SimpleNamespace(crop=None, points=None),)
        return SimpleNamespace(photo=photo, faces=faces, inputs=[])

    def generate(self, inputs: list[object]) -> None:
        return None

    def compose(self, plan: object, images: None) -> AnonymizationResult:
        reports = tuple(FaceReport((14.0, 14.0, 46.0, 46.0), 0.9, "replaced") for _ in plan.faces)  # type: ignore[attr-defined]
        return AnonymizationResult(Image.new("RGB", (60, 60), "white"), reports)


def test_suite_runs_every_method_over_every_sample() -> None:
    generator = np.random.default_rng(4)
    labels = [(person, emotion) for person in range(3) for emotion in ("neutral", "happiness")]
    samples = [pairs.Sample(generator.integers(50, 200, (60, 60, 3), dtype=np.uint8), *label) for label in labels]
    samples.append(pairs.Sample(np.zeros((60, 60, 3), np.uint8), 3, "neutral"))
    instruments = readings.Instruments(StubDetector(), None, None)
    result = suite.run_suite(samples, StubEngine(), instruments, geometries=["anonymous"], keep_photos=True)  # type: ignore[arg-type]
    assert set(result.runs) == {suite.ORIGINAL, suite.NOISE, suite.ours("anonymous"), *baselines.BASELINES}
    run = result.runs[suite.ours("anonymous")]
    covered = suite.coverage_measures(result, run, repeats=10)
    assert (covered["replaced"].value, covered["missed"].value) == (pytest.approx(6 / 7), pytest.approx(1 / 7))
    assert "redetected_second" not in covered, "no second detector, no column"
    assert "replaced" not in suite.coverage_measures(result, result.runs[suite.ORIGINAL], repeats=10), "nobody tried"
    assert suite.coverage_measures(result, result.runs["solid cover"], repeats=10)["redetected"].value == 0
    kept = suite.expression_measures(result, run, (), repeats=10)
    assert kept["pose_error"].count == 6 and kept["pose_error"].value == pytest.approx(0, abs=1e-3)
    attack = geometry_attack.Discriminants(np.zeros(1404), np.eye(1404)[:, :5])
    stolen = suite.identity_measures(result, run, attack, repeats=10)
    assert stolen["geometry_rank1"].value == pytest.approx(1 / 3), "everybody has the same face: chance"
    assert "rank1" not in stolen, "no recogniser, no column"


def test_report(tmp_path: Path) -> None:
    few = measures.Estimate(1.0, 1.0, 1.0, 2, 2)
    good, unknown = measures.Estimate(0.5, 0.4, 0.6, 10, 5), measures.Estimate(float("nan"), float("nan"), float("nan"), 0, 0)
    data = {"some people": {"original": {"rank1": good, "smile_auc": good}, "blur": {"rank1": unknown}, "mosaic": {"rank1": few}}}
    report.write_report(tmp_path / "new", data, {"seed": 1}, ["blendshapes: no model"])
    content = json.loads((tmp_path / "new" / "report.json").read_text())
    assert content["data"]["some people"]["original"]["rank1"] == {"value": 0.5, "low": 0.4, "high": 0.6, "count": 10, "people": 5}
    assert content["data"]["some people"]["blur"]["rank1"]["value"] is None
    text = (tmp_path / "new" / "report.md").read_text()
    assert "50.0 % (40.0 to 60.0)" in text and "| blur | - |" in text and "blendshapes: no model" in text
    assert "| mosaic | 100.0 % (100.0 to 100.0) of 2 |" in text, "how many pictures there were"
    assert text.count("| blur |") == 1, "no line where the method has no figure"
    assert set(report.TITLES) == {name for names in report.SECTIONS.values() for name in names}


def test_sheet(tmp_path: Path) -> None:
    report.write_sheet(tmp_path / "a" / "s.png", [[np.zeros((4, 5, 3), np.uint8)] * 2, [np.full((3, 6, 3), 255, np.uint8)]])
    with Image.open(tmp_path / "a" / "s.png") as sheet:
        assert sheet.size == (11, 7) and sheet.getpixel((0, 4)) == (255, 255, 255) and sheet.getpixel((10, 6)) == (127, 127, 127)


def test_recogniser_without_dlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"ganon-hf\[eval\]"):
        identity.DlibRecognizer()


def test_blendshapes_without_the_model_say_so(tmp_path: Path) -> None:
    from ganon_hf.evaluation.blendshapes import BlendshapeReader

    with pytest.raises(FileNotFoundError, match="bundle"):
        BlendshapeReader(tmp_path / "face_landmarker.task")


def test_dlib_knows_a_face_again(astronaut: object) -> None:
    try:
        recognizer = identity.DlibRecognizer()
    except ImportError as error:
        pytest.skip(str(error))
    photo = np.asarray(astronaut)
    near = (160.0, 50.0, 290.0, 220.0)
    box = recognizer.find(photo, near)
    assert box is not None and recognizer.find(photo, (400.0, 400.0, 500.0, 500.0)) is None
    first = recognizer.embed(photo, box)
    again = recognizer.embed(baselines.encode_again(photo, box), box)
    hidden = recognizer.embed(baselines.solid(photo, box), box)
    assert first.shape == (128,)
    assert np.linalg.norm(first - again) < 0.3 < 0.6 < np.linalg.norm(first - hidden)


@pytest.mark.mediapipe
def test_blendshapes_of_a_face() -> None:
    from skimage import data

    from ganon_hf.evaluation.blendshapes import BlendshapeReader

    model = Path(__file__).resolve().parents[3] / "shared" / "models" / "face_landmarker.task"
    if not model.is_file():
        pytest.skip("the Face Landmarker bundle is not beside the project")
    photo = np.ascontiguousarray(data.astronaut())
    with BlendshapeReader(model) as reader:
        scores = reader(photo, (160.0, 50.0, 290.0, 220.0))
        assert scores.shape == (52,) and 0 <= scores.min() <= scores.max() <= 1
        assert expression.smile_score(scores[None], reader.names)[0] > 0.8, "she smiles"
        assert np.isnan(reader(np.zeros_like(photo), (160.0, 50.0, 290.0, 220.0))).all()
