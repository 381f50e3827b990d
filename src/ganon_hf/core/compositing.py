"""A synthetic face put back into its photo, and the solid cover for faces that cannot be replaced.

What is taken from the photo inside the face is a handful of numbers: six per color channel for light and skin tone, three for the
strength of the grain. No pixel, edge or pattern of the original gets through where the matte is 1.

Conventions: crops are (S, S, 3) RGB float32 0..255; masks and mattes are (S, S); photos are (height, width, 3) uint8.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .alignment import crop_image, to_uint8, warp_to_photo
from .color import RGB_TO_YCBCR, YCBCR_TO_RGB, luma_of
from .face_mesh import MOUTH_START
from .faces import Box, Crop, box_of_points, clip_box, scale_box
from .landmarks import triangle_map
from .opencv import cv2

# Width of the blend inside the outline, as a share of the crop's side.
FEATHER = 0.055
# BlazeFace boxes reach from the brows to the chin; a cover this much larger hides forehead, ears and jaw, too.
COVER_FACTOR = 1.6
# Limits of what the photo may ask for: edges at most so much stronger, grain of at most so many levels per octave.
MAX_SHARPENING = 1.6
MAX_GRAIN = 4.0
# From an even field to one that may bend: a quadratic that is free at once bends into a hand or a fringe and then takes it for light.
_STIFFNESS = (300.0, 30.0, 10.0, 3.0, 1.0, 1.0)
# What one knows a face by, as points of the mesh: right and left eye with brow, nose, mouth. Their hulls are hidden altogether.
_FEATURES = (
    (46, 70, 63, 105, 66, 107, 55, 33, 130, 110, 144, 145, 153, 133),
    (276, 300, 293, 334, 296, 336, 285, 263, 359, 339, 373, 374, 380, 362),
    (168, 1, 2, 4, 5, 19, 98, 327, 48, 64, 278, 294, 94),
    (61, 91, 84, 17, 314, 321, 291, 185, 39, 37, 0, 267, 269, 409),
)
# What a face that cannot be composited raises, beside ``cv2.error``: arrays of the wrong shape, singular fits.
COMPOSITE_ERRORS: tuple[type[Exception], ...] = (ArithmeticError, IndexError, RuntimeError, ValueError)


def face_matte(mask: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
    """(S, S) bool mesh mask -> float32 matte: 0 on and outside the outline, 1 from a feather's width inwards.

    Args:
        mask: where the synthetic face is.
        features: (S, S) bool, what of the original must not shine through: the feather gives way to it, on a turned head up to the outline.
    """
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    width: float | np.ndarray = FEATHER * mask.shape[0]
    if features is not None:
        width = np.clip(cv2.distanceTransform((~features).astype(np.uint8), cv2.DIST_L2, 5), 1, width)
    ramp = np.clip((distance - 1) / width, 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def feature_mask(points: np.ndarray, size: int) -> np.ndarray:
    """Eyes with brows, nose and mouth of a face: (478, 3) crop pixels -> (S, S) bool, inside its mesh.

    Raises:
        ValueError: some of them lie outside the square, so that no synthetic face could hide them.
    """
    known = points[[index for group in _FEATURES for index in group], :2]
    if known.min() < -1 or known.max() > size + 1:
        raise ValueError("eyes, nose or mouth lie outside the crop.")
    mask = np.zeros((size, size), np.uint8)
    for group in _FEATURES:
        hull = cv2.convexHull(np.floor(points[list(group), :2]).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 1)
    return (mask > 0) & (triangle_map(points, size) >= 0)


@lru_cache(maxsize=4)
def _light_basis(size: int) -> np.ndarray:
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float32)


def match_light(synthetic: np.ndarray, original: np.ndarray, skin: np.ndarray, *, keep_tone: bool = False) -> np.ndarray:
    """Give the synthetic face the tone and the light of the photo's skin.

    Light is a gain on luma, tone a shift of Cb and Cr (JFIF); each is a quadratic in crop coordinates, fitted by iteratively reweighted
    least squares (Tukey's biweight). What is not skin in the original (glasses, beard, a hand) is an outlier to it.

    Args:
        synthetic, original: (S, S, 3) float32 0..255.
        skin: (S, S) bool, where both should show skin.
        keep_tone: only the distribution of light is taken over, not its level and color.

    Returns:
        the corrected synthetic face, not clipped. Without enough skin it is returned as it came.
    """
    basis = _light_basis(synthetic.shape[0])
    rows, columns = np.nonzero(skin)
    if len(rows) < 50:
        return synthetic
    step = max(1, len(rows) // 2000)
    rows, columns = rows[::step], columns[::step]
    ours = cv2.transform(synthetic, RGB_TO_YCBCR)
    source, target, design = ours[rows, columns], original[rows, columns] @ RGB_TO_YCBCR.T, basis[rows, columns]
    level = float(np.median((target[:, 0] + 4.0) / (source[:, 0] + 4.0)))
    # in the dark colors fade with the light
    fade = float(np.clip(level, 0.15, 1.0))
    shift = np.median(target[:, 1:] - fade * source[:, 1:], axis=0)
    brightness = source[:, :1] + 4.0
    scaled = design * brightness
    weights = np.ones(len(rows), np.float32)
    for stiffness in _STIFFNESS:
        gain = _pulled_fit(scaled, target[:, :1] + 4.0, weights, np.array([[level]]), stiffness)
        tint = _pulled_fit(design, target[:, 1:] - fade * source[:, 1:], weights, shift[None], stiffness)
        field = design @ np.hstack([gain, tint])
        error = np.abs(target[:, 0] + 4.0 - brightness[:, 0] * field[:, 0])
        error = error + np.abs(target[:, 1:] - fade * source[:, 1:] - field[:, 1:]).sum(axis=1)
        spread = 1.4826 * np.median(error) + 2.0
        weights = (np.clip(1 - (error / (3.5 * spread)) ** 2, 0, 1) ** 2).astype(np.float32)
    light, *offsets = (_quadratic(coefficients, synthetic.shape[0]) for coefficients in np.hstack([gain, tint]).T)
    light = np.clip(light, level * 0.45, level * 1.9)
    offsets = [np.clip(offset, middle - 15, middle + 15) for offset, middle in zip(offsets, shift, strict=True)]
    if keep_tone:
        light, fade = light / level, 1.0
        offsets = [offset - middle for offset, middle in zip(offsets, shift, strict=True)]
    luma, blue, red = cv2.split(ours)
    return cv2.transform(cv2.merge([(luma + 4.0) * light - 4.0, fade * blue + offsets[0], fade * red + offsets[1]]), YCBCR_TO_RGB)


def _quadratic(coefficients: np.ndarray, size: int) -> np.ndarray:
    """(6,) coefficients of ``_light_basis`` -> (S, S) float32 field, by rows and columns instead of pixel by pixel."""
    even, along, down, along_2, both, down_2 = (float(value) for value in coefficients)
    place = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    field = np.multiply.outer(np.float32(both) * place, place)
    field += (even + along * place + along_2 * place * place).astype(np.float32)
    field += (down * place + down_2 * place * place).astype(np.float32)[:, None]
    return field


def _pulled_fit(design: np.ndarray, target: np.ndarray, weights: np.ndarray, even: np.ndarray, stiffness: float) -> np.ndarray:
    """Weighted least squares for (6, c) coefficients, pulled towards an even field of value ``even`` (1, c)."""
    weighted = design * weights[:, None]
    gram = weighted.T @ design
    pull = np.array([1e-4, 0.02, 0.02, 0.05, 0.05, 0.05]) * gram[0, 0]
    pull[1:] *= stiffness
    pull = np.diag(pull)
    wanted = np.zeros((6, target.shape[1]))
    wanted[:1] = even
    return np.linalg.solve(gram + pull, weighted.T @ target + pull @ wanted).astype(np.float32)


def match_border(synthetic: np.ndarray, original: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Take the last difference at the outline away: it is smoothed along the rim and fades out inwards."""
    size = synthetic.shape[0]
    rim = ((matte > 0.01) & (matte < 0.7)).astype(np.float32)
    if rim.sum() < 20:
        return synthetic
    difference = np.clip(original - synthetic, -60, 60)
    # hair over the rim must not bleed into the cheek: large differences hardly count
    rim *= np.clip(1.5 - cv2.transform(np.abs(difference), np.full((1, 3), 1 / 90, np.float32)), 0.05, 1)
    # a broad blur of a quarter of the pixels is the same blur for a quarter of the work
    weighted = cv2.resize(np.dstack([difference * _stack3(rim), rim]), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    weighted = cv2.GaussianBlur(weighted, (0, 0), 0.0175 * size)
    weight = weighted[..., 3:]
    spread = weighted[..., :3] / np.maximum(weight, 1e-3) * np.clip(weight / 0.25, 0, 1)
    return synthetic + cv2.resize(spread, (size, size), interpolation=cv2.INTER_LINEAR)


def _bands(luma: np.ndarray, count: int = 3) -> list[np.ndarray]:
    """Octaves of fine structure, finest first; no more than three."""
    levels = [luma, *(cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (0.7, 1.4, 2.8)[:count])]
    return [fine - coarse for fine, coarse in zip(levels, levels[1:], strict=False)]


def match_sharpness(synthetic: np.ndarray, original: np.ndarray, inside: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Make the synthetic face as crisp and as grainy as the photo, in photo pixels.

    A linear model averages; its own edges (lids, lips, brows) are strengthened octave by octave towards the photo's contrast. Then noise
    is added where the photo's smoothest skin is rougher than the synthetic one: the median strength of its two finest octaves.

    Args:
        synthetic, original: (h, w, 3) float32 0..255 at the photo's own resolution.
        inside: (h, w) bool, the face without its rim.
        generator: source of the noise.
    """
    sample = np.flatnonzero(inside)
    if len(sample) < 30:
        return synthetic
    sample = sample[:: max(1, len(sample) // 20_000)]
    wanted, own = _bands(luma_of(original)), _bands(luma_of(synthetic))
    gained = np.zeros(inside.shape, np.float32)
    for theirs, ours in zip(wanted, own, strict=True):
        ratio = float(np.abs(theirs.flat[sample]).mean() / max(np.abs(ours.flat[sample]).mean(), 1e-3))
        gained += ours * (np.clip(ratio, 1.0, MAX_SHARPENING) - 1)
    noise = generator.standard_normal(inside.shape, dtype=np.float32)
    for theirs, ours, band in zip(wanted, own, _bands(noise, 2), strict=False):
        smooth = [
            1.4826 * float(np.percentile(np.abs(layer.flat[sample]), 35)) / 0.67 for layer in (theirs, ours)
        ]  # 35th: flat skin, no edges
        missing = max(smooth[0] ** 2 - smooth[1] ** 2, 0.0) ** 0.5
        gained += band * (min(missing, MAX_GRAIN) / max(float(band.std()), 1e-3))
    return synthetic + _stack3(gained)


def composite_face(
    photo: np.ndarray,
    canvas: np.ndarray,
    synthetic: np.ndarray,
    crop: Crop,
    points: np.ndarray,
    *,
    match_tone: bool,
    grayscale: bool,
    generator: np.random.Generator,
    features: np.ndarray | None = None,
) -> float:
    """Put one face into ``canvas`` (in place).

    Args:
        photo: (h, w, 3) uint8, from which tone and grain are read: the untouched photo, or the canvas itself.
        canvas: the picture being built, same size.
        synthetic: (S, S, 3) float32 0..255 from the generator.
        crop: the face's square.
        points: (478, 3) crop pixels that the face was synthesized for.
        match_tone: take light and skin tone from the photo; else the light alone.
        grayscale: the photo has no color here, and the face gets none.
        generator: source of the grain.
        features: (S, S) bool, see :func:`face_matte`.

    Returns:
        mean absolute change of the photo where the matte is at least half, in levels; 0 where nothing of the face lies inside it.
    """
    index = triangle_map(points, crop.size)
    mask = index >= 0
    matte = face_matte(mask, features)
    region = clip_box(scale_box(box_of_points(crop.to_photo(points)), 1.1), height=photo.shape[0], width=photo.shape[1])
    if region is None:
        return 0.0
    original = crop_image(photo, crop).astype(np.float32)
    inside_photo = _inside_photo(photo, crop)
    skin = (matte > 0.9) & (index < MOUTH_START) & inside_photo
    synthetic = match_light(synthetic, original, skin, keep_tone=not match_tone)
    synthetic = match_border(synthetic, original, matte * inside_photo)
    x_min, y_min, x_max, y_max = region
    # premultiplied, so that nothing from outside the mesh leaks in while resampling
    warped = warp_to_photo(np.dstack([synthetic * _stack3(matte), matte]), crop, region)
    alpha = np.clip(warped[..., 3], 0, 1)
    weighted, opaque = np.ascontiguousarray(warped[..., :3]), _stack3(alpha)
    # beyond a hard outline the face goes on smoothly; black there would be sharpened to a white line along it
    face = np.where(opaque > 0.3, weighted / np.maximum(opaque, 1e-3), _spread(weighted, alpha))
    inside_here = alpha > 0.95
    if not inside_photo.all():
        inside_here &= warp_to_photo(inside_photo.astype(np.float32), crop, region) > 0.95
    original_here = photo[y_min:y_max, x_min:x_max]
    face = match_sharpness(face, original_here.astype(np.float32), inside_here, generator)
    if grayscale:
        face = _stack3(luma_of(face))
    below = canvas[y_min:y_max, x_min:x_max].astype(np.float32)
    result = to_uint8(below + opaque * (face - below))
    inner = (alpha >= 0.5).astype(np.uint8)
    change = cv2.mean(cv2.absdiff(result, original_here), mask=inner)[:3]  # 0 where the mask is empty
    canvas[y_min:y_max, x_min:x_max] = result
    return sum(change) / 3


def _stack3(values: np.ndarray) -> np.ndarray:
    """(h, w) -> (h, w, 3): arithmetic on equal shapes is several times faster than on a last axis of one."""
    return cv2.merge([values, values, values])


def _spread(weighted: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What premultiplied colors look like a little beyond their edge: a blur of 3 pixels, made at half the size."""
    both = cv2.resize(np.dstack([weighted, alpha]), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    both = cv2.GaussianBlur(both, (0, 0), 1.5)
    colors = np.clip(both[..., :3] / np.maximum(both[..., 3:], 1e-3), 0, 255)
    return cv2.resize(colors, (alpha.shape[1], alpha.shape[0]), interpolation=cv2.INTER_LINEAR)


def _inside_photo(photo: np.ndarray, crop: Crop) -> np.ndarray:
    """(S, S) bool: the crop's pixels that lie in the photo; at the others a crop shows the repeated border."""
    edges = np.array([photo.shape[1], photo.shape[0]])
    corners = crop.to_photo(np.array([[0, 0], [crop.size, 0], [0, crop.size], [crop.size, crop.size]], float))
    if (corners >= 0).all() and (corners <= edges).all():
        return np.ones((crop.size, crop.size), bool)
    y, x = np.mgrid[: crop.size, : crop.size] + 0.5
    centers = crop.to_photo(np.column_stack([x.ravel(), y.ravel()]))
    return ((centers >= 0) & (centers <= edges)).all(axis=1).reshape(crop.size, crop.size)


def is_gray(photo: np.ndarray, box: Box) -> bool:
    """Whether an RGB uint8 photo (height, width, 3) has no color in a box, or nothing is there."""
    x_min, y_min, x_max, y_max = (max(0, int(v)) for v in box)
    red, green, blue = (photo[y_min : y_max + 1, x_min : x_max + 1, channel] for channel in range(3))
    # a reduction over an axis of three is many times slower than these
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return spread.size == 0 or float(spread.mean()) < 1.5


def cover_face(canvas: np.ndarray, box: Box, landmarks: np.ndarray | None = None) -> None:
    """Hide a face for good (in place): a solid patch of one color, the mean of the picture just around it.

    Args:
        canvas: (h, w, 3) uint8.
        box: the detected face.
        landmarks: where known, the patch also holds all of them.
    """
    if landmarks is not None:
        around = box_of_points(landmarks)
        box = (min(box[0], around[0]), min(box[1], around[1]), max(box[2], around[2]), max(box[3], around[3]))
    region = clip_box(scale_box(box, COVER_FACTOR), height=canvas.shape[0], width=canvas.shape[1])
    if region is None:
        return
    x_min, y_min, x_max, y_max = region
    patch = canvas[y_min:y_max, x_min:x_max]
    rim = np.concatenate([patch[0], patch[-1], patch[:, 0], patch[:, -1]])
    patch[:] = np.round(rim.mean(axis=0)).astype(np.uint8)
