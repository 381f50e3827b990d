"""Vocabulary shared by every part: faces, crops, results, and the arithmetic of boxes.

Conventions (see ``docs/conventions.md``): photos are RGB uint8 arrays of shape (height, width, 3); points are (x, y) or (x, y, z)
in pixels of the photo, the center of the first pixel is (0.5, 0.5); boxes are (x_min, y_min, x_max, y_max) with exclusive maxima;
matrices map photo coordinates to crop coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from .options import require_choice, require_number

Box = tuple[float, float, float, float]

# What can be done with a face. A doubtful one is covered, too: it may be no face, and somebody should look.
STATUSES = ("replaced", "covered", "doubtful")
NUM_LANDMARKS = 478
MAX_PIXELS = 200_000_000  # of a photo, from a file or in memory


class NoFaceError(ValueError):
    """No face was found, and ``on_no_face="raise"``, the default, refuses the photo or video."""


class UnusableImageError(ValueError):
    """The input is not an image that can be anonymized; the message says why."""


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face.

    Examples:
        >>> Face(box=(40, 30, 140, 160), score=0.9).box
        (40.0, 30.0, 140.0, 160.0)

    Attributes:
        box: (x_min, y_min, x_max, y_max) in pixels; may extend beyond the photo.
        score: the detector's confidence, 0 to 1.
        landmarks: (478, 3) float array of MediaPipe FaceMesh points in photo pixels (z in the same unit, negative
            toward the viewer), or None if no mesh could be fitted. A face without landmarks is covered, never kept.
        doubtful: possibly a false positive. It is covered whether or not it has landmarks, and reported as doubtful. The detector
            decides this, because the same score means different things for different detectors.
        keypoints: (5, 2) float array in photo pixels: right and left eye, tip of the nose, right and left corner of the mouth, as found
            by the detector; they determine the shape of a cover. None if unknown.
    """

    box: Box
    score: float
    landmarks: np.ndarray | None = None
    doubtful: bool = False
    keypoints: np.ndarray | None = None

    def __post_init__(self) -> None:
        box = tuple(float(v) for v in self.box)
        if len(box) != 4 or not all(math.isfinite(v) for v in box) or box[2] <= box[0] or box[3] <= box[1]:
            raise ValueError(
                f"Face.box must be finite (x_min, y_min, x_max, y_max) with x_max > x_min and y_max > y_min, but got {self.box!r}."
            )
        object.__setattr__(self, "box", box)
        require_number("Face.score", self.score, 0, 1)
        object.__setattr__(self, "score", float(self.score))
        for name, shape in (("landmarks", (NUM_LANDMARKS, 3)), ("keypoints", (5, 2))):
            if (value := getattr(self, name)) is not None:
                points = np.array(value, dtype=np.float32)
                if points.shape != shape or not np.isfinite(points).all():
                    raise ValueError(f"Face.{name} must be a finite {shape} array in photo pixels, but got shape {points.shape}.")
                points.flags.writeable = False
                object.__setattr__(self, name, points)


class FaceDetector(Protocol):
    """Anything that finds faces. Bring your own: this call is all that is needed."""

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        """Find the faces of a photo.

        Args:
            image: RGB uint8 (height, width, 3).
            min_face_size: height in pixels of the smallest face to search for.
            min_score: confidence score below which a face is left out.

        Returns:
            faces with 478 landmarks in photo pixels, or with ``landmarks=None`` if no mesh can be fitted.
        """
        ...


@dataclass(frozen=True, eq=False)
class Crop:
    """An aligned square cut out of a photo.

    Attributes:
        matrix: (2, 3) similarity that maps photo (x, y) to crop (x, y), both in pixels with centers at .5.
        size: side of the square in pixels.
    """

    matrix: np.ndarray
    size: int

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (2, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-12:
            raise ValueError(f"Crop.matrix must be a finite, invertible (2, 3) matrix photo -> crop, but got {self.matrix!r}.")
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)
        require_number("Crop.size", self.size, 8, 4096)

    @property
    def scale(self) -> float:
        """Crop pixels per photo pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    @property
    def inverse(self) -> np.ndarray:
        """(2, 3) matrix crop -> photo."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return np.hstack([linear, -linear @ self.matrix[:, 2:]])

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """(n, 2 or 3) photo points -> crop points; z is scaled with the crop."""
        return self._apply(self.matrix, self.scale, points)

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """(n, 2 or 3) crop points -> photo points; the inverse of :meth:`to_crop`."""
        return self._apply(self.inverse, 1.0 / self.scale, points)

    @staticmethod
    def _apply(matrix: np.ndarray, scale: float, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, dtype=np.float64)
        flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return np.hstack([flat, points[:, 2:] * scale])


