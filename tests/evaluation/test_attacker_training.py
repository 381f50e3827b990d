"""Training of the attackers on toy people: what is found once, what is kept, who is tried on whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny import face_at, noise_photo, tiny_engine

from ganon_hf.core.faces import Box, Face
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.evaluation.attacks import attacker_training as attacks
from ganon_hf.evaluation.attacks import program_attacks as trials
from ganon_hf.evaluation.attacks.anonymized_pairs import embed_crops
from ganon_hf.evaluation.attacks.reconstruction import ReconstructionOptions
from ganon_hf.evaluation.data.picture_sets import PictureSet
from ganon_hf.evaluation.data.samples import Sample
from ganon_hf.evaluation.harness.methods import OBFUSCATIONS, engine_method, swapped_landmarks_method
from ganon_hf.evaluation.harness.options import EvaluationOptions
from ganon_hf.evaluation.harness.pool import Pool, Tools
from ganon_hf.evaluation.harness.readings import Instruments
from ganon_hf.evaluation.harness.suite import locate_all, run_suite
from ganon_hf.evaluation.harness.toolkit import Toolkit
from ganon_hf.evaluation.metrics.emotion import EMOTIONS, EmotionClassifier, EmotionOptions
from ganon_hf.evaluation.metrics.recognition import EmbeddingCache
from ganon_hf.evaluation.runner import EvaluationSet, evaluate


class Shapes:
    """A detector for photos whose first pixels say who is shown and which picture it is: everybody has a shape of his own."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        self.calls += 1
        person, number = image[0, 0, 0], image[0, 1, 0]
        mean = face_at(70, 60, 80)
        assert mean.landmarks is not None
        shape = np.random.default_rng(person).normal(0, 1.0, (478, 3)) + np.random.default_rng([person, number]).normal(0, 0.2, (478, 3))
        return [Face(mean.box, 0.9, mean.landmarks + shape)]


class Mean:
    """A recognizer: the mean of each quarter of the picture."""

    name, metric = "mean", "euclidean"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, photo: np.ndarray, box: Box) -> np.ndarray:
        self.calls += 1
        return (
            photo[: photo.shape[0] // 2 * 2, : photo.shape[1] // 2 * 2].reshape(2, photo.shape[0] // 2, 2, -1).mean(axis=(1, 3)).ravel()
            / 255
        )


class ToyKit(Toolkit):
    """Toy tools in place of the real ones."""

    def __call__(self) -> Tools:
        engine, recognizer = tiny_engine(), Mean()
        engine._detector = Shapes()
        return Tools(engine, Instruments(engine.detector, recognizers=[recognizer], caches=self.caches([recognizer])))


def people(first: int, count: int, emotions: tuple[str, ...] = ("", "")) -> list[Sample]:
    samples = []
    for person in range(first, first + count):
        for number, emotion in enumerate(emotions):
            photo = noise_photo(160, 120, seed=100 * person + number)
            photo[0, 0], photo[0, 1] = person, number
            samples.append(Sample(photo, person, emotion))
    return samples


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with Pool(ToyKit(cache=tmp_path)) as pool:
        yield pool


def detector_calls(tools: Tools, item: None) -> int:
    assert isinstance(tools.instruments.detector, Shapes)
    return tools.instruments.detector.calls


def test_landmarks_are_found_once(pool: Pool, tmp_path: Path) -> None:
    others = people(0, 4)
    school = attacks.TrainingPictures(others, pool, tmp_path)
    found = school.landmarks(np.array([3, 1]))
    assert found[0] is not None and pool.map(detector_calls, [None], desc="") == [2]
    again = attacks.TrainingPictures(others, pool, tmp_path).landmarks(np.array([1, 2, 3]))
    assert pool.map(detector_calls, [None], desc="") == [3], "one of three is new"
    assert np.array_equal(again[2], found[0])  # type: ignore[arg-type]
    for path in tmp_path.glob("training-landmarks-*.npz"):
        path.write_bytes(b"PK damaged")
    assert len(attacks.TrainingPictures(others, pool, tmp_path).landmarks(np.array([0]))) == 1


def test_geometry_knows_new_people_by_their_landmarks(pool: Pool, tmp_path: Path) -> None:
    discriminants = attacks.train_geometry_attack(attacks.TrainingPictures(people(0, 12), pool, tmp_path))
    new = attacks.TrainingPictures(people(30, 5), pool, tmp_path)
    codes = discriminants(attacks.landmark_features(new.landmarks(np.arange(10))))
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    assert (np.argmax(codes[1::2] @ codes[::2].T, axis=1) == np.arange(5)).all()


def test_emotions_are_learned_once(pool: Pool, tmp_path: Path) -> None:
    school = attacks.TrainingPictures(people(0, 4, EMOTIONS), pool, tmp_path)
    options = EmotionOptions(steps=2, batch=5)
    path = attacks.train_emotion_classifier(school, options)
    written = path.stat().st_mtime_ns
    assert attacks.train_emotion_classifier(school, options) == path and path.stat().st_mtime_ns == written
    answer = EmotionClassifier.load(path)(people(0, 1)[0].photo, school.landmarks(np.array([0]))[0])
    assert answer.shape == (len(EMOTIONS),) and answer.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="no picture of"):
        attacks.train_emotion_classifier(attacks.TrainingPictures(people(0, 4), pool, tmp_path), options)


