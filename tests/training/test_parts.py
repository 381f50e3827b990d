"""Batches, losses, judges and options of the training run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_model
from training_faces import encoded, face_rows, write_faces

from ganon_hf.core.landmarks import draw_dots, render_uv_map
from ganon_hf.core.modeling_ganon import ycbcr_to_rgb
from ganon_hf.training.discriminator import MultiScaleDiscriminator, PublishedDiscriminator
from ganon_hf.training.gpu_dataset import DotsBank, MeshBank
from ganon_hf.training.lighting import light_gain
from ganon_hf.training.losses import adversarial_loss, discriminator_loss, feature_matching_loss
from ganon_hf.training.options import PRESETS, TrainingOptions
from ganon_hf.training.shards import SCHEMA, FaceShards, find_shards, read_shards
from ganon_hf.training.training_step import detail_of

CPU = torch.device("cpu")
STRAIGHT = np.array([0.5, 0.5, 1.0])


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> FaceShards:
    return read_shards(find_shards(write_faces(tmp_path_factory.mktemp("faces"), 6, 2), "train"))


@pytest.fixture(scope="module")
def bank(shards: FaceShards) -> MeshBank:
    return MeshBank(shards, tiny_model().prior, CPU)  # type: ignore[arg-type]


# --- batches


def test_a_whole_face_is_drawn_as_the_processor_draws_it(shards: FaceShards, bank: MeshBank) -> None:
    batch = bank.batch(np.arange(6), 64, np.tile(STRAIGHT, (6, 1)))
    for number in range(6):
        uv_map, mask = render_uv_map(shards.landmarks[number], 64)
        condition = batch.inputs["pixel_values"][number].numpy()
        assert np.array_equal(condition[2] > 0, mask)
        assert (np.abs(condition[:2].transpose(1, 2, 0) - uv_map).max(axis=-1) > 1e-3).mean() < 1e-3
        assert np.abs(condition[3] * 255 - draw_dots(shards.landmarks[number], 64)).max() < 1e-3


def test_the_target_is_the_picture_without_its_light_and_tone(shards: FaceShards, bank: MeshBank) -> None:
    """Put light and tone back, and the photo is there again: nothing was lost but rounding and what is declared unknown."""
    rows = np.arange(6)
    batch = bank.batch(rows, 64, np.tile(STRAIGHT, (6, 1)))
    rgb = (batch.target + 1) * 127.5
    luma = 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]
    chroma = torch.cat([(rgb[:, 2:] - luma) / 1.772, (rgb[:, :1] - luma) / 1.402], dim=1)
    shift = (bank.neutral_tone - bank.table["tone"]) * (~bank.table["gray"]).float()[:, None]
    back = ycbcr_to_rgb(luma * light_gain(bank.table["light"], batch.inputs["pixel_values"][:, :2]), chroma - shift[:, :, None, None])
    photos = torch.from_numpy(np.stack([shards.image(i) for i in rows])).permute(0, 3, 1, 2) / 127.5 - 1
    gray = 0.299 * photos[:, :1] + 0.587 * photos[:, 1:2] + 0.114 * photos[:, 2:]
    luma_back = 0.299 * back[:, :1] + 0.587 * back[:, 1:2] + 0.114 * back[:, 2:]
    known = batch.mask > 0
    assert known.float().mean() > 0.2
    assert ((gray - luma_back).abs()[known].quantile(0.99) * 127.5) < 1.5


def test_gray_pictures_have_gray_targets_and_no_say_about_color(bank: MeshBank) -> None:
    batch = bank.batch(np.arange(6), 64, np.tile(STRAIGHT, (6, 1)))
    assert batch.color.tolist() == [0, 1, 1, 0, 1, 1] and batch.inputs["grayscale"][:, 0].tolist() == [1, 0, 0, 1, 0, 0]
    spread = (batch.target.amax(dim=1) - batch.target.amin(dim=1)) * batch.mask[:, 0]
    assert spread[0].max() < 0.02 < spread[1].max()


def test_soft_pictures_are_not_shown_to_the_judge(bank: MeshBank) -> None:
    batch = bank.batch(np.arange(6), 64, np.tile(STRAIGHT, (6, 1)))
    assert (batch.sharp > 0).tolist() == [False, True, True, True, False, True] and (batch.weights > 0).all()


def test_a_mirrored_batch_is_the_straight_one_in_the_mirror(bank: MeshBank) -> None:
    straight, other = (bank.batch(np.array([1]), 64, np.array([[0.5, 0.5, draw]])) for draw in (0.9, 0.1))
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
def test_patches_lie_in_the_crop_and_on_the_mesh(bank: MeshBank, draws: tuple[float, float]) -> None:
    whole = bank.batch(np.arange(6), 64, np.tile(STRAIGHT, (6, 1)))
    part = bank.batch(np.arange(6), 24, np.tile([*draws, 0.9], (6, 1)))
    assert part.target.shape == (6, 3, 24, 24)
    for number in range(6):
        view = whole.target[number].unfold(1, 24, 1).unfold(2, 24, 1).permute(1, 2, 0, 3, 4)
        found = ((view - part.target[number]).abs().amax(dim=(2, 3, 4)) < 1e-4).nonzero()
        assert len(found) == 1, "the patch is cut from the face, at one place"
        mask = part.inputs["pixel_values"][number, 2]
        assert mask[0].any() or mask[-1].any() or mask.any()


def test_codes_are_kept_and_found_again(shards: FaceShards, tmp_path: Path) -> None:
    prior, cache = tiny_model().prior, tmp_path / "cache" / "codes.npz"
    first = MeshBank(shards, prior, CPU, cache=cache)  # type: ignore[arg-type]
    with np.load(cache) as arrays:
        stored = dict(arrays)
    stored["appearance"] = stored["appearance"] + 1
    np.savez(cache, **stored)
    second = MeshBank(shards, prior, CPU, cache=cache)  # type: ignore[arg-type]
    torch.testing.assert_close(second.table["appearance"], first.table["appearance"] + 1)
    fewer = MeshBank(shards, prior, CPU, cache=cache, num_appearance=1)  # type: ignore[arg-type]
    assert fewer.table["appearance"][:, 1:].abs().max() == 0 and fewer.table["appearance"][:, 0].abs().min() > 0


def test_the_papers_batches_are_dots_and_people_on_black(shards: FaceShards) -> None:
    bank = DotsBank(shards, CPU)
    batch = bank.batch(np.array([1, 2]), 64, np.tile(STRAIGHT, (2, 1)))
    dots = (batch.inputs["pixel_values"][0].numpy() + 1) * 127.5
    assert np.allclose(dots, draw_dots(shards.landmarks[1], 64), atol=1e-3)
    expected = shards.image(1) * (shards.matte(1) > 127)[..., None] / 127.5 - 1
    assert np.allclose(batch.target[0].permute(1, 2, 0), expected, atol=1e-6) and (batch.target[0] == -1).any()
    with pytest.raises(ValueError, match="whole faces of 64 px"):
        bank.batch(np.array([0]), 32, STRAIGHT[None])


# --- shards


def test_shards_come_back_as_they_were_written(shards: FaceShards) -> None:
    rows = face_rows(6)
    assert len(shards) == 6 and shards.image_size == 64
    assert np.allclose(shards.landmarks[3].ravel(), rows[3]["landmarks"])
    taken = shards.take([4, 1])
    assert taken.images == (shards.images[4], shards.images[1]) and taken.emotions[1] == "neutral" and taken.digest != shards.digest


@pytest.mark.parametrize("broken", ["size", "columns", "empty", "landmarks"])
def test_shards_that_are_none_say_so(tmp_path: Path, broken: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = face_rows(2)
    if broken == "size":
        rows[1]["image"] = encoded(np.zeros((32, 32, 3), np.uint8), "PNG")
    if broken == "landmarks":
        rows[1]["landmarks"][7] = float("nan")  # type: ignore[index]
    table = pa.Table.from_pylist([] if broken == "empty" else rows, schema=SCHEMA)
    path = tmp_path / "train-00000-of-00001.parquet"
    pq.write_table(table.drop_columns(["matte"]) if broken == "columns" else table, path)
    message = {"size": "is 32x32 px", "columns": "no column matte", "empty": "hold no face", "landmarks": "finite"}[broken]
    with pytest.raises(ValueError, match=message):
        read_shards([path]).image(1)


# --- losses and judges


@pytest.mark.parametrize(
    ("kind", "real", "fake", "judge", "generator"),
    [
        ("hinge", 2.0, -2.0, 0.0, 2.0),  # beyond both margins there is nothing to learn
        ("hinge", 0.0, 0.0, 2.0, 0.0),
        ("hinge", -1.0, 1.0, 4.0, -1.0),
        ("lsgan", 1.0, 0.0, 0.0, 1.0),
        ("lsgan", 0.0, 1.0, 1.0, 0.0),
        ("lsgan", 0.5, 0.5, 0.25, 0.25),
    ],
)
def test_adversarial_losses(kind: str, real: float, fake: float, judge: float, generator: float) -> None:
    scores = [[[torch.full((3, 1, 4, 4), value)] for _ in range(2)] for value in (real, fake)]
    weights = torch.ones(3)
    assert discriminator_loss(*scores, weights, kind).item() == pytest.approx(judge)
    assert adversarial_loss(scores[1], weights, kind).item() == pytest.approx(generator)
    assert discriminator_loss(*scores, weights * 0, kind).item() == 0, "a picture without weight has no say"


def test_feature_matching_moves_the_generated_alone() -> None:
    real = [[torch.ones(2, 3, 4, 4, requires_grad=True), torch.zeros(2, 1, 2, 2)]]
    fake = [[torch.zeros(2, 3, 4, 4, requires_grad=True), torch.ones(2, 1, 2, 2)]]
    loss = feature_matching_loss(real, fake, torch.tensor([1.0, 0.0]))
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert real[0][0].grad is None and fake[0][0].grad is not None and fake[0][0].grad[1].abs().max() == 0


def test_the_published_judge_has_the_published_layers() -> None:
    judge = PublishedDiscriminator()
    shapes = [tuple(module.weight.shape) for module in judge.modules() if isinstance(module, torch.nn.Conv2d)]
    assert shapes == [(64, 6, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4)]
    scores = judge(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256))[-1][-1]
    assert scores.shape == (1, 1, 16, 16)


def test_the_judge_sees_fine_things_large_and_coarse_things_not_twice() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    pores, shade = 0.05 * torch.cos(torch.pi * x), 0.4 * torch.cos(torch.pi * y / 64)
    fine, coarse = (detail_of(one[None, None])[0, 0, 4:-4, 4:-4] for one in (pores, shade))
    assert fine.abs().mean() > 6 * pores.abs().mean() and coarse.abs().max() < 0.05 * shade.abs().max()
    assert torch.equal(detail_of(torch.full((1, 1, 8, 8), 0.5)), torch.zeros(1, 1, 8, 8))


def test_the_judge_looks_at_two_scales_and_cannot_shout() -> None:
    judge = MultiScaleDiscriminator(5, 4)
    result = judge(torch.randn(2, 1, 64, 64), torch.randn(2, 4, 64, 64))
    assert [[tuple(f.shape[1:]) for f in scale] for scale in result] == [
        [(4, 32, 32), (8, 16, 16), (16, 8, 8), (1, 8, 8)],
        [(4, 16, 16), (8, 8, 8), (16, 4, 4), (1, 4, 4)],
    ]
    with torch.no_grad():
        for _ in range(30):  # the power iteration settles
            judge(torch.randn(2, 1, 64, 64), torch.randn(2, 4, 64, 64))
        norms = [torch.linalg.matrix_norm(m.weight.flatten(1), 2).item() for m in judge.modules() if isinstance(m, torch.nn.Conv2d)]
    assert max(norms) < 1.15


# --- options


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "large"}, "mesh, paper"),
        ({"adversarial_loss": "wgan"}, "hinge, lsgan"),
        ({"mixed_precision": "int8"}, "bf16"),
        ({"train_batch_size": 0}, "train_batch_size must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"l1_weight": -1.0}, "l1_weight must not be negative"),
        ({"ema_decay": 1.0}, "ema_decay must be in 0..1"),
        ({"time_budget_minutes": 0.0}, "time_budget_minutes must be positive"),
        ({"num_appearance": -1}, "num_appearance"),
        ({"patch_size": 100}, "multiple of 8"),
        ({"push_to_hub": True}, "hub_model_id"),
    ],
)
def test_options_check_themselves(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingOptions("data", "out", **change)  # type: ignore[arg-type]


def test_the_papers_preset_is_the_papers_recipe() -> None:
    options = TrainingOptions("data", "out", **{"preset": "paper", **PRESETS["paper"]})
    assert (options.adversarial_loss, options.l1_weight, options.adversarial_weight) == ("lsgan", 100.0, 1.0)
    assert (options.learning_rate, options.discriminator_learning_rate) == (2e-4, 2e-4)
    assert (options.adam_beta1, options.adam_beta2, options.lr_scheduler) == (0.5, 0.999, "constant")
