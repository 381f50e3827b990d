"""Who is it? A face recogniser that training never sees, and what it makes of anonymized pictures.

dlib's ResNet (128 numbers, compared by Euclidean distance) with the model files of ``face_recognition_models``; the extra ``eval``
brings both. Source: D. E. King, dlib (Boost licence); models CC0.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from ..faces import Box, box_overlap
from .measures import Estimate, bootstrap_mean, hit_rates, threshold_at_far

MIN_IOU = 0.3
MISSING_DLIB = "the recogniser and the second detector need dlib: pip install 'ganon-hf[eval]'"


class DlibRecognizer:
    """Face detector (HOG) and recogniser (ResNet) of dlib.

    Raises:
        ImportError: dlib or its models are not installed.
    """

    name = "dlib-resnet"
    size = 128

    def __init__(self) -> None:
        spec = importlib.util.find_spec("face_recognition_models")  # importing it would need pkg_resources
        if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("dlib") is None:
            raise ImportError(MISSING_DLIB)
        import dlib

        models = Path(list(spec.submodule_search_locations)[0]) / "models"
        self._dlib = dlib
        self._detector = dlib.get_frontal_face_detector()
        self._corners = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def find(self, photo: np.ndarray, near: Box) -> Box | None:
        """The face that HOG sees where a face is known to be (IoU 0.3 or more), or None; photos under 400 px are doubled first."""
        found = self._detector(photo, 1 if min(photo.shape[:2]) < 400 else 0)
        boxes = np.array([(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found], dtype=np.float64).reshape(-1, 4)
        if not len(boxes):
            return None
        union, _ = box_overlap(near, boxes)
        best = int(np.argmax(union))
        x_min, y_min, x_max, y_max = boxes[best].tolist()
        return (x_min, y_min, x_max, y_max) if union[best] >= MIN_IOU else None

    def embed(self, photo: np.ndarray, box: Box) -> np.ndarray:
        """(128,) of the face in a box; eyes and nose are found anew in the picture that is handed in."""
        x_min, y_min, x_max, y_max = (round(v) for v in box)
        corners = self._corners(photo, self._dlib.rectangle(x_min, y_min, x_max - 1, y_max - 1))
        return np.array(self._network.compute_face_descriptor(photo, corners, 0))


class EmbeddingCache:
    """Vectors of original pictures, kept in a file from run to run.

    Args:
        path: ``.npz`` file, made when it is not there.
        size: length of a vector.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        self._vectors: dict[str, np.ndarray] = {}
        if path.is_file():
            with np.load(path) as stored:
                self._vectors = {key: stored[key] for key in stored.files if stored[key].shape == (size,)}

    @staticmethod
    def key(photo: np.ndarray, box: Box) -> str:
        """Name of a picture with a face box, from its content."""
        return hashlib.sha256(photo.tobytes() + repr((photo.shape, tuple(round(v, 2) for v in box))).encode()).hexdigest()[:32]

    def get(self, recognizer: DlibRecognizer, photo: np.ndarray, box: Box) -> np.ndarray:
        """The stored vector, or a new one."""
        key = self.key(photo, box)
        if key not in self._vectors:
            self._vectors[key] = recognizer.embed(photo, box)
        return self._vectors[key]

    def save(self) -> None:
        """Write the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(self._path, **self._vectors)


def recognition_measures(
    similarity: np.ndarray, persons: np.ndarray, *, threshold: float | None = None, repeats: int = 1000
) -> dict[str, Estimate]:
    """Closed-set recognition and verification with one gallery picture and one probe a person.

    Args:
        similarity: (n, n), row i the probe and column i the gallery picture of person i; NaN rows could not be read and count as misses.
        persons: (n,) labels.
        threshold: similarity above which two pictures are taken for one person; None leaves verification out.
        repeats: bootstrap resamples over probes; the gallery stays as it is.

    Returns:
        ``rank1``, ``rank5`` and, with a threshold, ``tar``.
    """
    target = np.arange(len(similarity))
    values = {"rank1": hit_rates(similarity, target, 1), "rank5": hit_rates(similarity, target, 5)}
    if threshold is not None:
        values["tar"] = (np.nan_to_num(np.diag(similarity), nan=-np.inf) > threshold).astype(float)
    return {name: bootstrap_mean(persons, hits, repeats=repeats) for name, hits in values.items()}


def impostor_threshold(similarity: np.ndarray, far: float = 0.01) -> float:
    """Threshold at a false accept rate, from the off-diagonal pairs of the originals' (n, n) similarity."""
    impostors = similarity[~np.eye(len(similarity), dtype=bool)]
    return threshold_at_far(impostors[np.isfinite(impostors)], far)
