"""Points to points: head pose, and the exchange of the identity in a face's shape.

Convention: *canonical landmarks* are a (478, 3) array without head pose, in the frame of :data:`face_mesh.MEAN_LANDMARKS` (x to the
picture's right, y down, z away from the viewer; unit: the weighted RMS radius of the mean face). A :class:`Pose` maps them to photo or
crop points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .face_mesh import MEAN_LANDMARKS, POSE_WEIGHTS
from .openings import carry_openings, drop_jaw, open_eyes, resize_irises
from .people import Identity


@dataclass(frozen=True, eq=False)
class Pose:
    """Similarity in space: ``points = scale * canonical_landmarks @ rotation + translation``.

    Attributes:
        scale: pixels per canonical unit, positive.
        rotation: (3, 3) proper rotation, applied from the right.
        translation: (3,) pixels.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, canonical_landmarks: np.ndarray) -> np.ndarray:
        """(n, 3) canonical landmarks -> (n, 3) points."""
        return self.scale * canonical_landmarks @ self.rotation + self.translation

    def invert(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) points -> (n, 3) canonical landmarks."""
        return (points - self.translation) @ self.rotation.T / self.scale

    @property
    def angles(self) -> tuple[float, float, float]:
        """(yaw, pitch, roll) in degrees: yaw > 0 looks to the picture's right, pitch > 0 looks up, roll > 0 tilts clockwise."""
        right, _, back = self.rotation
        yaw = np.degrees(np.arctan2(-back[0], back[2]))
        pitch = np.degrees(np.arctan2(back[1], np.hypot(back[0], back[2])))
        roll = np.degrees(np.arctan2(right[1], right[0]))
        return float(yaw), float(pitch), float(roll)

    def turned_to(self, angles: tuple[float, float, float], center: np.ndarray) -> Pose:
        """The pose with other :attr:`angles`, in which the (3,) canonical point ``center`` stays where it is."""
        rotation = rotation_of(*angles)
        return Pose(self.scale, rotation, self.apply(center) - self.scale * center @ rotation)


