"""Methods under comparison: the engine with some options, or a change of pixels.

Photos are RGB uint8 (height, width, 3), landmarks (478, 3) photo pixels; nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from ...core.anonymizer import Anonymizer
from ...core.face_mesh import FACE_OVAL, UV_MAP
from ...core.faces import Box, Crop, Face, scale_box
from ...core.geometry import normalize_pose
from ...core.landmarks import triangle_map
from ...core.opencv import cv2
from ...core.options import AnonymizeOptions
from .baselines import BASELINES, REACH, reencode, unchanged_alone
from .options import EvaluationOptions
from .readings import Output, Subject, run_engine

ORIGINAL = "original"
REENCODED = "original, encoded again"
DEFAULT = "ganon-hf"
SWAPPED_LANDMARKS = "ganon-hf, somebody else's landmarks"
SEEDS = ("fresh", "person", "one")


@dataclass(frozen=True)
class Method:
    """One row of the report.

    Attributes:
        name: of the row.
        options: of the engine (their seed does not count); None for a change of pixels.
        change: photo and the face's box -> photo, a function of a module; None for the engine.
        covers: the change hides the face.
        swap_landmarks: the engine gets the inner landmarks of another person of the set, in this face's pose and outline.
        unchanged_alone: of the engine's result only those pixels are shown that are still the photo's.
        seeds: ``"fresh"`` for every photo, the same for all photos of one ``"person"``, or ``"one"`` for all.

    Raises:
        ValueError: not exactly one of ``options`` and ``change``, or unknown seeds.
    """

    name: str
    options: AnonymizeOptions | None = None
    change: Callable[[np.ndarray, Box], np.ndarray] | None = None
    covers: bool = False
    swap_landmarks: bool = False
    unchanged_alone: bool = False
    seeds: str = "fresh"

    def __post_init__(self) -> None:
        if (self.options is None) == (self.change is None):
            raise ValueError(
                f"a method has either options or a change of pixels, but {self.name!r} has {'both' if self.change else 'neither'}."
            )
        if self.seeds not in SEEDS:
            raise ValueError(f"seeds must be one of {', '.join(map(repr, SEEDS))}, but got {self.seeds!r}.")

    @property
    def is_control(self) -> bool:
        """Not a way of anonymizing people: it shows what an attack finds without the engine's faces."""
        return self.swap_landmarks or self.unchanged_alone


def untouched(photo: np.ndarray, box: Box) -> np.ndarray:
    """The photo itself: the upper bound of every attack and measure."""
    return photo


REFERENCES = (Method(ORIGINAL, change=untouched), Method(REENCODED, change=reencode))
OBFUSCATIONS = tuple(Method(name, change=change, covers=True) for name, change in BASELINES.items())


def engine_method(options: AnonymizeOptions) -> Method:
    """The row of the engine with some options, named after those that are not the default."""
    differing = [
        f"{f.name} {getattr(options, f.name)}" for f in fields(options) if f.name != "seed" and getattr(options, f.name) != f.default
    ]
    return Method(", ".join([DEFAULT, *differing]), replace(options, seed=None))


def swapped_landmarks_method() -> Method:
    """The engine with somebody else's landmarks: what is still recognized comes from the photo around the face."""
    return Method(SWAPPED_LANDMARKS, AnonymizeOptions(geometry="original"), swap_landmarks=True)


def unchanged_alone_method(method: Method) -> Method:
    """What a method of the engine leaves as it was: what is recognized in it does not come from the synthetic face."""
    return replace(method, name=f"{method.name}, unchanged pixels alone", unchanged_alone=True)


def report_methods(options: EvaluationOptions, *, identity: bool) -> list[Method]:
    """The rows of a report, in order; without ``identity`` nobody is recognized, and rows that only matter there are left out."""
    engines = [engine_method(one) for one in options.engine_options]
    methods = [*REFERENCES, *engines]
    if identity and "seeds" in options.attacks:
        methods += [
            replace(engines[0], name=f"{engines[0].name}, one seed a person", seeds="person"),
            replace(engines[0], name=f"{engines[0].name}, one seed for all", seeds="one"),
        ]
    if options.baselines and identity:
        methods += [swapped_landmarks_method(), unchanged_alone_method(engines[0]), *OBFUSCATIONS]
    return methods


def _outline_freedom() -> np.ndarray:
    """(478,) 0 on the face oval, 1 from 0.06 UV units inwards."""
    start, end = UV_MAP[FACE_OVAL], np.roll(UV_MAP[FACE_OVAL], -1, axis=0)
    along = end - start
    t = np.clip(((UV_MAP[:, None] - start) * along).sum(-1) / (along**2).sum(-1), 0, 1)
    inwards = np.clip(np.linalg.norm(UV_MAP[:, None] - (start + t[..., None] * along), axis=-1).min(axis=1) / 0.06, 0, 1)
    return np.concatenate([inwards * inwards * (3 - 2 * inwards), np.ones(10)])


_OUTLINE_FREEDOM = _outline_freedom()


def in_pose_of(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The inner points of another face in the pose, size and outline of this one, both (478, 3) photo pixels.

    Raises:
        ValueError: landmarks without a head pose.
    """
    pose = normalize_pose(own)[1]
    return own + _OUTLINE_FREEDOM[:, None] * (pose.apply(normalize_pose(other)[0]) - own)


def apply(method: Method, engine: Anonymizer, photo: np.ndarray, subject: Subject, *, seed: int, donor: np.ndarray | None) -> Output:
    """One photo through one method.

    Args:
        method: to apply.
        engine: applies methods with options.
        photo: the original.
        subject: its faces, as detected with the default options; other detection options detect again.
        seed: of this photo.
        donor: (478, 3) landmarks of another person, for ``swap_landmarks``; without any the picture counts as missed.
    """
    if method.options is None:
        change = method.change or untouched
        return Output(change(photo, subject.box), "covered" if method.covers else "", target_landmarks=subject.landmarks)
    options = replace(method.options, seed=seed)
    default = AnonymizeOptions()
    searched = (options.min_face_size, options.min_score) == (default.min_face_size, default.min_score)
    faces: Sequence[Face] | None = subject.faces if searched else None
    if method.swap_landmarks:
        if donor is None or subject.landmarks is None:
            return Output(photo, "missed", "no landmarks of somebody else")
        first = Face(subject.faces[0].box, subject.faces[0].score, in_pose_of(subject.landmarks, donor))
        faces = [first, *subject.faces[1:]]
    output = run_engine(engine, photo, options, faces=faces)
    if method.unchanged_alone and output.status != "missed":
        return Output(unchanged_alone(photo, output.photo, subject.box), "covered", output.reason)
    return output


def outlines(method: Method, subject: Subject, output: Output, crop: Crop) -> tuple[np.ndarray, np.ndarray] | None:
    """(S, S) bool each, in the aligned crop: the face in the original, and the region that was replaced; None where nothing was."""
    if method.options is not None:
        if output.target_landmarks is None or output.status != "replaced" or subject.landmarks is None:
            return None
        first, second = (triangle_map(crop.to_crop(points), crop.size) >= 0 for points in (subject.landmarks, output.target_landmarks))
        return first, second
    if not method.covers:
        return None
    x_min, y_min, x_max, y_max = scale_box(subject.box, REACH)
    corners = crop.to_crop(np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]]))
    box = cv2.fillConvexPoly(np.zeros((crop.size, crop.size), np.uint8), np.round(corners).astype(np.int32), 1) > 0
    return box, box
