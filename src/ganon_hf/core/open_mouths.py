"""Insides of open mouths: which of the bank's a person has, and which of them a face gets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .face_mesh import LEFT_EYE_OUTER, LIP_CORNERS, LIP_LOWER, LIP_UPPER, RIGHT_EYE_OUTER

# Openings are distances of the lips, and widths those of the corners, over that of the outer corners of the eyes. Mouths of the bank count
# less by a factor of e at a difference in opening as large as the gaps between them, in these limits, and at that in width.
_REACH, _WIDTH_REACH = (0.008, 0.03), 0.06
# Mean luma, where upper teeth would be, up to which a mouth of the bank is dark, and from which on it shows teeth; those between are gray.
_DARK, _LIGHT = 90.0, 105.0
# Mouths of the bank for each one of a person; a mouth resembles the next narrower one: it is one of so many that come closest in luma.
_PER_RANGE, _ALIKE = 4, 2
# Where upper teeth would be: shares of the height of the inside and of its width.
TEETH_DOWN, TEETH_ACROSS = (0.1, 0.65), (0.25, 0.75)


def mouth_shape(landmarks: np.ndarray) -> np.ndarray:
    """(478, 2 or 3) landmarks -> (2,) opening and width of the mouth in distances of the outer corners of the eyes."""
    pairs = ((LIP_UPPER, LIP_LOWER), LIP_CORNERS, (RIGHT_EYE_OUTER, LEFT_EYE_OUTER))
    opening, width, eyes = (float(np.linalg.norm(landmarks[first] - landmarks[second])) for first, second in pairs)
    return np.array([opening, width]) / max(eyes, 1e-6)


@dataclass(frozen=True, eq=False)
class OpenMouths:
    """The insides of open mouths of a bank.

    Attributes:
        shapes: (m, 2) opening and width, see :func:`mouth_shape`, sorted by opening.
        levels: (m,) mean luma where upper teeth would be.
    """

    shapes: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(cls, luma: np.ndarray, mask: np.ndarray, shapes: np.ndarray) -> OpenMouths:
        """From textures.

        Args:
            luma: (m, h, w) 0..255; mask: (h, w) 1 inside of the mouth.
            shapes: (m, 2), see the class.
        """
        rows, columns = np.nonzero(mask > 0.5)
        if not len(rows):
            return cls(shapes[:0], np.zeros(0))
        teeth = within(_share(rows), TEETH_DOWN) & within(_share(columns), TEETH_ACROSS)
        if not teeth.any():
            teeth[:] = True
        return cls(shapes, luma[:, rows[teeth], columns[teeth]].mean(axis=1))

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """A person's mouths, those with teeth and then dark ones, each of all openings: (k,) int64 numbers."""
        kinds = self.levels > _LIGHT, self.levels < _DARK
        return np.concatenate([self._draw(np.flatnonzero(kind), generator) for kind in kinds])

    def _draw(self, numbers: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """One mouth of each range of openings; neighbors resemble each other, for a mean of different teeth is a gray bar."""
        drawn: list[int] = []
        for some in np.array_split(numbers, -(-len(numbers) // _PER_RANGE)) if len(numbers) else ():
            if drawn:
                some = some[np.argsort(np.abs(self.levels[some] - self.levels[drawn[-1]]), kind="stable")[:_ALIKE]]
            drawn.append(int(generator.choice(some)))
        return np.array(drawn, np.int64)

    def shares(self, numbers: np.ndarray, landmarks: np.ndarray, teeth: float) -> np.ndarray:
        """The share of each of a person's mouths in a face.

        Args:
            numbers: (k,) from :meth:`draw`.
            landmarks: (478, 3) of the face, without head pose.
            teeth: 1 for a mouth that shows teeth, 0 for a dark one, see ``mouth_reading.py``.

        Returns:
            (k,) float32, with a sum of one.
        """
        shares = np.zeros(len(numbers), np.float32)
        for light, amount in ((True, teeth), (False, 1 - teeth)):
            which = np.flatnonzero((self.levels[numbers] > _LIGHT) == light)
            if len(which):
                shares[which] = max(amount, 1e-6) * _nearest(self.shapes[numbers[which]] - mouth_shape(landmarks))
        return shares / max(float(shares.sum()), 1e-12)


def _nearest(differences: np.ndarray) -> np.ndarray:
    """(k, 2) opening and width of mouths beyond those of a face -> (k,) shares; few are blended: gaps between teeth stay visible."""
    openings, widths = differences.T
    gaps = np.abs(np.diff(openings, prepend=openings[:1], append=openings[-1:]))
    gaps = np.clip(np.maximum(gaps[1:], gaps[:-1]), *_REACH)  # between each mouth and its neighbors
    reach = float(_softmax(-((openings / _REACH[1]) ** 2)) @ gaps)
    return _softmax(-((openings / reach) ** 2) - (widths / _WIDTH_REACH) ** 2)


def _softmax(values: np.ndarray) -> np.ndarray:
    powers: np.ndarray = np.exp(values - values.max())
    return powers / powers.sum()


def _share(values: np.ndarray) -> np.ndarray:
    """Values on a scale on which the smallest is 0 and the largest 1."""
    low, high = values.min(), values.max()
    share: np.ndarray = (values - low) / max(high - low, 1)
    return share


def within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Which of (n,) values lie between two limits."""
    inside: np.ndarray = (values >= limits[0]) & (values <= limits[1])
    return inside
