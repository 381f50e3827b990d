"""Pictures through the engine, and what instruments read from them: the raw material of every figure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..core.anonymizer import Anonymizer
from ..core.detection_tiled import FaceDetector
from ..core.faces import Box, Face, box_overlap
from ..core.options import AnonymizeOptions
from .metrics.blendshapes import NUM_BLENDSHAPES, BlendshapeReader
from .metrics.recognition import EmbeddingCache, FaceFinder, Recognizer

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
        seam: energy across the outline, see :mod:`seam`; NaN where not measured.
    """

    photo: np.ndarray
    status: str
    reason: str = ""
    asked: np.ndarray | None = None
    seconds: float = 0.0
    seam: float = float("nan")


@dataclass(frozen=True, eq=False)
class Subject:
    """What is known about an original.

    Attributes:
        box: of its largest face; without one, the middle of the picture.
        landmarks: (478, 3) of that face, or None.
        faces: all faces that were found with the default options, largest first.
        own_boxes: name of a recognizer that has a detector -> where that one sees the face, None where it does not.
    """

    box: Box
    landmarks: np.ndarray | None = None
    faces: tuple[Face, ...] = ()
    own_boxes: Mapping[str, Box | None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Reading:
    """What the instruments say about the known face in one picture.

    Attributes:
        landmarks: (478, 3) found anew, None where the detector sees no face at the place.
        second: whether the second detector sees one; None without it.
        blendshapes: (52,), NaN where not read.
        blendshape_names: their names; empty until any were read.
        embeddings: name of a recognizer -> its vector, None where it could not read the face; empty where none was asked.
        keys: likewise, under which the vector is stored.
        emotions: (k,) probabilities of a classifier that does not look at landmarks; None without it.
    """

    landmarks: np.ndarray | None
    second: bool | None
    blendshapes: np.ndarray
    blendshape_names: tuple[str, ...] = ()
    embeddings: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    emotions: np.ndarray | None = None


def run_engine(engine: Anonymizer, photo: np.ndarray, options: AnonymizeOptions, *, faces: Sequence[Face] | None = None) -> Output:
    """The engine's own three steps, so that the landmarks in between can be kept; the largest face is the one that counts.

    ``faces`` known from before need not be searched again.
    """
    options = replace(options, on_no_face="keep")  # a missed face is a reading
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
    """Detectors, blendshape reader, recognizers and classifier, applied alike to originals and outputs.

    Args:
        detector: the first detector.
        blendshapes: None leaves the scores out.
        recognizers: with different names.
        second: an independent detector, only asked whether it sees the face; None leaves it out.
        caches: name of a recognizer -> its stored vectors.
        emotions: photo and the original's landmarks -> probabilities of emotions.

    Raises:
        ValueError: two recognizers have one name.
    """

    def __init__(
        self,
        detector: FaceDetector,
        blendshapes: BlendshapeReader | None = None,
        recognizers: Sequence[Recognizer] = (),
        second: FaceFinder | None = None,
        caches: Mapping[str, EmbeddingCache] | None = None,
        emotions: Callable[[np.ndarray, np.ndarray | None], np.ndarray] | None = None,
    ) -> None:
        names = [recognizer.name for recognizer in recognizers]
        if len(set(names)) < len(names):
            raise ValueError(f"recognizers must have different names, but got {', '.join(names)}.")
        self.detector, self.blendshapes, self.recognizers, self.second = detector, blendshapes, tuple(recognizers), second
        self.caches, self.emotions = dict(caches or {}), emotions

    def _own_boxes(self, photo: np.ndarray, near: Box) -> tuple[dict[str, Box | None], Box | None]:
        """Where the recognizers' own detectors and the second one see the face; each detector is asked once."""
        seen: dict[int, Box | None] = {}

        def find(finder: FaceFinder) -> Box | None:
            if id(finder) not in seen:
                seen[id(finder)] = finder.find(photo, near)
            return seen[id(finder)]

        own = {r.name: find(finder) for r in self.recognizers if (finder := getattr(r, "detector", None)) is not None}
        return own, None if self.second is None else find(self.second)

    def locate(self, photo: np.ndarray) -> Subject:
        """The largest face of an original; without one, the middle of the picture stands for it."""
        faces = tuple(self.detector(photo))
        height, width = photo.shape[:2]
        box = faces[0].box if faces else (width * 0.2, height * 0.2, width * 0.8, height * 0.8)
        return Subject(box, faces[0].landmarks if faces else None, faces, self._own_boxes(photo, box)[0])

    def read(self, photo: np.ndarray, subject: Subject, *, identity: bool) -> Reading:
        """Read one picture.

        Args:
            photo: original or output; the face is where it was in the original.
            subject: the original's face. A recognizer looks where its detector sees a face, else where it was in the original.
            identity: whether the recognizers are asked.
        """
        height = subject.box[3] - subject.box[1]
        # what is much smaller cannot overlap the box by 0.3, and need not be searched for
        face = _at(self.detector(photo, min_face_size=max(24, min(4096, int(MIN_IOU * height)))), subject.box)
        scores = np.full(NUM_BLENDSHAPES, np.nan) if self.blendshapes is None else self.blendshapes(photo, subject.box)
        own, second = self._own_boxes(photo, subject.box)
        embeddings: dict[str, np.ndarray | None] = {}
        keys: dict[str, str] = {}
        for recognizer in self.recognizers if identity else ():
            name = recognizer.name
            box = (own[name] or subject.own_boxes.get(name) if name in own else face and face.box) or subject.box
            if name in self.caches:
                keys[name], embeddings[name] = self.caches[name].get(recognizer, photo, box)
            else:
                embeddings[name] = recognizer(photo, box)
        return Reading(
            None if face is None else face.landmarks,
            None if self.second is None else second is not None,
            scores,
            () if self.blendshapes is None else self.blendshapes.names,
            embeddings,
            keys,
            None if self.emotions is None else self.emotions(photo, subject.landmarks),
        )
