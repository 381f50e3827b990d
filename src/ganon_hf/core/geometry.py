"""Points to points: head pose, and the exchange of the identity in a face's shape.

Convention: a *shape* is a (478, 3) array in the frame of :data:`topology.MEAN_LANDMARKS` (x to the picture's right, y down, z away from the
viewer, unit: the weighted RMS radius of the mean face). A :class:`Pose` maps a shape to photo or crop points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    MEAN_LANDMARKS,
    MOUTH_CORNERS,
    MOUTH_LOWER,
    MOUTH_UPPER,
    POSE_WEIGHTS,
    RIGHT_EYE_CORNERS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
    UV_MAP,
)


@dataclass(frozen=True, eq=False)
class Pose:
    """Similarity in space: ``points = scale * shape @ rotation + translation``.

    Attributes:
        scale: pixels per shape unit, positive.
        rotation: (3, 3) proper rotation, applied from the right.
        translation: (3,) pixels.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, shape: np.ndarray) -> np.ndarray:
        """(n, 3) shape -> (n, 3) points."""
        return self.scale * shape @ self.rotation + self.translation

    def invert(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) points -> (n, 3) shape."""
        return (points - self.translation) @ self.rotation.T / self.scale

    @property
    def angles(self) -> tuple[float, float, float]:
        """(yaw, pitch, roll) in degrees: yaw > 0 looks to the picture's right, pitch > 0 looks up, roll > 0 tilts clockwise."""
        right, _, back = self.rotation
        yaw = np.degrees(np.arctan2(-back[0], back[2]))
        pitch = np.degrees(np.arctan2(back[1], np.hypot(back[0], back[2])))
        roll = np.degrees(np.arctan2(right[1], right[0]))
        return float(yaw), float(pitch), float(roll)


