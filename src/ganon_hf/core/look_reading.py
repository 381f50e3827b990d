"""The look of a person in a photo, in coarse classes: age, sex and beard from a small network; and shades of brows and skin, measured, for
the people of the bank.

Where the network is not sure the answer is the one in between, which does least harm on the wrong head: ``"unsure"`` of the sex,
clean-shaven, the median of the ages that are likely. Child or adult is decided first, and what may well be a child is called one. Who
could be one, but is rather a young adult, is called a teen. ``docs/look.md`` has the figures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from .alignment import CROP_SIDE, align_face, crop_image
from .color import LUMA_WEIGHTS, luma_of
from .face_mesh import BROWS, MIRROR, UV_MAP
from .faces import Crop
from .geometry import normalize_pose
from .landmarks import unwrap
from .look import AGES, TEEN, Age, Look, Shade
from .modeling_ganon import LookClassifier
from .opencv import cv2

# Side of the classifier's crop in canonical units, and how far its center lies above the face's: hair and chin are in it.
LOOK_SIDE, LOOK_RISE = 4.3, 0.2
# Probability from which the sex of an adult and of a child counts as read, and from which there is a beard.
_SURE_SEX, _SURE_CHILD_SEX, _SURE_BEARD = 0.7, 0.9, 0.65
# Probability of both classes of children together from which a face is a child's, an adult on a child being worse than the reverse, and
# from which that of a young adult becomes a teen's.
_CHILD, _TEEN = 0.2, 0.06
# Side of the texture in which shades are measured, and trust below which a texel was not seen.
_SIZE, _SEEN = 64, 0.3
# Texels that a shade needs.
_ENOUGH = 16
# Hulls of landmarks of the right half of the face, each with its mirror image.
_SKIN = ((50, 101, 36, 205, 187, 123), (103, 67, 109, 10, 151, 108, 69))
# Individual typology angle in degrees above which skin is light, and below which dark.
_LIGHT_SKIN, _DARK_SKIN = 41.0, 10.0
# Yellowness b* that skin has at least. In cool light it has less, and the angle would say very light of any skin.
_LEAST_YELLOWNESS = 14.0
# Luma below which skin is in the dark: nothing is known of its tone.
_IN_THE_DARK = 35.0
# Luma of the brows over that of the skin above which they are light, and below which dark: thirds of the people in "train-staff".
_LIGHT_BROWS, _MEDIUM_BROWS, _DARK_BROWS = 0.77, 0.7, 0.62
# Difference of the skin's channels, in pixel values, below which a picture is gray and tells no skin tone.
_COLORLESS = 6.0
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # sRGB, IEC 61966-2-1
_WHITE = np.array([0.9505, 1.0, 1.089])  # D65


def look_crop(landmarks: np.ndarray, size: int = LookClassifier.image_size, *, side: float = LOOK_SIDE) -> Crop:
    """The upright square that the classifier sees, from above the hair line to below the chin.

    Args:
        landmarks: (478, 3) photo pixels.
        size: side of the square in pixels.
        side: the same in canonical units; training takes more, to move the square about.

    Raises:
        ValueError: no head pose can be fitted to the landmarks.
    """
    face = align_face(landmarks, size)
    factor = CROP_SIDE / side
    matrix = face.matrix * factor
    matrix[:, 2] += size * (1 - factor) / 2
    matrix[1, 2] += LOOK_RISE * size / side
    return Crop(matrix, size)


def read_look(network: LookClassifier, photo: np.ndarray, landmarks: np.ndarray) -> Look:
    """Age, sex and beard of a person in a photo, in coarse classes: the mean answer to the head and to its mirror image.

    Shades of brows and skin are not read: matched, too, they made people in a small gallery known by their look (docs/look.md).

    Args:
        network: the trained classifier, on any device.
        photo: RGB uint8 (height, width, 3).
        landmarks: (478, 3) photo pixels.

    Raises:
        ValueError: no head pose can be fitted to the landmarks.
    """
    shape, _ = normalize_pose(landmarks)
    picture = luma_of(crop_image(photo, look_crop(landmarks)).astype(np.float32))
    weight = network.stem.weight
    views = np.stack([picture, picture[:, ::-1]])[:, None], np.stack([shape, shape[MIRROR] * (-1, 1, 1)])
    with torch.inference_mode():
        pictures, shapes = (torch.from_numpy(values).to(weight.device, weight.dtype) for values in views)
        logits = network(pictures, network.components(shapes))
    return decide_look(logits.double().mean(dim=0).cpu().numpy())


def decide_look(logits: np.ndarray) -> Look:
    """Look from (7,) outputs of :class:`.LookClassifier`."""
    ages = np.exp(logits[:-2] - logits[:-2].max())
    ages /= ages.sum()
    woman, beard = (float(1 / (1 + np.exp(-value))) for value in logits[-2:])
    age = _decide_age(ages)
    grown = age not in (*AGES[:2], TEEN)
    sure = _SURE_SEX if grown else _SURE_CHILD_SEX
    sex = "woman" if woman > sure else "man" if woman < 1 - sure else "unsure"
    return Look(age, sex, beard=grown and sex != "woman" and beard > _SURE_BEARD)  # type: ignore[arg-type]


def _decide_age(ages: np.ndarray) -> Age:
    """Child or adult first; then the median of the distribution among classes of children or of adults. Toddlers are taken for old people
    and the reverse, but neither for teens."""
    child = ages[:2].sum()
    first, last = (0, 2) if child > _CHILD else (2, len(ages))
    share = np.cumsum(ages[first:last]) / max(float(ages[first:last].sum()), 1e-12)
    age = AGES[first + min(int(np.searchsorted(share, 0.5)), last - first - 1)]
    return TEEN if age == "young" and child > _TEEN else age


def measure_shades(photo: np.ndarray, landmarks: np.ndarray) -> tuple[Shade, Shade]:
    """How dark the brows are beside the skin, and the class of the skin tone; ``"medium"`` where a photo does not show it.

    Args:
        photo: RGB uint8 (height, width, 3).
        landmarks: (478, 3) photo pixels.
    """
    skin, brow = _skin_and_brow(photo, landmarks)
    if skin is None:
        return "medium", "medium"
    ratio = _MEDIUM_BROWS if brow is None else float(brow @ LUMA_WEIGHTS) / max(float(skin @ LUMA_WEIGHTS), 1.0)
    brows: Shade = "light" if ratio > _LIGHT_BROWS else "dark" if ratio < _DARK_BROWS else "medium"
    return brows, _shade_of(skin) or "medium"


def measure_skin_shade(photo: np.ndarray, landmarks: np.ndarray) -> Shade | None:
    """Class of the skin tone in the photo's light; None where a photo does not show it: too little skin, no color, or in the dark."""
    skin, _ = _skin_and_brow(photo, landmarks)
    return None if skin is None else _shade_of(skin)