@dataclass(frozen=True)
class FaceReport:
    """What was done with one face.

    Examples:
        >>> FaceReport((40, 30, 140, 160), 0.9, "covered", "there are no landmarks").to_dict()["reason"]
        'there are no landmarks'

    Attributes:
        box, score: of the detected face.
        status: ``"replaced"`` with a synthetic face; ``"covered"`` with a solid color, because it could not be replaced; or
            ``"doubtful"``: also covered, but possibly a false positive that a person should check.
        reason: why it was covered; empty if it was replaced.
        look: the look of the group that the synthetic person was drawn from, in words; empty if the face was covered.
        kept: what was kept in front of the synthetic face: ``"sunglasses"``, ``"cloth"``, ``"hand"``, ``"hair"``, ``"object"``.
    """

    box: Box
    score: float
    status: str
    reason: str = ""
    look: str = ""
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_choice("FaceReport.status", self.status, STATUSES)
        if (self.status == "replaced") == bool(self.reason):
            raise ValueError(f"A covered face needs a reason and a replaced one has none, but got {self.status!r} with {self.reason!r}.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, the one the pipelines and the report use."""
        corners = ("xmin", "ymin", "xmax", "ymax")
        box = {name: round(value, 2) for name, value in zip(corners, self.box, strict=True)}
        return {
            "box": box,
            "score": round(self.score, 4),
            "status": self.status,
            "reason": self.reason,
            "look": self.look,
            "kept": list(self.kept),
        }


@dataclass(frozen=True, eq=False)
class AnonymizationResult:
    """The anonymized image and a report on every face that was found.

    Attributes:
        image: RGB image; with ``output="crop"``, the synthetic faces side by side in the order of ``faces``.
        faces: one report per face.
        seed: reproduces this result: the seed that was given or drawn. Anyone who knows it can infer more about the shape of the
            original face, so keep it private.
    """

    image: Image.Image
    faces: tuple[FaceReport, ...]
    seed: int | None = None

    @property
    def num_replaced(self) -> int:
        return sum(face.status == "replaced" for face in self.faces)

    @property
    def num_covered(self) -> int:
        """Faces that were not replaced, including the doubtful ones."""
        return len(self.faces) - self.num_replaced

    @property
    def num_doubtful(self) -> int:
        """Covers that may be false positives."""
        return sum(face.status == "doubtful" for face in self.faces)

    def to_dict(self) -> dict[str, Any]:
        return {"image": self.image, "faces": [face.to_dict() for face in self.faces], "seed": self.seed}


def to_face(face: Any, fit: Callable[[Box], np.ndarray | None]) -> Face:
    """A face that somebody hands in as a :class:`Face` or a box.

    Args:
        face: where it is.
        fit: box -> landmarks (478, 3) in photo pixels, or None where none fit; for a box.

    Raises:
        ValueError: it is neither, or invalid.
    """
    if hasattr(face, "landmarks"):  # not isinstance: code loaded from a Hub folder has a class Face of its own
        return Face(face.box, face.score, face.landmarks, getattr(face, "doubtful", False), getattr(face, "keypoints", None))  # validates
    box = Face(face, 1.0).box  # likewise
    if max(box) <= 2:
        raise ValueError(f"boxes are (x_min, y_min, x_max, y_max) in pixels of the upright photo, not shares of it, but got {face!r}.")
    return Face(box, 1.0, fit(box))


def fit_landmarks(detector: FaceDetector, photo: np.ndarray, box: Box) -> np.ndarray | None:
    """(478, 3) landmarks in photo pixels of the face in a box, or None where none fit or the detector has no method ``landmarks``."""
    fit = getattr(detector, "landmarks", None)
    return None if fit is None else fit(photo, box)


def box_of_points(points: np.ndarray) -> Box:
    """Smallest box around (n, 2 or 3) points."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def area_of(box: Box) -> float:
    """Width times height."""
    return (box[2] - box[0]) * (box[3] - box[1])


def scale_box(box: Box, factor: float) -> Box:
    """The box grown (factor > 1) or shrunk about its center."""
    center_x, center_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_width, half_height = (box[2] - box[0]) / 2 * factor, (box[3] - box[1]) / 2 * factor
    return center_x - half_width, center_y - half_height, center_x + half_width, center_y + half_height


def clip_box(box: Box, *, height: int, width: int) -> tuple[int, int, int, int] | None:
    """The whole pixels a box touches inside a photo (exclusive maxima), or None when it lies outside."""
    x_min, y_min = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    x_max, y_max = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
    return (x_min, y_min, x_max, y_max) if x_max > x_min and y_max > y_min else None


def box_overlap(box: Box, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection over union, and over the smaller of the two areas, of one box with (n, 4) boxes."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    intersection = np.clip(high - low, 0, None).prod(axis=1)
    area, areas = (box[2] - box[0]) * (box[3] - box[1]), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return intersection / np.maximum(area + areas - intersection, 1e-9), intersection / np.maximum(np.minimum(area, areas), 1e-9)
