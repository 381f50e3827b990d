"""Toned photos: their curve is found, and photos in color have none."""

from __future__ import annotations

import numpy as np
import pytest
from lit_face import SIZE, SKIN, SYNTHETIC, X, Y, rgb, ycc

from ganon_hf.core.toned_photos import tone_curve


def print_of(gray: np.ndarray) -> np.ndarray:
    """A sepia print: (h, w) luma 0..1 -> uint8 RGB."""
    return np.clip(np.round(255 * np.stack([gray**0.75, gray, gray**1.4], axis=-1)), 0, 255).astype(np.uint8)


GRAY = np.clip(0.5 + 0.35 * np.sin(4 * X) * np.cos(3 * Y) + 0.1 * X, 0.02, 0.98)


@pytest.mark.parametrize("noise", [0, 6])
def test_a_sepia_print_is_toned_and_gives_its_curve(noise: int) -> None:
    grain = np.random.default_rng(0).normal(0, noise, (SIZE, SIZE, 1))
    photo = np.clip(np.round(print_of(GRAY) + grain), 0, 255).astype(np.uint8)
    curve = tone_curve(photo, photo[20:70, 20:70])
    assert curve is not None and curve.strength == 1
    result = ycc(curve.apply(SYNTHETIC))
    luma = ycc(SYNTHETIC)[..., 0]
    assert np.allclose(result[..., 0], luma, atol=0.1)
    levels = np.linspace(0.01, 1, 300)
    scale = ycc(print_of(levels[None]).astype(np.float32))[0]
    for channel in (1, 2):
        assert np.abs(result[..., channel] - np.interp(luma, scale[:, 0], scale[:, channel]))[SKIN].max() < 2.5


def test_a_photo_in_color_is_not_toned() -> None:
    color = rgb(255 * GRAY, -10 + 8 * np.sin(6 * Y), 15 + 8 * np.sin(6 * X)).clip(0, 255).astype(np.uint8)
    assert tone_curve(color, color[20:70, 20:70]) is None
    gray = print_of(GRAY)
    small = np.tile(gray, (4, 4, 1))
    small[:SIZE, :SIZE] = color
    assert tone_curve(small, color) is None, "a face in color before a gray wall"
    assert tone_curve(np.tile(color, (4, 4, 1)), gray[20:70, 20:70]) is None, "a gray face in a colorful photo"


def test_the_tone_of_one_color_is_that_color() -> None:
    photo = np.full((40, 40, 3), (150, 120, 90), np.uint8)
    curve = tone_curve(photo, photo)
    assert curve is not None
    assert np.allclose(ycc(curve.apply(SYNTHETIC))[..., 1:], ycc(np.array([150.0, 120.0, 90.0]))[1:], atol=0.5)
