"""One row of a picture data set -> one aligned and measured training face, or the reason why there is none.

Nothing is filtered here: the measures are stored with the face, and :mod:`.face_selection` applies the thresholds.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from ..core.alignment import align_face, crop_image
from ..core.face_mesh import FACE_OVAL, MEAN_LANDMARKS
from ..core.faces import Crop, FaceDetector
from ..core.geometry import normalize_pose
from ..core.image_loading import load_photo
from ..core.opencv import cv2
from .person_matte import PersonMatte
from .persons import person_id
from .shards import SCHEMA

# Columns of a part file: those of a shard, null where there is no face, and what selection and contact sheet need.
MEASURED_SCHEMA = pa.schema(
    [
        # parquet has no null in lists of fixed length
        *(field.with_type(pa.list_(pa.float32())) if field.name == "landmarks" else field for field in SCHEMA),
        ("row", pa.int64()),
        ("digest", pa.binary()),
        ("reason", pa.string()),
        ("yaw", pa.float32()),
        ("pitch", pa.float32()),
        ("misfit", pa.float32()),
        ("visible", pa.float32()),
        ("chroma", pa.float32()),
        ("thumbnail", pa.binary()),
    ]
)

# Smaller faces are bystanders. Share of the picture's shorter side.
_MIN_SHARE = 0.2
# Some data sets are cropped to the face, and detectors need some surroundings. Width of an added border, share of the shorter side.
_BORDER = 0.25
_MEASURING_SIZE = 128
_THUMBNAIL = 128


def measure_row(row: Mapping[str, Any], detector: FaceDetector, matte: PersonMatte, size: int, *, tight: bool = False) -> dict[str, Any]:
    """Align and measure the largest face of a picture.

    Args:
        row: image ({"bytes", "path"}), source, person, emotion, grayscale (as the source labels it, None for unknown), row (its number).
        detector: finds the face.
        matte: separates person and background.
        size: side of the crop in pixels.
        tight: as in :func:`align_face`.

    Returns:
        a row of :data:`MEASURED_SCHEMA`. ``reason`` is None if there is a face, else unreadable, no_face, no_landmarks or no_pose.
    """
    result: dict[str, Any] = dict.fromkeys(MEASURED_SCHEMA.names)
    result |= {
        "source": row["source"],
        "person": person_id(row["source"], row["person"]),
        "emotion": row["emotion"] or None,
        "row": row["row"],
    }
    try:
        photo = read_picture(row["image"])
    except Exception as error:  # decoders raise anything on damaged files; one bad row must not stop the run
        return result | {"reason": "unreadable", "digest": hashlib.sha256(str(error).encode()).digest()}
    result["digest"] = hashlib.sha256(repr(photo.shape).encode() + photo.tobytes()).digest()
    faces, landmarks = find_largest_face(photo, detector)
    if landmarks is None:
        return result | {"reason": "no_landmarks" if faces else "no_face", "thumbnail": _thumbnail(photo)}
    try:
        shape, pose = normalize_pose(landmarks)
        crop = align_face(landmarks, size, tight=tight)
    except ValueError:
        return result | {"reason": "no_pose", "thumbnail": _thumbnail(photo)}
    image, points = crop_image(photo, crop), crop.to_crop(landmarks).astype(np.float32)
    oval = np.zeros((size, size), np.uint8)
    cv2.fillPoly(oval, [np.round(points[FACE_OVAL, :2] - 0.5).astype(np.int32)], 255)
    inside = _inside_photo(crop, height=photo.shape[0], width=photo.shape[1])
    # the face belongs to the person even where overexposure hides it from the matte; outside the photo nothing is visible
    person = np.maximum(np.round(matte(image) * 255).astype(np.uint8), oval) * inside
    yaw, pitch, _ = pose.angles
    return (
        result
        | {
            "image": {"bytes": _encode(Image.fromarray(image), "WEBP", quality=95, method=4), "path": None},
            "matte": {"bytes": _encode(Image.fromarray(person), "PNG"), "path": None},
            "landmarks": points.ravel().tolist(),
            "grayscale": row["grayscale"] == 1,  # null and NaN count as no
            "resolution": 1 / crop.scale,
            "sharpness": _sharpness(image, oval),
            "yaw": yaw,
            "pitch": pitch,
            "misfit": float(np.sqrt(((shape - MEAN_LANDMARKS)[:468] ** 2).sum(axis=1).mean())),
            "visible": float(inside[oval > 0].mean()) if oval.any() else 0.0,
            "chroma": _chroma(image, oval > 0),
        }
    )


def read_picture(image: Any) -> np.ndarray:
    """A cell of a picture column -> RGB uint8 (height, width, 3), upright."""
    if image is None:
        raise ValueError("the cell is empty.")
    data = image["bytes"] if image.get("bytes") is not None else Path(image["path"]).read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        return load_photo(picture)


def find_largest_face(photo: np.ndarray, detector: FaceDetector) -> tuple[int, np.ndarray | None]:
    """Number of faces, and the (478, 3) landmarks in photo pixels of the largest face with landmarks."""
    smallest = max(24, int(_MIN_SHARE * min(photo.shape[:2])))
    found = 0
    for border in (0, int(_BORDER * min(photo.shape[:2]))):
        view = cv2.copyMakeBorder(photo, border, border, border, border, cv2.BORDER_REPLICATE) if border else photo
        faces = detector(view, min_face_size=smallest)
        found = max(found, len(faces))
        meshes = [face.landmarks for face in faces if face.landmarks is not None]
        if meshes:
            largest = max(meshes, key=lambda points: float(np.prod(np.ptp(points[:, :2], axis=0))))
            return found, largest - np.array([border, border, 0.0])
    return found, None


def _inside_photo(crop: Crop, *, height: int, width: int) -> np.ndarray:
    """(S, S) uint8, 1 where the center of a crop pixel lies in the photo."""
    y, x = np.mgrid[: crop.size, : crop.size] + 0.5
    at_x, at_y = np.tensordot(crop.inverse[:, :2], np.stack([x, y]), axes=1) + crop.inverse[:, 2][:, None, None]
    return ((at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)).astype(np.uint8)


def _chroma(image: np.ndarray, face: np.ndarray) -> float:
    """Spread of the face's colors: 90th percentile of the distance to their median in (Cb, Cr), in pixel values (0-255).

    A toned black-and-white picture has another median, but a small spread.
    """
    colors = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[face][:, 1:].astype(np.float32)
    if not len(colors):
        return 0.0
    return float(np.percentile(np.hypot(*(colors - np.median(colors, axis=0)).T), 90))


def _sharpness(image: np.ndarray, oval: np.ndarray) -> float:
    """Variance of the 3 x 3 Laplacian of the face's luma over the variance of the luma, with the crop scaled to 128 px.

    The ratio has no unit, so that dark faces do not count as blurred.
    """
    luma = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (_MEASURING_SIZE, _MEASURING_SIZE), interpolation=cv2.INTER_AREA)
    luma = luma.astype(np.float32)
    face = cv2.resize(oval, (_MEASURING_SIZE, _MEASURING_SIZE), interpolation=cv2.INTER_AREA) > 127
    if face.sum() < 16:
        return 0.0
    variance = float(cv2.Laplacian(luma, cv2.CV_32F)[face].var())
    return variance / max(float(luma[face].var()), 1.0)


def _thumbnail(photo: np.ndarray) -> bytes:
    picture = Image.fromarray(photo)
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return _encode(picture, "WEBP", quality=80)


def _encode(picture: Image.Image, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
