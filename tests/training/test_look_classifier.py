"""The look classifier's training: what the labels say, what pictures are changed to, and that it learns."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tiny import KnownFaces, face_at, noise_photo

from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.look import AGES
from ganon_hf.core.modeling_ganon import GanonConfig, LookClassifier
from ganon_hf.training.look_classifier import (
    LookTrainingOptions,
    draw_side,
    fit_components,
    look_loss,
    normalized,
    shape_for,
    train_look_classifier,
    vary,
    without_normalization,
)
from ganon_hf.training.look_samples import (
    SEEN_SIZE,
    STORED_SIZE,
    LookLabel,
    LookSamples,
    make_samples,
    read_heads,
    read_labels,
    set_of,
    shapes_at_sizes,
)

TABLE = Path(__file__).parents[2] / "scripts/fit/looks.csv"


def toy(count: int = 60) -> LookSamples:
    """Women are darker above, men darker below; bearded ones and children differ in the shape."""
    generator = np.random.default_rng(0)
    woman, beard = np.arange(count) % 2, np.arange(count) // 2 % 2
    pictures = generator.integers(90, 110, (count, STORED_SIZE, STORED_SIZE, 3)).astype(np.uint8)
    for picture, is_woman in zip(pictures, woman, strict=True):
        half = slice(None, STORED_SIZE // 2) if is_woman else slice(STORED_SIZE // 2, None)
        picture[half] //= 2
    shapes = MEAN_LANDMARKS + generator.normal(0, 0.02, (count, 1, 1)) + 0.2 * beard[:, None, None] * (MEAN_LANDMARKS > 0)
    ages = np.eye(len(AGES))[3 * beard]
    shapes = np.repeat(shapes[:, None], 3, axis=1).astype(np.float32)
    return LookSamples(pictures, shapes, ages, woman * 1.0, beard * 1.0, np.ones((count, 3)), np.ones(count))


# ---- training


def test_it_learns_from_picture_and_shape() -> None:
    samples, options = toy(), LookTrainingOptions(channels=4, steps=90, batch_size=24, learning_rate=0.01)
    threads = torch.get_num_threads()
    network = train_look_classifier(samples, options)
    assert torch.get_num_threads() == threads and not network.training
    margin = (STORED_SIZE - SEEN_SIZE) // 2
    gray = torch.from_numpy(samples.pictures[:, margin:-margin, margin:-margin, 0].astype(np.float32))[:, None]
    logits = network(gray, network.components(torch.from_numpy(samples.shapes[:, 0]))).numpy()
    assert ((logits[:, 5] > 0) == (samples.woman > 0)).mean() > 0.9
    assert ((logits[:, 6] > 0) == (samples.beard > 0)).mean() > 0.9
    assert (logits[:, :5].argmax(axis=1) == 3 * samples.beard).mean() > 0.9


def test_the_same_seed_gives_the_same_network() -> None:
    def weights(seed: int) -> torch.Tensor:
        return train_look_classifier(toy(12), LookTrainingOptions(channels=2, steps=3, batch_size=4, seed=seed)).stem.weight

    state = torch.get_rng_state()
    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_normalization_is_merged_without_a_trace() -> None:
    network = normalized(LookClassifier(GanonConfig(look_channels=2)))
    pictures, components = torch.rand(8, 1, 128, 128), torch.randn(8, network.num_components)
    for _ in range(3):
        network.train()(pictures, components)
    merged = without_normalization(network)
    assert list(merged.state_dict()) == list(LookClassifier(GanonConfig(look_channels=2)).state_dict())
    with torch.no_grad():
        assert torch.allclose(merged(pictures, components), network.eval()(pictures, components), atol=1e-4)


def test_components_have_unit_variance() -> None:
    network = LookClassifier(GanonConfig(look_channels=2))
    shapes = (MEAN_LANDMARKS + np.random.default_rng(0).normal(0, 0.05, (200, 478, 3))).astype(np.float32)
    fit_components(network, shapes)
    values = network.components(torch.from_numpy(shapes))
    assert values.std(dim=0).numpy() == pytest.approx(np.ones(network.num_components), abs=0.05)
    fit_components(network, shapes[:5])  # fewer people than components
    assert int((network.shape_basis.abs().sum(dim=0) > 0).sum()) == 4


def test_what_has_no_weight_does_not_count() -> None:
    logits, targets = torch.randn(4, 7), torch.rand(4, 7)
    weights = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    changed = targets.clone()
    changed[3], changed[0, 5:], changed[1, 6] = 0.5, 0.1, 0.9
    assert look_loss(logits, changed, weights, 0.0) == look_loss(logits, targets, weights, 0.0)
    changed[0, 0] += 0.5
    assert look_loss(logits, changed, weights, 0.0) != look_loss(logits, targets, weights, 0.0)


@pytest.mark.parametrize("name", ["channels", "steps", "batch_size", "learning_rate", "threads"])
def test_options_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive, but got 0"):
        LookTrainingOptions(**{name: 0})


def test_pictures_vary_in_all_that_photos_do() -> None:
    picture = np.zeros((STORED_SIZE, STORED_SIZE, 3), np.uint8)
    picture[:, STORED_SIZE // 2 :] = 200
    one, again = (vary(picture, SEEN_SIZE, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, again)
    generator = np.random.default_rng(0)
    many = np.stack([vary(picture, draw_side(generator), generator) for _ in range(60)])
    assert many.shape == (60, SEEN_SIZE, SEEN_SIZE) and many.dtype == np.float32 and np.isfinite(many).all()
    brighter = many[:, :, 45:].mean(axis=(1, 2)) > many[:, :, :27].mean(axis=(1, 2))
    assert 0.25 < brighter.mean() < 0.75  # mirrored every other time
    assert np.ptp(many.mean(axis=(1, 2))) > 60  # exposure
    sharpness = np.abs(np.diff(many, axis=2)).max(axis=(1, 2))
    assert sharpness.max() > 3 * sharpness.min()  # resolution


def test_small_crops_go_with_the_landmarks_of_small_faces() -> None:
    assert [shape_for(side) for side in (SEEN_SIZE + 40, SEEN_SIZE, SEEN_SIZE - 1, 66, 40, 28)] == [0, 0, 1, 1, 2, 2]
    generator = np.random.default_rng(0)
    sides = [draw_side(generator) for _ in range(200)]
    assert min(sides) >= 28 and max(sides) == SEEN_SIZE and 0.3 < np.mean([side == SEEN_SIZE for side in sides]) < 0.8


# ---- labels and samples


def test_the_table_of_the_project_can_be_read() -> None:
    labels = read_labels(TABLE)
    assert {name for name, _ in labels} == {"synthetic", "train-staff", "train-color", "train-expressions"}
    children = [label for label in labels.values() if label.age in AGES[:2]]
    assert len(children) > 100 and all(label.beard == "no" for label in children)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("synthetic,1,female,young,1,no,0,0,0,0,", "sex must be one of 'woman', 'man', 'unsure', but got 'female'"),
        ("synthetic,1,man,teen,1,no,0,0,0,0,", "age must be one of"),
        ("synthetic,1,man,old,1,maybe,0,0,0,0,", "beard must be one of"),
        ("synthetic,x,man,old,1,no,0,0,0,0,", "invalid literal"),
        ("synthetic,1,man,old,1,no,0,0,0,0,sixty", "could not convert string to float"),
    ],
)
def test_a_wrong_line_is_named(line: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "looks.csv"
    path.write_text("set,row,sex,age,age_sure,beard,glasses,covered,object,stylized,years\n" + line + "\n")
    with pytest.raises(ValueError, match=f"line 2: .*{complaint}"):
        read_labels(path)


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("sure", [False, True])
def test_children_are_never_a_little_adult(age: str, sure: bool) -> None:
    ages = LookLabel("woman", age, sure, "no").ages
    assert ages.sum() == pytest.approx(1) and AGES[int(ages.argmax())] == age
    assert ages[:2].sum() == pytest.approx(float(age in AGES[:2]))


@pytest.mark.parametrize(("years", "likeliest"), [(22.0, "young"), (45.0, "middle"), (70.0, "old")])
def test_estimated_years_say_the_class_of_an_adult(years: float, likeliest: str) -> None:
    unsure, sure = (LookLabel("man", "young", sure, "no", years=years).ages for sure in (False, True))
    assert unsure.sum() == pytest.approx(1) and AGES[int(unsure.argmax())] == likeliest and not unsure[:2].any()
    assert sure == pytest.approx((LookLabel("man", "young", True, "no").ages + unsure) / 2), "a class that is sure counts as much"
    labels = LookLabel("man", "young", False, "no", years=years), LookLabel("man", likeliest, False, "no")
    assert labels[0].weights[0] == 1 and labels[0].frequency == labels[1].frequency, "as of somebody of the estimated age"


@pytest.mark.parametrize(("age", "years"), [("young", math.nan), ("old", math.inf), ("middle", -3.0), ("child", 10.0)])
def test_impossible_years_are_refused(age: str, years: float) -> None:
    with pytest.raises(ValueError, match="years must be"):
        LookLabel("man", age, False, "no", years=years)


def test_samples_have_their_shares_and_weights() -> None:
    labels = {
        ("synthetic", 0): LookLabel("woman", "child", True, "no"),
        ("synthetic", 1): LookLabel("man", "old", True, "yes", stylized=True),
        ("train-staff", 4): LookLabel("unsure", "middle", False, "unsure"),
    }
    places = [("synthetic", 1), ("train-staff", 3), ("train-staff", 4), ("synthetic", 0)]
    heads = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, STORED_SIZE, STORED_SIZE, 3), np.uint8)
    samples = make_samples(places, heads, np.zeros((4, 3, 478, 3), np.float32), labels)
    assert samples.pictures[:, 0, 0, 0].tolist() == [0, 2, 3]  # what has no label is left out
    assert samples.woman.tolist() == [0, 0, 1] and samples.beard.tolist() == [1, 0, 0]
    assert samples.weights[1].tolist() == [0.5, 0, 0] and 0 < samples.weights[2, 1] < 1
    assert samples.frequency[[0, 2]].sum() == pytest.approx(0.42) and samples.frequency[1] == pytest.approx(0.1)
    assert samples.frequency[2] > samples.frequency[0]
    with pytest.raises(ValueError, match="no picture to train with"):
        make_samples(places, heads, np.zeros((4, 3, 478, 3), np.float32), {})
    with pytest.raises(ValueError, match="woman must have the shape"):
        LookSamples(samples.pictures, samples.shapes, samples.ages, samples.woman[:2], samples.beard, samples.weights, samples.frequency)


def test_files_belong_to_sets() -> None:
    assert set_of("a/train-color-00001-of-00003.parquet") == "train-color" and set_of(Path("people.parquet")) == "people"


def test_heads_are_read_in_the_order_of_the_set(tmp_path: Path) -> None:
    def cell(photo: np.ndarray) -> dict[str, object]:
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    photos = [noise_photo(seed=0), noise_photo(200, 100), noise_photo(seed=2), noise_photo(seed=3)]
    for number, part in enumerate((photos[:3], photos[3:])):
        pq.write_table(pa.table({"image": [cell(photo) for photo in part]}), tmp_path / f"some-0000{number}-of-00002.parquet")
    detector = KnownFaces({(160, 120): [face_at(30, 30, 24), face_at(90, 60)]})  # none in the second photo
    paths = [tmp_path / f"some-0000{number}-of-00002.parquet" for number in (1, 0)]
    places, heads, shapes = read_heads(paths, detector, lambda place: place != ("some", 2))
    assert places == [("some", 0), ("some", 3)]
    assert heads.shape == (2, STORED_SIZE, STORED_SIZE, 3) and not np.array_equal(heads[0], heads[1])
    assert shapes == pytest.approx(np.broadcast_to(MEAN_LANDMARKS, (2, 3, 478, 3)), abs=1e-3)


def test_landmarks_are_found_again_in_small_faces() -> None:
    """In the photo shrunk to faces of 48 and 24 px; where none are found, the exact ones stand."""
    boxes: list[tuple[tuple[int, ...], float]] = []

    class Fitting(KnownFaces):
        def landmarks(self, image: np.ndarray, box: tuple[float, ...]) -> np.ndarray | None:
            boxes.append((image.shape, box[3] - box[1]))
            turned = face_at(20, 20, 24, yaw=30).landmarks
            return turned if len(boxes) == 1 else None

    face = face_at(60, 60, 96)
    assert face.landmarks is not None
    shapes = shapes_at_sizes(noise_photo(), face.landmarks, Fitting())
    assert [shape for shape, _ in boxes] == [(60, 80, 3), (30, 40, 3)] and [height for _, height in boxes] == pytest.approx(
        [48, 24], abs=0.1
    )
    assert np.array_equal(shapes[0], shapes[2])
    assert len(shapes_at_sizes(noise_photo(), face_at(60, 60, 20).landmarks, Fitting())) == 3 and len(boxes) == 2  # type: ignore[arg-type]
