"""A synthetic face composited into its photo.

What is taken from the photo inside the face is a handful of numbers for light, skin tone, dark eyes, teeth, dark beards, sharpness and
grain, see ``light_matching.py``, ``eyes_and_teeth.py``, ``beards.py``, ``toned_photos.py`` and ``sharpness_matching.py``; and two for the
inside of the mouth before that, see ``mouth_reading.py``. No pixel, edge or pattern of the original remains where the matte is 1.

Conventions: crops are (S, S, 3) RGB float32 0..255; masks and mattes are (S, S); photos are (height, width, 3) uint8.
"""

from __future__ import annotations

import numpy as np

from .alignment import crop_image, to_uint8, warp_to_photo
from .beards import beard_mask, match_beard
from .color import luma_of
from .eyes_and_teeth import eye_mask, match_eyes_and_teeth
from .face_mesh import BROWS, CHIN, FACE_OVAL, MOUTH_START, NASION, RIGHT_EYE_START
from .faces import Box, Crop, box_of_points, clip_box, scale_box
from .landmarks import mesh_mask, triangle_map
from .light_matching import match_light, surface_normals
from .look import Look
from .occluder_map import Occluders
from .occluders import FEATURES
from .octaves import ELSEWHERE, FIRST_FEATURE, OUTSIDE, SKIN, FaceAreas
from .opencv import cv2
from .shading import Shade
from .sharpness_matching import match_sharpness
from .toned_photos import tone_curve

# The numbers below were tuned on photos and have no source, where none is named. "Pixel values" are 0..255.

# Matte: width of the blend inside the outline, as a share of the crop's side; above the second number it counts as opaque.
FEATHER = 0.055
OPAQUE = 0.9
# Mean difference between the largest and the smallest of R, G and B, in pixel values, below which a box counts as gray.
_GRAY_SPREAD = 1.5

# Border. The rim is where the matte lies between the first two numbers; it needs at least so many pixels.
_RIM, _MIN_RIM_PIXELS = (0.01, 0.7), 20
# Differences at the rim are limited to so many pixel values.
_MAX_RIM_DIFFERENCE = 60
# Mean differences of R, G and B in pixel values up to which they count in full, and from which on hardly, by the third number. Hair,
# brows and beards over the rim are darker than skin and must not bleed into the face: what is darker counts as that much more.
_RIM_LIMITS, _MIN_RIM_WEIGHT, _DARKER = (16.0, 45.0), 0.02, 0.6
# Standard deviation of the blur along the rim as a share of the crop's side (at half the resolution), and the blurred weight from which
# on the difference counts in full.
_RIM_BLUR, _FULL_RIM_WEIGHT = 0.0175, 0.25

# Blend. The part of the photo that is composited: the mesh's box grown by this factor.
_REGION_FACTOR = 1.1
# Matte from which on premultiplied colors are divided by it; below, the face's colors are extrapolated.
_MIN_DIVISOR = 0.3
# Standard deviation of that extrapolation in photo pixels.
_EXTRAPOLATION = 3.0
# Matte, resampled to the photo, that counts as the face without its rim.
_INSIDE = 0.95
_EPSILON = 1e-3  # against division by zero
# Share of the crop's side around a frame of spectacles that is painted over with it.
_FRAME_MARGIN = 0.01

# Sharpness is measured in the hulls of the features, grown by the first factor; skin lies outside of them, grown by the second. Brows have
# strands in their hulls, grown by the third.
_FEATURE_REACH, _SKIN_DISTANCE, _BROW_REACH = 1.15, 1.6, 1.2
# Raised for a face that cannot be composited, beside ``cv2.error``: arrays of the wrong shape, singular fits.
COMPOSITE_ERRORS: tuple[type[Exception], ...] = (ArithmeticError, IndexError, RuntimeError, ValueError)


def face_matte(mask: np.ndarray, features: np.ndarray | None = None, size: int | None = None) -> np.ndarray:
    """(h, w) bool mesh mask -> float32 matte: 0 on and outside the outline, 1 from a feather's width inwards.

    Args:
        mask: where the synthetic face is.
        features: (h, w) bool, features of the original that must not shine through: the feather narrows beside them, on a turned head down
            to the outline.
        size: side of the crop of which the mask is a part that holds all of the face; None is the mask's own.
    """
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    ramp = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] - 1
    width: float | np.ndarray = FEATHER * (size or mask.shape[0])
    if features is not None:
        width = np.clip(cv2.distanceTransform((~features).view(np.uint8), cv2.DIST_L2, 5), 1, width)
    ramp /= width
    np.clip(ramp, 0, 1, out=ramp)
    return ramp * ramp * (3 - 2 * ramp)


