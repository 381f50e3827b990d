"""Codes of pictures: what was put into rendered textures comes back out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganon_hf.core.face_mesh import IRIS_PATCHES, MEAN_LANDMARKS
from ganon_hf.core.landmarks import texel_table
from ganon_hf.core.modeling_ganon import AppearancePrior, GanonConfig
from ganon_hf.training.lighting import LightModel, light_gain
from ganon_hf.training.texture_encoding import AppearanceCodes, encode_textures
from ganon_hf.training.textures import TextureSet

TEXTURE, COUNT, LUMA_ONLY, COLOR_ONLY = 48, 60, 6, 2
CONFIG = GanonConfig(
    image_size=64, texture_size=TEXTURE, num_shape_components=4, num_quadratic=1, num_appearance=LUMA_ONLY + COLOR_ONLY, num_identity=4
)
Y, X = (np.mgrid[:TEXTURE, :TEXTURE] + 0.5) / TEXTURE * 2 - 1


def layout_of(size: int) -> torch.Tensor:
    """(1, 2, size, size) coordinates of the texels' centers."""
    v, u = (np.mgrid[:size, :size] + 0.5) / size
    return torch.from_numpy(np.stack([u, v])[None]).float()


def mesh_of(size: int) -> np.ndarray:
    rows, columns, _, _ = texel_table(size)
    mask = np.zeros((size, size), bool)
    mask[rows, columns] = True
    return mask


@pytest.fixture(scope="module")
def prior() -> AppearancePrior:
    """Stripes across and along, a beard, and two directions that only color knows."""
    prior = AppearancePrior(CONFIG)
    maps = [np.cos(8 * X) * np.cos(7 * Y), np.sin(9 * Y), np.cos(9 * X), np.cos(13 * Y), np.cos(5 * X) * np.sin(11 * Y), -1.5 * (Y > 0.6)]
    small_x, small_y = X[::2, ::2], Y[::2, ::2]
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.zero_()
        prior.luma[0] = torch.from_numpy(130 + 20 * np.cos(5 * X) * np.sin(4 * Y))
        prior.luma_appearance[:LUMA_ONLY] = torch.from_numpy(10 * np.stack(maps))
        prior.chroma[0, 0], prior.chroma[0, 1] = -12, 14
        prior.chroma_appearance[LUMA_ONLY, 0] = torch.from_numpy(4 * np.cos(8 * small_x))
        prior.chroma_appearance[LUMA_ONLY + 1, 1] = torch.from_numpy(4 * np.sin(8 * small_y))
        prior.tone_mean.copy_(torch.tensor([1.0, -12, 14]))
    return prior


class Pictures:
    """Drawn people under drawn lamps, rendered by the prior, with the noise of pictures that no prior explains."""

    def __init__(self, prior: AppearancePrior, seed: int = 0):
        generator = np.random.default_rng(seed)
        self.appearance = np.clip(generator.standard_normal((COUNT, CONFIG.num_appearance)), -2.5, 2.5).astype(np.float32)
        shapes = np.repeat(MEAN_LANDMARKS[None], COUNT, axis=0).astype(np.float32)
        with torch.no_grad():
            luma, chroma = (
                part.numpy() for part in prior(torch.from_numpy(shapes), torch.zeros(COUNT, 2), torch.from_numpy(self.appearance))
            )
        bend = generator.uniform(-1, 1, (COUNT, 5)) * [0.25, 0.25, 0.1, 0.1, 0.1]
        level = generator.uniform(0.6, 1.2, (COUNT, 1))
        self.light = (np.hstack([np.ones((COUNT, 1)), bend]) * level).astype(np.float32)
        self.tone = generator.normal([-12, 14], 3, (COUNT, 2))
        gain = light_gain(torch.from_numpy(self.light), layout_of(TEXTURE).expand(COUNT, -1, -1, -1)).numpy()
        picture = luma * gain + generator.normal(0, 8, luma.shape)
        color = chroma.transpose(0, 2, 3, 1) - [-12, 14] + self.tone[:, None, None] + generator.normal(0, 2, (COUNT, *chroma.shape[2:], 2))
        self.textures = TextureSet(
            luma=np.clip(np.round(picture[:, 0]), 0, 255).astype(np.uint8),
            trust=np.repeat(np.where(mesh_of(TEXTURE), 255, 0).astype(np.uint8)[None], COUNT, axis=0),
            chroma=np.clip(np.round(color + 128), 0, 255).astype(np.uint8),
            color_rows=np.arange(COUNT),
            shapes=shapes,
            angles=np.zeros((COUNT, 2), np.float32),
            persons=np.arange(COUNT),
            neutral=np.zeros(COUNT, bool),
            weights=np.ones(COUNT, np.float32),
        )

    def changed(self, **values: np.ndarray) -> TextureSet:
        return TextureSet(**{**self.textures.__dict__, **values})


@pytest.fixture(scope="module")
def pictures(prior: AppearancePrior) -> Pictures:
    return Pictures(prior)


