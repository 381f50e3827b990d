"""Face recognizers that training never sees, and their identification and verification rates on anonymized pictures.

dlib's ResNet (128 numbers, compared by Euclidean distance) with the model files of ``face_recognition_models``; the extra ``eval``
brings both. Source: D. E. King, dlib (Boost license); models CC0. Any other recognizer can be used instead or as well.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..._atomic import atomic_file
from ...core.faces import Box, box_overlap
from .arcface import ArcFaceRecognizer
from .estimates import Estimate, bootstrap_mean, cosine_similarity, hit_rates, negative_distance, threshold_at_far

MIN_IOU = 0.3
MISSING_DLIB = "the recognizer and the second detector need dlib: pip install 'ganon-hf[eval]'"
METRICS = {"euclidean": negative_distance, "cosine": cosine_similarity}


class FaceFinder(Protocol):
    """A detector of the face at a known place."""

    def find(self, photo: np.ndarray, near: Box) -> Box | None:
        """The face that overlaps ``near`` (photo pixels) well in an RGB uint8 photo, or None."""


@runtime_checkable
class Recognizer(Protocol):
    """Turns a face into an embedding; the more similar two embeddings, the likelier it is one person.

    It may have a ``detector`` with ``find(photo, near) -> Box | None``, and then gets that detector's box of the face; without, the box of
    MediaPipe's mesh. Where nothing is found in an output it gets the box of the original.

    Attributes:
        name: for the report.
        metric: ``"euclidean"`` or ``"cosine"``.
    """

    name: str
    metric: str

    def __call__(self, photo: np.ndarray, box: Box) -> np.ndarray | None:
        """(d,) embedding of the face in a box (photo pixels) of an RGB uint8 photo; None where it cannot be read."""


class HogDetector:
    """dlib's detector of frontal faces (histograms of oriented gradients), independent of MediaPipe.

    Raises:
        ImportError: dlib is not installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("dlib") is None:
            raise ImportError(MISSING_DLIB)
        import dlib

        self._detector = dlib.get_frontal_face_detector()

    def find(self, photo: np.ndarray, near: Box) -> Box | None:
        """The detected face that overlaps ``near`` best (IoU 0.3 or more), or None; photos under 400 px are doubled first."""
        found = self._detector(photo, 1 if min(photo.shape[:2]) < 400 else 0)
        boxes = np.array([(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found], dtype=np.float64).reshape(-1, 4)
        if not len(boxes):
            return None
        union, _ = box_overlap(near, boxes)
        best = int(np.argmax(union))
        x_min, y_min, x_max, y_max = boxes[best].tolist()
        return (x_min, y_min, x_max, y_max) if union[best] >= MIN_IOU else None


class DlibRecognizer:
    """dlib's ResNet recognizer, with HOG as its detector.

    Raises:
        ImportError: dlib or its models are not installed.
    """

    name = "dlib-resnet"
    metric = "euclidean"

    def __init__(self) -> None:
        spec = importlib.util.find_spec("face_recognition_models")  # importing it would need pkg_resources
        if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("dlib") is None:
            raise ImportError(MISSING_DLIB)
        import dlib

        models = Path(list(spec.submodule_search_locations)[0]) / "models"
        self._dlib = dlib
        self.detector = HogDetector()
        self._corners = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def __call__(self, photo: np.ndarray, box: Box) -> np.ndarray:
        """(128,) embedding of the face in a box; eyes and nose are located in the given picture."""
        x_min, y_min, x_max, y_max = (round(v) for v in box)
        corners = self._corners(photo, self._dlib.rectangle(x_min, y_min, x_max - 1, y_max - 1))
        return np.array(self._network.compute_face_descriptor(photo, corners, 0))


def load_recognizer(name: str) -> Recognizer:
    """``"dlib"``; the path of a ``.onnx`` file, see :class:`ArcFaceRecognizer`; or ``"module:attribute"``: a recognizer, or a class or
    function without arguments that makes one.

    Raises:
        ImportError: the module cannot be imported, or dlib is missing.
        OSError: the file cannot be read.
        ValueError: there is no such attribute, or it is no :class:`Recognizer`; the file holds another kind of network.
    """
    if name == "dlib":
        return DlibRecognizer()
    if name.lower().endswith(".onnx"):
        return ArcFaceRecognizer(Path(name))
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"a recognizer is 'dlib', a file 'NAME.onnx' or 'module:name', but got {name!r}.")
    thing: Any = importlib.import_module(module_name)
    for part in attribute.split("."):
        if not hasattr(thing, part):
            raise ValueError(f"{name!r}: {module_name} has no {attribute}.")
        thing = getattr(thing, part)
    if isinstance(thing, type) or not _has_names(thing):
        thing = thing()
    return check_recognizer(thing)