def rotation_of(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The (3, 3) rotation whose :attr:`Pose.angles` are these, in degrees; yaw and pitch within 90 degrees."""
    yaw, pitch, roll = np.radians([yaw, pitch, roll])
    back = np.array([-np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(roll), np.sin(roll), 0.0])
    right[2] = -(right @ back) / back[2]
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back])


def normalize_pose(points: np.ndarray) -> tuple[np.ndarray, Pose]:
    """Remove the head pose: weighted Procrustes fit to the mean face (Kabsch 1976, Umeyama 1991).

    Args:
        points: (478, 3) pixels.

    Returns:
        (478, 3) canonical landmarks and the pose that undoes it: ``pose.apply(canonical_landmarks) == points``.

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


@dataclass(frozen=True)
class Privacy:
    """A trade-off between privacy and expression (measured in docs/anonymity.md).

    Attributes:
        noise: standard deviation of the noise on the expression code, in the code's units.
        turn: standard deviation of the noise on the head's pitch in degrees; yaw and roll, which would not fit the neck, get shares of it.
    """

    noise: float
    turn: float


PRIVACY = {"low": Privacy(1.5, 2.5), "medium": Privacy(4.0, 5.0), "high": Privacy(6.0, 8.0)}

# Everybody holds the head their own way in front of a camera. Pitch, yaw and roll in degrees: mean and variance of such habits, how far
# from the mean an angle is still habit and not an act, and the shares of the noise.
_HABIT_MEAN = np.array([-4.5, 0.0, 0.0])
_HABIT_VARIANCE = np.array([24.0, 6.7, 5.4])
_HABIT_REACH = np.array([15.0, 15.0, 12.0])
_TURN_SHARES = np.array([1.0, 0.8, 0.5])


def hide_habits(angles: tuple[float, float, float], noise: np.ndarray, turn: float) -> tuple[float, float, float]:
    """Head pose without the habits of its owner.

    Noise is added, and the sum is shrunk towards the mean habit by the Wiener gain. Shrinking takes no privacy away, as it could be undone,
    and makes the error smaller than the noise. A head that is turned on purpose is hardly shrunk and gets half of the noise.

    Args:
        angles: (yaw, pitch, roll) in degrees.
        noise: (3,) standard normal; of pitch, yaw and roll.
        turn: standard deviation of the noise on pitch in degrees; 0 leaves the pose as it is.

    Returns:
        (yaw, pitch, roll) in degrees.
    """
    yaw, pitch, roll = angles
    away = np.array([pitch, yaw, roll]) - _HABIT_MEAN
    deviation = turn * _TURN_SHARES
    away = away + deviation * noise * (1 + np.exp(-((away / _HABIT_REACH) ** 2))) / 2
    lost = deviation**2 / (_HABIT_VARIANCE + deviation**2)
    pitch, yaw, roll = _HABIT_MEAN + away - lost * away * np.exp(-((away / _HABIT_REACH) ** 2))
    return float(yaw), float(pitch), float(roll)


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """Exchanges the identity in a face's shape; the numbers are those of ``modeling_ganon.ShapeStatistics``.

    An information bottleneck (Tishby et al. 1999; Alemi et al., ICLR 2017): the face is encoded in a few numbers, noise is added, and the
    synthetic person's face is decoded from the result. It reveals no more of the original's shape than the noisy code holds, except for
    blink, mouth opening and gaze, which are carried over.

    Attributes:
        mean: (1434,) mean neutral face, canonical landmarks.
        axes: (1434, d) orthonormal shape axes.
        deviations: (d,) standard deviations along them.
        encode: (d,) coordinates -> (r,) code.
        decode: (r,) noisy code, (k,) identity coefficients, standard deviation of the noise -> (d,) coordinates.
    """

    mean: np.ndarray
    axes: np.ndarray
    deviations: np.ndarray
    encode: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[np.ndarray, np.ndarray, float], np.ndarray]

    def coordinates(self, canonical_landmarks: np.ndarray) -> np.ndarray:
        """(478, 3) canonical landmarks -> (d,) coordinates, about 1 in size."""
        # einsum: BLAS would start its threads for this, which then spin on the cores that process other faces
        return np.einsum("i,ij->j", canonical_landmarks.ravel() - self.mean, self.axes) / self.deviations

    def canonical_landmarks(self, coordinates: np.ndarray) -> np.ndarray:
        """(d,) coordinates -> (478, 3) canonical landmarks; the inverse of :meth:`coordinates`."""
        return (self.mean + np.einsum("ij,j->i", self.axes, self.deviations * coordinates)).reshape(MEAN_LANDMARKS.shape)

    def exchange_identity(
        self, canonical_landmarks: np.ndarray, identity: Identity, noise: float, *, turned: tuple[float, float] = (0.0, 0.0)
    ) -> np.ndarray:
        """(478, 3) canonical landmarks -> those of ``identity`` with the same expression, blink, mouth opening and gaze.

        ``turned`` are the degrees of yaw and pitch by which the eyes turn in the head.
        """
        code = self.encode(self.coordinates(canonical_landmarks)) + noise * identity.expression_noise
        synthetic = self.canonical_landmarks(self.decode(code, identity.shape, noise))
        synthetic = resize_irises(drop_jaw(synthetic, canonical_landmarks), identity.iris_scale)
        synthetic = open_eyes(synthetic, identity.lid_scale)
        return carry_openings(canonical_landmarks, synthetic, turned=turned)

    def anonymize(self, points: np.ndarray, identity: Identity, privacy: str = "medium") -> np.ndarray:
        """Exchange the identity in landmarks.

        Args:
            points: (478, 3) pixels.
            identity: the synthetic person.
            privacy: a name in :data:`PRIVACY`.

        Returns:
            (478, 3) pixels.

        Raises:
            ValueError: no head pose can be fitted to the points, or ``privacy`` is unknown.
        """
        if privacy not in PRIVACY:
            raise ValueError(f"privacy must be one of {', '.join(map(repr, PRIVACY))}, but got {privacy!r}.")
        level = PRIVACY[privacy]
        original, pose = normalize_pose(points)
        angles = hide_habits(pose.angles, identity.turn, level.turn)
        # the gaze stays where it is in the picture: eyes that look into the camera would give the head's angles away
        turned = (pose.angles[0] - angles[0], pose.angles[1] - angles[1])
        synthetic = self.exchange_identity(original, identity, level.noise, turned=turned)
        return pose.turned_to(angles, synthetic[:468].mean(axis=0)).apply(synthetic)
