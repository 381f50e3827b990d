"""What is kept of the expression: smile, blendshapes, gaze, head pose and landmarks, as differences between input and output.

Points are (478, 3) MediaPipe landmarks in pixels, shapes are pose-normalized as in ``geometry``; angles are degrees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.face_mesh import LEFT_EYE_CORNERS, LEFT_IRIS, RIGHT_EYE_CORNERS, RIGHT_IRIS
from ...core.geometry import normalize_pose
from ...core.openings import EYE_WIDTH_IN_RADII
from .estimates import Estimate, auc, bootstrap, bootstrap_mean, mean_correlation, pooled_correlation, raw_correlation

SMILE = ("mouthSmileLeft", "mouthSmileRight")
# A blendshape takes part in the mean of the single correlations if it varies by this much (standard deviation) in the originals.
MIN_SPREAD = 0.01


def smile_score(blendshapes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(n, 52) -> (n,) mouthSmileLeft + mouthSmileRight.

    Raises:
        ValueError: the names hold no smile.
    """
    missing = [name for name in SMILE if name not in names]
    if missing:
        raise ValueError(f"the blendshapes hold no {' and no '.join(missing)}.")
    return np.sum([blendshapes[:, list(names).index(name)] for name in SMILE], axis=0)


def blendshape_measures(
    before: np.ndarray, after: np.ndarray, persons: np.ndarray, *, before_spread: np.ndarray | None = None, repeats: int = 1000
) -> dict[str, Estimate]:
    """Agreement of the scores of inputs and outputs, pictures without scores on either side left out.

    Args:
        before, after: (n, 52) scores 0 to 1, a row of NaN where no face was read.
        persons: (n,) labels.
        before_spread: (52,) standard deviations that decide which columns enter the mean; None takes those of ``before``.
        repeats: bootstrap resamples.

    Returns:
        ``blendshape_correlation`` (pooled, each column centered), ``blendshape_correlation_mean`` (over the columns that vary),
        ``blendshape_correlation_raw`` (pooled, not centered) and ``blendshape_error`` (mean absolute difference).
    """
    valid = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    spread = np.nanstd(before, axis=0) if before_spread is None else before_spread
    columns = np.flatnonzero(spread >= MIN_SPREAD)
    statistics = {
        "blendshape_correlation": lambda rows: pooled_correlation(before[rows], after[rows]),
        "blendshape_correlation_mean": lambda rows: mean_correlation(before[rows], after[rows], columns=columns),
        "blendshape_correlation_raw": lambda rows: raw_correlation(before[rows], after[rows]),
        "blendshape_error": lambda rows: float(np.abs(before[rows] - after[rows]).mean()),
    }
    return {name: bootstrap(persons, statistic, valid=valid, repeats=repeats) for name, statistic in statistics.items()}


def smile_auc(smile: np.ndarray, smiling: np.ndarray, neutral: np.ndarray, persons: np.ndarray, *, repeats: int = 1000) -> Estimate:
    """How well the (n,) smile score tells the pictures labeled smiling from those labeled neutral (bool arrays)."""

    def statistic(rows: np.ndarray) -> float:
        return auc(smile[rows[smiling[rows]]], smile[rows[neutral[rows]]])

    return bootstrap(persons, statistic, valid=np.isfinite(smile) & (smiling | neutral), repeats=repeats)


def gaze_directions(shape: np.ndarray) -> np.ndarray:
    """(478, 3) pose-normalized shape -> (2, 3) unit vectors (right eye, left eye) in the frame of the head.

    The iris center's place between the eye's corners, in eye widths, is the sine of the angle times the eyeball's radius.
    """
    directions = []
    for corners, iris in ((RIGHT_EYE_CORNERS, RIGHT_IRIS), (LEFT_EYE_CORNERS, LEFT_IRIS)):
        first, last = shape[corners[0], :2], shape[corners[1], :2]
        along = (last - first) * np.sign(last[0] - first[0] or 1.0)
        width = max(float(np.linalg.norm(along)), 1e-9)
        along = along / width
        offset = (shape[iris[0], :2] - (first + last) / 2) / width * EYE_WIDTH_IN_RADII
        x, y = float(offset @ along), float(offset @ np.array([-along[1], along[0]]))
        length = np.hypot(x, y)
        x, y = (x, y) if length < 0.99 else (0.99 * x / length, 0.99 * y / length)
        directions.append((x, y, -np.sqrt(1 - x * x - y * y)))
    return np.array(directions)


def _angle(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def gaze_error(before: np.ndarray, after: np.ndarray) -> float:
    """Degrees between where two faces, (478, 3) landmark sets, look in the picture: the mean direction of both eyes, head pose included."""
    first, second = (_gaze(points) for points in (before, after))
    return _angle(float(first @ second))


def _gaze(points: np.ndarray) -> np.ndarray:
    shape, pose = normalize_pose(points)
    direction = gaze_directions(shape).mean(axis=0) @ pose.rotation
    return direction / np.linalg.norm(direction)


def pose_error(before: np.ndarray, after: np.ndarray) -> float:
    """Degrees of the rotation that takes one head pose to the other."""
    first, second = (normalize_pose(points)[1].rotation for points in (before, after))
    return _angle((float(np.trace(first @ second.T)) - 1) / 2)


def landmark_error(target: np.ndarray, found: np.ndarray) -> float:
    """Mean distance in the picture of the 468 mesh points, in % of the distance between the eyes' centers of ``target``."""
    eyes = [target[list(corners), :2].mean(axis=0) for corners in (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS)]
    distance = max(float(np.linalg.norm(eyes[0] - eyes[1])), 1e-9)
    return 100 * float(np.linalg.norm(target[:468, :2] - found[:468, :2], axis=1).mean()) / distance


def landmark_measures(
    before: Sequence[np.ndarray | None],
    target: Sequence[np.ndarray | None],
    after: Sequence[np.ndarray | None],
    persons: np.ndarray,
    *,
    repeats: int = 1000,
) -> dict[str, Estimate]:
    """Mean ``landmark_error`` (% of the eye distance, against the target landmarks), ``gaze_error`` and ``pose_error`` (degrees, against
    the input); pictures without landmarks on either side are left out."""
    pairs = {"landmark_error": (target, landmark_error), "gaze_error": (before, gaze_error), "pose_error": (before, pose_error)}
    return {
        name: bootstrap_mean(
            persons,
            np.array([np.nan if a is None or b is None else measure(a, b) for a, b in zip(reference, after, strict=True)]),
            repeats=repeats,
        )
        for name, (reference, measure) in pairs.items()
    }
