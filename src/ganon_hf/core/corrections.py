"""What a person decided about single faces of a photo: one was missed, one is none, one becomes somebody else or is covered for good.

A correction names a face by its box. A box that was drawn is a face that the detector missed; any other must be one that it finds, so that
a correction for another photo, another model or other options is an error and never a photo that was corrected by half.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from .faces import Box, Face, area_of, box_overlap
from .look import check_look
from .options import require_choice, require_number

Action = Literal["replace", "cover", "leave"]
ACTIONS: tuple[Action, ...] = get_args(Action)
# Of one photo; a crowd of a thousand faces can be corrected face by face.
MAX_CORRECTIONS = 2000
# In pixels: no coordinate of a box is larger (a photo has 32,768 a side at most), and nobody can draw a smaller box.
MAX_COORDINATE = 100_000.0
MIN_SIDE = 4.0
# Overlap (intersection over union) of a correction's box with that of the face it means. The same photo gives the same boxes.
SAME_FACE = 0.5
_BY_HAND = "covered by hand"


class CorrectionError(ValueError):
    """A correction does not match the photo that it was made for, so nothing must be written for that photo."""


def checked_box(name: str, box: Any) -> Box:
    """A box from an untrusted source as four floats; ValueError, which calls it ``name``, where it is none or too small."""
    if not isinstance(box, Sequence) or isinstance(box, str) or len(box) != 4:
        raise ValueError(f"{name} must be x_min, y_min, x_max, y_max, but got {str(box)[:80]!r}.")
    for value in box:
        require_number(name, value, -MAX_COORDINATE, MAX_COORDINATE)
    x_min, y_min, x_max, y_max = (float(value) for value in box)
    if x_max - x_min < MIN_SIDE or y_max - y_min < MIN_SIDE:
        raise ValueError(f"{name} must be at least {MIN_SIDE:g} pixels wide and high, but got {(x_min, y_min, x_max, y_max)!r}.")
    return x_min, y_min, x_max, y_max


@dataclass(frozen=True)
class FaceCorrection:
    """What to do with one face.

    Attributes:
        box: (x_min, y_min, x_max, y_max) in pixels of the upright photo: the box of a face as in the report, or as it was drawn.
        do: ``"replace"`` the face with that of a synthetic person, ``"cover"`` it, or ``"leave"`` a false positive as it is.
        drawn: the box was drawn because the detector missed the face. Landmarks are fitted in it; if that fails, it is covered.
        seed: of the synthetic person; None keeps the photo's.
        look: the group that the person is drawn from, as in :class:`~.options.AnonymizeOptions`; None keeps the photo's.

    Raises:
        ValueError: a field is out of range, or fields contradict each other.
    """

    box: Box
    do: Action
    drawn: bool = False
    seed: int | None = None
    look: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", checked_box("FaceCorrection.box", self.box))
        require_choice("FaceCorrection.do", self.do, ACTIONS)
        if not isinstance(self.drawn, bool):
            raise ValueError(f"FaceCorrection.drawn must be True or False, but got {self.drawn!r}.")
        require_number("FaceCorrection.seed", self.seed, 0, 2**63 - 1, integer=True, optional=True)
        if self.look is not None:
            check_look(self.look)
        if self.do != "replace" and (self.seed is not None or self.look is not None):
            raise ValueError(f"FaceCorrection.seed and look are for do='replace', but do is {self.do!r}.")
        if self.drawn and self.do == "leave":
            raise ValueError("a box that was drawn can be replaced or covered; to leave it, drop the correction.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; fields that say nothing are left out."""
        values: dict[str, Any] = {"box": list(self.box), "do": self.do}
        values |= {"drawn": True} if self.drawn else {}
        return values | {name: value for name in ("seed", "look") if (value := getattr(self, name)) is not None}

    @classmethod
    def from_dict(cls, values: Any) -> FaceCorrection:
        """What :meth:`to_dict` gives, from an untrusted source. Errors as for the class."""
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or not {"box", "do"} <= set(values) <= known:
            raise ValueError(f"a correction has box and do, and may have drawn, seed and look, but got {str(values)[:200]}.")
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Assignment:
    """A face and whom it becomes.

    Attributes:
        face: in the photo.
        number: of the seed's synthetic person.
        seed: decides who that is.
        look: words instead of the options'; None keeps these.
        reason: why it is covered whatever it looks like; empty where nobody wishes that.
    """

    face: Face
    number: int
    seed: int
    look: str | None = None
    reason: str = ""


def correct(
    assigned: Sequence[Assignment],
    corrections: Sequence[FaceCorrection],
    fit: Callable[[Box], np.ndarray | None],
    *,
    seed: int,
    shape: tuple[int, ...],
) -> list[Assignment]:
    """Apply corrections to the faces of a photo; the others keep their people.

    Args:
        assigned: the faces that the detector finds.
        corrections: at most one for each, and the faces that were drawn.
        fit: box -> landmarks (478, 3) of a face in it, or None where none fit.
        seed: of the photo.
        shape: of the photo, (height, width, 3).

    Returns:
        the faces that are to be replaced or covered, larger ones first.

    Raises:
        CorrectionError: a correction means no face that was found, or the same one as another; or a drawn box leaves the photo.
    """
    found, boxes = dict(enumerate(assigned)), np.array([one.face.box for one in assigned]).reshape(-1, 4)
    added: list[Assignment] = []
    corrected: set[int] = set()
    for correction in corrections:
        if correction.drawn:
            _require_inside(correction.box, height=shape[0], width=shape[1])
            number = len(assigned) + len(added)
            added.append(_apply(Assignment(Face(correction.box, 1.0), number, seed), correction, fit))
            continue
        overlap = box_overlap(correction.box, boxes)[0]
        index = int(np.argmax(overlap)) if len(overlap) else -1
        if index < 0 or overlap[index] < SAME_FACE:
            raise CorrectionError(
                f"no face is found at {_words(correction.box)}, for which there is a correction: it was made with other options or another "
                "model. Correct the photo again."
            )
        if index in corrected:
            raise CorrectionError(f"two corrections mean the face at {_words(correction.box)}: keep one.")
        corrected.add(index)
        if correction.do == "leave":
            del found[index]
        else:
            found[index] = _apply(found[index], correction, fit)
    return sorted([*found.values(), *added], key=lambda one: (-area_of(one.face.box), one.face.box))


def _apply(one: Assignment, correction: FaceCorrection, fit: Callable[[Box], np.ndarray | None]) -> Assignment:
    face = one.face
    if correction.do == "cover":
        return replace(one, face=Face(face.box, face.score, face.landmarks, False, face.keypoints), reason=_BY_HAND)
    landmarks = fit(face.box) if face.doubtful or face.landmarks is None else face.landmarks
    seed = one.seed if correction.seed is None else correction.seed
    return replace(one, face=Face(face.box, face.score, landmarks, False, face.keypoints), seed=seed, look=correction.look)


def _require_inside(box: Box, *, height: int, width: int) -> None:
    if min(box) < 0 or math.ceil(box[2]) > width or math.ceil(box[3]) > height:
        raise CorrectionError(f"a face was drawn at {_words(box)}, which leaves the photo of {width} x {height} pixels.")


def _words(box: Box) -> str:
    return ", ".join(f"{value:g}" for value in box)
