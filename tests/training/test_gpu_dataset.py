"""Batches of training faces: conditions, targets, patches, mirroring, cached codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_model
from training_faces import write_faces

from ganon_hf.core.landmarks import draw_dots, render_uv_map
from ganon_hf.core.modeling_ganon import ycbcr_to_rgb
from ganon_hf.training.gpu_dataset import DotDataset, MeshDataset
from ganon_hf.training.lighting import light_gain
from ganon_hf.training.shards import FaceShards, find_shards, read_shards

CPU = torch.device("cpu")
STRAIGHT = np.array([0.5, 0.5, 1.0])


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> FaceShards:
    return read_shards(find_shards(write_faces(tmp_path_factory.mktemp("faces"), 6, 2), "train"))


@pytest.fixture(scope="module")
def dataset(shards: FaceShards) -> MeshDataset:
    return MeshDataset(shards, tiny_model().prior, CPU)  # type: ignore[arg-type]


def test_a_whole_face_is_drawn_as_the_processor_draws_it(shards: FaceShards, dataset: MeshDataset) -> None:
    batch = dataset.batch(np.arange(6), 64, np.tile(STRAIGHT, (6, 1)))
    for number in range(6):
        uv_map, mask = render_uv_map(shards.landmarks[number], 64)
        condition = batch.inputs["pixel_values"][number].numpy()
        assert np.array_equal(condition[2] > 0, mask)
        assert (np.abs(condition[:2].transpose(1, 2, 0) - uv_map).max(axis=-1) > 1e-3).mean() < 1e-3
        assert np.abs(condition[3] * 255 - draw_dots(shards.landmarks[number], 64)).max() < 1e-3


def test_the_target_is_the_picture_without_its_light_and_tone(shards: FaceShards, dataset: MeshDataset) -> None:
    """Put light and tone back, and the photo is there again: nothing was lost but rounding and what is declared unknown."""
    rows = np.arange(6)
    batch = dataset.batch(rows, 64, np.tile(STRAIGHT, (6, 1)))
    rgb = (batch.target + 1) * 127.5
    luma = 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]
    chroma = torch.cat([(rgb[:, 2:] - luma) / 1.772, (rgb[:, :1] - luma) / 1.402], dim=1)
    shift = (dataset.neutral_tone - dataset.table["tone"]) * (~dataset.table["grayscale"]).float()[:, None]
    back = ycbcr_to_rgb(luma * light_gain(dataset.table["light"], batch.inputs["pixel_values"][:, :2]), chroma - shift[:, :, None, None])
    photos = torch.from_numpy(np.stack([shards.image(i) for i in rows])).permute(0, 3, 1, 2) / 127.5 - 1
    gray = 0.299 * photos[:, :1] + 0.587 * photos[:, 1:2] + 0.114 * photos[:, 2:]
    luma_back = 0.299 * back[:, :1] + 0.587 * back[:, 1:2] + 0.114 * back[:, 2:]
    known = batch.mask > 0
    assert known.float().mean() > 0.2
    assert ((gray - luma_back).abs()[known].quantile(0.99) * 127.5) < 1.5


def test_grayscale_pictures_have_gray_targets_and_no_weight_in_color(dataset: MeshDataset) -> None:
    batch = dataset.batch(np.arange(6), 64, np.tile(STRAIGHT, (6, 1)))
    assert batch.color_weights.tolist() == [0, 1, 1, 0, 1, 1] and batch.inputs["grayscale"][:, 0].tolist() == [1, 0, 0, 1, 0, 0]
    spread = (batch.target.amax(dim=1) - batch.target.amin(dim=1)) * batch.mask[:, 0]
    assert spread[0].max() < 0.02 < spread[1].max()


def test_soft_pictures_do_not_count_in_the_adversarial_terms(dataset: MeshDataset) -> None:
    batch = dataset.batch(np.arange(6), 64, np.tile(STRAIGHT, (6, 1)))
    assert (batch.adversarial_weights > 0).tolist() == [False, True, True, True, False, True] and (batch.weights > 0).all()


def test_a_mirrored_batch_is_the_mirror_image_of_the_straight_one(dataset: MeshDataset) -> None:
    straight, other = (dataset.batch(np.array([1]), 64, np.array([[0.5, 0.5, draw]])) for draw in (0.9, 0.1))
    assert torch.equal(other.target, straight.target.flip(-1)) and torch.equal(other.mask, straight.mask.flip(-1))
    condition, mirrored = straight.inputs["pixel_values"], other.inputs["pixel_values"].flip(-1)
    inside = condition[:, 2:3] > 0
    torch.testing.assert_close(mirrored[:, :1][inside], 1 - condition[:, :1][inside])
    assert torch.equal(mirrored[:, 1:], condition[:, 1:])
    assert torch.equal(other.inputs["angles"], straight.inputs["angles"] * torch.tensor([-1.0, 1.0]))
    # the prior, seen through both, draws the same face
    prior = tiny_model().prior
    assert prior is not None and other.inputs["canonical_landmarks"].shape == (1, 478, 3)
    torch.testing.assert_close(other.inputs["canonical_landmarks"][:, 1, 0], -straight.inputs["canonical_landmarks"][:, 1, 0])


@pytest.mark.parametrize("draws", [(0.0, 0.0), (0.999, 0.0), (0.0, 0.999), (0.999, 0.999), (0.3, 0.7)])
def test_patches_lie_in_the_crop_and_on_the_mesh(dataset: MeshDataset, draws: tuple[float, float]) -> None:
    whole = dataset.batch(np.arange(6), 64, np.tile(STRAIGHT, (6, 1)))
    part = dataset.batch(np.arange(6), 24, np.tile([*draws, 0.9], (6, 1)))
    assert part.target.shape == (6, 3, 24, 24)
    for number in range(6):
        view = whole.target[number].unfold(1, 24, 1).unfold(2, 24, 1).permute(1, 2, 0, 3, 4)
        found = ((view - part.target[number]).abs().amax(dim=(2, 3, 4)) < 1e-4).nonzero()
        assert len(found) == 1, "the patch is cut from the face, at one place"
        mask = part.inputs["pixel_values"][number, 2]
        assert mask[0].any() or mask[-1].any() or mask.any()


def test_codes_are_cached(shards: FaceShards, tmp_path: Path) -> None:
    prior, cache = tiny_model().prior, tmp_path / "cache" / "codes.npz"
    first = MeshDataset(shards, prior, CPU, cache=cache)  # type: ignore[arg-type]
    with np.load(cache) as arrays:
        stored = dict(arrays)
    stored["appearance"] = stored["appearance"] + 1
    np.savez(cache, **stored)
    second = MeshDataset(shards, prior, CPU, cache=cache)  # type: ignore[arg-type]
    torch.testing.assert_close(second.table["appearance"], first.table["appearance"] + 1)
    fewer = MeshDataset(shards, prior, CPU, cache=cache, num_appearance=1)  # type: ignore[arg-type]
    assert fewer.table["appearance"][:, 1:].abs().max() == 0 and fewer.table["appearance"][:, 0].abs().min() > 0


def test_the_batches_of_the_paper_are_dots_and_people_on_black(shards: FaceShards) -> None:
    dataset = DotDataset(shards, CPU)
    batch = dataset.batch(np.array([1, 2]), 64, np.tile(STRAIGHT, (2, 1)))
    dots = (batch.inputs["pixel_values"][0].numpy() + 1) * 127.5
    assert np.allclose(dots, draw_dots(shards.landmarks[1], 64), atol=1e-3)
    expected = shards.image(1) * (shards.matte(1) > 127)[..., None] / 127.5 - 1
    assert np.allclose(batch.target[0].permute(1, 2, 0), expected, atol=1e-6) and (batch.target[0] == -1).any()
    with pytest.raises(ValueError, match="whole faces: patch_size must be 64 pixels"):
        dataset.batch(np.array([0]), 32, STRAIGHT[None])
