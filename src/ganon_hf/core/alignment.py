"""Photo to aligned crop and back.

Convention: a crop's matrix maps photo (x, y) to crop (x, y), pixel centers at .5; the face is upright in the square, and the whole face
oval lies inside with a margin. OpenCV puts pixel centers at integers, hence the half-pixel shifts.
"""

from __future__ import annotations

import numpy as np

from .face_mesh import FACE_OVAL
from .faces import Crop
from .geometry import normalize_pose
from .opencv import cv2

# Side of a crop in canonical units: the mean face is 2.7 units high, the rest is margin for open mouths and raised chins.
CROP_SIDE = 3.36
# Below this scale OpenCV's interpolation would skip pixels: pictures are halved by area first.
_MIN_SCALE = 0.6


def align_face(landmarks: np.ndarray, size: int, *, tight: bool = False) -> Crop:
    """The upright square around a face.

    Args:
        landmarks: (478, 3) photo pixels.
        size: side of the crop in pixels.
        tight: the face oval's box fills the square, as the paper's crops do; else there is a margin and one scale for all heads.

    Raises:
        ValueError: no head pose can be fitted to the landmarks.
    """
    _, pose = normalize_pose(landmarks)
    # roll in the image plane, from the eyes' direction on frontal faces and from the forehead-chin axis on turned ones
    right, down = pose.rotation[0, :2], pose.rotation[1, :2]
    axis = right * np.hypot(*right) + np.array([down[1], -down[0]]) * np.hypot(*down)
    axis = axis / max(float(np.hypot(*axis)), 1e-9)
    scale = size / (CROP_SIDE * pose.scale)
    linear = scale * np.array([[axis[0], axis[1]], [-axis[1], axis[0]]])
    oval = landmarks[FACE_OVAL, :2] @ linear.T
    low, high = oval.min(axis=0), oval.max(axis=0)
    center = (low + high) / 2
    if tight:
        factor = size / max(float((high - low).max()), 1e-6)
        linear, center = linear * factor, center * factor
    return Crop(np.hstack([linear, (size / 2 - center)[:, None]]), size)


def _to_opencv(matrix: np.ndarray) -> np.ndarray:
    """The same map for pixel centers at integers."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    return shifted


def crop_image(
    image: np.ndarray, crop: Crop, part: tuple[int, int, int, int] | None = None, *, border: int = cv2.BORDER_REPLICATE
) -> np.ndarray:
    """Resample (h, w[, c]) to the crop's square. Downscaling averages instead of skipping pixels.

    Args:
        image: the photo.
        crop: the square.
        part: (x_min, y_min, x_max, y_max) in the crop's pixels, all that is wanted of it; None is the whole square.
        border: what lies beyond the picture: its edge, or with ``cv2.BORDER_CONSTANT`` zeros.
    """
    x_min, y_min, x_max, y_max = part or (0, 0, crop.size, crop.size)
    matrix = crop.matrix - np.array([[0, 0, x_min], [0, 0, y_min]])
    size = (x_max - x_min, y_max - y_min)
    image, matrix = _around(image, matrix, size)
    while min(image.shape[:2]) >= 2 and np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < _MIN_SCALE:
        height, width = image.shape[:2]
        image = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
        factors = np.array([width / image.shape[1], height / image.shape[0]])
        matrix = np.hstack([matrix[:, :2] * factors, matrix[:, 2:]])
    return cv2.warpAffine(image, _to_opencv(matrix), size, flags=cv2.INTER_LINEAR, borderMode=border)


def _around(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture that shrinking it into a crop needs, and the crop's matrix for it.

    A large photo is not halved for each of its faces as a whole. The part begins where halved pixels of the whole would. Those of the whole
    are as large only if its sides are multiples of the same power of two.

    Args:
        image: (h, w[, c]).
        matrix: (2, 3) picture -> crop.
        size: (width, height) of the crop.
    """
    step, scale = 1, np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    while scale * step < _MIN_SCALE and step < min(image.shape[:2]):
        step *= 2
    if step == 1:
        return image, matrix
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], size], float) - matrix[:, 2]
    corners = np.linalg.solve(matrix[:, :2], corners.T).T
    sides = np.array(image.shape[1::-1])
    last = (sides - 1) // step * step  # a part of a picture far beyond its edge is that edge
    first = np.clip(np.floor(corners.min(axis=0)) // step * step - step, 0, np.maximum(last - 3 * step, 0)).astype(int)
    end = np.clip(-(-np.ceil(corners.max(axis=0)) // step) * step + step, first + 2 * step, sides).astype(int)
    matrix = np.hstack([matrix[:, :2], matrix[:, 2:] + matrix[:, :2] @ first[:, None]])
    return image[first[1] : end[1], first[0] : end[0]], matrix


def warp_to_photo(values: np.ndarray, crop: Crop, region: tuple[int, int, int, int], origin: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Resample a float32 array (h, w[, c]) of the crop's pixels into a region (x_min, y_min, x_max, y_max) of the photo.

    Args:
        values: the whole square, or a part of it; beyond it everything is zero.
        crop: the square.
        region: in photo pixels.
        origin: (x, y) of the values' first pixel in the square.
    """
    matrix = crop.inverse
    matrix = np.hstack([matrix[:, :2], matrix[:, 2:] + matrix[:, :2] @ np.array(origin, float)[:, None]])
    while np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < _MIN_SCALE and min(values.shape[:2]) > 8:
        height, width = values.shape[:2]
        values = cv2.resize(values, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        matrix = np.hstack([matrix[:, :2] * np.array([width / (width // 2), height / (height // 2)]), matrix[:, 2:]])
    matrix = matrix - np.array([[0, 0, region[0]], [0, 0, region[1]]])
    size = (region[2] - region[0], region[3] - region[1])
    return cv2.warpAffine(values, _to_opencv(matrix), size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Float32 pixel values of up to 4 channels -> uint8, rounded and clipped to 0..255."""
    return cv2.convertScaleAbs(np.maximum(values, np.float32(0)))  # cv2.max takes a number for a column of four beside a single pixel
