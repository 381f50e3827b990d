"""Pictures through the engine, and what instruments read from them: the raw material of every figure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..anonymizer import Anonymizer
from ..detection import FaceDetector
from ..faces import AnonymizeOptions, Box, Face, box_overlap
from .blendshapes import NUM_BLENDSHAPES, BlendshapeReader
from .identity import DlibRecognizer

MIN_IOU = 0.3


@dataclass(frozen=True, eq=False)
class Output:
    """What became of one picture.

    Attributes:
        photo: RGB uint8.
        status: ``replaced``, ``covered``, ``missed``; empty where nobody tried.
        reason: why not replaced.
        asked: (478, 3) landmarks that the output should show, None where there are none.
        seconds: that the generator took for all faces of the picture.
    """

    photo: np.ndarray
    status: str
    reason: str = ""
    asked: np.ndarray | None = None
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Subject:
    """A known face in an original: its box, its landmarks, and the box in which the recogniser looks (both None where not found)."""

    box: Box
    landmarks: np.ndarray | None = None
    second_box: Box | None = None


@dataclass(frozen=True, eq=False)
class Reading:
    """What the instruments say about the known face in one picture.

    Attributes:
        landmarks: (478, 3) found anew, None where the detector sees no face at the place.
        second: whether the second detector sees one; None without it.
        blendshapes: (52,), NaN where not read.
        embedding: (128,), NaN without a recogniser.
    """

    landmarks: np.ndarray | None
    second: bool | None
    blendshapes: np.ndarray
    embedding: np.ndarray


def run_engine(engine: Anonymizer, photo: np.ndarray, options: AnonymizeOptions, *, faces: Sequence[Face] | None = None) -> Output:
    """The engine's own three steps, so that the landmarks in between can be kept; the largest face is the one that counts.

    ``faces`` known from before need not be searched again.
    """
    plan = engine.plan(photo, options) if faces is None else engine.plan(photo, options, faces=faces)
    start = time.perf_counter()
    images = engine.generate(plan.inputs)
    seconds = time.perf_counter() - start
    result = engine.compose(plan, images)
    pixels = np.asarray(result.image)
    if not result.faces:
        return Output(pixels, "missed", "no face was found")
    first = plan.faces[0]
    asked = None if first.crop is None or first.points is None else first.crop.to_photo(first.points)
    return Output(pixels, result.faces[0].status, result.faces[0].reason, asked, seconds)


def _at(faces: Sequence[Face], box: Box) -> Face | None:
    """The face that overlaps the box best, if by an IoU of 0.3 or more."""
    if not faces:
        return None
    union, _ = box_overlap(box, np.array([face.box for face in faces]))
    return faces[int(np.argmax(union))] if union.max() >= MIN_IOU else None


class Instruments:
    """Detectors, blendshape reader and recogniser, applied alike to originals and outputs.

    Args:
        detector: the first detector.
        blendshapes: None leaves the scores out.
        recognizer: None leaves the second detector and the identity out.
    """

    def __init__(self, detector: FaceDetector, blendshapes: BlendshapeReader | None, recognizer: DlibRecognizer | None) -> None:
        self.detector, self.blendshapes, self.recognizer = detector, blendshapes, recognizer

    def locate(self, photo: np.ndarray) -> Subject:
        """The largest face of an original; without one, the middle of the picture stands for it."""
        faces = self.detector(photo)
        height, width = photo.shape[:2]
        box = faces[0].box if faces else (width * 0.2, height * 0.2, width * 0.8, height * 0.8)
        second = None if self.recognizer is None else self.recognizer.find(photo, box)
        return Subject(box, faces[0].landmarks if faces else None, second)

    def read(
        self,
        photo: np.ndarray,
        subject: Subject,
        *,
        identity: bool,
        embed: Callable[[np.ndarray, Box], np.ndarray] | None = None,
    ) -> Reading:
        """Read one picture.

        Args:
            photo: original or output; the face is where it was in the original.
            subject: the original's face. The recogniser looks where the second detector sees a face, else where it was in the original.
            identity: whether the recogniser is asked.
            embed: recogniser with a memory; None asks the recogniser itself.
        """
        face = _at(self.detector(photo), subject.box)
        scores = np.full(NUM_BLENDSHAPES, np.nan) if self.blendshapes is None else self.blendshapes(photo, subject.box)
        second, embedding = None, np.full(DlibRecognizer.size, np.nan)
        if self.recognizer is not None:
            found = self.recognizer.find(photo, subject.box)
            second = found is not None
            if identity:
                embedding = (embed or self.recognizer.embed)(photo, found or subject.second_box or subject.box)
        return Reading(None if face is None else face.landmarks, second, scores, embedding)