def _has_names(thing: object) -> bool:
    return isinstance(getattr(thing, "name", None), str) and isinstance(getattr(thing, "metric", None), str)


def check_recognizer(thing: Any) -> Recognizer:
    """Return a recognizer unchanged if it is one.

    Raises:
        ValueError: it is no :class:`Recognizer`.
    """
    if not callable(thing) or not _has_names(thing) or thing.metric not in METRICS or not thing.name.strip():
        raise ValueError(
            f"a recognizer is called with (photo, box) and has a name and a metric ({' or '.join(map(repr, METRICS))}), but got {thing!r} "
            f"with name {getattr(thing, 'name', None)!r} and metric {getattr(thing, 'metric', None)!r}."
        )
    return thing


def similarity(first: Sequence[np.ndarray | None], second: Sequence[np.ndarray | None], metric: str) -> np.ndarray:
    """Embeddings of probes and of a gallery -> (n, m) similarities, larger is more alike.

    An unread probe gives a row of NaN (a miss), an unread gallery entry a column of minus infinity (similar to nobody).
    """
    size = next((len(vector) for vector in (*first, *second) if vector is not None), 1)
    probes, gallery = (
        np.array([np.full(size, np.nan) if v is None else v for v in some], float).reshape(-1, size) for some in (first, second)
    )
    values = METRICS[metric](probes, np.nan_to_num(gallery))
    values[:, ~np.isfinite(gallery).all(axis=1)] = -np.inf
    values[~np.isfinite(probes).all(axis=1)] = np.nan
    return values


class EmbeddingCache:
    """Embeddings of one recognizer by content of picture and box, kept in a file from run to run.

    Saving drops what the run did not use, so the file does not grow forever.

    Args:
        path: ``.npz`` file, made when it is not there; a damaged one is made anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: dict[str, np.ndarray] = {}
        self._used: dict[str, np.ndarray] = {}
        if path.is_file():
            try:
                with np.load(path, allow_pickle=False) as stored:
                    self._stored = {key: stored[key] for key in stored.files}
            except (zipfile.BadZipFile, ValueError, EOFError, OSError):  # everything in it can be computed again
                self._stored = {}

    @staticmethod
    def key(photo: np.ndarray, box: Box) -> str:
        """Digest of a picture and a face box."""
        return hashlib.sha256(photo.tobytes() + repr((photo.shape, tuple(round(v, 2) for v in box))).encode()).hexdigest()[:32]

    def get(self, recognizer: Callable[[np.ndarray, Box], np.ndarray | None], photo: np.ndarray, box: Box) -> tuple[str, np.ndarray | None]:
        """Key and embedding, stored or new; None is not stored."""
        key = self.key(photo, box)
        vector = self._stored.get(key)
        if vector is None:
            vector = recognizer(photo, box)
        if vector is not None:
            self.add(key, vector)
        return key, vector

    def add(self, key: str, vector: np.ndarray) -> None:
        """Store an embedding that another process computed."""
        self._used[key] = self._stored[key] = np.asarray(vector)

    def save(self) -> None:
        """Write the file, complete or not at all."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._path) as temporary, temporary.open("wb") as file:
            np.savez(file, **self._used)  # type: ignore[arg-type]  # mistaken for allow_pickle


