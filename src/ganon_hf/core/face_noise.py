"""Noise for synthetic faces: the grain of a camera, and the pores and blotches of skin.

Conventions: see ``sharpness_matching.py``. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import numpy as np

from .octaves import MAX_OCTAVES, octaves_of
from .opencv import cv2

# Cameras and JPEG blur grain: ratio of its second octave to its first one after a Gaussian blur of so many pixels, measured on white noise.
_GRAIN_RATIOS, _GRAIN_BLURS = (0.24, 0.28, 0.36, 0.47, 0.58, 0.69, 0.88, 1.12, 1.36, 1.82), (0, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.25, 1.5, 2)
# Sides of the square of noise; it is mirrored to fill a face of up to so many times its side, beyond which its symmetry would be seen.
_NOISE_SIDES, _MIRRORED = (128, 256, 512, 1024), 1.5
# Pores lie denser here than there: standard deviation of the blur of their density in samples of the octave, and of its logarithm. They
# are dark: share of the square that is taken off. In large faces of five photos, the finest octaves of skin mostly had an excess kurtosis
# of 1 to 3 and a skewness of -0.1 to -0.6.
_PORE_PATCH, _PORE_VARIATION, _PORE_SKEW = 4.0, 0.3, 0.07
# Likewise of stubble, whose octaves had a skewness of -0.3 to -1 in one photo.
_STUBBLE_SKEW = 0.15
# Standard deviation of noise for which none is added.
NO_NOISE = 0.2
_EPSILON = 1e-3  # against division by zero


class FaceNoise:
    """Noise by octaves, blurred like the photo's: one square of it, mirrored to fill a face and turned for each channel.

    Attributes:
        colored: whether noise was added to a channel of color.
    """

    def __init__(self, generator: np.random.Generator, side: int, grain: list[float]) -> None:
        self._generator = generator
        self._side = next((own for own in _NOISE_SIDES if _MIRRORED * own >= side), _NOISE_SIDES[-1])
        ratio = grain[1] / max(grain[0], _EPSILON) if len(grain) > 1 else 0.0
        self._blur = float(np.interp(ratio, _GRAIN_RATIOS, _GRAIN_BLURS))
        self._octaves: list[np.ndarray] = []
        self._deviations: list[float] = []
        self.colored = False

    def add(self, octave: np.ndarray, number: int, channel: int, deviation: float) -> None:
        """Add noise of a standard deviation to an octave, in place."""
        if deviation > 0:
            self.colored |= channel > 0
            octave += self.filling(octave.shape, number, channel) * np.float32(deviation)

    def add_pores(self, octave: np.ndarray, number: int, channel: int, where: np.ndarray, deviation: float) -> None:
        """Add structure of skin to an octave, in place: pores or, in color, blotches; denser here than there, and more dark than light."""
        if deviation <= NO_NOISE:
            return
        self.colored |= channel > 0
        pores = self.filling(octave.shape, number, 3 + channel)
        density = cv2.GaussianBlur(self.filling(octave.shape, number, 2 + channel), (0, 0), _PORE_PATCH)
        density = np.exp(density * np.float32(_PORE_VARIATION / max(cv2.meanStdDev(density)[1].item(), _EPSILON)))
        pores -= np.float32(_PORE_SKEW) * (pores * pores - 1)
        octave += pores * density * where * np.float32(deviation)

    def add_stubble(self, octave: np.ndarray, number: int, where: np.ndarray, deviation: float) -> None:
        """Add stubble to an octave of luma, in place: mostly dark."""
        if deviation > NO_NOISE:
            hairs = np.flip(self.filling(octave.shape, number, 3), axis=1)  # every turn of the noise is in use
            hairs -= np.float32(_STUBBLE_SKEW) * (hairs * hairs - 1)
            octave += hairs * where * np.float32(deviation)

    def filling(self, shape: tuple[int, ...], number: int, turns: int) -> np.ndarray:
        """(h, w) noise of one octave, of standard deviation 1."""
        if not self._octaves:
            noise = self._generator.standard_normal((self._side, self._side), dtype=np.float32)
            if self._blur:
                noise = cv2.GaussianBlur(noise, (0, 0), self._blur)
            self._octaves = octaves_of(noise, MAX_OCTAVES)
            self._deviations = [max(cv2.meanStdDev(one)[1].item(), _EPSILON) for one in self._octaves]
        tile = np.rot90(self._octaves[number], turns)[: shape[0], : shape[1]] * np.float32(1 / self._deviations[number])
        height, width = (have - own for have, own in zip(shape, tile.shape, strict=True))
        return cv2.copyMakeBorder(tile, 0, height, 0, width, cv2.BORDER_REFLECT) if height or width else tile
