"""Pictures through the engine, and what the instruments read from them: detectors, blendshapes, recognizers, emotion classifier."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...core.anonymizer import Anonymizer
from ...core.faces import Box, Face, FaceDetector, box_overlap
from ...core.options import AnonymizeOptions
from ..metrics.age_sex import AgeSex
from ..metrics.blendshapes import NUM_BLENDSHAPES, BlendshapeReader
from ..metrics.recognition import MIN_IOU, EmbeddingCache, FaceFinder, Recognizer


@dataclass(frozen=True, eq=False)
class Output:
    """One picture after a method.

    Attributes:
        photo: RGB uint8.
        status: ``replaced``, ``covered``, ``missed``; empty for methods that do not hide the face.
        reason: why not replaced.
        target_landmarks: (478, 3) landmarks that the output should show, photo pixels; None where there are none.
        seconds: of the generator for all faces of the picture.
        seam: energy across the outline, see :mod:`seam`; NaN where not measured.
    """

    photo: np.ndarray
    status: str
    reason: str = ""
    target_landmarks: np.ndarray | None = None
    seconds: float = 0.0
    seam: float = float("nan")


@dataclass(frozen=True, eq=False)
class Subject:
    """The face of an original.

    Attributes:
        box: of the largest face in photo pixels; without one, the middle of the picture.
        landmarks: (478, 3) of that face in photo pixels, or None.
        faces: all faces detected with the default options, largest first.
        own_boxes: name of a recognizer that has its own detector -> box of the face by that detector, None where it detects none.
    """

    box: Box
    landmarks: np.ndarray | None = None
    faces: tuple[Face, ...] = ()
    own_boxes: Mapping[str, Box | None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Reading:
    """What the instruments read from one picture, at the place of the original's face.

    Attributes:
        landmarks: (478, 3) detected again in photo pixels, None where the detector finds no face there.
        second: whether the second detector finds a face there; None without a second detector.
        blendshapes: (52,) 0 to 1, NaN where not read.
        blendshape_names: their names; empty where not read.
        embeddings: name of a recognizer -> embedding, None where it could not read the face; empty where no recognizer ran.
        keys: name of a recognizer -> key of the embedding in its cache.
        emotions: (k,) probabilities of a classifier that uses no landmarks; None without one.
        age_sex: what the judge of age and sex sees at the landmarks of the original; None without a judge or without landmarks.
    """

    landmarks: np.ndarray | None
    second: bool | None
    blendshapes: np.ndarray
    blendshape_names: tuple[str, ...] = ()
    embeddings: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    emotions: np.ndarray | None = None
    age_sex: AgeSex | None = None


def run_engine(engine: Anonymizer, photo: np.ndarray, options: AnonymizeOptions, *, faces: Sequence[Face] | None = None) -> Output:
    """Plan, generate, compose: the engine's own steps, keeping the target landmarks and the time. The largest face counts.

    Args:
        engine: the model under test.
        photo: RGB uint8 (height, width, 3).
        options: of the engine.
        faces: already detected faces; None detects them.
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
    target = None if first.crop is None or first.points is None else first.crop.to_photo(first.points)
    status = "replaced" if result.faces[0].status == "replaced" else "covered"  # what is doubtful to the detector is a face here
    return Output(pixels, status, result.faces[0].reason, target, seconds)


def overlapping_face(faces: Sequence[Face], box: Box) -> Face | None:
    """The face that overlaps the box best, None below an IoU of 0.3."""
    if not faces:
        return None
    union, _ = box_overlap(box, np.array([face.box for face in faces]))
    return faces[int(np.argmax(union))] if union.max() >= MIN_IOU else None


class Instruments:
    """Detectors, blendshape reader, recognizers and classifier, applied in the same way to originals and outputs.

    Args:
        detector: the first detector.
        blendshapes: None leaves the scores out.
        recognizers: with different names.
        second: an independent detector, used only for whether it finds the face; None leaves it out.
        caches: name of a recognizer -> its stored embeddings.
        emotions: photo and the original's landmarks -> probabilities of emotions.
        age_sex: photo and the original's landmarks -> age and sex; None leaves them out.

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
        age_sex: Callable[[np.ndarray, np.ndarray], AgeSex] | None = None,
    ) -> None:
        names = [recognizer.name for recognizer in recognizers]
        if len(set(names)) < len(names):
            raise ValueError(f"recognizers must have different names, but got {', '.join(names)}.")
        self.detector, self.blendshapes, self.recognizers, self.second = detector, blendshapes, tuple(recognizers), second
        self.caches, self.emotions, self.age_sex = dict(caches or {}), emotions, age_sex

    def _own_boxes(self, photo: np.ndarray, near: Box) -> tuple[dict[str, Box | None], Box | None]:
        """Boxes of the face by the recognizers' own detectors and by the second one; each detector runs once."""
        seen: dict[int, Box | None] = {}

        def find(finder: FaceFinder) -> Box | None:
            if id(finder) not in seen:
                seen[id(finder)] = finder.find(photo, near)
            return seen[id(finder)]

        own = {r.name: find(finder) for r in self.recognizers if (finder := getattr(r, "detector", None)) is not None}
        return own, None if self.second is None else find(self.second)

    def locate(self, photo: np.ndarray) -> Subject:
        """Detect the largest face of an original; without one, the middle of the picture stands for it."""
        faces = tuple(self.detector(photo))
        height, width = photo.shape[:2]
        box = faces[0].box if faces else (width * 0.2, height * 0.2, width * 0.8, height * 0.8)
        return Subject(box, faces[0].landmarks if faces else None, faces, self._own_boxes(photo, box)[0])

    def read(self, photo: np.ndarray, subject: Subject, *, identity: bool) -> Reading:
        """Read one picture.

        Args:
            photo: original or output, RGB uint8 (height, width, 3).
            subject: the original's face. A recognizer gets its own detector's box, else the box in the original.
            identity: whether the recognizers and the judge of age and sex run.
        """
        height = subject.box[3] - subject.box[1]
        # much smaller faces cannot reach the IoU
        face = overlapping_face(self.detector(photo, min_face_size=max(24, min(4096, int(MIN_IOU * height)))), subject.box)
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
            () if self.blendshapes is None or np.isnan(scores).any() else self.blendshapes.names,
            embeddings,
            keys,
            None if self.emotions is None else self.emotions(photo, subject.landmarks),
            None if self.age_sex is None or not identity or subject.landmarks is None else self.age_sex(photo, subject.landmarks),
        )
