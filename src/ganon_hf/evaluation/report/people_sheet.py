"""Synthetic people in synthetic expressions: no picture and no landmark of a real person goes in, only a checkpoint's statistics.

An expression is described by displacements of a few points of the mean neutral shape (corners of the mouth up, brows down, lips apart).
The most likely expression code that meets them moves the whole face; blink, lips and gaze are then set exactly and carried over as from a
photo. The mean shape under it is an average of thousands of people.

Conventions: shapes and poses as in ``geometry``; "right" and "left" are the person's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.alignment import CROP_SIDE
from ...core.anonymizer import Anonymizer
from ...core.face_mesh import (
    LEFT_EYE_CORNERS,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    LIP_CORNERS,
    MEAN_LANDMARKS,
    MOUTH_LOWER,
    MOUTH_UPPER,
    RIGHT_EYE_CORNERS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
)
from ...core.faces import Face, box_of_points
from ...core.geometry import Pose, ShapeModel
from ...core.opencv import cv2
from ...core.options import AnonymizeOptions

# Points that carry a named movement, of the person's right half, and those of the left half that mirror it.
_CORNER, _INNER_BROW, _OUTER_BROW, _CHIN = LIP_CORNERS[0], 55, 105, 152
_MIRRORED = {_CORNER: LIP_CORNERS[1], _INNER_BROW: 285, _OUTER_BROW: 334, _CHIN: _CHIN}
# A code further from the mean than this (standard deviations) is a grimace that no training picture shows.
MAX_STRENGTH = 4.0
# How exactly the wished displacements are to be met, in shape units.
_TOLERANCE = 0.03
# Share of a crop's side that even an open mouth leaves empty on each side.
_RIM = 0.06


@dataclass(frozen=True)
class Expression:
    """What a face does, in shape units (the face is 2.7 high), and where it looks.

    Attributes:
        corners: (outwards, up) of the corners of the mouth.
        inner_brows, outer_brows: up.
        chin: down.
        lips: opening between them over the width of the mouth.
        eyes: share of their resting opening, 0 shut.
        gaze: iris' offset to the picture's right, in eye widths.
        yaw, pitch: degrees, as in ``Pose.angles``.
        teeth: whether open lips show teeth; else the mouth is dark.
    """

    corners: tuple[float, float] = (0.0, 0.0)
    inner_brows: float = 0.0
    outer_brows: float = 0.0
    chin: float = 0.0
    lips: float = 0.0
    eyes: float = 1.0
    gaze: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    teeth: bool = True


EXPRESSIONS: Mapping[str, Expression] = {
    "neutral": Expression(),
    "smile": Expression(corners=(0.10, 0.09), eyes=0.85),
    "laugh": Expression(corners=(0.12, 0.08), chin=0.16, lips=0.34, eyes=0.75),
    "surprise": Expression(corners=(-0.04, -0.03), inner_brows=0.12, outer_brows=0.13, chin=0.24, lips=0.6, eyes=1.35, teeth=False),
    "anger": Expression(corners=(-0.02, -0.04), inner_brows=-0.10, outer_brows=-0.03, eyes=0.8),
    "eyes closed": Expression(eyes=0.0),
    "turned to the picture's left": Expression(yaw=-20.0, gaze=-0.06, corners=(0.05, 0.04)),
    "turned to the picture's right": Expression(yaw=20.0, gaze=0.06, corners=(0.11, 0.09), lips=0.2, chin=0.08),
}


@dataclass(frozen=True, eq=False)
class ExpressionSpace:
    """Shapes of the mean person.

    Attributes:
        shape_model: mean and directions in which shapes differ.
    """

    shape_model: ShapeModel

    def coordinates(self, expression: Expression) -> np.ndarray:
        """(d,) coordinates of the likeliest shape that comes near to an expression: ridge regression, coordinates standard normal."""
        wishes = {
            _CORNER: (-expression.corners[0], -expression.corners[1]),
            _INNER_BROW: (0.0, -expression.inner_brows),
            _OUTER_BROW: (0.0, -expression.outer_brows),
            _CHIN: (0.0, expression.chin),
        }
        rows, values = [], []
        for point, (x, y) in wishes.items():
            for index, sign in {point: 1, _MIRRORED[point]: 1 if point == _MIRRORED[point] else -1}.items():
                rows += [3 * index, 3 * index + 1]
                values += [sign * x, y]
        moves = (self.shape_model.axes * self.shape_model.deviations)[rows]
        coordinates = moves.T @ np.linalg.solve(moves @ moves.T + _TOLERANCE**2 * np.eye(len(rows)), np.array(values))
        strength = float(np.linalg.norm(coordinates))
        return coordinates * min(1.0, MAX_STRENGTH / max(strength, 1e-9))

    def canonical_landmarks(self, expression: Expression) -> np.ndarray:
        """(478, 3) canonical landmarks of the mean person with an expression."""
        model = self.shape_model
        neutral = model.mean.reshape(MEAN_LANDMARKS.shape)
        landmarks = model.canonical_landmarks(self.coordinates(expression))
        # carry_openings reads lips and lids from here: it is enough that the pairs stand as far apart as they should
        upper, lower = np.array(MOUTH_UPPER), np.array(MOUTH_LOWER)
        width = float(np.linalg.norm(landmarks[78] - landmarks[308]))
        middle = (landmarks[upper] + landmarks[lower]) / 2
        half = np.array([0.0, 0.5, 0.0]) * (expression.lips * width * np.sin(np.linspace(0.35, np.pi - 0.35, len(upper))))[:, None]
        landmarks[upper], landmarks[lower] = middle - half, middle + half
        for tops, bottoms, corners, iris in (
            (RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_EYE_CORNERS, RIGHT_IRIS),
            (LEFT_EYE_UPPER, LEFT_EYE_LOWER, LEFT_EYE_CORNERS, LEFT_IRIS),
        ):
            gap = expression.eyes * (neutral[bottoms] - neutral[tops])
            middle = (landmarks[tops] + landmarks[bottoms]) / 2
            landmarks[tops], landmarks[bottoms] = middle - gap / 2, middle + gap / 2
            landmarks[list(iris), 0] += expression.gaze * np.linalg.norm(landmarks[corners[0]] - landmarks[corners[1]])
        return landmarks

    def face(self, expression: Expression, side: int) -> Face:
        """The mean person with an expression and pose, in the middle of a square picture of ``side`` pixels."""
        yaw, pitch = np.radians([expression.yaw, expression.pitch])
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        points = Pose(side / CROP_SIDE, turn @ nod, np.zeros(3)).apply(self.canonical_landmarks(expression))
        box = box_of_points(points)
        points += np.array([side / 2 - (box[0] + box[2]) / 2, side / 2 - (box[1] + box[3]) / 2, 0.0])
        return Face(box_of_points(points), 1.0, points)


def portrait(engine: Anonymizer, face: Face, side: int, seed: int, *, teeth: bool = True) -> np.ndarray:
    """One synthetic person in the pose and expression of a face: (S, S, 3) uint8 on black, in the person's own skin tone.

    Args:
        engine: with a mesh generator.
        face: from :meth:`ExpressionSpace.face`.
        side: of the picture that the face lies in.
        seed: which person.
        teeth: as in :class:`Expression`.

    Raises:
        RuntimeError: the engine refused the face.
    """
    blank = np.full((side, side, 3), (150, 120, 105), np.uint8)  # not gray, or the face would get no color
    if not teeth:
        cv2.fillPoly(blank, [np.round(face.landmarks[[*MOUTH_UPPER, *MOUTH_LOWER[::-1]], :2]).astype(np.int32)], (0, 0, 0))  # type: ignore[index]
    options = AnonymizeOptions(seed=seed, skin_tone="random", look="random", output="crop")
    plan = engine.plan(blank, options, faces=[face], people=[0])  # this person, and no other one in its place
    picture, (report,) = engine.paint(plan, engine.generate(plan.inputs))
    if report.status != "replaced":
        raise RuntimeError(f"seed {seed}: the engine did not make this face: {report.reason}")
    return picture


def people_sheet(engine: Anonymizer, seeds: Sequence[int], expressions: Mapping[str, Expression] = EXPRESSIONS) -> np.ndarray:
    """One line per seed, one column per expression, uint8 RGB, each cell without the crop's empty rim. Errors as in :func:`portrait`."""
    space, side = ExpressionSpace(engine.shape_model), engine.model.config.image_size
    faces = [(space.face(expression, side), expression.teeth) for expression in expressions.values()]
    rim = round(_RIM * side)
    kept = slice(rim, side - rim)
    return np.vstack([np.hstack([portrait(engine, face, side, seed, teeth=teeth)[kept, kept] for face, teeth in faces]) for seed in seeds])