def normalize_pose(points: np.ndarray) -> tuple[np.ndarray, Pose]:
    """Take the head pose off: weighted Procrustes fit to the mean shape (Kabsch 1976, Umeyama 1991).

    Args:
        points: (478, 3) pixels.

    Returns:
        the (478, 3) shape and the pose that brings it back: ``pose.apply(shape) == points``.

    Raises:
        ValueError: the points are not a finite (478, 3) array or fall together.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.shape != MEAN_LANDMARKS.shape or not np.isfinite(points).all():
        raise ValueError(f"points must be a finite {MEAN_LANDMARKS.shape} array of pixels, but got shape {points.shape}.")
    weights = (POSE_WEIGHTS / POSE_WEIGHTS.sum())[:, None]
    center, mean_center = (weights * points).sum(axis=0), (weights * MEAN_LANDMARKS).sum(axis=0)
    source, target = MEAN_LANDMARKS - mean_center, points - center
    u, s, vt = np.linalg.svd((weights * source).T @ target)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    # scale of the inverse fit (points -> mean) so that identities of any size end up at the mean's size
    spread = (weights * target**2).sum()
    scale = float(spread / max(float((s * signs).sum()), 1e-12))
    if not spread > 1e-9 or not 0 < scale < 1e9:
        raise ValueError("points fall together or are mirrored: no head pose can be fitted.")
    rotation = (u * signs) @ vt
    pose = Pose(scale, rotation, center - scale * mean_center @ rotation)
    return pose.invert(points), pose


@dataclass(frozen=True, eq=False)
class Identity:
    """One synthetic person, drawn from a seed and owing nothing to any photo.

    Attributes:
        shape: (k,) coefficients of the neutral shape.
        appearance: (a,) coefficients of the texture.
        tone: (3,) standard normal coefficients of the skin tone.
        grain_seed: seed of the fine skin structure.
        expression_noise: (r,) standard normal, what the expression code is blurred with. It belongs to the person: were it drawn
            anew for every frame of a video, the mean over frames would be free of it.
        turn: (3,) standard normal, pitch, yaw and roll by which the head is turned a little.
    """

    shape: np.ndarray
    appearance: np.ndarray
    tone: np.ndarray
    grain_seed: int
    expression_noise: np.ndarray
    turn: np.ndarray


# Beyond two standard deviations lie caricatures; a person is drawn inside.
_TRUNCATION = 2.0


def _truncated_normal(generator: np.random.Generator, count: int) -> np.ndarray:
    values = generator.standard_normal(count)
    while (outside := np.abs(values) > _TRUNCATION).any():
        values[outside] = generator.standard_normal(int(outside.sum()))
    return values.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Population:
    """Of whom synthetic people are drawn: groups of people who look alike (``ganon_hf.training.population``), each as likely as the others.

    One bell curve over all training people would draw their average again and again, a man of fifty.

    Attributes:
        centers: (m, k + a) middle of each group: k coefficients of the shape, then a of the texture.
        spread: (k + a,) standard deviations within a group.
        num_shape: k.
    """

    centers: np.ndarray
    spread: np.ndarray
    num_shape: int

    def __post_init__(self) -> None:
        if self.centers.ndim != 2 or not len(self.centers) or self.spread.shape != self.centers.shape[1:]:
            raise ValueError(f"centers must be (groups, n) and spread (n,), but got {self.centers.shape} and {self.spread.shape}.")
        if not 0 <= self.num_shape <= self.centers.shape[1]:
            raise ValueError(f"num_shape must be 0 to {self.centers.shape[1]}, but got {self.num_shape}.")


def draw_identity(seed: int, index: int, population: Population, *, num_expression: int = 0) -> Identity:
    """The synthetic person number ``index`` of a seed; the same arguments give the same person everywhere.

    Args:
        seed: 0 to 2**63 - 1.
        index: place of the face in the photo; every face of a photo becomes somebody else.
        population: of whom they are drawn.
        num_expression: length of the expression code, for its noise.
    """
    generator = np.random.default_rng([seed, index])
    noise = _truncated_normal(generator, len(population.spread))
    tone, grain_seed = _truncated_normal(generator, 3), int(generator.integers(2**31))
    center = population.centers[int(generator.integers(len(population.centers)))]
    shape, appearance = np.split((center + population.spread * noise).astype(np.float32), [population.num_shape])
    turn = _truncated_normal(generator, 3)
    return Identity(shape, appearance, tone, grain_seed, generator.standard_normal(num_expression).astype(np.float32), turn)


# Lids and lips come as pairs (upper, lower); their openings are carried over exactly because blinks and closed lips must stay closed.
_MOUTH_PAIRS = (np.array(MOUTH_UPPER), np.array(MOUTH_LOWER))
_EYE_PAIRS = (
    (np.array(RIGHT_EYE_UPPER), np.array(RIGHT_EYE_LOWER), RIGHT_EYE_CORNERS, RIGHT_IRIS),
    (np.array(LEFT_EYE_UPPER), np.array(LEFT_EYE_LOWER), LEFT_EYE_CORNERS, LEFT_IRIS),
)
# An opening (in eye widths) inside this plateau is a resting eye, and how wide one rests is identity; beyond it is a blink or a stare.
_EYE_REST = (0.22, 0.36)


def _spread(indices: np.ndarray, opposite: np.ndarray, reach: float) -> np.ndarray:
    """(468, n) weights that carry a displacement of n points to their neighbors in the UV map, where lips and lids stand open.

    The ``opposite`` lip or lid is no neighbor: it has a displacement of its own.
    """
    distance = np.linalg.norm(UV_MAP[:, None] - UV_MAP[indices], axis=-1)
    weights = np.exp(-((distance / reach) ** 2))
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    weights[indices] = np.eye(len(indices))
    weights[opposite] = 0
    return weights


_EYE_SPREADS = tuple((_spread(upper, lower, 0.02), _spread(lower, upper, 0.02)) for upper, lower, _, _ in _EYE_PAIRS)
_MOUTH_SPREADS = (_spread(_MOUTH_PAIRS[0], _MOUTH_PAIRS[1], 0.03), _spread(_MOUTH_PAIRS[1], _MOUTH_PAIRS[0], 0.03))


# A mouth opened far moves as a whole: of every unit the upper lip, inner and outer edge alike, goes up by a sixth, the lower down by the
# rest, the corners by a fifth (slopes on the opening in pose-normalized pictures).
_UPPER_SHARE, _CORNER_SHARE = 0.16, 0.22
# Up to this half change, in shape units, each lip takes half and its near surroundings follow; more would turn the lips inside out.
_FAR = 0.05
# Lips and lids that stand no further apart than about this touch, in shape units: where from here to there is, their points do not say.
_NO_GAP = 0.01


def _wide_spread() -> np.ndarray:
    """(468, 9) weights that carry the far part of the mouth's half changes to lips, corners, and the skin from nose to chin."""
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
    shape: np.ndarray,
    upper: np.ndarray,
    lower: np.ndarray,
    spreads: tuple[np.ndarray, np.ndarray],
    wanted: np.ndarray,
    wide: np.ndarray | None = None,
) -> None:
    """Move lips or lids of ``shape`` (in place) so that pair i stands ``wanted[i]`` apart, half the way each; the far part by ``wide``."""
    gap = shape[lower] - shape[upper]
    # what is all but shut has no direction of its own, and opens downwards
    direction = np.where(gap[:, 1:2] > 0, gap, 0.0) + np.array([0.0, _NO_GAP, 0.0])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    change = (direction * wanted[:, None] - gap) / 2
    if wide is not None:
        far = np.clip(change[:, 1:2] - _FAR, 0, None) / np.maximum(change[:, 1:2], _FAR) * change
        shape[:468] += wide @ far
        change = change - far
    shape[:468] += spreads[1] @ change - spreads[0] @ change


