"""Noise of faces: of the strength that is asked for, different in each channel, and without visible repetition."""

from __future__ import annotations

import numpy as np
import pytest

from ganon_hf.core.face_noise import NO_NOISE, FaceNoise


def noise(side: int, *, grain: tuple[float, ...] = (1.0, 0.24), seed: int = 0) -> FaceNoise:
    return FaceNoise(np.random.default_rng(seed), side, list(grain))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("grain", [(), (1.0, 0.24), (1.0, 0.7)])
def test_noise_is_as_strong_as_asked_for_in_every_octave(number: int, grain: tuple[float, ...]) -> None:
    octave = np.zeros((400 >> number, 400 >> number), np.float32)
    noise(400, grain=grain).add(octave, number, 0, 3.0)
    assert abs(octave.mean()) < 0.3 and octave.std() == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("side", [300, 700, 1500])
def test_a_large_face_has_no_line_about_which_its_noise_is_a_mirror_image_twice(side: int) -> None:
    """Mirrored once, nobody sees it; mirrored again and again, it is a pattern."""
    filled = noise(side).filling((64, side), 0, 0)
    mirrors = [
        column
        for column in range(64, side - 64)
        if np.corrcoef(filled[:, column - 60 : column].ravel(), filled[:, column + 59 : column - 1 : -1].ravel())[0, 1] > 0.9
    ]
    assert len(mirrors) <= 1


def test_channels_differ() -> None:
    channels = [noise(200).filling((200, 200), 1, turns).ravel() for turns in range(4)]
    assert np.abs(np.corrcoef(channels) - np.eye(4)).max() < 0.1


def test_faint_pores_are_left_out_and_color_is_noticed() -> None:
    octave, where = np.zeros((100, 100), np.float32), np.ones((100, 100), np.float32)
    source = noise(100)
    source.add_pores(octave, 0, 1, where, NO_NOISE)
    assert not octave.any() and not source.colored
    source.add_pores(octave, 0, 0, where, 2.0)
    assert octave.std() == pytest.approx(2.0, rel=0.2) and not source.colored
    assert np.mean(octave**3) / octave.std() ** 3 < -0.1, "pores are dark"
    source.add_pores(octave, 0, 1, where, 2.0)
    assert source.colored
