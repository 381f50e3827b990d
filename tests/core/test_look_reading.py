"""What is read from a photo: the right part of it, the same in any light and turn, and nothing in between where it is not sure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import face_at, noise_photo

from ganon_hf.core.face_mesh import FACE_OVAL, MIRROR
from ganon_hf.core.landmarks import render_uv_map
from ganon_hf.core.look import Look
from ganon_hf.core.look_reading import _masks, decide_look, look_crop, measure_shades, measure_skin_angle, read_look, typology_angle
from ganon_hf.core.modeling_ganon import GanonConfig, LookClassifier
from ganon_hf.core.skin_tone import lab_to_rgb

SIDE = 200
FACE = face_at(100, 100, 150)


@pytest.fixture(scope="module")
def network() -> LookClassifier:
    """A small one that was not trained, but whose answers are far apart."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LookClassifier(GanonConfig(look_channels=4)).eval()
        for parameter in network.parameters():
            parameter.data.mul_(3)
        network.shape_basis.normal_(0, 0.1)
    return network


def logits_of(network: LookClassifier, photo: np.ndarray, landmarks: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    seen: list[np.ndarray] = []
    monkeypatch.setattr("ganon_hf.core.look_reading.decide_look", lambda logits: seen.append(logits) or Look())
    read_look(network, photo, landmarks)
    return seen[0]


def painted(skin: tuple[float, ...] | np.ndarray, brows: float, face: np.ndarray = FACE.landmarks) -> np.ndarray:  # type: ignore[assignment]
    """A face of one color with brows of that share of it."""
    uv_map = render_uv_map(face, SIDE)[0]
    u, v = (np.clip((uv_map[..., axis] * 64).astype(int), 0, 63) for axis in (0, 1))
    photo = np.full((SIDE, SIDE, 3), 128.0)
    photo[10:190, 20:180] = skin
    inside = uv_map.sum(axis=2) > 0
    photo[inside & _masks()[1][v, u]] *= brows
    return np.clip(photo, 0, 255).astype(np.uint8)


# ---- the network


def test_classifier_is_small_and_takes_any_light(network: LookClassifier) -> None:
    full = LookClassifier(GanonConfig(look_channels=14))
    assert sum(value.numel() for value in full.state_dict().values()) < 350_000
    pictures, components = torch.rand(3, 1, 128, 128) * 200, torch.randn(3, full.num_components)
    with torch.inference_mode():
        expected = network(pictures, components)
        assert expected.shape == (3, 7)
        assert torch.allclose(network(pictures * 0.4 + 30, components), expected, atol=1e-3)
        assert not torch.allclose(network(pictures.flip(2), components), expected, atol=1e-2)
        assert not torch.allclose(network(pictures, components + 1), expected, atol=1e-2)
        assert network(torch.full((1, 1, 128, 128), 7.0), components[:1]).isfinite().all()


def test_components_are_within_limits(network: LookClassifier) -> None:
    assert network.components(torch.full((1, 478, 3), 100.0)).abs().max() <= 4


# ---- where it looks


@pytest.mark.parametrize("height", [24, 60, 150])
def test_the_crop_holds_the_head(height: int) -> None:
    """The face oval lies in the square, somewhat below its middle, at the same place whatever its size in the photo."""
    landmarks = face_at(150, 120, height).landmarks
    assert landmarks is not None
    oval = look_crop(landmarks, 72).to_crop(landmarks)[FACE_OVAL]
    low, high = oval[:, :2].min(axis=0), oval[:, :2].max(axis=0)
    assert low[1] == pytest.approx(16.8, abs=0.5) and high[1] == pytest.approx(61.9, abs=0.5)
    assert low[0] + high[0] == pytest.approx(72, abs=0.5)


def test_a_turned_photo_is_read_alike(network: LookClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    blurred = torch.nn.functional.avg_pool2d(torch.from_numpy(noise_photo(SIDE, SIDE).astype(np.float32)).permute(2, 0, 1), 9, 1, 4)
    photo = blurred.permute(1, 2, 0).numpy().astype(np.uint8)
    expected = logits_of(network, photo, FACE.landmarks, monkeypatch)  # type: ignore[arg-type]
    points = np.array(FACE.landmarks)
    turned = np.stack([SIDE - points[:, 1], points[:, 0], points[:, 2]], axis=1)
    got = logits_of(network, np.ascontiguousarray(np.rot90(photo, -1)), turned, monkeypatch)
    upset = logits_of(network, np.ascontiguousarray(photo[::-1]), FACE.landmarks, monkeypatch)  # type: ignore[arg-type]
    assert np.abs(got - expected).max() < 0.2 * np.abs(upset - expected).max()


def test_a_mirrored_photo_is_read_the_same(network: LookClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = noise_photo(SIDE, SIDE)
    expected = logits_of(network, photo, FACE.landmarks, monkeypatch)  # type: ignore[arg-type]
    points = np.array(FACE.landmarks)[MIRROR]
    points[:, 0] = SIDE - points[:, 0]
    got = logits_of(network, np.ascontiguousarray(photo[:, ::-1]), points, monkeypatch)
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()


def test_only_luma_counts(network: LookClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    place = np.linspace(0, 1, SIDE)
    gray = 90 + 60 * place[:, None, None] * np.ones((1, SIDE, 3))
    color = gray + 80 * (place[None, :, None] > 0.5) * np.array([0.587, -0.299, 0.0])
    brighter = gray + 20 * (place[None, :, None] > 0.5)
    values = [logits_of(network, np.round(one).astype(np.uint8), FACE.landmarks, monkeypatch) for one in (gray, color, brighter)]  # type: ignore[arg-type]
    assert np.abs(values[1] - values[0]).max() < 0.1 * np.abs(values[2] - values[0]).max()


@pytest.mark.parametrize("height", [24.0, 60.0])
@pytest.mark.parametrize("gray", [False, True])
def test_every_part_is_answered(network: LookClassifier, height: float, gray: bool) -> None:
    landmarks = face_at(60, 60, height).landmarks
    assert landmarks is not None
    look = read_look(network, noise_photo(gray=gray), landmarks)
    assert None not in (look.age, look.sex, look.beard)
    assert (look.brows, look.skin) == (None, None), "with them the look would tell who it is"


def test_landmarks_without_a_pose_are_refused(network: LookClassifier) -> None:
    with pytest.raises(ValueError, match="points"):
        read_look(network, noise_photo(), np.zeros((478, 3)))


def test_half_precision_weights_are_taken(network: LookClassifier) -> None:
    double = LookClassifier(GanonConfig(look_channels=4)).eval()
    double.load_state_dict(network.state_dict())
    look = read_look(double.double(), noise_photo(), FACE.landmarks)  # type: ignore[arg-type]
    assert look == read_look(network, noise_photo(), FACE.landmarks)  # type: ignore[arg-type]


# ---- what is decided


def answer(ages: tuple[float, ...] = (0, 0, 0, 9, 0), woman: float = 0.0, beard: float = -9.0) -> np.ndarray:
    return np.array([*ages, woman, beard], np.float64)


@pytest.mark.parametrize(
    ("logits", "look"),
    [
        (answer(woman=2.0), ("middle", "woman", False)),
        (answer(woman=-2.0), ("middle", "man", False)),
        (answer(woman=0.7), ("middle", "unsure", False)),
        (answer(woman=-2.0, beard=2.0), ("middle", "man", True)),
        (answer(woman=-2.0, beard=0.5), ("middle", "man", False)),
        (answer(woman=0.0, beard=9.0), ("middle", "unsure", True)),
        (answer(woman=2.0, beard=9.0), ("middle", "woman", False)),
        # a child from a probability of 0.2 on, then the median of the ages there
        (answer((2.8, 2.9, 3.8, 0, 0)), ("child", "unsure", False)),
        # below, a young adult is a teen from 0.06 on, without a beard and with a sex only where it is sure; no older one is
        (answer((1.4, 0, 2.6, 2.4, -9)), ("teen", "unsure", False)),
        (answer((1.4, 0, 2.6, 2.4, -9), woman=-2.0, beard=9.0), ("teen", "unsure", False)),
        (answer((1.4, 0, 2.6, 2.4, -9), woman=-3.0), ("teen", "man", False)),
        (answer((-2, -1, 2.6, 2.4, -9), woman=-2.0), ("young", "man", False)),
        (answer((1.4, 0, 0, 2.6, 2.4)), ("middle", "unsure", False)),
        (answer((1.8, 0, 2.6, 2.4, -9)), ("toddler", "unsure", False)),
        (answer((-9, -9, 1, 0, 1)), ("middle", "unsure", False)),
        (answer((-9, -9, 0, 0, 5)), ("old", "unsure", False)),
        # a child has no beard, and its sex must be surer
        (answer((9, 0, 0, 0, 0), woman=-2.0, beard=9.0), ("toddler", "unsure", False)),
        (answer((0, 9, 0, 0, 0), woman=3.0), ("child", "woman", False)),
        # with no answer at all two of five ages are a child's
        (np.full(7, 1e6), ("toddler", "woman", False)),
    ],
)
def test_decisions(logits: np.ndarray, look: tuple[str, str, bool]) -> None:
    with np.errstate(over="ignore"):
        decided = decide_look(logits)
    assert (decided.age, decided.sex, decided.beard, decided.brows, decided.skin) == (*look, None, None)


# ---- shades


def test_the_angle_is_that_of_the_definition() -> None:
    for lightness, yellowness in ((70, 18), (50, 16), (35, 15)):
        angle = np.degrees(np.arctan2(lightness - 50, yellowness))
        assert typology_angle(lab_to_rgb(np.array([lightness, 12.0, yellowness]))) == pytest.approx(angle, abs=0.5)
    # bluish light does not make skin light
    assert typology_angle(np.array([130, 125, 130])) < 41


@pytest.mark.parametrize(("lab", "shade"), [((75, 10, 15), "light"), ((58, 13, 18), "medium"), ((38, 13, 18), "dark")])
@pytest.mark.parametrize(("share", "brows"), [(0.9, "light"), (0.7, "medium"), (0.4, "dark")])
def test_shades_are_measured(lab: tuple[float, ...], shade: str, share: float, brows: str) -> None:
    photo = painted(lab_to_rgb(np.array(lab)), share)
    assert measure_shades(photo, FACE.landmarks) == (brows, shade)  # type: ignore[arg-type]


def test_what_a_photo_does_not_show_is_medium() -> None:
    for photo in (painted((90, 90, 90), 0.7), painted((34, 26, 22), 0.7)):  # gray, in the dark
        assert measure_shades(photo, FACE.landmarks) == ("medium", "medium")  # type: ignore[arg-type]
    far = np.array(FACE.landmarks) + np.array([1000.0, 0.0, 0.0])  # outside the photo
    assert measure_skin_angle(painted((180, 140, 120), 0.7), far) is None or measure_shades(noise_photo(), far)[0] in ("light", "medium")
