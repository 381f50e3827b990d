"""Blink, mouth opening and gaze: measured on one face, set on another.

Everything here is in canonical landmarks, see ``geometry.py``.
"""

from __future__ import annotations

import numpy as np

from .face_mesh import (
    CHIN,
    FACE_OVAL,
    LEFT_EYE_CORNERS,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    LIP_LOWER,
    LIP_UPPER,
    MOUTH_CORNERS,
    MOUTH_LOWER,
    MOUTH_UPPER,
    RIGHT_EYE_CORNERS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
    UV_MAP,
)

# Lids and lips are pairs (upper, lower). Their openings are carried over exactly: blinks and closed lips must stay closed.
_MOUTH_PAIRS = (np.array(MOUTH_UPPER), np.array(MOUTH_LOWER))
_EYE_PAIRS = (
    (np.array(RIGHT_EYE_UPPER), np.array(RIGHT_EYE_LOWER), RIGHT_EYE_CORNERS, RIGHT_IRIS),
    (np.array(LEFT_EYE_UPPER), np.array(LEFT_EYE_LOWER), LEFT_EYE_CORNERS, LEFT_IRIS),
)
# An eye at rest is open by this much, in eye widths. How wide it rests is identity; less is a blink, more a stare.
_EYE_REST = (0.22, 0.36)
# The eye's opening is about 30 mm wide between its corners, and the eyeball's radius is 12 mm.
EYE_WIDTH_IN_RADII = 2.5


def _spread(indices: np.ndarray, opposite: np.ndarray, reach: float) -> np.ndarray:
    """(468, n) weights that carry a displacement of n points to their neighbors in the UV map, in which lips and lids are open.

    The ``opposite`` lip or lid gets none: it has a displacement of its own.
    """
    distance = np.linalg.norm(UV_MAP[:, None] - UV_MAP[indices], axis=-1)
    weights = np.exp(-((distance / reach) ** 2))
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    weights[indices] = np.eye(len(indices))
    weights[opposite] = 0
    return weights


_EYE_SPREADS = tuple((_spread(upper, lower, 0.02), _spread(lower, upper, 0.02)) for upper, lower, _, _ in _EYE_PAIRS)
_MOUTH_SPREADS = (_spread(_MOUTH_PAIRS[0], _MOUTH_PAIRS[1], 0.03), _spread(_MOUTH_PAIRS[1], _MOUTH_PAIRS[0], 0.03))


# A mouth that opens wide moves as a whole: per unit of opening the upper lip moves up by a sixth, the lower lip down by the rest, and the
# corners down by a fifth (regression slopes in pose-normalized pictures).
_UPPER_SHARE, _CORNER_SHARE = 0.16, 0.22
# Up to this displacement, in canonical units, each lip moves half the way and only its surroundings follow; more would fold the lips.
_FAR = 0.05
# Lips and lids closer than about this, in canonical units, touch: the direction from one to the other is then noise.
_NO_GAP = 0.01


