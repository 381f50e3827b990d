"""The attack on landmarks before anything is drawn: what a way of exchanging identities lets through, in seconds instead of minutes.

What the photo adds (outline, tone, hair, what detectors make of a drawn face) is not in it, so that every figure is better than in the
finished picture; it tells one way from another. Beside the engine's own way stands k-same (Newton, Sweeney and Malin, TKDE 2005) on the
expression: the mean shape of the k training people whose expression is nearest, on a synthetic person's neutral shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ...core.geometry import Identity, ShapeModel, normalize_pose
from ...core.openings import carry_openings
from ..metrics.estimates import Estimate, bootstrap, cosine_similarity, pooled_correlation
from ..metrics.recognition import recognition_measures
from .known_people import Exposures
from .landmark_attack import Discriminants, landmark_features
from .parrot import parrot_geometry

# (478, 3) landmarks of a photo, the synthetic person -> (478, 3) landmarks that the generator would draw
Exchange = Callable[[np.ndarray, Identity], np.ndarray]
Reader = Callable[[Iterable[np.ndarray]], np.ndarray]


class KSame:
    """k-same on the expression.

    Args:
        model: whose axes, and whose mean neutral shape, count.
        basis: (d, k) identity basis of the model's statistics.
        shapes: (n, 478, 3) pose-normalized shapes of training people, none of whom is attacked.
        persons: (n,) who they show, -1 unknown.
        scores: (n, 52) of their expressions.
        read: what reads such scores from shapes.
        count: k, how many people a shape is the mean of.

    Raises:
        ValueError: fewer people than k.
    """

    def __init__(
        self,
        model: ShapeModel,
        basis: np.ndarray,
        shapes: np.ndarray,
        persons: np.ndarray,
        scores: np.ndarray,
        read: Reader,
        count: int,
    ) -> None:
        self._persons = np.where(persons < 0, -1 - np.arange(len(persons)), persons)  # an unknown person is one of their own
        if not 1 <= count <= len(np.unique(self._persons)):
            raise ValueError(f"k must be 1 to {len(np.unique(self._persons))}, the number of people, but got {count}.")
        self._model, self._basis, self._shapes = model, basis, shapes
        self._scores, self._read, self._count = scores, read, count

    def nearest(self, shape: np.ndarray) -> np.ndarray:
        """(k,) row numbers, one a person: those whose scores are nearest to a (478, 3) shape's."""
        order = np.argsort(((self._scores - self._read([shape])) ** 2).sum(axis=1), kind="stable")
        return order[np.sort(np.unique(self._persons[order], return_index=True)[1])[: self._count]]

    def __call__(self, points: np.ndarray, identity: Identity) -> np.ndarray:
        """An :data:`Exchange`."""
        shape, pose = normalize_pose(points)
        mean = self._model.coordinates(self._shapes[self.nearest(shape)].mean(axis=0))
        return pose.apply(carry_openings(shape, self._model.canonical_landmarks(mean + self._basis @ identity.shape)))


def _asked(landmarks: np.ndarray, persons: np.ndarray, exchange: Exchange, draw: Callable[[], Identity]) -> Exposures:
    """As if the landmarks that are asked for were those found in the finished picture; the crops are empty."""
    found = np.stack([exchange(points, draw()) for points in landmarks]).astype(np.float32)
    empty = np.zeros((len(persons), 1, 1), np.uint8)
    return Exposures(persons, np.arange(len(persons)), landmarks, found, empty, empty, empty)


def asked_measures(
    training: tuple[np.ndarray, np.ndarray],
    neutral: np.ndarray,
    smiling: np.ndarray,
    exchange: Exchange,
    draw: Callable[[], Identity],
    read: Reader,
    *,
    repeats: int = 1000,
) -> dict[str, Estimate]:
    """Attack and expression for one way of exchanging identities.

    Args:
        training: (m, 478, 3) landmarks of other people and (m,) who they are; attackers learn from them.
        neutral, smiling: (p, 478, 3) landmarks, row by row the same person.
        exchange: the way.
        draw: a new synthetic person at every call.
        read: shapes -> (n, 52) scores of the expression.
        repeats: bootstrap resamples.

    Returns:
        ``geometry_rank1`` of a clear attacker, ``parrot_geometry_rank1`` of one who learned from 1,500 exchanged faces or fewer, and
        ``blendshape_correlation`` between the shapes before and after.
    """
    people = np.arange(len(neutral))
    clear = Discriminants.fit(landmark_features(list(training[0])), training[1])
    exposed = _asked(training[0][:1500], training[1][:1500], exchange, draw)
    first, second = (_asked(landmarks, people, exchange, draw) for landmarks in (neutral, smiling))
    alike = cosine_similarity(clear(landmark_features(list(second.found))), clear(landmark_features(list(neutral))))
    parrot = parrot_geometry(exposed, first, second, clear=training, repeats=repeats)
    before, after = (
        read([normalize_pose(points)[0] for points in np.concatenate(pair)]) for pair in ((neutral, smiling), (first.found, second.found))
    )
    return {
        "geometry_rank1": recognition_measures(alike, people, repeats=repeats)["rank1"],
        "parrot_geometry_rank1": parrot.measures["rank1"],
        "blendshape_correlation": bootstrap(
            np.tile(people, 2), lambda rows: pooled_correlation(before[rows], after[rows]), repeats=repeats
        ),
    }
