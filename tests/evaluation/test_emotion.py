"""The emotion classifier learns what is in the pixels, and its figures are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from sklearn.metrics import cohen_kappa_score
from tiny import face_at, noise_photo

from ganon_hf.evaluation.metrics.emotion import (
    EMOTIONS,
    EmotionClassifier,
    EmotionOptions,
    accuracy_measures,
    agreement_measures,
    choose_labeled_rows,
    emotion_crop,
    train_classifier,
)

NAN = float("nan")
QUICK = EmotionOptions(steps=60, batch=20)


def faces(each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mouths of five heights on noisy faces; exposure differs from picture to picture."""
    generator = np.random.default_rng(seed)
    labels = np.tile(np.arange(5), each)
    crops = generator.normal(0, 8, (len(labels), 32, 32)) + generator.uniform(60, 160, (len(labels), 1, 1))
    for crop, label in zip(crops, labels, strict=True):
        crop[14 : 16 + 3 * label, 8:24] += 60
    return np.clip(crops, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def learned() -> EmotionClassifier:
    return train_classifier(*faces(12), QUICK)


def test_a_toy_emotion_is_learned(learned: EmotionClassifier) -> None:
    crops, labels = faces(12, seed=1)
    probabilities = learned.classify(crops)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.7
    darker = (crops * 0.6).astype(np.uint8)
    assert np.abs(learned.classify(darker) - probabilities).max() < 0.15, "exposure is no emotion"
    assert np.allclose(learned.classify(crops[:, :, ::-1]), probabilities, atol=1e-6), "nor is the side"


def test_the_same_seed_learns_the_same_and_a_file_keeps_it(learned: EmotionClassifier, tmp_path: Path) -> None:
    crops, _ = faces(2, seed=2)
    assert np.array_equal(train_classifier(*faces(12), QUICK).classify(crops), learned.classify(crops))
    path = tmp_path / "new" / "emotion.safetensors"
    learned.save(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing half-written stays"
    assert np.array_equal(EmotionClassifier.load(path).classify(crops), learned.classify(crops))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SafetensorError):
        EmotionClassifier.load(path)


def test_a_face_in_a_photo(learned: EmotionClassifier) -> None:
    photo, face = noise_photo(), face_at(60, 60)
    assert learned(photo, face.landmarks).shape == (5,)
    assert np.isnan(learned(photo, None)).all()
    assert emotion_crop(photo, np.zeros((478, 3))) is None, "landmarks without a head pose"
    crop = emotion_crop(photo, face.landmarks)
    assert crop is not None and crop.shape == (64, 64) and crop.dtype == np.uint8


def test_an_emotion_without_pictures_is_named() -> None:
    crops, labels = faces(2)
    with pytest.raises(ValueError, match="no picture of anger"):
        train_classifier(crops[labels < 4], labels[labels < 4], QUICK)
    with pytest.raises(ValueError, match="n labels"):
        train_classifier(crops, labels[:-1], QUICK)
    with pytest.raises(ValueError, match="steps must be above 0"):
        EmotionOptions(steps=0)


def test_rows_are_limited_per_emotion() -> None:
    emotions = ["neutral"] * 5 + [None, "fear", "anger", "happiness", "happiness"]
    rows, labels = choose_labeled_rows(emotions, 2)
    names = [emotions[row] for row in rows]
    assert sorted(map(str, names)) == ["anger", "happiness", "happiness", "neutral", "neutral"]
    assert names == [EMOTIONS[label] for label in labels] and (np.diff(rows) > 0).all()


def certain(names: list[str | None]) -> np.ndarray:
    """Probabilities of somebody who is sure; None did not look."""
    return np.array([[NAN] * 5 if name is None else [float(name == emotion) for emotion in EMOTIONS] for name in names])


def test_accuracy() -> None:
    labels = ["neutral"] * 6 + ["happiness"] * 2 + ["fear"]
    answers: list[str | None] = ["neutral"] * 6 + ["neutral", None, "neutral"]
    found = accuracy_measures(certain(answers), labels, np.arange(9), repeats=10)
    assert found["emotion_accuracy"].value == pytest.approx(6 / 7) and found["emotion_accuracy"].count == 7
    assert found["emotion_balanced_accuracy"].value == pytest.approx(0.5), "a constant answer gains nothing by the frequent label"
    assert found["emotion_smile_auc"].value == 0.5
    perfect = accuracy_measures(certain(list(labels[:8])), labels[:8], np.arange(8), repeats=10)
    assert [figure.value for figure in perfect.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("after", "agreement", "kappa"),
    [
        (["neutral", "happiness"] * 4, 1.0, 1.0),  # the same
        (["neutral"] * 8, 0.5, 0.0),  # a constant answer agrees by chance alone
        (["happiness", "neutral"] * 4, 0.0, -1.0),  # always the other one
        (["neutral", None] * 4, 1.0, NAN),  # what was not seen does not count; one answer throughout says nothing
    ],
)
def test_agreement(after: list[str | None], agreement: float, kappa: float) -> None:
    found = agreement_measures(certain(["neutral", "happiness"] * 4), certain(after), np.arange(8), repeats=10)
    assert found["emotion_agreement"].value == agreement
    assert found["emotion_kappa"].value == pytest.approx(kappa, nan_ok=True)


def test_kappa_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    before, after = (generator.dirichlet(np.ones(5), 80) for _ in range(2))
    after = np.where(generator.random((80, 1)) < 0.5, before, after)
    found = agreement_measures(before, after, np.arange(80), repeats=0)["emotion_kappa"].value
    wanted = cohen_kappa_score(before.argmax(axis=1), after.argmax(axis=1))
    assert 0.2 < found < 0.9 and found == pytest.approx(wanted, abs=1e-12)