def agreement(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Correlation of each column."""
    return np.array([np.corrcoef(found[:, column], truth[:, column])[0, 1] for column in range(truth.shape[1])])


# Each map stands about as high as the noise over more than a thousand texels: an estimate without any prejudice would agree to 0.99; the
# rest allows for what a quadratic light can imitate (the beard, stripes that end with the face) and for the shrinkage.
BOUND = 0.9


def test_people_and_lamps_come_back(prior: AppearancePrior, pictures: Pictures) -> None:
    codes = encode_textures(pictures.textures, prior)
    assert len(codes) == COUNT and all(getattr(codes, name).dtype == np.float32 for name in ("appearance", "light", "tone"))
    assert agreement(codes.appearance, pictures.appearance).min() > BOUND
    slopes = (codes.appearance * pictures.appearance).sum(axis=0) / (pictures.appearance**2).sum(axis=0)
    assert slopes.min() > 0.7 and slopes.max() < 1.1, "shrunk a little towards the mean person, never stretched"
    mesh = mesh_of(TEXTURE)
    uv_map = layout_of(TEXTURE).expand(COUNT, -1, -1, -1)
    found, truth = (light_gain(torch.from_numpy(light), uv_map).numpy()[:, 0, mesh] for light in (codes.light, pictures.light))
    assert np.abs(found / truth - 1).mean() < 0.05
    # what the color directions add on average over the skin counts as tone
    assert np.abs(codes.tone - pictures.tone).mean() < 1


def test_a_beard_that_the_appearance_knows_is_no_shadow(prior: AppearancePrior, pictures: Pictures) -> None:
    """The sixth direction is a beard: light and appearance are found in turns, and the second turn gives it back."""
    codes = encode_textures(pictures.textures, prior)
    assert agreement(codes.appearance, pictures.appearance)[LUMA_ONLY - 1] > 0.95


def test_smaller_textures_mean_the_same(prior: AppearancePrior, pictures: Pictures) -> None:
    half = TEXTURE // 2
    halved = {
        name: np.round(getattr(pictures.textures, name).reshape(COUNT, half, 2, half, 2).mean(axis=(2, 4))).astype(np.uint8)
        for name in ("luma", "trust")
    }
    chroma = pictures.textures.chroma.reshape(COUNT, half // 2, 2, half // 2, 2, 2).mean(axis=(2, 4)).round().astype(np.uint8)
    codes, small = encode_textures(pictures.textures, prior), encode_textures(pictures.changed(**halved, chroma=chroma), prior)
    assert agreement(small.appearance, pictures.appearance).min() > BOUND
    assert np.abs(small.appearance - codes.appearance).mean() < 0.15 and np.abs(small.light - codes.light).mean() < 0.02


def test_grayscale_pictures_say_nothing_about_color(prior: AppearancePrior, pictures: Pictures) -> None:
    textures = pictures.changed(chroma=pictures.textures.chroma[::2], color_rows=np.arange(0, COUNT, 2))
    codes, known = encode_textures(textures, prior), encode_textures(pictures.textures, prior)
    assert not codes.tone[1::2].any() and not codes.appearance[1::2, LUMA_ONLY:].any()
    assert agreement(codes.appearance[1::2, :LUMA_ONLY], pictures.appearance[1::2, :LUMA_ONLY]).min() > BOUND
    for name in ("appearance", "light", "tone"):
        assert np.allclose(getattr(codes, name)[::2], getattr(known, name)[::2], atol=1e-4), "pictures do not depend on their neighbors"
    without = encode_textures(pictures.changed(chroma=pictures.textures.chroma[:0], color_rows=np.arange(0)), prior)
    assert np.allclose(without.appearance[1::2], codes.appearance[1::2], atol=1e-4)


def test_untrusted_texels_have_no_say(prior: AppearancePrior, pictures: Pictures) -> None:
    trust = pictures.textures.trust.copy()
    trust[:, :, TEXTURE // 2 :] = 0
    luma, chroma = pictures.textures.luma.copy(), pictures.textures.chroma.copy()
    luma[:, :, TEXTURE // 2 :], chroma[:, :, TEXTURE // 4 :] = 255, 0
    first = encode_textures(pictures.changed(trust=trust), prior)
    second = encode_textures(pictures.changed(trust=trust, luma=luma, chroma=chroma), prior)
    for name in ("appearance", "light", "tone"):
        assert np.allclose(getattr(first, name), getattr(second, name), atol=1e-4)
    nothing = encode_textures(pictures.changed(trust=np.zeros_like(trust)), prior)
    assert not nothing.appearance.any() and not nothing.tone.any(), "of a face that nobody saw the mean person is the best guess"


def test_extreme_pictures_stay_within_what_is_drawn(prior: AppearancePrior, pictures: Pictures) -> None:
    luma = np.where(np.sin(9 * Y) > 0, 255, 0).astype(np.uint8)[None].repeat(COUNT, axis=0)
    codes = encode_textures(pictures.changed(luma=luma), prior)
    assert np.abs(codes.appearance).max() == 3 and np.isfinite(codes.light).all()


def test_the_same_gain_in_textures_and_in_pictures() -> None:
    light = np.random.default_rng(0).normal(0, 0.4, (5, 6)).astype(np.float32) + np.eye(1, 6, dtype=np.float32)
    for size in (32, 48, 64, 192):
        model = LightModel(size)
        gain = light_gain(torch.from_numpy(light), layout_of(size).expand(5, -1, -1, -1))
        assert gain.shape == (5, 1, size, size) and np.allclose(gain.numpy().reshape(5, -1), model.gain(light), atol=1e-4)
    assert gain.min() == pytest.approx(0.15) and gain.max() <= 4
    # an iris is lit where the eye is, not in the corner where its texels lie
    lamp_above = torch.tensor([[1.0, 0, -0.5, 0, 0, 0]])
    irises = light_gain(lamp_above, torch.from_numpy(IRIS_PATCHES.T).float().reshape(1, 2, 1, 2))
    corner = light_gain(lamp_above, torch.tensor([0.12, 0.945]).reshape(1, 2, 1, 1))
    assert irises.min() > 1 > corner.max()


def test_codes_check_themselves() -> None:
    with pytest.raises(ValueError, match="light must have shape"):
        AppearanceCodes(np.zeros((2, 8), np.float32), np.zeros((3, 6), np.float32), np.zeros((2, 2), np.float32))
