"""What lies in front of a face and stays: masks, hands, hats, hair, sunglasses, microphones.

A small network says of each pixel of the aligned crop what lies there. It may err, and pixels that are kept must not be face. Therefore
the hulls of eyes, nose and mouth stay only where three readings agree, of the crop as it is, mirrored and in gray, and where the photo does
not look like the face that was generated for the place: the synthetic face has the same expression and pose, so that even a painted or
oddly lit face resembles it (correlation of what is finer than the light). Spectacles never stay: frames are replaced inside of the face
and painted over outside of it.

Conventions: crops are (S, S, 3), maps (S, S) float32 0..1 or bool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .alignment import crop_image
from .color import luma_of
from .faces import Crop
from .modeling_ganon import OccluderNetwork
from .occluders import CLOTH, GLASSES, HAIR, HAND, MAP_SIZE, NONE, OBJECT, OCCLUDER_NAMES, SUNGLASSES, draw_hulls
from .opencv import cv2

# Classes that stay, the last ones.
_KEPT_CLASSES = (SUNGLASSES, CLOTH, HAND, HAIR, OBJECT)
# Probability from which something lies in front of a face, and from which it counts there in full: between, the edge is soft.
_KEPT = (0.6, 0.75)
# Probability from which a pixel is not looked at for light and tone, from which there is a frame of spectacles, and down to which that
# frame goes on.
_NOT_SKIN, _FRAME, _FRAME_GOES_ON = 0.3, 0.5, 0.2
# In the hulls of eyes, nose and mouth the least sure of the three readings must reach the first on average, and the second at a pixel.
_SURE, _SURE_PIXEL = 0.8, 0.5
# The hulls are grown by a few pixels: landmarks of covered faces are guesses.
_GROWN = np.ones((7, 7), np.uint8)
# Something that hardly reaches into a hull, such as the rim of a helmet, is kept up to the hull where it is as sure as this.
_SURE_BESIDE = 0.75
# Probability of anything but hair from which a pixel belongs to a thing that is dropped as a whole.
_NOT_HAIR = 0.2
# Share of such a hull that must be covered before anything of it stays, and below which it is no matter of features at all.
_MIN_SHARE = 0.12
# Correlation with the synthetic face up to which a covered part does not look like one, at the least probability above; for each 0.1 that
# the probability is higher so much more: the bridge of a mask looks a little like a nose. And the pixels that it takes to tell.
_RESEMBLES, _RESEMBLES_MORE, _MIN_PIXELS = 0.35, 0.2, 24
# What must not be kept is closed over gaps of this size, and its edge is smooth: the standard deviation in pixels of the map.
_GAP, _EDGE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11)), 1.0
# Standard deviations in pixels of the map of the band in which they are compared.
_BAND = (1.0, 6.0)
# Smallest thing that stays, and smallest area of a class that is named, as shares of the map.
_MIN_AREA, _NAMED_AREA = 0.0015, 0.005
# What is left of a thing over a face beside a part that must not be kept goes, if it is no larger than this share of the map.
_MAX_REMAINDER = 0.03
# A hole in what stays is of it if it is no larger than this share of the map, if the probability on average exceeds the second number, and
# the share of its border that stays the third.
_MAX_HOLE, _HOLE, _SURROUNDED = 0.01, 0.4, 0.9
# Standard deviation in pixels of the map of the continuation beyond the outline of the face.
_REACH = 3.0
# Guided filter (He, Sun, Tang 2010): radius in pixels of the map, and variance of luma below which it smooths; and the contrast of the
# result, for where things are smooth up to their edge, as helmets are, the filter leaves a smear.
_RADIUS, _VARIANCE, _CONTRAST = 3, 60.0, 3.0


@dataclass(frozen=True, eq=False)
class Occluders:
    """What lies in front of one face.

    Attributes:
        keep: (S, S) float32 0..1, how much of the photo stays.
        not_skin: (S, S) bool, where something lies in front of the face, kept or not.
        frame: (S, S) bool, frames of spectacles.
        names: what is kept, in the words of :data:`.occluders.OCCLUDER_NAMES`.
    """

    keep: np.ndarray
    not_skin: np.ndarray
    frame: np.ndarray
    names: tuple[str, ...]


def read_occluders(
    network: OccluderNetwork, photo: np.ndarray, crop: Crop, points: np.ndarray, synthetic: np.ndarray, covered: np.ndarray | None = None
) -> Occluders:
    """What lies in front of a face.

    Args:
        network: trained.
        photo: (height, width, 3) uint8.
        crop: the face's square.
        points: (478, 3) crop pixels of the original face.
        synthetic: (S, S, 3) float32 0..255, the synthetic face for the place.
        covered: (S, S) bool, what covers of other faces hide: they lie behind this one. None where there are none.

    Returns:
        maps in the crop's size.
    """
    factor = MAP_SIZE / crop.size
    picture = crop_image(photo, Crop(crop.matrix * factor, MAP_SIZE))
    hulls = draw_hulls(points * factor, MAP_SIZE)
    face, chances = hulls[..., 0] > 0, _read(network, [picture], [hulls])[0]
    front = _front(chances)
    kept = (front > _KEPT[0]) & (front > chances[GLASSES])
    behind = np.zeros(kept.shape, bool)
    if covered is not None:
        behind = cv2.dilate(cv2.resize(covered.view(np.uint8), (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA), _GROWN) > 0
        kept &= ~behind
    denied, beside = np.zeros(kept.shape, bool), np.zeros(kept.shape, bool)
    if (kept & (cv2.dilate(hulls[..., 1:].max(axis=2), _GROWN) > 0)).any():
        denied, beside = _unsure(network, picture, hulls, chances, kept, synthetic)
    denied |= behind
    faint = (cv2.dilate(beside.view(np.uint8), _GROWN) > 0) & (front < _SURE_BESIDE)
    kept = _without_specks(kept & ~denied & ~beside & ~faint)
    kept &= ~_remainders(kept & face, denied)
    classes = np.where(face, _KEPT_CLASSES[0] + chances[_KEPT_CLASSES[0] :].argmax(axis=0), NONE)
    kept &= ~_stray(kept & face, classes == SUNGLASSES, hulls[..., 1] > 0)
    holes = _holes(kept, front, face, denied | beside | (chances[GLASSES] > front))
    kept |= holes
    front = _extended(np.where(holes, 1, np.where(kept, front, 0)), face)
    luma = luma_of(crop_image(photo, crop).astype(np.float32))
    keep = cv2.resize(np.clip((front - _KEPT[0]) / (_KEPT[1] - _KEPT[0]), 0, 1), luma.shape, interpolation=cv2.INTER_LINEAR)
    if keep.any():
        allowed = _without_steps(denied, luma.shape[0])
        allowed -= cv2.resize(beside.astype(np.float32), luma.shape, interpolation=cv2.INTER_LINEAR)
        keep = _CONTRAST * (_guided(keep, luma, max(1, round(_RADIUS / factor))) - 0.5) + 0.5
        keep = np.clip(keep, 0, np.maximum(allowed, 0))
    large = (cv2.resize(values, luma.shape, interpolation=cv2.INTER_LINEAR) for values in (1 - chances[NONE], _frame(chances[GLASSES])))
    other, frame = large
    names = tuple(OCCLUDER_NAMES[number] for number in _KEPT_CLASSES if (kept & (classes == number)).mean() > _NAMED_AREA)
    return Occluders(keep.astype(np.float32), other > _NOT_SKIN, frame > _FRAME_GOES_ON, names)


def _frame(glasses: np.ndarray) -> np.ndarray:
    """Probability of spectacles (h, w) where it belongs to a frame that is surely there; 0 elsewhere."""
    _, parts = cv2.connectedComponents((glasses > _FRAME_GOES_ON).view(np.uint8), connectivity=8)
    sure = np.unique(parts[glasses > _FRAME])
    return np.where(np.isin(parts, sure[sure > 0]), glasses, 0)


def _front(chances: np.ndarray) -> np.ndarray:
    """Probability of what may stay: (7, h, w) -> (h, w)."""
    return 1 - chances[NONE] - chances[GLASSES]


def _read(network: OccluderNetwork, pictures: list[np.ndarray], hulls: list[np.ndarray]) -> np.ndarray:
    """(n, 7, 128, 128) float32 probabilities."""
    weight = network.stem.weight
    with torch.inference_mode():
        batches = (torch.from_numpy(np.stack(values)).to(weight.device).permute(0, 3, 1, 2) for values in (pictures, hulls))
        seen, known = (batch.to(weight.dtype, memory_format=torch.channels_last) for batch in batches)
        return network(seen / 127.5 - 1, known / 255).float().softmax(dim=1).cpu().numpy()


def _unsure(
    network: OccluderNetwork, picture: np.ndarray, hulls: np.ndarray, chances: np.ndarray, kept: np.ndarray, synthetic: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What must not be kept.

    Returns:
        (128, 128) bool, things over eyes, nose or mouth that may be face, and all of such a thing; and (128, 128) bool, hulls that such a
        thing hardly reaches. Around the former there is a margin; around the latter it would be a dent in the edge.
    """
    small = cv2.resize(synthetic, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
    ours, theirs = (_band(luma_of(np.ascontiguousarray(values, np.float32))) for values in (picture, small))
    first, agreed = _front(chances), None
    # strands of hair are many, and what one of them covers says nothing of the others
    things = kept & (hulls[..., 0] > 0) & (first - chances[HAIR] > _NOT_HAIR)
    _, things = cv2.connectedComponents(things.view(np.uint8))
    unsure, beside = np.zeros(kept.shape, bool), np.zeros(kept.shape, bool)
    for channel in range(1, hulls.shape[2]):
        count, parts = cv2.connectedComponents(cv2.dilate(hulls[..., channel], _GROWN))
        for part in range(1, count):
            here = parts == part
            covered = here & kept
            if not covered.any():
                continue
            if covered.sum() < _MIN_SHARE * here.sum():
                beside |= here & (hulls[..., channel] > 0)
                continue
            likeness = resemblance(ours, theirs, covered)
            # the least sure of three readings cannot be surer than one of them, and the other two take longest
            sure = _is_sure(float(first[covered].mean()), likeness)
            if sure and agreed is None:
                agreed = np.minimum(first, _read_again(network, picture, hulls))
            if sure and agreed is not None and _is_sure(float(agreed[covered].mean()), likeness):
                unsure |= here & (agreed < _SURE_PIXEL)
            else:
                unsure |= here | (np.isin(things, np.unique(things[covered])) & (things > 0))
    return cv2.dilate(unsure.view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool), beside


def _read_again(network: OccluderNetwork, picture: np.ndarray, hulls: np.ndarray) -> np.ndarray:
    """(128, 128) float32, the lower probability of two more readings: of the mirror image, and of the picture in gray."""
    gray = np.repeat(np.round(luma_of(picture.astype(np.float32)))[..., None].astype(np.uint8), 3, axis=2)
    mirrored, colorless = _read(network, [picture[:, ::-1], gray], [hulls[:, ::-1], hulls])
    return np.minimum(_front(mirrored)[:, ::-1], _front(colorless))


def _is_sure(probability: float, likeness: float) -> bool:
    """Whether something over a feature may stay, by the least sure reading and the likeness to the synthetic face."""
    return probability >= _SURE and likeness <= _RESEMBLES + _RESEMBLES_MORE * 10 * (probability - _SURE)


def _band(luma: np.ndarray) -> np.ndarray:
    """Structure between fine detail and light."""
    fine, broad = (cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in _BAND)
    return fine - broad


def resemblance(ours: np.ndarray, theirs: np.ndarray, where: np.ndarray) -> float:
    """Correlation of two pictures (h, w) where a mask is set; 1 where there is too little to tell."""
    if np.count_nonzero(where) < _MIN_PIXELS:
        return 1.0
    first, second = ours[where] - ours[where].mean(), theirs[where] - theirs[where].mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size > 0 else 1.0


def _without_specks(kept: np.ndarray) -> np.ndarray:
    """Parts too small to be anything are dropped."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(kept.view(np.uint8), connectivity=8)
    large = statistics[:, cv2.CC_STAT_AREA] >= _MIN_AREA * kept.size
    large[0] = False
    return large[parts]


def _remainders(kept: np.ndarray, denied: np.ndarray) -> np.ndarray:
    """(h, w) bool, small parts of what is kept of a face beside what must not be kept: without the rest of a thing they are blots."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(kept.view(np.uint8), connectivity=8)
    gone = _reach(parts, cv2.dilate(denied.view(np.uint8), _GROWN) > 0, len(statistics))
    gone &= statistics[:, cv2.CC_STAT_AREA] <= _MAX_REMAINDER * kept.size
    return gone[parts]


def _stray(kept: np.ndarray, sunglasses: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """(h, w) bool, parts of what is kept of a face that are mostly sunglasses and lie at an eye or brow, but not over one: spots of a pair
    of which the rest was not recognized.

    Args:
        kept, sunglasses: (h, w) bool.
        eyes: (h, w) bool, hulls of eyes with brows.
    """
    count, parts = cv2.connectedComponents(kept.view(np.uint8), connectivity=8)
    stray = _reach(parts, cv2.dilate(eyes.view(np.uint8), _GROWN) > 0, count) & ~_reach(parts, eyes, count)
    stray &= np.bincount(parts[sunglasses], minlength=count) > np.bincount(parts[~sunglasses], minlength=count)
    return stray[parts]


def _reach(parts: np.ndarray, where: np.ndarray, count: int) -> np.ndarray:
    """(count,) bool, which numbers of (h, w) parts occur where a mask is set; 0 is none."""
    reach = np.zeros(count, bool)
    reach[parts[where]] = True
    reach[0] = False
    return reach


def _holes(kept: np.ndarray, front: np.ndarray, face: np.ndarray, denied: np.ndarray) -> np.ndarray:
    """Small parts of the face that what is kept surrounds and that may well be of it: no skin shines through a mask.

    Args:
        kept: (h, w) bool.
        front: (h, w) probability of what may stay.
        face: (h, w) bool.
        denied: (h, w) bool, what must not be kept.

    Returns:
        (h, w) bool.
    """
    holes = np.zeros(kept.shape, bool)
    _, parts, statistics, _ = cv2.connectedComponentsWithStats((face & ~kept).view(np.uint8), connectivity=4)
    for part in np.flatnonzero(statistics[:, cv2.CC_STAT_AREA] <= _MAX_HOLE * kept.size):
        here = parts == part
        around = (cv2.dilate(here.view(np.uint8), np.ones((3, 3), np.uint8)) > 0) & face & ~here
        if front[here].mean() > _HOLE and around.any() and kept[around].mean() > _SURROUNDED and not denied[here].any():
            holes |= here
    return holes


def _without_steps(denied: np.ndarray, size: int) -> np.ndarray:
    """(128, 128) bool, what must not be kept -> (size, size) float32, 0 there and 1 elsewhere, with a smooth edge and no gaps."""
    closed = cv2.morphologyEx(denied.view(np.uint8), cv2.MORPH_CLOSE, _GAP).astype(np.float32)
    smooth = cv2.GaussianBlur(cv2.resize(closed, (size, size), interpolation=cv2.INTER_LINEAR), (0, 0), _EDGE * size / len(denied))
    return 1 - np.clip(2 * smooth, 0, 1)


def _extended(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Values outside of a mask made those near by inside of it: around a face everything is something else, and must not shine into it."""
    weights = inside.astype(np.float32)
    near, weight = (cv2.GaussianBlur(one, (0, 0), _REACH) for one in (values * weights, weights))
    return np.where(inside, values, near / np.maximum(weight, 1e-3))


def _guided(values: np.ndarray, guide: np.ndarray, radius: int) -> np.ndarray:
    """Values whose edges follow those of the guide."""
    size = (2 * radius + 1,) * 2
    mean_guide, mean_values, mean_both, mean_square = (cv2.blur(one, size) for one in (guide, values, guide * values, guide * guide))
    slope = (mean_both - mean_guide * mean_values) / (mean_square - mean_guide * mean_guide + np.float32(_VARIANCE))
    offset = mean_values - slope * mean_guide
    return cv2.blur(slope, size) * guide + cv2.blur(offset, size)
