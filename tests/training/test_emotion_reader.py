"""Emotions are read from shapes by discriminants that a hundred labeled pictures suffice for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganon_hf.training.emotion_reader import EmotionReader, balanced_rows, rows_by_emotion

SIZE = 30
DIRECTIONS = {"anger": 3, "happiness": 7}  # coordinate that an emotion moves


def shapes(generator: np.random.Generator, counts: dict[str, int]) -> tuple[np.ndarray, list[str]]:
    labels = [name for name, count in counts.items() for _ in range(count)]
    coordinates = generator.standard_normal((len(labels), SIZE))
    for row, name in enumerate(labels):
        if name in DIRECTIONS:
            coordinates[row, DIRECTIONS[name]] += 3
    return coordinates, labels


def test_rare_emotions_are_read_in_new_shapes() -> None:
    generator = np.random.default_rng(0)
    reader = EmotionReader.fit(*shapes(generator, {"neutral": 3000, "happiness": 2000, "anger": 90}))
    assert reader is not None and reader.names == ("anger", "happiness", "neutral")
    coordinates, labels = shapes(generator, {"neutral": 200, "happiness": 200, "anger": 200})
    read = [reader.names[number] for number in reader(torch.from_numpy(coordinates).float()).argmax(dim=1).tolist()]
    for name in reader.names:
        assert np.mean([got == name for got, label in zip(read, labels, strict=True) if label == name]) > 0.8, name


def test_the_reader_has_gradients_and_gives_probabilities() -> None:
    reader = EmotionReader.fit(*shapes(np.random.default_rng(0), {"neutral": 200, "happiness": 200}))
    assert reader is not None
    face = torch.zeros(1, SIZE, requires_grad=True)
    probabilities = reader(face)
    assert probabilities.sum().item() == pytest.approx(1)
    probabilities[0, 0].backward()
    assert face.grad is not None and face.grad.abs().argmax().item() == DIRECTIONS["happiness"]


@pytest.mark.parametrize("counts", [{"neutral": 500}, {"neutral": 500, "fear": 16}], ids=["one emotion", "the other one is too rare"])
def test_too_few_labels_are_no_reader(counts: dict[str, int], caplog: pytest.LogCaptureFixture) -> None:
    assert EmotionReader.fit(*shapes(np.random.default_rng(0), counts)) is None
    assert "only blendshapes are learned" in caplog.text


def test_every_emotion_is_drawn_as_often() -> None:
    labels = [None, *["neutral"] * 900, *["anger"] * 90, *["fear"] * 5]
    groups = rows_by_emotion(labels)
    assert list(groups) == ["anger", "neutral"]
    rows = balanced_rows(list(groups.values()), 2000, torch.Generator().manual_seed(0))
    drawn = [labels[row] for row in rows.tolist()]
    assert set(drawn) == {"anger", "neutral"} and drawn.count("anger") == pytest.approx(1000, abs=100)