# Of every further unit that the lips stand apart the chin goes down by about a quarter, against the rest of the face: the slope within
# people of the training pictures. The code alone moves it less, because the scores do not ask for it.
_CHIN_SHARE = 0.24
_BELOW_LIPS = np.clip((UV_MAP[:, 1] - UV_MAP[LIP_LOWER, 1]) / (UV_MAP[CHIN, 1] - UV_MAP[LIP_LOWER, 1]), 0, 1)


def _drop_jaw(shape: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Let the chin follow lips that will stand further apart, or less far, than they do in ``shape``; a new (478, 3) shape."""
    gaps = [max(float(some[LIP_LOWER, 1] - some[LIP_UPPER, 1]), 0.0) for some in (source, shape)]
    width_source, width = (float(np.linalg.norm(some[MOUTH_CORNERS[0]] - some[MOUTH_CORNERS[1]])) for some in (source, shape))
    result = shape.copy()
    result[:468, 1] += _CHIN_SHARE * (gaps[0] / max(width_source, 1e-6) * width - gaps[1]) * _BELOW_LIPS
    return result


def carry_openings(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Give a shape the blink, mouth opening and gaze of another.

    Args:
        source: (478, 3) shape whose openings and gaze count.
        target: (478, 3) shape of another person with the same expression.

    Returns:
        a new (478, 3) shape.
    """
    result = target.copy()
    upper, lower = _MOUTH_PAIRS
    width_source, width_target = (np.linalg.norm(s[MOUTH_CORNERS[0]] - s[MOUTH_CORNERS[1]]) for s in (source, target))
    opening = np.clip((source[lower] - source[upper])[:, 1], 0, None)
    # far from its own opening a mouth opens no further than the source's: round ones are narrow, by whose width more would be asked for
    most = np.maximum(opening, np.linalg.norm(result[lower] - result[upper], axis=1) + 2 * _FAR)
    wanted = np.minimum(opening / max(width_source, 1e-6) * width_target, most)
    _set_openings(result, upper, lower, _MOUTH_SPREADS, wanted, _MOUTH_WIDE)
    for (upper, lower, corners, iris), spreads in zip(_EYE_PAIRS, _EYE_SPREADS, strict=True):
        first, last = corners
        width_source, width_target = (np.linalg.norm(s[first] - s[last]) for s in (source, result))
        opening = float(np.clip((source[lower] - source[upper])[3, 1], 0, None) / max(width_source, 1e-6))
        own = np.clip((result[lower] - result[upper])[:, 1], 0, None)
        rest = float(np.clip(own[3] / max(width_target, 1e-6), *_EYE_REST))
        low, high = _EYE_REST
        wanted = rest * opening / low if opening < low else rest + max(opening - high, 0.0)
        profile = own / max(own[3], 0.02) if own[3] > 0.02 else np.sin(np.linspace(0.12, np.pi - 0.12, len(upper)))
        _set_openings(result, upper, lower, spreads, np.clip(profile, 0, 1.2) * wanted * width_target)
        # gaze: where the iris stands between the corners, and above or below their line, in eye widths
        result[list(iris)] = _from_eye_frame(result, corners, _in_eye_frame(source, corners, source[list(iris)]))
    return result


def _eye_axes(shape: np.ndarray, corners: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    along = shape[corners[1]] - shape[corners[0]]
    across = np.array([-along[1], along[0], 0.0])
    return (shape[corners[0]] + shape[corners[1]]) / 2, np.stack([along, across, [0.0, 0.0, max(np.linalg.norm(along), 1e-6)]])


def _in_eye_frame(shape: np.ndarray, corners: tuple[int, int], points: np.ndarray) -> np.ndarray:
    center, axes = _eye_axes(shape, corners)
    return (points - center) @ np.linalg.pinv(axes)


def _from_eye_frame(shape: np.ndarray, corners: tuple[int, int], local: np.ndarray) -> np.ndarray:
    center, axes = _eye_axes(shape, corners)
    return local @ axes + center


@dataclass(frozen=True)
class Privacy:
    """A point on the curve of privacy against expression (measured in docs/anonymity.md).

    Attributes:
        noise: standard deviation of the noise on the expression code, in the code's units.
        turn: standard deviation of the head's pitch and yaw in degrees; roll, which the neck gives away, gets half of it.
    """

    noise: float
    turn: float


# People keep their heads the same way within a session, and pose-normalized landmarks are not quite free of the pose.
PRIVACY = {"low": Privacy(1.5, 1.5), "medium": Privacy(4.0, 2.3), "high": Privacy(6.0, 4.0)}


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """What passes from one face's shape to another's; the numbers are those of ``modeling_ganon.ShapeStatistics``.

    An information bottleneck (Tishby et al. 1999; Alemi et al., ICLR 2017): a shape becomes a code of few numbers, noise is added, and a
    synthetic person's shape is made from what is left. Whoever sees the result knows no more of the original's shape than the noisy code
    holds, blink, mouth opening and gaze aside, which are carried over.

    Attributes:
        mean: (1434,) mean neutral shape.
        axes: (1434, d) orthonormal directions in which shapes differ.
        deviations: (d,) standard deviations along them.
        encode: (d,) coordinates -> (r,) code.
        decode: (r,) noisy code, (k,) identity coefficients, standard deviation of the noise -> (d,) coordinates.
    """

    mean: np.ndarray
    axes: np.ndarray
    deviations: np.ndarray
    encode: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[np.ndarray, np.ndarray, float], np.ndarray]

    def coordinates(self, shape: np.ndarray) -> np.ndarray:
        """(478, 3) shape -> (d,) coordinates, about 1 in size."""
        # einsum: BLAS would wake its threads for this, which then wait by spinning, on the cores that treat other faces
        return np.einsum("i,ij->j", shape.ravel() - self.mean, self.axes) / self.deviations

    def shape(self, coordinates: np.ndarray) -> np.ndarray:
        """(d,) coordinates -> (478, 3) shape."""
        return (self.mean + np.einsum("ij,j->i", self.axes, self.deviations * coordinates)).reshape(MEAN_LANDMARKS.shape)

    def exchange_identity(self, shape: np.ndarray, identity: Identity, noise: float) -> np.ndarray:
        """(478, 3) shape -> the shape of ``identity`` with the same expression, blink, mouth opening and gaze."""
        code = self.encode(self.coordinates(shape)) + noise * identity.expression_noise
        return carry_openings(shape, _drop_jaw(self.shape(self.decode(code, identity.shape, noise)), shape))

    def anonymize(self, points: np.ndarray, identity: Identity, privacy: str = "medium") -> np.ndarray:
        """Exchange the identity in landmarks.

        Args:
            points: (478, 3) pixels.
            identity: whose shape to put under the expression.
            privacy: a name in :data:`PRIVACY`.

        Returns:
            (478, 3) pixels.

        Raises:
            ValueError: no head pose can be fitted to the points, or a name that is not there.
        """
        if privacy not in PRIVACY:
            raise ValueError(f"privacy must be one of {', '.join(map(repr, PRIVACY))}, but got {privacy!r}.")
        level = PRIVACY[privacy]
        shape, pose = normalize_pose(points)
        shape = self.exchange_identity(shape, identity, level.noise)
        center = shape[:468].mean(axis=0)
        return pose.apply((shape - center) @ small_rotation(level.turn * identity.turn * _TURN_SHARES) + center)


_TURN_SHARES = np.array([1.0, 1.0, 0.5])  # of pitch, yaw, roll


def small_rotation(degrees: np.ndarray) -> np.ndarray:
    """(3,) rotation vector (pitch, yaw, roll) in degrees -> (3, 3) rotation that is applied from the right (Rodrigues)."""
    vector = np.radians(np.asarray(degrees, dtype=np.float64))
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross).T
