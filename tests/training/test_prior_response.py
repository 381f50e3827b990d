"""The prior's response to the pose: what turned heads lack on average is learned, what a person or an expression brings is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from script_loading import load_script
from tiny import face_at, tiny_model
from training_faces import face_rows

from ganon_hf.core.face_mesh import UV_MAP
from ganon_hf.core.model_loading import load_model
from ganon_hf.core.modeling_ganon import NUM_OPENINGS, NUM_POSE_FEATURES, GanonModel
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.prior_response import Comparison, compare_textures, correct_prior, fit_response
from ganon_hf.training.shards import SCHEMA
from ganon_hf.training.textures import FaceSample

SIDE, TEXTURE = 32, 64  # of the differences, and of the bank's textures
NOSE, RIGHT_CHEEK, LEFT_CHEEK, FOREHEAD = 4, 50, 280, 151
COUNT = 400


def model() -> GanonModel:
    return tiny_model(people_texture_size=TEXTURE, mouth_box=(20, 44, 24, 12))


def pose_of(some: GanonModel) -> int:
    """Number of the first feature of the pose: yaw."""
    return 1 + some.config.num_shape_components + NUM_OPENINGS


def spot(landmark: int) -> np.ndarray:
    """(SIDE, SIDE) 1 around a landmark."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    u, v = UV_MAP[landmark]
    return np.exp(-(((x - u) ** 2 + (y - v) ** 2) / 0.06**2)).astype(np.float32)


def at(maps: np.ndarray, landmark: int) -> np.ndarray:
    """(..., t, t) -> (...) at a landmark."""
    column, row = np.round(UV_MAP[landmark] * maps.shape[-1] - 0.5).astype(int)
    return maps[..., row, column]


def compared(some: GanonModel, *, seen: float = 1.0, gray: float = 0.3) -> tuple[Comparison, np.ndarray]:
    """Real faces whose nose is darker by ten gray values times the yaw squared, and the right cheek brighter by as many times the yaw.
    The forehead follows a component of the shape, grayscale faces are brighter, and every face has noise."""
    generator, first = np.random.default_rng(0), pose_of(some)
    features = generator.standard_normal((COUNT, some.config.num_features)).astype(np.float32)
    features[:, 0] = 1
    yaw = generator.uniform(-1.4, 1.4, COUNT).astype(np.float32)
    features[:, first], features[:, first + 2], features[:, first + 3] = yaw, np.abs(yaw), yaw**2
    grayscale = generator.random(COUNT) < gray
    effects = ((NOSE, -10 * yaw**2), (RIGHT_CHEEK, 10 * yaw), (LEFT_CHEEK, -10 * yaw), (FOREHEAD, 10 * features[:, 1]))
    difference = sum(effect[:, None, None] * spot(landmark) for landmark, effect in effects) + 6.0 * grayscale[:, None, None]
    difference = difference + generator.normal(0, 3, (COUNT, SIDE, SIDE))
    visible = generator.random((COUNT, SIDE, SIDE)) < seen
    return Comparison(features, difference.astype(np.float16), visible, grayscale), yaw


def predicted(change: np.ndarray, comparison: Comparison, landmark: int) -> np.ndarray:
    return comparison.features @ at(change, landmark)


@pytest.mark.parametrize("seen", [1.0, 0.5])
def test_what_depends_on_the_yaw_is_learned(seen: float) -> None:
    some = model()
    comparison, yaw = compared(some, seen=seen)
    change = fit_response(some, comparison)
    for landmark, wanted in ((NOSE, -10 * yaw**2), (RIGHT_CHEEK, 10 * yaw), (LEFT_CHEEK, -10 * yaw)):
        found = predicted(change, comparison, landmark)
        slope = np.polyfit(wanted, found, 1)[0]
        assert np.corrcoef(found, wanted)[0, 1] > 0.9 and 0.3 < slope < 1.05, "blurred, and shrunk by the penalty"


def test_what_depends_on_the_person_or_the_expression_is_not() -> None:
    some = model()
    comparison, _ = compared(some)
    change, first = fit_response(some, comparison), pose_of(some)
    others = [number for number in range(1, len(change)) if not first <= number < first + NUM_POSE_FEATURES]
    assert not change[others].any()
    assert np.abs(predicted(change, comparison, FOREHEAD)).max() < 2


