"""The look of a person in a photo, in coarse classes: age, sex and beard from a small network, shades of brows and skin measured.

Where the network is not sure the answer is the one in between, which does least harm on the wrong head: ``"unsure"`` of the sex,
clean-shaven, and of two ages that are about as likely the one closer to the middle. Between child and adult there is nothing in between:
what is likely a child is called one. ``docs/look.md`` has the figures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from .alignment import CROP_SIDE, align_face, crop_image
from .color import LUMA_WEIGHTS, luma_of
from .face_mesh import MIRROR, UV_MAP
from .faces import Crop
from .landmarks import unwrap
from .look import AGES, Age, Look, Shade
from .modeling_ganon import LookClassifier
from .opencv import cv2

# Side of the classifier's crop in canonical units, and how far its center lies above the face's: hair and chin are in it.
LOOK_SIDE, LOOK_RISE = 4.3, 0.2
# Probability from which the sex counts as read, of a child and an adult, and from which there is a beard. Below _SURE_AGE of both together
# the middle of the distribution decides between classes of adults.
_SURE_SEX, _SURE_CHILD_SEX, _SURE_BEARD = 0.8, 0.9, 0.65
# Probability of both classes of children together from which a face is a child's.
_CHILD = 0.5
# Side of the texture in which shades are measured, and trust below which a texel was not seen.
_SIZE, _SEEN = 64, 0.3
# Texels that a shade needs.
_ENOUGH = 16
# Hulls of landmarks of the right half of the face, each with its mirror image.
_SKIN = ((50, 101, 36, 205, 187, 123), (103, 67, 109, 10, 151, 108, 69))
_BROW = (46, 70, 63, 105, 66, 107, 55, 65, 52, 53)
# Individual typology angle in degrees above which skin is light, and below which dark.
_LIGHT_SKIN, _DARK_SKIN = 41.0, 10.0
# Luma of the brows over that of the skin above which they are light, and below which dark.
_LIGHT_BROWS, _DARK_BROWS = 0.86, 0.62
# Difference of the skin's channels, in pixel values, below which a picture is gray and tells no skin tone.
_COLORLESS = 6.0
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # sRGB, IEC 61966-2-1
_WHITE = np.array([0.9505, 1.0, 1.089])  # D65


def look_crop(landmarks: np.ndarray, size: int = LookClassifier.image_size) -> Crop:
    """The upright square that the classifier sees, from above the hair line to below the chin.

    Args:
        landmarks: (478, 3) photo pixels.
        size: side of the square in pixels.

    Raises:
        ValueError: no head pose can be fitted to the landmarks.
    """
    face = align_face(landmarks, size)
    factor = CROP_SIDE / LOOK_SIDE
    matrix = face.matrix * factor
    matrix[:, 2] += size * (1 - factor) / 2
    matrix[1, 2] += LOOK_RISE * size / LOOK_SIDE
    return Crop(matrix, size)


def read_look(network: LookClassifier, photo: np.ndarray, landmarks: np.ndarray) -> Look:
    """The look of a person in a photo, in coarse classes; no part is None.

    Args:
        network: the trained classifier, on any device.
        photo: RGB uint8 (height, width, 3).
        landmarks: (478, 3) photo pixels.

    Raises:
        ValueError: no head pose can be fitted to the landmarks.
    """
    picture = luma_of(crop_image(photo, look_crop(landmarks)))
    weight = network.stem.weight
    with torch.inference_mode():
        logits = network(torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None, None].to(weight.device, weight.dtype))
    brows, skin = measure_shades(photo, landmarks)
    return decide_look(logits[0].double().cpu().numpy(), brows, skin)


def decide_look(logits: np.ndarray, brows: Shade, skin: Shade) -> Look:
    """Look from (7,) outputs of :class:`.LookClassifier` and measured shades."""
    ages = np.exp(logits[:-2] - logits[:-2].max())
    ages /= ages.sum()
    woman, beard = (float(1 / (1 + np.exp(-value))) for value in logits[-2:])
    age = _decide_age(ages)
    is_child = age in AGES[:2]
    sure = _SURE_CHILD_SEX if is_child else _SURE_SEX
    sex = "woman" if woman > sure else "man" if woman < 1 - sure else "unsure"
    return Look(age, sex, beard=not is_child and sex != "woman" and beard > _SURE_BEARD, brows=brows, skin=skin)  # type: ignore[arg-type]


def _decide_age(ages: np.ndarray) -> Age:
    """Child or adult first; then the median of the distribution among classes of children or of adults."""
    first, last = (0, 2) if ages[:2].sum() > _CHILD else (2, len(ages))
    share = np.cumsum(ages[first:last]) / max(float(ages[first:last].sum()), 1e-12)
    return AGES[first + min(int(np.searchsorted(share, 0.5)), last - first - 1)]


def measure_shades(photo: np.ndarray, landmarks: np.ndarray) -> tuple[Shade, Shade]:
    """How dark the brows are beside the skin, and the class of the skin tone; ``"medium"`` where a photo does not show it.

    Args:
        photo: RGB uint8 (height, width, 3).
        landmarks: (478, 3) photo pixels.
    """
    crop = align_face(landmarks, 2 * _SIZE)
    texture, trust = unwrap(crop_image(photo, crop), crop.to_crop(landmarks).astype(np.float32), _SIZE)
    skin_mask, brow_mask = _masks()
    skin, brow = texture[skin_mask & (trust > _SEEN)], texture[brow_mask & (trust > _SEEN)]
    if len(skin) < _ENOUGH:
        return "medium", "medium"
    tone = np.median(skin, axis=0)
    return _brow_shade(brow, tone), _skin_shade(tone)


def _brow_shade(brow: np.ndarray, tone: np.ndarray) -> Shade:
    """Shade of (n, 3) RGB of the brows beside (3,) RGB of the skin."""
    if len(brow) < _ENOUGH:
        return "medium"
    ratio = float(np.median(brow, axis=0) @ LUMA_WEIGHTS) / max(float(tone @ LUMA_WEIGHTS), 1.0)
    return "light" if ratio > _LIGHT_BROWS else "dark" if ratio < _DARK_BROWS else "medium"


def _skin_shade(tone: np.ndarray) -> Shade:
    """Shade of (3,) RGB of the skin."""
    if float(np.ptp(tone)) < _COLORLESS:
        return "medium"
    angle = typology_angle(tone)
    return "light" if angle > _LIGHT_SKIN else "dark" if angle < _DARK_SKIN else "medium"


def typology_angle(rgb: np.ndarray) -> float:
    """Individual typology angle in degrees of a color (3,), sRGB 0..255."""
    values = np.asarray(rgb, np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    ratios = _XYZ @ linear / _WHITE
    roots = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness, yellowness = 116 * roots[1] - 16, 200 * (roots[1] - roots[2])
    return float(np.degrees(np.arctan2(lightness - 50, max(yellowness, 1e-6))))


@lru_cache(maxsize=1)
def _masks() -> tuple[np.ndarray, np.ndarray]:
    """(size, size) bool, the texels of skin and brows."""
    masks = []
    for regions in (_SKIN, (_BROW,)):
        canvas = np.zeros((_SIZE, _SIZE), np.uint8)
        for points in (hull for region in regions for hull in (np.array(region), MIRROR[list(region)])):
            corners = np.round(UV_MAP[points] * _SIZE - 0.5).astype(np.int32)
            cv2.fillConvexPoly(canvas, cv2.convexHull(corners), 1)
        masks.append(canvas > 0)
    return masks[0], masks[1]
