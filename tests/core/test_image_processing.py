from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import face_at

from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.geometry import normalize_pose
from ganon_hf.core.image_processing_ganon import GanonImageProcessor
from ganon_hf.core.landmarks import draw_dots, render_uv_map

SIZE = 64


def points(yaw: float = 0.0) -> np.ndarray:
    landmarks = face_at(SIZE / 2, SIZE / 2, 48, yaw=yaw).landmarks
    assert landmarks is not None
    return landmarks


def processor(conditioning: str = "mesh") -> GanonImageProcessor:
    return GanonImageProcessor(conditioning, SIZE)


def test_mesh_condition() -> None:
    inputs = processor().preprocess([points(), points(30)])
    assert {name: (tuple(value.shape), value.dtype) for name, value in inputs.items()} == {
        "pixel_values": ((2, 4, SIZE, SIZE), torch.float32),
        "canonical_landmarks": ((2, 478, 3), torch.float32),
        "angles": ((2, 2), torch.float32),
    }
    values = inputs["pixel_values"]
    assert values.min() == 0 and values.max() == 1
    assert set(values[:, 2].unique().tolist()) == {0.0, 1.0}
    uv_map, mask = render_uv_map(points(30).astype(np.float64), SIZE)
    assert np.array_equal(values[1, :2].numpy(), uv_map.transpose(2, 0, 1)) and np.array_equal(values[1, 2].numpy() > 0, mask)
    assert np.array_equal(np.round(values[1, 3].numpy() * 255).astype(np.uint8), draw_dots(points(30), SIZE))
    assert np.allclose(inputs["angles"].numpy(), [[0, 0], [30, 0]], atol=1e-3)  # looks to the picture's right
    assert np.allclose(inputs["canonical_landmarks"].numpy(), MEAN_LANDMARKS, atol=1e-4), "the pose is off, whatever the yaw"


def test_the_shape_belongs_to_the_points() -> None:
    moved = points() + np.random.default_rng(0).normal(0, 0.5, (478, 3)).astype(np.float32)
    assert np.allclose(processor().preprocess(moved)["canonical_landmarks"][0].numpy(), normalize_pose(moved)[0], atol=1e-5)


def test_dots_condition() -> None:
    inputs = processor("landmarks").preprocess(points())
    assert list(inputs) == ["pixel_values"]
    values = inputs["pixel_values"]
    assert values.shape == (1, 3, SIZE, SIZE) and values.dtype == torch.float32
    assert values.min() == -1 and values.max() == 1
    assert (values == values[:, :1]).all(), "white dots"
    assert np.array_equal(np.round((values[0, 0].numpy() + 1) * 127.5).astype(np.uint8), draw_dots(points(), SIZE))


@pytest.mark.parametrize("conditioning", ["mesh", "landmarks"])
def test_one_face_or_several_as_list_or_array(conditioning: str) -> None:
    single = processor(conditioning).preprocess(points())
    for several in ([points()], points()[None], [points().tolist()]):
        batch = processor(conditioning)(several)
        assert set(batch) == set(single) and all(torch.equal(batch[name], single[name]) for name in single)
    arrays = processor(conditioning).preprocess(points(), return_tensors=None)
    for name, value in single.items():
        assert np.array_equal(np.asarray(arrays[name]), value.numpy())


def test_a_face_does_not_depend_on_its_company() -> None:
    alone, together = processor().preprocess(points(20)), processor().preprocess([points(), points(20), points(-40)])
    assert all(torch.equal(alone[name][0], together[name][1]) for name in alone)


@pytest.mark.parametrize("conditioning", ["mesh", "landmarks"])
@pytest.mark.parametrize(
    ("landmarks", "why"),
    [
        (np.zeros((468, 3)), "no irises"),
        (np.zeros((478, 2)), "no depth"),
        (np.zeros((1, 1, 478, 3)), "a dimension too many"),
        (np.full((478, 3), np.nan), "not finite"),
        ([], "no face"),
    ],
)
def test_other_landmarks_are_refused(conditioning: str, landmarks: object, why: str) -> None:
    with pytest.raises(ValueError, match="landmarks must be finite and of shape"):
        processor(conditioning).preprocess(landmarks)  # type: ignore[arg-type]


def test_landmarks_without_a_pose_are_refused_by_the_mesh() -> None:
    with pytest.raises(ValueError, match="no head pose"):
        processor().preprocess(np.full((478, 3), 20.0))


def test_unknown_conditioning_is_refused() -> None:
    with pytest.raises(ValueError, match="'mesh' or 'landmarks', but got 'dots'"):
        GanonImageProcessor("dots")


@pytest.mark.parametrize("conditioning", ["mesh", "landmarks"])
def test_saving_and_loading(tmp_path: Path, conditioning: str) -> None:
    processor(conditioning).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert (saved["conditioning"], saved["image_size"]) == (conditioning, SIZE)
    loaded = GanonImageProcessor.from_pretrained(tmp_path)
    assert (loaded.conditioning, loaded.image_size) == (conditioning, SIZE)
    assert torch.equal(loaded.preprocess(points())["pixel_values"], processor(conditioning).preprocess(points())["pixel_values"])


def test_tensors_become_levels() -> None:
    values = torch.tensor([-1.5, -1.0, 0.0, 1.0, 2.0]).view(1, 1, 1, 5).expand(1, 3, 5, 5)
    images = processor().postprocess(values)
    assert images.shape == (1, 5, 5, 3) and images.dtype == np.float32
    assert images[0, 0, :, 0].tolist() == [0, 0, 127.5, 255, 255]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_channels_stay_in_order_in_any_precision(dtype: torch.dtype) -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=dtype, requires_grad=True)
    with torch.no_grad():
        images[1, 0], images[1, 2] = 1, -1
    assert processor().postprocess(images)[1, 2, 3].tolist() == [255, 127.5, 0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_broken_generator_does_not_reach_the_photo(value: float) -> None:
    images = torch.zeros(2, 3, 4, 4)
    images[1, 2, 3, 3] = value
    with pytest.raises(ValueError, match="not finite"):
        processor().postprocess(images)


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 4, 4, 4), (1, 1, 4, 4)])
def test_tensors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(batch, 3, side, side\)"):
        processor().postprocess(torch.zeros(shape))


@pytest.mark.parametrize(
    "photo",
    [Image.new("RGB", (64, 48)), "photo.jpg", np.zeros((48, 64, 3), np.uint8), np.zeros((3, 48, 64), np.uint8), torch.zeros(1, 3, 48, 64)],
    ids=["picture", "path", "array", "channels first", "batch"],
)
def test_a_photo_is_told_where_to_go(photo: Any) -> None:
    for given in (photo, [photo]):
        with pytest.raises(ValueError, match=r"takes landmarks, not a picture.*pipeline\(\"face-anonymization\""):
            GanonImageProcessor()(given)