def test_pairs_do_not_depend_on_the_company(pool: Pool, tmp_path: Path) -> None:
    samples, method = people(0, 3), engine_method(AnonymizeOptions(geometry="original"))
    school = attacks.TrainingPictures(samples, pool, tmp_path)
    known = school.landmarks(np.arange(6))
    together = attacks.anonymize_samples(samples, known, method, pool, seed=1)
    fewer = attacks.anonymize_samples(samples[:4], [*known[:3], None], method, pool, seed=1)
    assert len(together) == 6 and np.array_equal(together.anonymized[:3], fewer.anonymized), "who has no face is left out"
    assert (together.rows == np.arange(6)).all() and together.persons.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(attacks.anonymize_samples([], [], method, pool, seed=1)) == 0
    first = attacks.training_pairs(school, method, seed=1)
    before = pool.map(detector_calls, [None], desc="")
    assert np.array_equal(attacks.training_pairs(school, method, seed=1).anonymized, first.anonymized)
    assert pool.map(detector_calls, [None], desc="") == before, "kept from run to run"
    assert not np.array_equal(attacks.training_pairs(school, OBFUSCATIONS[0], seed=1).anonymized, first.anonymized)


def test_crops_are_embedded_on_all_cores_and_kept(pool: Pool, tmp_path: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    own = Mean()
    precomputed = attacks.PrecomputedRecognizer(own, EmbeddingCache(tmp_path / "c.npz"), pool, [crops[:2], crops[2:]])
    vectors = embed_crops(precomputed, crops)
    assert own.calls == 0, "the workers were asked, not this one"
    assert np.allclose(vectors[1], Mean()(*attacks.crop_as_photo(crops[1])))  # type: ignore[arg-type]


def test_parrots_and_reconstruction_are_tried(pool: Pool, tmp_path: Path) -> None:
    tested = PictureSet("toys", tuple(people(40, 4)), {})
    tested, subjects = locate_all(tested, pool)
    suite = run_suite(tested.samples, subjects, pool, [])
    school = attacks.TrainingPictures(people(0, 7), pool, tmp_path)
    setup = trials.prepare_attack(suite, school, engine_method(AnonymizeOptions(geometry="original")))
    assert setup.gallery.persons.tolist() == setup.probe.persons.tolist() == [40, 41, 42, 43] and len(setup.train) == 14
    figures, notes = trials.parrot_attack(setup, school, [Mean()], {"mean": EmbeddingCache(tmp_path / "c.npz")}, repeats=5)
    assert figures["parrot_geometry_rank1"].value == 1, "the toy detector sees the original's shape, whatever was done"
    assert 0 <= figures["mean/parrot_rank1"].value <= 1 and len(notes) == 2
    few = ReconstructionOptions(size=16, steps=2, batch=2, width=2)
    found = trials.reconstruction_attack({"a": setup}, "mean", pool, few, repeats=5)
    assert found["a"][0]["mean/original_rank1"].people == 4 and found["a"][1].dtype == np.uint8
    with pytest.raises(ValueError, match="two are needed"):
        trials.prepare_attack(run_suite(tested.samples[:2], subjects[:2], pool, []), school, engine_method(AnonymizeOptions()))


def test_report_with_attackers(tmp_path: Path) -> None:
    options = EvaluationOptions(
        engine_options=(AnonymizeOptions(geometry="original"),),
        processes=1,
        attacks=("geometry", "parrot", "emotion"),
        repeats=5,
        sheets=0,
        baselines=False,
    )
    tested = PictureSet("toys", tuple(people(40, 3)), {})
    report = evaluate([EvaluationSet(tested)], ToyKit(recognizers=(Mean(),)), tmp_path, options, training=people(0, 7))
    row = report.sets[0].figures["ganon-hf, geometry original"]
    assert row["geometry_rank1"].value == row["parrot_geometry_rank1"].value == 1 and "mean/parrot_rank1" in row
    assert any(note.startswith("emotion: there is no picture of") for note in report.notes)
    text = (tmp_path / "report.md").read_text()
    assert "### Parrot by landmarks" in text and "### Recognizer mean: parrot" in text


def test_the_parrot_also_learns_from_somebody_else_s_landmarks(pool: Pool, tmp_path: Path) -> None:
    """The control is no row of the engine with the same options: its pairs have a cache of their own."""
    school = attacks.TrainingPictures(people(0, 7), pool, tmp_path)
    original, swapped = engine_method(AnonymizeOptions(geometry="original")), swapped_landmarks_method()
    assert original.options == swapped.options
    first, second = (attacks.training_pairs(school, method) for method in (original, swapped))
    assert len(first) == len(second) == 14 and (first.originals == second.originals).all()
    assert (first.anonymized != second.anonymized).any()
    assert (attacks.training_pairs(school, swapped).anonymized == second.anonymized).all()
    options = EvaluationOptions(engine_options=(original.options,), processes=1, attacks=("parrot",), repeats=5, sheets=0)  # type: ignore[arg-type]
    tested = PictureSet("toys", tuple(people(40, 3)), {})
    report = evaluate([EvaluationSet(tested)], ToyKit(recognizers=(Mean(),)), tmp_path / "out", options, training=people(0, 7))
    figures = report.sets[0].figures
    for method in (original, swapped):
        assert "mean/parrot_rank1" in figures[method.name], report.sets[0].notes