def recognition_values(similarity: np.ndarray, target: np.ndarray, threshold: float | None = None) -> dict[str, np.ndarray]:
    """Closed-set identification and verification of each probe, with one gallery picture a person.

    Args:
        similarity: (n, m) of probes and gallery; NaN rows are unread probes and count as misses.
        target: (n,) column of each probe's person.
        threshold: similarity above which two pictures are taken for one person; None leaves verification out.

    Returns:
        ``rank1``, ``rank5`` and, with a threshold, ``tar``, each (n,) 0 to 1.
    """
    values = {"rank1": hit_rates(similarity, target, 1), "rank5": hit_rates(similarity, target, 5)}
    if threshold is not None:
        values["tar"] = (np.nan_to_num(genuine_scores(similarity, target), nan=-np.inf) > threshold).astype(float)
    return values


def recognition_measures(
    similarity: np.ndarray,
    persons: np.ndarray,
    *,
    target: np.ndarray | None = None,
    threshold: float | None = None,
    repeats: int = 1000,
) -> dict[str, Estimate]:
    """Means of :func:`recognition_values` with their intervals.

    Args:
        similarity, threshold: see there.
        persons: (n,) labels of the probes.
        target: (n,) likewise; None: row i and column i are one person.
        repeats: bootstrap resamples over probes; the gallery stays as it is.
    """
    values = recognition_values(similarity, np.arange(len(similarity)) if target is None else target, threshold)
    return {name: bootstrap_mean(persons, hits, repeats=repeats) for name, hits in values.items()}


def genuine_scores(similarity: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(n,) similarity of each genuine pair: a probe and the gallery picture of its own person."""
    return similarity[np.arange(len(similarity)), target]


def impostor_scores(similarity: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
    """Finite similarities of the impostor pairs, probes and other people's gallery; ``target`` as in :func:`recognition_measures`."""
    target = np.arange(len(similarity)) if target is None else target
    others = similarity[np.arange(similarity.shape[1])[None] != target[:, None]]
    return others[np.isfinite(others)]


def impostor_threshold(similarity: np.ndarray, far: float = 0.01, *, target: np.ndarray | None = None) -> float:
    """Threshold at a false accept rate, from the impostor pairs.

    Raises:
        ValueError: there are none.
    """
    return threshold_at_far(impostor_scores(similarity, target), far)


def recognition_curves(
    similarities: Iterable[np.ndarray], target: np.ndarray, persons: np.ndarray, *, repeats: int = 1000, seed: int = 0
) -> dict[str, list[float]]:
    """Cumulative match characteristic with its band over people, and receiver operating characteristic.

    Args:
        similarities: (n, m) each, one a draw of the method.
        target, persons: (n,) as in :func:`recognition_measures`.
        repeats: bootstrap resamples of the band.
        seed: of the resampling.

    Returns:
        ``cmc``, ``cmc_low``, ``cmc_high``: shares at rank 1 to m (at most 50); ``far``, ``tar``: accepted shares of impostor and genuine
        pairs over all thresholds.
    """
    draws = list(similarities)
    ranks = range(1, min(draws[0].shape[1], 50) + 1)
    hits = np.mean([[hit_rates(values, target, rank) for rank in ranks] for values in draws], axis=0).T
    labels = np.unique(persons)
    by_person = np.array([hits[persons == label].mean(axis=0) for label in labels])
    generator = np.random.default_rng(seed)
    resampled = [by_person[generator.integers(len(labels), size=len(labels))].mean(axis=0) for _ in range(repeats)]
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0) if repeats else (np.full(len(ranks), np.nan),) * 2
    genuine = np.concatenate([np.nan_to_num(genuine_scores(values, target), nan=-np.inf) for values in draws])
    impostors = np.concatenate([impostor_scores(values, target) for values in draws])
    far = np.unique(np.concatenate([[0.0], np.geomspace(1e-3, 1, 61)]))
    tar = [float((genuine > threshold_at_far(impostors, share)).mean()) if share < 1 else 1.0 for share in far] if len(impostors) else []
    curves = {"cmc": hits.mean(axis=0), "cmc_low": low, "cmc_high": high, "far": far if len(impostors) else [], "tar": tar}
    return {name: [round(float(v), 5) for v in values] for name, values in curves.items()}