def feature_mask(points: np.ndarray, size: int) -> np.ndarray:
    """Eyes with brows, nose and mouth of a face: (478, 3) crop pixels -> (S, S) bool, inside its mesh.

    Raises:
        ValueError: some of them lie outside the crop, where no synthetic face can hide them.
    """
    known = points[[index for group in FEATURES for index in group], :2]
    if known.min() < -1 or known.max() > size + 1:
        raise ValueError("eyes, nose or mouth lie outside the crop.")
    mask = np.zeros((size, size), np.uint8)
    for group in FEATURES:
        hull = cv2.convexHull(np.floor(points[list(group), :2]).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 1)
    return (mask > 0) & mesh_mask(points, size)


def match_border(synthetic: np.ndarray, original: np.ndarray, matte: np.ndarray, size: int) -> np.ndarray:
    """Remove the remaining difference at the outline; the correction is smooth along the rim and fades out inwards.

    Args:
        synthetic, original: (h, w, 3) float32 0..255.
        matte: (h, w) float32, 0 where the crop lies outside the photo.
        size: side of the crop, of which they may be a part, in pixels.

    Returns:
        the corrected synthetic face, not clipped; unchanged without enough rim.
    """
    rim = ((matte > _RIM[0]) & (matte < _RIM[1])).astype(np.float32)
    if np.count_nonzero(rim) < _MIN_RIM_PIXELS:
        return synthetic
    difference = original - synthetic
    np.clip(difference, -_MAX_RIM_DIFFERENCE, _MAX_RIM_DIFFERENCE, out=difference)
    doubt = cv2.transform(np.abs(difference), np.full((1, 3), 1 / 3, np.float32))
    doubt -= _DARKER * cv2.min(luma_of(difference), 0.0)
    doubt *= -1 / (_RIM_LIMITS[1] - _RIM_LIMITS[0])
    doubt += _RIM_LIMITS[1] / (_RIM_LIMITS[1] - _RIM_LIMITS[0])
    rim *= np.clip(doubt, _MIN_RIM_WEIGHT, 1, out=doubt)
    # a wide blur at half the resolution looks the same for a quarter of the work; beyond the arrays there is no rim
    weighted = cv2.merge([*(channel * rim for channel in cv2.split(difference)), rim])
    weighted = cv2.resize(weighted, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    weighted = cv2.GaussianBlur(weighted, (0, 0), _RIM_BLUR * size, borderType=cv2.BORDER_CONSTANT)
    *channels, weight = cv2.split(weighted)
    share = np.clip(weight / _FULL_RIM_WEIGHT, 0, 1) / np.maximum(weight, _EPSILON)
    correction = cv2.resize(cv2.merge([channel * share for channel in channels]), synthetic.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.add(synthetic, correction, out=correction)


def composite_face(
    canvas: np.ndarray,
    synthetic: np.ndarray,
    crop: Crop,
    points: np.ndarray,
    *,
    match_tone: bool,
    grayscale: bool,
    generator: np.random.Generator,
    features: np.ndarray | None = None,
    occluders: Occluders | None = None,
    covered: np.ndarray | None = None,
    shade: Shade | None = None,
    look: Look = Look(),  # noqa: B008  # frozen
) -> float:
    """Composite one face into ``canvas`` (in place).

    Args:
        canvas: (h, w, 3) uint8, the photo in which some faces are replaced already. Light, tone and grain are read from it, not from the
            untouched photo: nothing of a face behind this one, covered or replaced by now, may come back with them.
        synthetic: (S, S, 3) float32 0..255 from the generator.
        crop: the face's square.
        points: (478, 3) crop pixels that the face was generated for.
        match_tone: take light and skin tone from the photo; else the light alone.
        grayscale: the photo has no color here, and the face gets none.
        generator: source of the grain.
        features: (S, S) bool, see :func:`face_matte`.
        occluders: what lies in front of the face and stays; None where nothing does.
        covered: (S, S) bool, what covers of other faces hide: they say nothing of light, tone and sharpness. None where there are none.
        shade: how the face shades itself under the photo's light; None is an even surface.
        look: of the synthetic person: a beard has hair, and a man without one may have stubble.

    Returns:
        mean absolute change where the matte is at least half, in pixel values; 0 where no part of the face lies inside the canvas.
    """
    region = clip_box(scale_box(box_of_points(crop.to_photo(points)), _REGION_FACTOR), height=canvas.shape[0], width=canvas.shape[1])
    if region is None:
        return 0.0
    index = triangle_map(points, crop.size)
    mask = index >= 0
    if occluders is not None:
        erase_frames(canvas, crop, occluders.frame)
    part = _part_of(mask)
    here = slice(part[1], part[3]), slice(part[0], part[2])
    matte = face_matte(np.ascontiguousarray(mask[here]), None if features is None else np.ascontiguousarray(features[here]), crop.size)
    index, inside_photo = index[here], _inside_photo(canvas, crop)[here]
    shown = inside_photo if covered is None else inside_photo & ~covered[here]
    bare = shown if occluders is None else shown & ~occluders.not_skin[here]
    synthetic, original = synthetic[here], crop_image(canvas, crop, part).astype(np.float32)
    skin = (matte > OPAQUE) & (index < MOUTH_START) & bare
    extent = tuple(2 * side / crop.size - 1 for side in part)
    normals = surface_normals(points, index)
    openings = index >= MOUTH_START
    synthetic = match_light(
        synthetic,
        original,
        skin,
        openings,
        normals,
        keep_tone=not match_tone,
        extent=extent,  # type: ignore[arg-type]  # four numbers
        shade=None if shade is None else lambda light: shade(light, points, index, part[:2]),
        mesh=mask[here],
    )
    if match_tone:
        eyes, mouth = eye_mask(index, crop.size), (index >= MOUTH_START) & (index < RIGHT_EYE_START)
        synthetic = match_eyes_and_teeth(synthetic, original, skin, eyes, mouth, bare, crop.size)
        if look.beard:
            synthetic = match_beard(synthetic, original, skin, index, bare, crop.size)
    curve = None if grayscale else tone_curve(canvas, canvas[region[1] : region[3], region[0] : region[2]])
    if curve is not None:
        synthetic = curve.apply(synthetic)
    synthetic = match_border(synthetic, original, matte * bare, crop.size)
    x_min, y_min, x_max, y_max = region
    # premultiplied, so that nothing from outside the mesh leaks in while resampling
    premultiplied = cv2.merge([*(channel * matte for channel in cv2.split(synthetic)), matte])
    warped = warp_to_photo(premultiplied, crop, region, part[:2])
    *channels, alpha = cv2.split(warped)
    np.clip(alpha, 0, 1, out=alpha)
    # beyond a hard outline the face continues smoothly; black there would be sharpened to a white line along it
    faint, divisor = alpha <= _MIN_DIVISOR, np.maximum(alpha, _MIN_DIVISOR)
    face = cv2.merge([channel / divisor for channel in channels])
    np.copyto(face, _extrapolate(warped), where=faint[..., None])
    if occluders is not None and occluders.keep.any():
        alpha *= 1 - np.clip(warp_to_photo(np.ascontiguousarray(occluders.keep[here]), crop, region, part[:2]), 0, 1)
    inside_here = alpha > _INSIDE
    if not shown.all():
        inside_here &= warp_to_photo(shown.astype(np.float32), crop, region, part[:2]) > _INSIDE
    before = canvas[y_min:y_max, x_min:x_max]
    below = before.astype(np.float32)
    jaw = np.zeros_like(inside_here)
    if look.beard or look.may_have_stubble:
        jaw = inside_here & (warp_to_photo(beard_mask(index).astype(np.float32), crop, region, part[:2]) > 0.5)
    areas = _face_areas(crop.to_photo(points), region, inside_here, jaw, bool(look.beard))
    face = match_sharpness(face, below, areas, generator)
    if curve is not None:
        face = curve.apply(face)
    if grayscale:
        face = _to_three_channels(luma_of(face))
    face -= below
    face *= _to_three_channels(alpha)
    face += below
    result = to_uint8(face)
    change = cv2.mean(cv2.absdiff(result, before), mask=(alpha >= 0.5).astype(np.uint8))[:3]  # 0 where the mask is empty
    canvas[y_min:y_max, x_min:x_max] = result
    return sum(change) / 3


def erase_frames(canvas: np.ndarray, crop: Crop, frame: np.ndarray) -> None:
    """Paint frames of spectacles over from their surroundings (in place; Telea 2004): half of a pair must not stay beside a face.

    Args:
        canvas: (h, w, 3) uint8.
        crop: the face's square.
        frame: (S, S) bool, the frames in it.
    """
    if not frame.any():
        return
    corners = crop.to_photo(np.argwhere(frame)[:, ::-1].astype(float) + 0.5)
    margin = max(1.0, _FRAME_MARGIN * crop.size / crop.scale)
    x_min, y_min, x_max, y_max = box_of_points(corners)
    box = x_min - 4 * margin, y_min - 4 * margin, x_max + 4 * margin, y_max + 4 * margin
    region = clip_box(box, height=canvas.shape[0], width=canvas.shape[1])
    if region is None:
        return
    where = (warp_to_photo(frame.astype(np.float32), crop, region) > 0.3).view(np.uint8)
    reach = max(1, round(margin))
    where = cv2.dilate(where, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    part = np.ascontiguousarray(canvas[region[1] : region[3], region[0] : region[2]])
    canvas[region[1] : region[3], region[0] : region[2]] = cv2.inpaint(part, where, margin, cv2.INPAINT_TELEA)


def _face_areas(points: np.ndarray, region: tuple[int, int, int, int], inside: np.ndarray, jaw: np.ndarray, bearded: bool) -> FaceAreas:
    """Skin, features, brows and jaw for :func:`match_sharpness` in a region of the photo."""
    places = points[:, :2] - 0.5 - np.array(region[:2])
    regions = np.full(inside.shape, SKIN, np.uint8)
    for reach, first in ((_SKIN_DISTANCE, None), (_FEATURE_REACH, FIRST_FEATURE)):
        for number, group in enumerate(FEATURES):
            _fill_hull(regions, places[list(group)], reach, ELSEWHERE if first is None else first + number)
    if bearded:
        regions[jaw & (regions == SKIN)] = ELSEWHERE
    regions[~inside] = OUTSIDE
    brows = np.zeros(inside.shape, np.uint8)
    for number, group in enumerate(BROWS, start=1):
        _fill_hull(brows, places[list(group)], _BROW_REACH, number)
    (x, y), (chin_x, chin_y) = places[NASION], places[CHIN]
    rows, columns = np.ogrid[: inside.shape[0], : inside.shape[1]]
    left = (columns - x) * (chin_y - y) > (rows - y) * (chin_x - x)
    height = float(np.linalg.norm(places[FACE_OVAL[0]] - places[CHIN]))
    return FaceAreas(regions, brows * inside, jaw * (1 + left.astype(np.uint8)), bearded, (float(x), float(y)), height)


def _fill_hull(mask: np.ndarray, points: np.ndarray, reach: float, value: int) -> None:
    """Fill the convex hull of (n, 2) points, grown by a factor, in a mask (in place)."""
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    middle = hull.mean(axis=0)
    cv2.fillConvexPoly(mask, np.round((middle + (hull - middle) * reach) * 16).astype(np.int32), value, cv2.LINE_8, 4)


def _part_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Where an (S, S) mask is set: (x_min, y_min, x_max, y_max) in multiples of 8, so that halves of the part are those of the square."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return 0, 0, mask.shape[1], mask.shape[0]
    return x & ~7, y & ~7, min(x + width + 7 & ~7, mask.shape[1]), min(y + height + 7 & ~7, mask.shape[0])


def _to_three_channels(values: np.ndarray) -> np.ndarray:
    """(h, w) -> (h, w, 3): arithmetic on equal shapes is several times faster than broadcasting a last axis of one."""
    return cv2.merge([values, values, values])


def _extrapolate(premultiplied: np.ndarray) -> np.ndarray:
    """Colors beyond the edge of premultiplied ones (h, w, 4): a blur, at half the resolution; far from the edge their mean."""
    both = cv2.resize(premultiplied, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    *channels, alpha = cv2.split(cv2.GaussianBlur(both, (0, 0), _EXTRAPOLATION / 2))
    mean = cv2.mean(premultiplied)
    means = [_EPSILON * value / max(mean[3], _EPSILON) for value in mean[:3]]
    alpha = np.maximum(alpha, 0) + _EPSILON
    colors = cv2.merge([np.clip((channel + value) / alpha, 0, 255) for channel, value in zip(channels, means, strict=True)])
    return cv2.resize(colors, premultiplied.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _inside_photo(photo: np.ndarray, crop: Crop) -> np.ndarray:
    """(S, S) bool: the crop's pixels inside the photo; elsewhere a crop repeats the photo's border."""
    edges = np.array([photo.shape[1], photo.shape[0]])
    corners = crop.to_photo(np.array([[0, 0], [crop.size, 0], [0, crop.size], [crop.size, crop.size]], float))
    if (corners >= 0).all() and (corners <= edges).all():
        return np.ones((crop.size, crop.size), bool)
    centers = np.arange(crop.size) + 0.5
    inside = np.ones((crop.size, crop.size), bool)
    for (along_x, along_y, constant), edge in zip(crop.inverse, edges, strict=True):
        place = np.add.outer(along_y * centers + constant, along_x * centers)
        inside &= (place >= 0) & (place <= edge)
    return inside


def is_gray(photo: np.ndarray, box: Box) -> bool:
    """Whether an RGB uint8 photo (height, width, 3) has no color inside a box, or the box lies outside of it."""
    x_min, y_min, x_max, y_max = (max(0, int(v)) for v in box)
    patch = photo[y_min : y_max + 1, x_min : x_max + 1]
    if not patch.size:
        return True
    red, green, blue = cv2.split(patch)  # many times faster than a reduction over an axis of three
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return bool(cv2.mean(spread)[0] < _GRAY_SPREAD)