def test_the_mean_face_in_color_stays() -> None:
    some = model()
    comparison, _ = compared(some)
    mean = comparison.features[~comparison.grayscale].mean(axis=0)
    assert np.abs(np.tensordot(mean, fit_response(some, comparison), 1)).max() < 1e-3


def test_faces_turned_to_either_side_get_mirror_images() -> None:
    some = model()
    change, first = fit_response(some, compared(some)[0]), pose_of(some)
    for number, sign in ((0, -1), (1, 1), (2, 1), (3, 1), (4, 1)):  # yaw, pitch, absolute yaw, squares
        assert np.allclose(change[first + number], sign * change[first + number, :, ::-1], atol=0.05)


def test_hardly_seen_places_stay() -> None:
    some = model()
    comparison, _ = compared(some)
    comparison.seen[:, : SIDE // 2] = False
    change = fit_response(some, comparison)
    assert not change[:, : change.shape[1] // 3].any() and at(change, NOSE).any()


def test_all_faces_may_be_in_color_but_not_in_grayscale() -> None:
    some = model()
    comparison, yaw = compared(some, gray=-1.0)
    assert np.corrcoef(predicted(fit_response(some, comparison), comparison, NOSE), -(yaw**2))[0, 1] > 0.9
    with pytest.raises(ValueError, match="all 400 faces are in grayscale"):
        fit_response(some, compared(some, gray=2.0)[0])


def pairs(level: int) -> Iterator[tuple[FaceSample, FaceSample]]:
    """A turned real face with a dark nose, in light of its own, and a turned synthetic one."""
    for yaw in (-20, 25):
        points = face_at(48, 48, 80, yaw=yaw).landmarks
        real, synthetic = (np.full((96, 96, 3), own, np.uint8) for own in (level, 120))
        x, y = points[NOSE, :2]  # type: ignore[index]
        real[int(y) - 5 : int(y) + 5, int(x) - 5 : int(x) + 5] //= 2
        yield tuple(FaceSample(picture, points, 0, yaw > 0, True, 1.0) for picture in (real, synthetic))  # type: ignore[arg-type,misc]


def test_real_faces_are_compared_with_synthetic_ones_under_even_light() -> None:
    some = model()
    dim, bright = (compare_textures(some, pairs(level)) for level in (80, 200))
    for comparison in (dim, bright):
        assert comparison.difference.shape == comparison.seen.shape == (2, SIDE, SIDE)
        assert comparison.features.shape == (2, some.config.num_features) and comparison.grayscale.tolist() == [False, True]
        assert np.sign(comparison.features[:, pose_of(some)]).tolist() == [-1, 1]
        assert (at(comparison.difference, NOSE) < -15).all()
    assert np.abs((dim.difference - bright.difference)[dim.seen]).mean() < 3


def test_a_change_is_added_to_the_prior_alone() -> None:
    some, before = model(), model().state_dict()
    change = np.random.default_rng(0).standard_normal(tuple(some.prior.luma.shape)).astype(np.float32)
    correct_prior(some.prior, change)
    assert torch.allclose(some.prior.luma, before["prior.luma"] + torch.from_numpy(change))
    assert all(torch.equal(value, before[name]) for name, value in some.state_dict().items() if name != "prior.luma")


@pytest.mark.parametrize(("conditioning", "message"), [("landmarks", "only a model"), ("mesh", "none were replaced")])
def test_without_a_prior_or_faces_nothing_is_compared(conditioning: str, message: str) -> None:
    some = tiny_model(conditioning=conditioning, image_size=256 if conditioning == "landmarks" else 64)
    with pytest.raises(ValueError, match=message):
        compare_textures(some, iter([]))


def test_the_script_changes_nothing_but_the_prior_s_luma(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    before = load_model(str(tmp_path / "model")).state_dict()
    shards = str(tmp_path / "train.parquet")
    pq.write_table(pa.Table.from_pylist(face_rows(9), schema=SCHEMA), shards)
    load_script("fit/prior_response").main([str(tmp_path / "model"), shards, "--output-dir", str(tmp_path / "out"), "--most", "2"])
    after = load_model(str(tmp_path / "out")).state_dict()
    assert [name for name, value in after.items() if not torch.equal(value, before[name])] == ["prior.luma"]