def _shade_of(skin: np.ndarray) -> Shade | None:
    """Class of a (3,) RGB median of skin; None where it has no color or is in the dark."""
    if np.ptp(skin) < _COLORLESS or float(skin @ LUMA_WEIGHTS) < _IN_THE_DARK:
        return None
    angle = typology_angle(skin)
    return "light" if angle > _LIGHT_SKIN else "dark" if angle < _DARK_SKIN else "medium"


def measure_skin_angle(photo: np.ndarray, landmarks: np.ndarray) -> float | None:
    """Individual typology angle of the skin in degrees, in the photo's light; None where too little of the skin is seen."""
    skin, _ = _skin_and_brow(photo, landmarks)
    return None if skin is None else typology_angle(skin)


def _skin_and_brow(photo: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Median (3,) RGB of cheeks and forehead, and of the brows; None where too little of them is seen."""
    crop = align_face(landmarks, 2 * _SIZE)
    texture, trust = unwrap(crop_image(photo, crop), crop.to_crop(landmarks).astype(np.float32), _SIZE)
    seen = [texture[mask & (trust > _SEEN)] for mask in _masks()]
    skin, brow = (np.median(values, axis=0).astype(np.float64) if len(values) >= _ENOUGH else None for values in seen)
    return skin, brow


def typology_angle(rgb: np.ndarray) -> float:
    """Individual typology angle in degrees of a color (3,), sRGB 0..255, in a photo's light: see :data:`_LEAST_YELLOWNESS`."""
    values = np.asarray(rgb, np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    ratios = _XYZ @ linear / _WHITE
    roots = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness, yellowness = 116 * roots[1] - 16, 200 * (roots[1] - roots[2])
    return float(np.degrees(np.arctan2(lightness - 50, max(yellowness, _LEAST_YELLOWNESS))))


@lru_cache(maxsize=1)
def _masks() -> tuple[np.ndarray, np.ndarray]:
    """(size, size) bool, the texels of skin and brows."""
    masks = []
    for regions in (_SKIN, BROWS[:1]):
        canvas = np.zeros((_SIZE, _SIZE), np.uint8)
        for points in (hull for region in regions for hull in (np.array(region), MIRROR[list(region)])):
            corners = np.round(UV_MAP[points] * _SIZE - 0.5).astype(np.int32)
            cv2.fillConvexPoly(canvas, cv2.convexHull(corners), 1)
        masks.append(canvas > 0)
    return masks[0], masks[1]
