"""The closed-form fits on an invented population whose every law is known, and the way from pictures to textures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import face_at

from ganon_hf.core.face_mesh import MEAN_LANDMARKS, MIRROR, UV_MAP
from ganon_hf.core.landmarks import texel_table
from ganon_hf.core.modeling_ganon import GanonConfig, GanonModel, shape_features
from ganon_hf.training.appearance_prior import fit_prior, remove_shading
from ganon_hf.training.lighting import LightModel
from ganon_hf.training.textures import FaceSample, TextureSet, mirror_shapes, unwrap_samples

TEXTURE = 32
CONFIG = GanonConfig(image_size=64, texture_size=TEXTURE, num_shape_components=6, num_quadratic=2, num_appearance=8)
U, V = (UV_MAP.T - 0.5) * 2
Y, X = (np.mgrid[:TEXTURE, :TEXTURE] + 0.5) / TEXTURE * 2 - 1
ROWS, COLUMNS, _, _ = texel_table(TEXTURE)
MESH = np.zeros((TEXTURE, TEXTURE), bool)
MESH[ROWS, COLUMNS] = True


def shape_field(x: np.ndarray | float = 0.0, y: np.ndarray | float = 0.0) -> np.ndarray:
    field = np.zeros((478, 3))
    field[:468, 0], field[:468, 1] = x, y
    return field


# Four ways in which people differ and one in which a person changes: the mouth moves up and down. All are symmetric.
FIELDS = np.stack(
    [
        shape_field(x=0.12 * U),
        shape_field(y=0.1 * V),
        shape_field(x=0.1 * U * V),
        shape_field(y=0.08 * U**2),
        shape_field(y=-0.15 * np.exp(-((V - 0.5) ** 2 + U**2) / 0.1)),
    ]
)
MEAN = 130 + 25 * np.cos(5 * X) * np.sin(4 * Y)
# What each of the five does to the texture, and what people have beyond their shape.
EFFECTS = np.stack(
    [
        12 * np.cos(4 * X) * np.cos(3 * Y),
        12 * np.cos(7 * Y),
        10 * np.cos(6 * X),
        10 * np.sin(5 * Y) * np.cos(2 * X),
        14 * np.exp(-((Y - 0.5) ** 2 + X**2) / 0.05),
    ]
)
OWN = np.stack([10 * np.cos(9 * X) * np.cos(8 * Y), 10 * np.sin(9 * Y)])
OWN_BLUE = 5 * np.sin(12 * Y[::2, ::2])  # the first of the two also has a color
RED_LAMP = 6 * X[::2, ::2]  # chance has it that those with the second stood beside something red


class Population:
    """People with ``pictures`` each under random light."""

    def __init__(self, people: int, pictures: int, seed: int):
        generator = np.random.default_rng(seed)
        count = people * pictures
        self.persons = np.repeat(np.arange(people), pictures)
        identity, own = generator.standard_normal((people, 4)), generator.standard_normal((people, 2))
        mouth = 0.7 * generator.standard_normal(people)[self.persons] + generator.standard_normal(count)  # some smile more than others
        codes = np.hstack([identity[self.persons], mouth[:, None]])
        self.shapes = (MEAN_LANDMARKS + np.einsum("nk,kpc->npc", codes, FIELDS)).astype(np.float32)
        self.by_shape = MEAN + np.einsum("nk,kij->nij", codes, EFFECTS)
        lamp = 6 * generator.standard_normal((people, 1, 1))[self.persons] * np.sin(6 * X)  # one that every picture of a person shares
        self.even = self.by_shape + np.einsum("nk,kij->nij", own[self.persons], OWN) + lamp
        slopes = generator.uniform(-0.25, 0.25, (2, count, 1, 1))
        gain = generator.uniform(0.7, 1.3, (count, 1, 1)) * (1 + slopes[0] * X + slopes[1] * Y)
        chroma = 128 + np.array([-12.0, 14.0]) + generator.normal(0, 2, (count, 1, 1, 2)) * np.ones((1, TEXTURE // 2, TEXTURE // 2, 1))
        chroma[..., 0] += own[self.persons][:, :1, None] * OWN_BLUE
        chroma[..., 1] += own[self.persons][:, 1:, None] * RED_LAMP
        self.textures = TextureSet(
            luma=np.clip(np.round(self.even * gain), 0, 255).astype(np.uint8),
            trust=np.repeat(np.where(MESH, 255, 0).astype(np.uint8)[None], count, axis=0),
            chroma=np.round(chroma).astype(np.uint8),
            color_rows=np.arange(count),
            shapes=self.shapes,
            angles=np.zeros((count, 2), np.float32),
            persons=self.persons,
            neutral=np.zeros(count, bool),
            weights=np.ones(count, np.float32),
        )


@pytest.fixture(scope="module")
def population() -> Population:
    return Population(40, 3, 0)


@pytest.fixture(scope="module")
def prior(population: Population) -> dict[str, torch.Tensor]:
    return fit_prior(population.textures, CONFIG)


def predict(prior: dict[str, torch.Tensor], shapes: np.ndarray) -> np.ndarray:
    angles = torch.zeros(len(shapes), 2)
    features = shape_features(torch.from_numpy(shapes), angles, prior["shape_mean"], prior["shape_basis"], CONFIG.num_quadratic)
    return np.einsum("nf,fij->nij", features.numpy(), prior["luma"].numpy().reshape(-1, TEXTURE, TEXTURE))


def even_level(textures: np.ndarray) -> np.ndarray:
    """(n, texels of the mesh): a prior does not know how bright the lamp was."""
    flat = textures[..., MESH]
    return flat / flat.mean(axis=-1, keepdims=True) * 120


def left_over(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Share of the variation about the mean that the prediction leaves."""
    predicted, truth = even_level(predicted), even_level(truth)
    return float(((predicted - truth) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum())


def test_the_prior_predicts_people_it_has_not_seen(prior: dict[str, torch.Tensor]) -> None:
    held_out = Population(20, 2, 5)
    assert left_over(predict(prior, held_out.shapes), held_out.by_shape) < 0.4  # the mean face leaves 1, by definition
    shuffled = left_over(predict(prior, held_out.shapes[::-1].copy()), held_out.by_shape)
    assert shuffled > 1, "it is the shape that says so"


def test_unseen_texels_are_filled_in_by_the_shape(population: Population) -> None:
    """Half of the pictures do not show the forehead: it must not fade to black."""
    textures = population.textures
    trust, luma = textures.trust.copy(), textures.luma.copy()
    hidden = np.zeros_like(trust, bool)
    hidden[::2, : TEXTURE // 3] = True
    trust[hidden], luma[hidden] = 0, 0
    fitted = fit_prior(TextureSet(**{**textures.__dict__, "trust": trust, "luma": luma}), CONFIG)
    held_out = Population(20, 2, 5)
    predicted = predict(fitted, held_out.shapes)
    assert left_over(predicted, held_out.by_shape) < 0.5
    forehead = MESH & (np.arange(TEXTURE)[:, None] < TEXTURE // 3)
    share = predicted[:, forehead].mean() / predicted[:, MESH & ~forehead].mean()
    assert share == pytest.approx(held_out.by_shape[:, forehead].mean() / held_out.by_shape[:, MESH & ~forehead].mean(), rel=0.06)


def test_appearance_holds_what_people_have_beyond_their_shape(prior: dict[str, torch.Tensor]) -> None:
    maps = prior["luma_appearance"].numpy()
    assert np.allclose(maps, maps[:, :, ::-1], atol=1e-4), "faces are symmetric, lamps are not"
    strength = np.abs(maps).max(axis=(1, 2))
    assert (strength[:2] > 3).all() and strength[2:].max() < 0.3 * strength[1], "two ways were put in, two come out"
    basis = maps[:2][:, MESH].T
    for own in OWN:
        centered = own[MESH] - own[MESH].mean()
        coefficients = np.linalg.lstsq(basis, centered, rcond=None)[0]
        assert ((basis @ coefficients - centered) ** 2).sum() < 0.2 * (centered**2).sum()


def test_color_goes_with_the_appearance_it_belongs_to(prior: dict[str, torch.Tensor]) -> None:
    basis = prior["luma_appearance"].numpy()[:2][:, MESH].T
    coefficients = np.linalg.lstsq(basis, OWN[0][MESH] - OWN[0][MESH].mean(), rcond=None)[0]
    blue = np.einsum("k,kij->ij", coefficients, prior["chroma_appearance"].numpy()[:2, 0])
    seen = MESH[::2, ::2]
    strength = (blue[seen] @ OWN_BLUE[seen]) / (OWN_BLUE[seen] @ OWN_BLUE[seen])
    assert 0.6 < strength < 1.2


def test_a_colored_lamp_is_nobodys(prior: dict[str, torch.Tensor]) -> None:
    maps = prior["chroma_appearance"].numpy()
    assert np.abs(maps[:2, 0]).max() > 2 and np.allclose(maps, maps[..., ::-1], atol=1e-4)
    seen = MESH[::2, ::2]
    strength = np.sqrt((maps[:, 1][:, seen] ** 2).mean(axis=1).max() / (RED_LAMP[seen] ** 2).mean())
    assert strength < 0.15, "texels on the rim, of whose mirror images nothing is known, keep a little"


def test_skin_tone_is_measured(prior: dict[str, torch.Tensor]) -> None:
    assert np.allclose(prior["tone_mean"], [1.0, -12, 14], atol=[0.15, 0.6, 0.6])
    covariance = prior["tone_factor"] @ prior["tone_factor"].T
    assert np.sqrt(np.diag(covariance))[1:] == pytest.approx([2, 2], rel=0.25)


def test_the_fit_is_what_the_model_loads_and_computes_with(prior: dict[str, torch.Tensor], population: Population) -> None:
    model = GanonModel(CONFIG)
    assert model.prior is not None
    result = model.prior.load_state_dict(prior, strict=False)
    assert not result.unexpected_keys and not result.missing_keys
    shapes = torch.from_numpy(population.shapes[:4])
    with torch.no_grad():
        luma, _ = model.prior(shapes, torch.zeros(4, 2), torch.zeros(4, CONFIG.num_appearance))
    assert np.allclose(luma[:, 0].numpy(), predict(prior, population.shapes[:4]), atol=1e-2)


def test_the_fit_is_repeatable(population: Population, prior: dict[str, torch.Tensor]) -> None:
    again = fit_prior(population.textures, CONFIG)
    assert all(torch.equal(again[name], prior[name]) for name in prior)


def test_few_color_pictures_make_a_gray_prior(population: Population) -> None:
    textures = population.textures
    gray = TextureSet(**{**textures.__dict__, "chroma": textures.chroma[:10], "color_rows": textures.color_rows[:10]})
    fitted = fit_prior(gray, CONFIG)
    assert not fitted["chroma"].any() and not fitted["chroma_appearance"].any()
    GanonModel(CONFIG).prior.load_state_dict(fitted, strict=False)  # type: ignore[union-attr]


# ---- light


def test_two_lamps_one_face() -> None:
    trust = MESH.ravel()[None].astype(np.float32)
    face = (MEAN + OWN[0]).astype(np.float32)
    gains = [1 + 0.3 * X, 0.6 - 0.2 * Y + 0.1 * X**2, 1.8 - 0.4 * X * Y]
    even = [
        LightModel(TEXTURE).remove((face * gain).astype(np.float32).reshape(1, -1), trust, MEAN.astype(np.float32).ravel())
        for gain in gains
    ]
    for gain, (result, fitted) in zip(gains, even, strict=True):
        assert np.abs((face * gain).ravel() - face.ravel())[MESH.ravel()].mean() > 15
        assert np.abs(result[0] - face.ravel())[MESH.ravel()].mean() < 2
        assert np.abs(fitted[0] / gain.ravel().astype(np.float32) - 1)[MESH.ravel()].max() < 0.06
    assert np.abs(even[0][0] - even[1][0])[0, MESH.ravel()].max() < 3


def test_a_beard_is_mostly_not_a_shadow() -> None:
    trust, mean = MESH.ravel()[None].astype(np.float32), MEAN.astype(np.float32).ravel()
    beard = (Y > 0.6) & MESH
    assert 0.1 < beard.sum() / MESH.sum() < 0.15
    face = np.where(beard, 40, MEAN).astype(np.float32)
    result = LightModel(TEXTURE).remove(face.reshape(1, -1), trust, mean)[0].reshape(TEXTURE, TEXTURE)
    assert result[beard].mean() < 55, "the beard is 40"
    assert np.abs(result - MEAN)[MESH & ~beard].mean() < 5, "and the rest of the face pays nothing for it"
    light = LightModel(TEXTURE)
    design = light.basis[light.skin] * mean[light.skin, None]
    plain = light.basis @ np.linalg.lstsq(design, face.ravel()[light.skin], rcond=None)[0]
    believed = (face.ravel() / np.clip(plain, 0.15, 4)).reshape(TEXTURE, TEXTURE)
    assert believed[beard].mean() > result[beard].mean() + 10 and believed[beard].max() > result[beard].max() + 30, (
        "least squares takes it for a shadow and lights it up"
    )


def test_untrusted_texels_do_not_speak_about_the_light() -> None:
    trust = (MESH & (X < 0)).ravel()[None].astype(np.float32)
    face = MEAN.astype(np.float32) * 0.8
    spoilt = np.where(X < 0, face, 250).astype(np.float32)
    first, second = (LightModel(TEXTURE).remove(one.reshape(1, -1), trust, MEAN.astype(np.float32).ravel())[1] for one in (face, spoilt))
    assert np.allclose(first, second, atol=1e-4)


def test_broad_shading_leaves_the_appearance_and_brows_stay() -> None:
    size = 64
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    rows, columns, _, _ = texel_table(size)
    broad, fine = 10 * (x**2 + y), 10 * np.sign(np.sin(40 * y))
    result = remove_shading(np.stack([broad, fine]).astype(np.float32))[:, rows, columns]
    assert result[0].std() < 0.4 * broad[rows, columns].std() and result[1].std() > 0.85 * fine[rows, columns].std()


def test_mirrored_shapes() -> None:
    shapes = np.random.default_rng(0).normal(size=(2, 478, 3)).astype(np.float32)
    mirrored = mirror_shapes(shapes)
    assert mirrored.dtype == np.float32 and np.array_equal(mirror_shapes(mirrored), shapes)
    assert np.array_equal(mirrored[0, 33], shapes[0, MIRROR[33]] * [-1, 1, 1])


# ---- pictures


def sample(person: int = 3, *, grayscale: bool = False, resolution: float = 1.0, yaw: float = 0.0) -> FaceSample:
    landmarks = face_at(32, 32, 48, yaw=yaw).landmarks
    assert landmarks is not None
    image = np.full((64, 64, 3), 128 if grayscale else (200, 150, 130), np.uint8)
    return FaceSample(image, landmarks, person, grayscale, True, resolution)


def test_samples_become_textures(tmp_path: Path) -> None:
    textures = unwrap_samples([sample(), sample(4, grayscale=True), sample(resolution=0.1), sample(yaw=55)], TEXTURE)
    assert len(textures) == 4 and textures.luma.shape == (4, TEXTURE, TEXTURE) and textures.luma.dtype == np.uint8
    assert textures.color_rows.tolist() == [0, 2, 3] and textures.chroma.shape == (3, TEXTURE // 2, TEXTURE // 2, 2)
    assert np.abs(textures.luma[0][MESH].astype(int) - 163).max() <= 1  # 0.299 * 200 + 0.587 * 150 + 0.114 * 130
    assert np.median(textures.chroma[0].reshape(-1, 2), axis=0).tolist() == [109, 154]  # Cb, then Cr
    assert textures.weights[0] == 1 and textures.weights[2] == 0.25 and textures.weights[3] < 0.25
    assert textures.angles[3, 0] == pytest.approx(55, abs=0.1) and np.allclose(textures.shapes[3], MEAN_LANDMARKS, atol=1e-3)
    textures.save(str(tmp_path / "part.npz"))
    loaded = TextureSet.load(str(tmp_path / "part.npz"))
    assert all(np.array_equal(getattr(loaded, name), getattr(textures, name)) for name in TextureSet.__dataclass_fields__)


def test_no_sample_is_an_empty_set() -> None:
    """A part of a file in which no face was found must not end a run of hours."""
    empty, one = unwrap_samples([], TEXTURE), unwrap_samples([sample()], TEXTURE)
    assert len(empty) == 0
    for name in TextureSet.__dataclass_fields__:
        assert getattr(empty, name).shape[1:] == getattr(one, name).shape[1:] and getattr(empty, name).dtype == getattr(one, name).dtype