def _wide_spread() -> np.ndarray:
    """(468, 9) weights that carry displacements beyond ``_FAR`` to lips, corners, and the skin from nose to chin."""
    u, v = UV_MAP.T
    chin = UV_MAP[FACE_OVAL[10:27][::-1]]  # along the jaw, from the picture's left to its right
    depth = np.interp(u, *chin.T)
    rows = []
    for pair in np.eye(len(MOUTH_UPPER)):
        corner = _CORNER_SHARE * pair[len(pair) // 2]
        sides = []
        for chain, moved in ((MOUTH_UPPER, -_UPPER_SHARE * pair), (MOUTH_LOWER, (1 - _UPPER_SHARE) * pair)):
            first, last = UV_MAP[list(MOUTH_CORNERS), 0]
            places = [
                2 * first - UV_MAP[chain[4], 0],
                first,
                *UV_MAP[chain, 0],
                last,
                2 * last - UV_MAP[chain[4], 0],
            ]
            sides.append(np.interp(u, places, [0, corner, *moved, corner, 0]))
        middle = np.interp(u, UV_MAP[MOUTH_UPPER, 0], (UV_MAP[MOUTH_UPPER, 1] + UV_MAP[MOUTH_LOWER, 1]) / 2)
        above = sides[0] * np.clip((v - UV_MAP[2, 1]) / (UV_MAP[0, 1] - UV_MAP[2, 1]), 0, 1)
        below = sides[1] * np.clip((depth - v) / np.maximum(depth - UV_MAP[17, 1], 0.1), 0, 1)
        rows.append(2 * np.where(v < middle, above, below))
    return np.stack(rows, axis=1)


_MOUTH_WIDE = _wide_spread()


def _set_openings(
    landmarks: np.ndarray,
    upper: np.ndarray,
    lower: np.ndarray,
    spreads: tuple[np.ndarray, np.ndarray],
    wanted: np.ndarray,
    wide: np.ndarray | None = None,
) -> None:
    """Move lips or lids (in place) so that pair i is ``wanted[i]`` apart, half the way each; what exceeds ``_FAR`` moves by ``wide``."""
    gap = landmarks[lower] - landmarks[upper]
    # a gap near zero has no direction of its own: it opens downwards
    direction = np.where(gap[:, 1:2] > 0, gap, 0.0) + np.array([0.0, _NO_GAP, 0.0])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    change = (direction * wanted[:, None] - gap) / 2
    if wide is not None:
        far = np.clip(change[:, 1:2] - _FAR, 0, None) / np.maximum(change[:, 1:2], _FAR) * change
        landmarks[:468] += wide @ far
        change = change - far
    landmarks[:468] += spreads[1] @ change - spreads[0] @ change


# Per unit of mouth opening the chin moves down by about a quarter, relative to the rest of the face: the slope within people of the
# training pictures. The expression code alone moves it less, because the blendshape scores it is trained on do not need it.
_CHIN_SHARE = 0.24
_BELOW_LIPS = np.clip((UV_MAP[:, 1] - UV_MAP[LIP_LOWER, 1]) / (UV_MAP[CHIN, 1] - UV_MAP[LIP_LOWER, 1]), 0, 1)


def drop_jaw(landmarks: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Move the chin along with the mouth opening that :func:`carry_openings` will set.

    Args:
        landmarks: (478, 3) canonical landmarks.
        source: (478, 3) canonical landmarks whose mouth opening counts.

    Returns:
        new (478, 3) canonical landmarks.
    """
    gaps = [max(float(some[LIP_LOWER, 1] - some[LIP_UPPER, 1]), 0.0) for some in (source, landmarks)]
    width_source, width = (float(np.linalg.norm(some[MOUTH_CORNERS[0]] - some[MOUTH_CORNERS[1]])) for some in (source, landmarks))
    result = landmarks.copy()
    result[:468, 1] += _CHIN_SHARE * (gaps[0] / max(width_source, 1e-6) * width - gaps[1]) * _BELOW_LIPS
    return result


def carry_openings(source: np.ndarray, target: np.ndarray, *, turned: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Give one face the blink, mouth opening and gaze of another.

    The irises keep the target's size, and how they stand apart: both belong to the person. Only where both eyes look together is carried.

    Args:
        source: (478, 3) canonical landmarks whose openings and gaze count.
        target: (478, 3) canonical landmarks of another person with the same expression.
        turned: degrees by which the eyes turn to the picture's right and up in the head.

    Returns:
        new (478, 3) canonical landmarks.
    """
    result = target.copy()
    upper, lower = _MOUTH_PAIRS
    width_source, width_target = (np.linalg.norm(s[MOUTH_CORNERS[0]] - s[MOUTH_CORNERS[1]]) for s in (source, target))
    opening = np.clip((source[lower] - source[upper])[:, 1], 0, None)
    # A round mouth is narrow, so relative to its width it is open far: never open the target further than the source, in absolute terms.
    most = np.maximum(opening, np.linalg.norm(result[lower] - result[upper], axis=1) + 2 * _FAR)
    wanted = np.minimum(opening / max(width_source, 1e-6) * width_target, most)
    _set_openings(result, upper, lower, _MOUTH_SPREADS, wanted, _MOUTH_WIDE)
    for (upper, lower, corners, _), spreads in zip(_EYE_PAIRS, _EYE_SPREADS, strict=True):
        first, last = corners
        width_source, width_target = (np.linalg.norm(s[first] - s[last]) for s in (source, result))
        opening = float(np.clip((source[lower] - source[upper])[3, 1], 0, None) / max(width_source, 1e-6))
        own = np.clip((result[lower] - result[upper])[:, 1], 0, None)
        rest = float(np.clip(own[3] / max(width_target, 1e-6), *_EYE_REST))
        low, high = _EYE_REST
        wanted = rest * opening / low if opening < low else rest + max(opening - high, 0.0)
        profile = own / max(own[3], 0.02) if own[3] > 0.02 else np.sin(np.linspace(0.12, np.pi - 0.12, len(upper)))
        _set_openings(result, upper, lower, spreads, np.clip(profile, 0, 1.2) * wanted * width_target)
    # gaze: position of the irises between the corners, and above or below their line, in eye widths
    own = np.stack([_in_eye_frame(target, corners, target[list(iris)]) for _, _, corners, iris in _EYE_PAIRS])
    seen = np.stack([_in_eye_frame(source, corners, source[list(iris[:1])]) for _, _, corners, iris in _EYE_PAIRS])
    yaw, pitch = np.sin(np.radians(turned))
    shift = (seen - own[:, :1]).mean(axis=0)[0] + np.array([yaw, -pitch, 0.0]) / EYE_WIDTH_IN_RADII
    shift[2] = 0.0  # how deep an iris lies belongs to the person, too
    for (_, _, corners, iris), local in zip(_EYE_PAIRS, own, strict=True):
        result[list(iris)] = _from_eye_frame(result, corners, local + shift)
    return result


def resize_irises(landmarks: np.ndarray, factor: float) -> np.ndarray:
    """(478, 3) canonical landmarks -> new ones, whose irises are so many times as large about their centers."""
    result = landmarks.copy()
    for _, _, _, iris in _EYE_PAIRS:
        center = result[iris[0]].copy()
        result[list(iris)] = center + factor * (result[list(iris)] - center)
    return result


def open_eyes(landmarks: np.ndarray, factor: float) -> np.ndarray:
    """(478, 3) canonical landmarks -> new ones, whose eyes are open so many times as far."""
    result = landmarks.copy()
    for (upper, lower, _, _), spreads in zip(_EYE_PAIRS, _EYE_SPREADS, strict=True):
        change = (factor - 1) / 2 * (result[lower] - result[upper])
        result[:468] += spreads[1] @ change - spreads[0] @ change
    return result


def _eye_axes(landmarks: np.ndarray, corners: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Middle (3,) of the corners, and axes (3, 3): along their line, across it in the plane of x and y, and z, all as long as the eye."""
    along = landmarks[corners[1]] - landmarks[corners[0]]
    across = np.array([-along[1], along[0], 0.0])
    return (landmarks[corners[0]] + landmarks[corners[1]]) / 2, np.stack([along, across, [0.0, 0.0, max(np.linalg.norm(along), 1e-6)]])


def _in_eye_frame(landmarks: np.ndarray, corners: tuple[int, int], points: np.ndarray) -> np.ndarray:
    center, (along, across, depth) = _eye_axes(landmarks, corners)
    relative, squared = points - center, max(float(across @ across), 1e-12)
    first, second = relative[:, :2] @ along[:2] / squared, relative @ across / squared
    return np.stack([first, second, (relative[:, 2] - first * along[2]) / depth[2]], axis=1)


def _from_eye_frame(landmarks: np.ndarray, corners: tuple[int, int], local: np.ndarray) -> np.ndarray:
    center, axes = _eye_axes(landmarks, corners)
    return local @ axes + center
