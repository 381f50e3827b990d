"""From pictures to a report: data, baselines, the suite with stand-ins, instruments where they are installed."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny import face_at, noise_photo, tiny_engine

from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.faces import AnonymizationResult, Crop, Face, FaceReport
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.evaluation.attacks import landmark_attack as geometry_attack
from ganon_hf.evaluation.data import samples as pairs
from ganon_hf.evaluation.harness import baselines, methods, readings, suite
from ganon_hf.evaluation.harness import pool as workers
from ganon_hf.evaluation.harness.options import parse_engine_options
from ganon_hf.evaluation.metrics import estimates as measures
from ganon_hf.evaluation.metrics import recognition as identity
from ganon_hf.evaluation.metrics import seam
from ganon_hf.evaluation.report import figures
from ganon_hf.hub.card_pictures import _outcome_of
from ganon_hf.hub.model_card import HardSample


def test_embedding_cache(tmp_path: Path) -> None:
    calls = []

    def recognizer(photo: np.ndarray, box: tuple[float, ...]) -> np.ndarray | None:
        calls.append(box)
        return None if photo.max() == 0 else np.full(4, photo.mean())

    photo, box = np.full((8, 8, 3), 5, np.uint8), (0.0, 0.0, 8.0, 8.0)
    for _ in range(2):
        cache = identity.EmbeddingCache(tmp_path / "c.npz")
        assert cache.get(recognizer, photo, box)[1][0] == 5  # type: ignore[index]
        cache.get(recognizer, photo, (1.0, 0.0, 8.0, 8.0))  # another box is another face
        assert cache.get(recognizer, np.zeros_like(photo), box)[1] is None
        cache.save()
    assert len(calls) == 4, "two vectors once, and what could not be read every time"
    cache = identity.EmbeddingCache(tmp_path / "c.npz")
    cache.get(recognizer, photo, box)
    cache.save()
    with np.load(tmp_path / "c.npz") as stored:
        assert len(stored.files) == 1, "what a run does not use is forgotten"
    (tmp_path / "c.npz").write_bytes(b"PK damaged")
    assert identity.EmbeddingCache(tmp_path / "c.npz").get(recognizer, photo, box)[1] is not None


def test_unreadable_faces_are_misses_and_spoil_nobody_else() -> None:
    first, second = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for metric in identity.METRICS:
        values = identity.similarity([first, None, second], [first, None, second], metric)
        hits = measures.hit_rates(values, np.arange(3), 1)
        assert hits.tolist() == [1, 0, 1] and np.isnan(values[1]).all() and np.isneginf(values[0, 1])
        found = identity.recognition_values(values, np.arange(3), threshold=identity.impostor_threshold(values, far=0.5))
        assert found["tar"].tolist() == [1, 0, 1]


def test_a_doubtful_cover_counts_as_covered() -> None:
    face = replace(face_at(80, 60, landmarks=False), doubtful=True)
    output = readings.run_engine(tiny_engine(), noise_photo(), AnonymizeOptions(seed=1), faces=[face])
    assert (output.status, output.reason) == ("covered", "it may be no face")
    result = tiny_engine()(noise_photo(), AnonymizeOptions(seed=1), faces=[face])
    assert _outcome_of("blurred", result) == HardSample("blurred", "covered", "it may be no face"), "on the card, too"


class PluggedIn:
    """A recognizer as a user would write one: the mean color of the box."""

    name, metric = "mean color", "cosine"

    def __call__(self, photo: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
        return photo.reshape(-1, 3).mean(axis=0)


as_function = PluggedIn()


def nameless(photo: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    return np.zeros(3)


@pytest.mark.parametrize("name", ["PluggedIn", "as_function"])
def test_recognizers_are_found_by_name(name: str) -> None:
    recognizer = identity.load_recognizer(f"{__name__}:{name}")
    assert isinstance(recognizer, identity.Recognizer) and (recognizer.name, recognizer.metric) == ("mean color", "cosine")


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("dlibb", ValueError, "module:name"),  # neither dlib nor a module's
        ("no_such_module_here:x", ImportError, "no_such_module_here"),
        (f"{__name__}:missing", ValueError, "has no missing"),
        (f"{__name__}:nameless", TypeError, "arguments"),  # taken for a function that makes one
    ],
)
def test_what_is_no_recognizer_is_named(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        identity.load_recognizer(name)
    with pytest.raises(ValueError, match="metric"):
        identity.check_recognizer(nameless)


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


def test_of_unchanged_pixels_alone_nothing_is_the_faces() -> None:
    photo = noise_photo()
    subject = readings.Subject((40.0, 30.0, 80.0, 90.0))
    result = photo.copy()
    result[30:90, 40:80] = noise_photo(40, 60, seed=1)
    result[50:52, 50:52] = photo[50:52, 50:52]  # equal by chance
    shown = baselines.unchanged_alone(photo, result, subject.box)
    inside = shown[30:90, 40:80]
    assert (inside == inside[0, 0, 0]).all() and abs(int(inside[0, 0, 0]) - photo.mean()) < 5, "one gray, gaps too"
    shown[30:90, 40:80] = photo[30:90, 40:80]
    assert (shown == photo).all(), "the rest is the photo"
    assert np.ptp(baselines.unchanged_alone(photo, 255 - photo, subject.box)) == 0, "where nothing is left"
    assert (baselines.unchanged_alone(photo, photo, subject.box) == photo).all()
    with pytest.raises(ValueError, match="one size"):
        baselines.unchanged_alone(photo, photo[1:], subject.box)


def test_unchanged_pixels_are_those_of_the_engines_own_result() -> None:
    """Of one seed: where the result differs from the photo there is gray, elsewhere the photo."""
    photo, face = noise_photo(), face_at(60, 60)
    subject = readings.Subject(face.box, face.landmarks, (face,))
    control = methods.unchanged_alone_method(OURS)
    result, shown = (methods.apply(one, tiny_engine(), photo, subject, seed=7, donor=None) for one in (OURS, control))
    changed = (result.photo != photo).any(axis=2)
    assert (result.status, shown.status) == ("replaced", "covered") and 0.05 < changed.mean() < 0.9
    assert len(np.unique(shown.photo[changed])) == 1 and (shown.photo[~changed] == photo[~changed]).mean() > 0.95
    nobody = replace(subject, faces=())
    missed = methods.apply(control, tiny_engine({}), photo, nobody, seed=7, donor=None)
    assert missed.status == "missed" and (missed.photo == photo).all(), "where nothing was hidden, nothing is"


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


class StubDetector:
    """Sees the mean face wherever the middle of the picture is not black."""

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        if image[30, 30].sum() == 0:
            return []
        points = 12 * MEAN_LANDMARKS + [30, 30, 0]
        return [Face((14.0, 14.0, 46.0, 46.0), 0.9, points)]


class StubEngine:
    """Whitens the picture; refuses dark ones."""

    def plan(self, photo: np.ndarray, options: AnonymizeOptions, *, faces: object = None) -> object:
        found = () if photo[30, 30].sum() == 0 else (SimpleNamespace(crop=None, points=None),)
        return SimpleNamespace(photo=photo, faces=found, inputs=[])

    def generate(self, inputs: list[object]) -> None:
        return None

    def compose(self, plan: object, images: None) -> AnonymizationResult:
        reports = tuple(FaceReport((14.0, 14.0, 46.0, 46.0), 0.9, "replaced") for _ in plan.faces)  # type: ignore[attr-defined]
        return AnonymizationResult(Image.new("RGB", (60, 60), "white"), reports)


OURS = methods.engine_method(AnonymizeOptions())


def some_samples() -> list[pairs.Sample]:
    """Three people with two pictures each, and one whose only picture shows no face."""
    generator = np.random.default_rng(4)
    labels = [(person, emotion) for person in range(3) for emotion in ("neutral", "happiness")]
    samples = [pairs.Sample(generator.integers(50, 200, (60, 60, 3), dtype=np.uint8), *label) for label in labels]
    return [*samples, pairs.Sample(np.zeros((60, 60, 3), np.uint8), 3, "neutral")]


def run_stubs(**options: object) -> suite.Suite:
    def make() -> workers.Tools:
        return workers.Tools(StubEngine(), readings.Instruments(StubDetector(), recognizers=[PluggedIn()]))  # type: ignore[arg-type]

    samples = some_samples()
    chosen = [*methods.REFERENCES, OURS, methods.swapped_landmarks_method(), *methods.OBFUSCATIONS]
    with workers.Pool(make) as pool:
        subjects = [suite.locate(pool._make_tools(), sample) for sample in samples]
        return suite.run_suite(samples, subjects, pool, chosen, **options)  # type: ignore[arg-type]


def test_suite_runs_every_method_over_every_sample() -> None:
    result = run_stubs(keep_rows=[0])
    assert set(result.runs) == {methods.ORIGINAL, methods.REENCODED, OURS.name, methods.SWAPPED_LANDMARKS, *baselines.BASELINES}
    run = result.runs[OURS.name]
    assert [output.photo.size > 0 for output in run.outputs] == [True] + 6 * [False], "only what is shown is kept"
    covered = figures.coverage_measures(result, run, repeats=10)
    assert (covered["replaced"].value, covered["missed"].value) == (pytest.approx(6 / 7), pytest.approx(1 / 7))
    assert "redetected_second" not in covered, "no second detector, no column"
    assert "replaced" not in figures.coverage_measures(result, result.runs[methods.ORIGINAL], repeats=10), "nobody tried"
    assert figures.coverage_measures(result, result.runs["solid cover"], repeats=10)["redetected"].value == 0
    kept = figures.expression_measures(result, run, (), repeats=10)
    assert kept["pose_error"].count == 6 and kept["pose_error"].value == pytest.approx(0, abs=1e-3)
    attack = geometry_attack.Discriminants(np.zeros(1404), np.eye(1404)[:, :5])
    stolen = figures.geometry_measures(result, run, attack, repeats=10)
    assert stolen["geometry_rank1"].value == pytest.approx(1 / 3), "everybody has the same face: chance"
    known, curves = figures.recognizer_measures(result, result.runs[methods.ORIGINAL], "mean color", "cosine", repeats=10)
    assert known["linkage_rank1"] == known["rank1"], "the original is its own gallery"
    white, _ = figures.recognizer_measures(result, run, "mean color", "cosine", repeats=10)
    assert white["rank1"].value == pytest.approx(1 / 3) and white["linkage_taken_for_one"].value == 1, "white is white"
    assert known["protected"].value == 1 - known["tar"].value and known["eer"] == known["linkage_eer"]
    assert "always_found" not in known, "there is one draw"
    assert (white["eer"].value, white["protected"].value) == (pytest.approx(0.5), 1), "the same answer for all is chance"
    assert len(curves["cmc"]) == 3 and curves["cmc"][-1] == 1 and curves["tar"][-1] == 1
    assert all(a <= b for a, b in zip(curves["cmc"], curves["cmc"][1:], strict=False))


def test_draws_repeat_what_draws() -> None:
    result = run_stubs(draws=3)
    assert [len(result.runs[name].readings) for name in (methods.ORIGINAL, "blur", OURS.name, methods.SWAPPED_LANDMARKS)] == [7, 7, 21, 21]
    run = result.runs[OURS.name]
    assert figures.coverage_measures(result, run, repeats=10)["replaced"].count == 21
    found = figures.recognizer_measures(result, run, "mean color", "cosine", repeats=10)[0]
    assert found["eer"].count == found["rank1"].count == 3, "probes, however many draws"
    assert found["rank1"].people == 3 and found["always_found"].value == pytest.approx(1 / 3), "white is white in every draw"


def test_the_worst_are_found_in_all_draws() -> None:
    """Person 0 by another of his two probes each time, person 1 once, person 2 never."""
    target = np.array([0, 0, 1, 2])
    seen = [[0, 1, 1, 0], [1, 0, 2, 0]]  # whom each probe is most like, draw by draw
    found = figures.always_found([np.eye(3)[draw] for draw in seen], target, repeats=20)
    assert (found.value, found.count, found.people) == (pytest.approx(1 / 3), 3, 3)


def test_unread_probes_and_missing_people_in_the_equal_error_rate() -> None:
    perfect = np.eye(4)
    unread = perfect.copy()
    unread[0] = np.nan
    gone = perfect.copy()
    gone[:, 0] = -np.inf  # of the gallery
    rates = [figures.equal_errors([one], np.arange(4), np.arange(4), repeats=5).value for one in (perfect, unread, gone)]
    assert rates == [0, pytest.approx(0.25), pytest.approx(0.25)], "one of four is refused at every threshold"


@pytest.mark.parametrize(("seeds", "wanted"), [("fresh", 6), ("person", 3), ("one", 1)])
def test_seeds_of_a_method(seeds: str, wanted: int) -> None:
    samples = some_samples()[:6]
    drawn = suite._seeds(methods.Method("x", AnonymizeOptions(), seeds=seeds), samples, 0, 5)
    assert len(set(drawn)) == wanted
    assert drawn == suite._seeds(methods.Method("y", AnonymizeOptions(), seeds=seeds), samples, 0, 5), "the same in every evaluation"
    assert not set(drawn) & set(suite._seeds(methods.Method("x", AnonymizeOptions(), seeds=seeds), samples, 1, 5)), "a draw is a new one"


def test_somebody_elses_landmarks_are_those_of_the_same_label() -> None:
    samples = some_samples()[:6]
    subjects = [readings.Subject((0, 0, 1, 1), np.full((478, 3), float(row))) for row in range(6)]
    points = [subject.landmarks for subject in subjects]
    for draw in range(5):
        for sample, donor in zip(samples, suite.draw_donors(samples, points, np.random.default_rng(draw)), strict=True):
            assert donor is not None
            giver = samples[int(donor[0, 0])]
            assert giver.person != sample.person and giver.emotion == sample.emotion


def test_landmarks_in_the_pose_of_another_face() -> None:
    from ganon_hf.core.face_mesh import FACE_OVAL

    own = 12 * MEAN_LANDMARKS + [30, 30, 0]
    other = 70 * (MEAN_LANDMARKS + 0.05 * np.sin(np.arange(478))[:, None]) + [200, 90, 5]
    mixed = methods.in_pose_of(own, other)
    assert np.allclose(mixed[FACE_OVAL], own[FACE_OVAL]), "the outline stays"
    assert 0.05 < np.abs(mixed - own).max() / 12 < 0.3, "the inner points do not, and are of this face's size"
    assert np.allclose(methods.in_pose_of(own, 3 * own + 50), own), "the same face in another place is the same face"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", AnonymizeOptions()),
        ("geometry=original", AnonymizeOptions(geometry="original")),
        (" min_score = 0.4, min_face_size=32", AnonymizeOptions(min_score=0.4, min_face_size=32)),
        ("look=woman, 30, privacy=low", AnonymizeOptions(look="woman, 30", privacy="low")),
        ("privacy=low,look=man,old,beard,", AnonymizeOptions(look="man,old,beard", privacy="low")),
        ("keep_occluders=False", AnonymizeOptions(keep_occluders=False)),
    ],
)
def test_parse_options(text: str, wanted: AnonymizeOptions) -> None:
    assert parse_engine_options(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["seed=3", "geometry", "geometry=none", "min_score=high", "look=woman, elephant", "keep_occluders=no", "nonsense=1", "output=crop"],
)
def test_options_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected NAME=VALUE|must be"):
        parse_engine_options(text)


@pytest.mark.parametrize(
    ("drawn", "low", "high"),
    [
        ("nothing", 0.999, 1.001),  # the photo itself
        ("hard edge", 5, 1e9),  # a patch of another tone
        ("soft edge", 1.1, 4.0),  # a fainter one, feathered over the rim
        ("flat", -0.1, 0.2),  # the photo's own structure is gone
    ],
)
def test_seam_energy(drawn: str, low: float, high: float) -> None:
    import cv2

    generator = np.random.default_rng(0)
    photo = cv2.GaussianBlur(generator.normal(0, 60, (256, 256, 3)).astype(np.float32), (0, 0), 4) + 120
    inside = cv2.circle(np.zeros((256, 256), np.uint8), (128, 128), 80, 1, -1) > 0
    alpha = cv2.GaussianBlur(cv2.erode(inside.astype(np.float32), np.ones((15, 15))), (0, 0), 6)[..., None]
    after = {
        "nothing": photo,
        "hard edge": np.where(inside[..., None], photo + 60, photo),
        "soft edge": photo + 10 * alpha,
        "flat": np.full_like(photo, 120),
    }[drawn]
    pictures = [np.clip(np.round(p), 0, 255).astype(np.uint8) for p in (photo, after)]
    crop = Crop(np.array([[1.0, 0, 0], [0, 1, 0]]), 256)
    assert low < seam.seam_energy(*pictures, crop, (inside, inside)) < high


def test_seam_needs_a_rim() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    crop = Crop(np.array([[1.0, 0, 0], [0, 1, 0]]), 64)
    face, everything = np.eye(64) > 0, np.ones((64, 64), bool)
    assert np.isnan(seam.seam_energy(photo, photo, crop, (everything, everything))), "an outline outside of the crop"
    assert np.isnan(seam.seam_energy(np.full_like(photo, 9), photo, crop, (face, face))), "a flat original has no energy to compare with"


def test_recognizer_without_dlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"ganon-hf\[eval\]"):
        identity.DlibRecognizer()


def test_dlib_knows_a_face_again(astronaut: object) -> None:
    try:
        recognizer = identity.DlibRecognizer()
    except ImportError as error:
        pytest.skip(str(error))
    photo = np.asarray(astronaut)
    near = (160.0, 50.0, 290.0, 220.0)
    box = recognizer.detector.find(photo, near)
    assert box is not None and recognizer.detector.find(photo, (400.0, 400.0, 500.0, 500.0)) is None
    first = recognizer(photo, box)
    again = recognizer(baselines.reencode(photo, box), box)
    hidden = recognizer(baselines.solid(photo, box), box)
    assert first.shape == (128,)
    assert np.linalg.norm(first - again) < 0.3 < 0.6 < np.linalg.norm(first - hidden)
