"""Training data and training of the occluder map: what is drawn, what it is called, and that a network learns it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import face_at

from ganon_hf.core.modeling_ganon import GanonConfig, OccluderNetwork
from ganon_hf.core.occluders import CLOTH, GLASSES, HAIR, HAND, NONE, OBJECT, SUNGLASSES, draw_hulls
from ganon_hf.training.batch_normalization import normalized
from ganon_hf.training.occluder_objects import hand, thing
from ganon_hf.training.occluder_samples import (
    IGNORED,
    NO_GLASSES,
    STORED_SIZE,
    BareFaces,
    Samples,
    bare_labels,
    compose,
    make_samples,
    make_scene,
    paint,
)
from ganon_hf.training.occluder_scene import Layer, smooth_curve
from ganon_hf.training.occluder_shapes import glasses, hair, hat, mask, scarf
from ganon_hf.training.occluder_textures import _print_motifs, cloth, folds, photo_patch, pleats, surface
from ganon_hf.training.occluder_training import (
    OccluderTrainingOptions,
    blend_networks,
    finished,
    occluder_loss,
    to_tensors,
    train_occluders,
)

POINTS = np.asarray(face_at(STORED_SIZE / 2, STORED_SIZE / 2, 105).landmarks)


@pytest.fixture(scope="module")
def faces() -> BareFaces:
    """Two heads of one color with dark hair above, on a wall."""
    hulls = draw_hulls(POINTS, STORED_SIZE)[..., 0] > 0
    pictures = np.full((2, STORED_SIZE, STORED_SIZE, 3), (90, 110, 120), np.uint8)
    pictures[:, 20:170, 40:150] = (190, 150, 130)
    pictures[:, :52] = (35, 30, 28)
    pictures[1] = np.where(hulls[..., None], (120, 80, 60), pictures[1])
    return BareFaces(pictures, np.stack([POINTS, POINTS]))


KINDS = {
    "mask": (mask, {CLOTH}),
    "scarf": (scarf, {CLOTH}),
    "hat": (hat, {CLOTH, OBJECT}),
    "glasses": (glasses, {GLASSES, NONE}),
    "hand": (hand, {HAND, CLOTH}),
    "hair": (hair, {HAIR}),
    "thing": (thing, {OBJECT, HAND, CLOTH}),
    "paint": (paint, {NONE}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_thing_lies_over_the_face(faces: BareFaces, name: str) -> None:
    draw, classes = KINDS[name]
    scene, touching = make_scene(faces, 0), 0
    face = draw_hulls(POINTS, STORED_SIZE)[..., 0] > 0
    for seed in range(12):
        layers = draw(scene, np.random.default_rng(seed))  # type: ignore[operator]
        for layer in layers:
            assert layer.kind in classes and layer.alpha.shape == face.shape and layer.color.shape == (*face.shape, 3)
            assert layer.alpha.min() >= 0 and layer.alpha.max() <= 1.001 and np.isfinite(layer.color).all()
            assert layer.translucent or layer.kind != NONE, "what covers a face has a class"
        touching += any(layer.alpha[face].max() > 0.2 for layer in layers)
    assert touching >= 9


def test_sunglasses_hide_the_eyes_and_spectacles_do_not(faces: BareFaces) -> None:
    scene, eyes = make_scene(faces, 0), draw_hulls(POINTS, STORED_SIZE)[..., 1] > 0
    for seed in range(6):
        shares = []
        for dark in (False, True):
            layers = glasses(scene, np.random.default_rng(seed), dark=dark)
            labels = compose(faces.pictures[0], np.zeros(eyes.shape, np.uint8), layers, np.random.default_rng(0))[1]
            shares.append(np.isin(labels[eyes], (GLASSES, SUNGLASSES)).mean())
            assert (labels[eyes] == SUNGLASSES).any() == dark
        assert shares[0] < shares[1]


def test_printed_motifs_have_the_cloth_between_them() -> None:
    for seed in range(12):
        texture = np.full((96, 96, 3), 200, np.float32)
        texture[:, ::2] = 180
        cloth_before = texture.copy()
        _print_motifs(texture, np.array([10, 20, 30], np.float32), np.random.default_rng(seed))
        printed = (texture == (10, 20, 30)).all(axis=2)
        assert 0.005 < printed.mean() < 0.9
        assert np.array_equal(texture[~printed], cloth_before[~printed]), "holes show the cloth"


def test_textures_have_their_range() -> None:
    for seed in range(8):
        generator = np.random.default_rng(seed)
        patch = photo_patch(np.full((1, 64, 64, 3), 77, np.uint8), 48, generator)
        assert (patch == 77).all() and patch.shape == (48, 48, 3)
        for texture in (cloth(48, generator), surface(48, generator)):
            assert texture.shape == (48, 48, 3) and np.isfinite(texture).all() and -80 < texture.min() and texture.max() < 600
        for gain in (folds(48, generator), pleats(48, 10, 40, 2.0, generator)):
            assert gain.shape == (48, 48) and abs(float(gain.mean()) - 1) < 0.25


def test_curves_keep_their_ends() -> None:
    line = np.array([[0.0, 0], [10, 0], [10, 10]])
    smooth = smooth_curve(line, closed=False)
    assert (smooth[0] == line[0]).all() and (smooth[-1] == line[-1]).all() and len(smooth) > len(line)
    assert not (smooth_curve(line)[:, None] == line).all(axis=2).any(), "corners of a closed one are cut off"


# ---- labels


def test_bare_faces_are_labeled(faces: BareFaces) -> None:
    """The mesh is face; dark hair over its upper border is hair; around it nothing is known but that no spectacles are there."""
    labels = bare_labels(faces.pictures[0], POINTS)
    hulls = draw_hulls(POINTS, STORED_SIZE)
    face = hulls[..., 0] > 0
    rows = np.arange(STORED_SIZE)[:, None]
    assert (labels[hulls[..., 1:].max(axis=2) > 0] == NONE).all()
    assert (labels[face & (rows < 49)] == HAIR).mean() > 0.8 and (labels == HAIR)[54:].sum() == 0
    assert (labels[:10] == NO_GLASSES).all()


def test_compose_names_what_is_in_front() -> None:
    alpha = np.zeros((8, 8), np.float32)
    alpha[2:4], alpha[4] = 1.0, 0.3
    red = np.zeros((8, 8, 3), np.float32)
    red[..., 0] = 200
    image, labels = compose(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), [Layer(CLOTH, red, alpha)], np.random.default_rng(0))
    assert (labels[2:4] == CLOTH).all() and (labels[4] == IGNORED).all() and (labels[5:] == NONE).all()
    assert (image[2:4, :, 0] == 200).all() and image[4, 0, 0] == pytest.approx(60)
    paint_only = compose(np.zeros((8, 8, 3), np.uint8), labels * 0, [Layer(NONE, red, alpha, translucent=True)], np.random.default_rng(0))
    assert (paint_only[1] == NONE).all() and paint_only[0].max() == 200


def test_samples_are_reproducible_and_survive_a_file(faces: BareFaces, tmp_path: Path) -> None:
    made = make_samples(faces, 0, 3, np.random.default_rng(4))
    again = make_samples(faces, 0, 3, np.random.default_rng(4))
    assert len(made) == 3 and (made.pictures == again.pictures).all() and (made.pictures[0] != made.pictures[1]).any()
    made.save(tmp_path / "samples-0.npz")
    loaded = Samples.load(tmp_path / "samples-0.npz")
    for name in ("pictures", "hulls", "labels"):
        assert (getattr(made, name) == getattr(loaded, name)).all()
    assert len(Samples.concatenate([made, loaded])) == 6


def test_faces_must_fit_together() -> None:
    with pytest.raises(ValueError, match="no face"):
        BareFaces(np.empty((0, 192, 192, 3), np.uint8), np.empty((0, 478, 3)))
    with pytest.raises(ValueError, match=r"got \(1, 64, 64, 3\)"):
        BareFaces(np.empty((1, 64, 64, 3), np.uint8), np.empty((1, 478, 3)))


# ---- training


def test_the_loss_looks_where_it_should() -> None:
    """Right answers cost nothing; ignored pixels do not count; where no spectacles are, only spectacles cost."""
    hulls = torch.zeros(1, 4, 4, 4)
    labels = torch.full((1, 4, 4), CLOTH)
    right = torch.full((1, 7, 4, 4), -20.0)
    right[:, CLOTH] = 20
    assert occluder_loss(right, hulls, labels) < 1e-4
    assert occluder_loss(-right, hulls, torch.full_like(labels, IGNORED)) == 0
    assert occluder_loss(right, hulls, torch.full_like(labels, NO_GLASSES)) < 1e-3
    spectacles = right.roll(GLASSES - CLOTH, dims=1)
    assert occluder_loss(spectacles, hulls, torch.full_like(labels, NO_GLASSES)) > 5
    mixed = torch.where(torch.arange(4)[:, None] < 2, NONE, CLOTH).expand(1, 4, 4)
    features = hulls.clone()
    features[:, 2] = 1
    assert occluder_loss(right, features, mixed) > occluder_loss(right, hulls, mixed), "eyes, nose and mouth count more"


def test_a_network_learns_what_is_in_front(faces: BareFaces) -> None:
    samples = make_samples(faces, 0, 16, np.random.default_rng(0))
    options = OccluderTrainingOptions(channels=4, steps=80, batch_size=8, learning_rate=5e-3)
    saved: list[int] = []
    network = train_occluders(lambda generator: samples, options, save=lambda network, step: saved.append(step), save_every=40)
    pictures, hulls, labels = to_tensors(samples, np.arange(16))
    with torch.inference_mode():
        before = occluder_loss(finished(normalized(OccluderNetwork(GanonConfig(occluder_channels=4))))(pictures, hulls), hulls, labels)
        after = occluder_loss(network(pictures, hulls), hulls, labels)
    assert after < 0.8 * before and saved == [40, 80]
    assert all(value.is_contiguous() for value in network.state_dict().values()), "as files need it"
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", ["channels", "steps", "batch_size", "learning_rate"])
def test_training_options_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive"):
        OccluderTrainingOptions(**{name: 0})


def test_blends_lie_between_two_networks() -> None:
    before, after = (OccluderNetwork(GanonConfig(occluder_channels=2)) for _ in range(2))
    for share in (0.0, 0.25, 1.0):
        blended = blend_networks(before, after, share).state_dict()
        for name, first in before.state_dict().items():
            torch.testing.assert_close(blended[name], (1 - share) * first + share * after.state_dict()[name])
    assert bool((before.stem.weight != after.stem.weight).all())  # neither was changed


@pytest.mark.parametrize(
    ("width", "share", "complaint"),
    [(2, -0.1, "from 0 to 1"), (2, 1.1, "from 0 to 1"), (3, 0.5, "same width, but stem.weight has the shapes")],
)
def test_impossible_blends_are_refused(width: int, share: float, complaint: str) -> None:
    before, after = (OccluderNetwork(GanonConfig(occluder_channels=channels)) for channels in (2, width))
    with pytest.raises(ValueError, match=complaint):
        blend_networks(before, after, share)
