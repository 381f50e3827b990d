"""A synthetic person's own skin tone: the distribution of tones, and how a face is painted in one.

Tones lie on a curve through measured human skin rather than follow the training pictures, whose white balance varies more than skin does.
The curve is based on:

* The individual typology angle ITA = arctan((L* - 50) / b*) orders skin from light to dark; very light, light, intermediate, tan, brown
  and dark are divided at 55, 41, 28, 10 and -30 degrees (Chardon, Cretois and Hourseau, Int. J. Cosmetic Science 1991; Del Bino and
  Bernerd, British J. Dermatology 2013).
* Chroma rises from light skin to a middle tone and falls towards dark skin ("Comparing skin colors between different skin groups",
  47 subjects of four groups, spectrophotometer).
* Redness a* of faces hardly differs between groups of people, yellowness b* does (Xiao et al., Skin Research and Technology 2017). Means:
  L* 61.7, a* 9.6, b* 17.1 over twelve places of the body, a* 11.9 on the cheek (Han, Choi and Son, Skin Research and Technology 2006, 600
  Koreans); L* 26.7, a* 14.6, b* 14.7 as the darkest of five clusters of facial skin ("Proposed shade guide for human facial skin", IADR
  2009, 120 people).

Chosen, not measured: a* and b* between these values, both ends of the curve, equal probability of the six classes, and the scatter about
the curve. Lightness follows from ITA and b*.

Skin is darkened as by a filter, by a factor for each of red, green and blue, so that lips, brows and beard change with it. Teeth and the
whites of the eyes keep their luma; irises become partly darker with dark skin and never lighter.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf

import numpy as np

from .color import RGB_TO_YCBCR, luma_of
from .face_mesh import IRIS_PATCH_RADIUS, IRIS_PATCHES, MOUTH_START
from .landmarks import texel_table, triangle_map
from .opencv import cv2

# From very light to dark: limits of the six classes in degrees, and a* and b* there.
ITA = (60.0, 55.0, 41.0, 28.0, 10.0, -30.0, -50.0)
_REDNESS = (10.5, 11.0, 11.5, 12.0, 13.0, 14.0, 13.5)
_YELLOWNESS = (12.5, 14.0, 16.5, 18.5, 20.5, 19.5, 15.5)
# Standard deviations about the curve in a* and b*.
_SCATTER = np.array([0.8, 1.0])
# Share of the skin's darkening that irises get.
_IRIS_SHARE = 0.6
# Luma inside mouth and eyes relative to the skin's: above the second number it is a tooth or the white of an eye, below the first it is
# the oral cavity or a lash and darkens with the skin.
_BRIGHT = (0.4, 0.75)
# Blur of that luma in pixels of a crop of 256, so that gaps between teeth count as teeth.
_TEETH = 2.0
# Gloss is light that never entered the skin: this share of what is brighter than the skin stays on dark skin.
_GLOSS = 0.45
# Dark skin comes with dark brows and lashes and deeper-looking shading: exponent by which what is darker than lit skin gains contrast.
_DEPTH = 0.7
# Quantile of the skin's luma that counts as lit; the rest is shaded by the shape of the face.
_LIT = 0.75
# Pixel values from here on are compressed instead of clipped.
_SHOULDER = 195.0
# Blur of the border between skin and eyes or mouth, in pixels of a crop of 256.
_SEAM = 0.8
# Limits of the factors: a darker face is noise, a lighter one is overexposed.
_DARKEST, _BRIGHTEST = 0.12, 2.4
_XYZ_TO_RGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])  # sRGB, IEC 61966-2-1
_WHITE = np.array([0.9505, 1.0, 1.089])  # D65
_LUMA = RGB_TO_YCBCR[0]


def skin_on_curve(position: float, scatter: np.ndarray | None = None) -> np.ndarray:
    """CIELAB (L*, a*, b*) of a tone.

    Args:
        position: 0 (very light) to 1 (dark); each class takes a sixth of the way.
        scatter: (2,) distance from the curve in a* and b*; None is zero. The ITA stays.
    """
    place = np.linspace(0.0, 1.0, len(ITA))
    angle, red, yellow = (float(np.interp(position, place, values)) for values in (ITA, _REDNESS, _YELLOWNESS))
    if scatter is not None:
        red, yellow = red + float(scatter[0]), yellow + float(scatter[1])
    return np.array([50.0 + yellow * np.tan(np.radians(angle)), red, yellow])


def skin_tone_of(tone: np.ndarray) -> np.ndarray:
    """(3,) coefficients of ``Identity.tone``, standard normal within 2 -> CIELAB (L*, a*, b*); the first says how dark."""
    share = [0.5 * (1 + erf(value / 2**0.5)) for value in (-2.0, float(np.clip(tone[0], -2, 2)), 2.0)]
    return skin_on_curve((share[1] - share[0]) / (share[2] - share[0]), _SCATTER * tone[1:])


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """CIELAB (D65) -> sRGB 0..255, not rounded."""
    middle = (lab[0] + 16) / 116
    roots = np.array([middle + lab[1] / 500, middle, middle - lab[2] / 200])
    linear = _XYZ_TO_RGB @ (_WHITE * np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)))
    linear = np.clip(linear, 0.0, 1.0)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@dataclass(frozen=True, eq=False)
class SkinPainter:
    """Paints synthetic faces in a skin tone.

    Attributes:
        neutral: (3,) RGB 0..255 of the skin as the generator draws it.
    """

    neutral: np.ndarray

    def __post_init__(self) -> None:
        if self.neutral.shape != (3,) or not (self.neutral > 0).all():
            raise ValueError(f"neutral must be three positive pixel values of red, green and blue, but got {self.neutral}.")

    @classmethod
    def of(cls, luma: np.ndarray, chroma: np.ndarray) -> SkinPainter:
        """From the mean face's texture: (T, T) luma 0..255 and (2, T / 2, T / 2) Cb, Cr about 0."""
        size = len(luma)
        rows, columns, owner, _ = texel_table(size)
        skin = owner < MOUTH_START
        rows, columns = rows[skin], columns[skin]
        lit = np.quantile(luma[rows, columns], _LIT)
        blue, red = np.median(chroma[:, rows * len(chroma[0]) // size, columns * len(chroma[0]) // size], axis=1)
        rgb = np.array([lit + 1.402 * red, lit - 0.344136 * blue - 0.714136 * red, lit + 1.772 * blue])  # JFIF
        return cls(np.clip(rgb, 1.0, 255.0))

    @property
    def exposure(self) -> float:
        """Factor for teeth and eyes, whatever the skin: that of skin in the middle of the class "intermediate"."""
        return self._gain(lab_to_rgb(skin_on_curve(2.5 / 6)) / self.neutral)

    def _gain(self, factors: np.ndarray) -> float:
        """Change of the skin's luma by (3,) factors."""
        return float(_LUMA @ (np.clip(factors, _DARKEST, _BRIGHTEST) * self.neutral) / (_LUMA @ self.neutral))

    def factors(self, tone: np.ndarray) -> np.ndarray:
        """(3,) factors of the skin's red, green and blue for ``Identity.tone``."""
        return np.clip(lab_to_rgb(skin_tone_of(tone)) / self.neutral, _DARKEST, _BRIGHTEST)

    def paint(self, image: np.ndarray, uv_map: np.ndarray, points: np.ndarray, tone: np.ndarray) -> np.ndarray:
        """Paint a face in a skin tone.

        Args:
            image: (S, S, 3) float32 0..255 from the generator.
            uv_map: (2, S, S) UV coordinates of its pixels, as in the condition.
            points: (478, 3) crop pixels that the face was synthesized for.
            tone: (3,) of :class:`.people.Identity`.

        Returns:
            (S, S, 3) float32, not clipped.
        """
        size = len(image)
        owner, neutral_luma, exposure = triangle_map(points, size), float(_LUMA @ self.neutral), self.exposure
        factors = self.factors(tone).astype(np.float32)
        luma = luma_of(image)
        darker = max(0.0, 1 - self._gain(factors) / exposure)
        skin = (owner < MOUTH_START).astype(np.float32)
        if darker:
            around = cv2.GaussianBlur(luma, (0, 0), _TEETH * size / 256)
            dark = 1 - np.clip((around / neutral_luma - _BRIGHT[0]) / (_BRIGHT[1] - _BRIGHT[0]), 0, 1)
            distance = np.min([np.hypot(uv_map[0] - x, uv_map[1] - y) for x, y in IRIS_PATCHES], axis=0)
            skin = np.maximum(skin, np.where(distance < IRIS_PATCH_RADIUS, _IRIS_SHARE, dark))
        skin = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), _SEAM * size / 256)[..., None]
        painted = image * (exposure + skin * (factors - exposure))
        deeper = np.clip(luma / neutral_luma, 0.1, 1) ** (_DEPTH * darker)
        painted *= 1 + skin * (deeper[..., None] - 1)
        painted += _GLOSS * darker * skin * exposure * np.maximum(luma - neutral_luma, 0)[..., None]
        room = 255 - _SHOULDER
        return np.where(painted > _SHOULDER, 255 - room * np.exp((_SHOULDER - painted) / room), painted)
