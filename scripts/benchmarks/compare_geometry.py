"""Compare ways of exchanging the identity in landmarks, attacked before anything is drawn; a Markdown table.

    python scripts/benchmarks/compare_geometry.py runs/faces/train/train-*.parquet

The people of eval-pairs are attacked; half of the prepared faces train the attackers, k-same averages the other half. What the photo adds
(outline, tone, hair, detection in a drawn face) is not in it, so every figure is better than in the finished picture; it tells one way from
another, in seconds instead of minutes. k-same (Newton, Sweeney and Malin, TKDE 2005) works on the expression here: the mean shape of the k
training people whose expression is nearest, on a synthetic person's neutral shape.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from ganon_hf import Anonymizer
from ganon_hf.core.geometry import PRIVACY, ShapeModel, normalize_pose
from ganon_hf.core.openings import carry_openings
from ganon_hf.core.people import Identity, draw_identity
from ganon_hf.evaluation.attacks.anonymized_pairs import AnonymizedPairs
from ganon_hf.evaluation.attacks.landmark_attack import Discriminants, choose_training_rows, landmark_features
from ganon_hf.evaluation.attacks.parrot import parrot_geometry
from ganon_hf.evaluation.data.samples import pair_rows, read_samples
from ganon_hf.evaluation.metrics.estimates import Estimate, bootstrap, cosine_similarity, pooled_correlation
from ganon_hf.evaluation.metrics.recognition import recognition_measures
from ganon_hf.training.blendshape_network import BlendshapeNetwork
from ganon_hf.training.shards import read_shards

GROUPS = (10, 30, 100)
LEARNED = 3000

# (478, 3) landmarks of a photo, the synthetic person -> (478, 3) target landmarks of the generator
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


def _as_pairs(landmarks: np.ndarray, persons: np.ndarray, exchange: Exchange, draw: Callable[[], Identity]) -> AnonymizedPairs:
    """Pairs as if the target landmarks had been detected in a finished picture; the crops are empty."""
    found = np.stack([exchange(points, draw()) for points in landmarks]).astype(np.float32)
    empty = np.zeros((len(persons), 1, 1), np.uint8)
    return AnonymizedPairs(persons, np.arange(len(persons)), landmarks, found, empty, empty, empty)


def target_measures(
    training: tuple[np.ndarray, np.ndarray],
    neutral: np.ndarray,
    smiling: np.ndarray,
    exchange: Exchange,
    draw: Callable[[], Identity],
    read: Reader,
    *,
    repeats: int = 1000,
) -> dict[str, Estimate]:
    """Attacks and expression for one way of exchanging identities.

    Args:
        training: (m, 478, 3) landmarks of other people and (m,) who they are; attackers train on them.
        neutral, smiling: (p, 478, 3) landmarks, row by row the same person.
        exchange: the way.
        draw: a new synthetic person at every call.
        read: shapes -> (n, 52) scores of the expression.
        repeats: bootstrap resamples.

    Returns:
        ``geometry_rank1`` of the landmark attack, ``parrot_geometry_rank1`` of the parrot attack (trained on 1,500 exchanged faces or
        fewer), and ``blendshape_correlation`` between the shapes before and after.
    """
    people = np.arange(len(neutral))
    clear = Discriminants.fit(landmark_features(list(training[0])), training[1])
    train = _as_pairs(training[0][:1500], training[1][:1500], exchange, draw)
    first, second = (_as_pairs(landmarks, people, exchange, draw) for landmarks in (neutral, smiling))
    alike = cosine_similarity(clear(landmark_features(list(second.found))), clear(landmark_features(list(neutral))))
    parrot = parrot_geometry(train, first, second, clear=training, repeats=repeats)
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", help="parquet files of prepared faces")
    parser.add_argument("--faces", type=Path, default=Path("../shared/faces"), help="folder with eval-pairs-*.parquet")
    parser.add_argument("--model", help="folder or Hub name of the weights; the bundled ones otherwise")
    parser.add_argument("--learned", type=int, default=LEARNED, help="prepared faces that attackers train on")
    parser.add_argument("--groups", type=int, nargs="*", default=list(GROUPS), help="k of k-same")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic people")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    engine, read = Anonymizer.from_pretrained(options.model), BlendshapeNetwork()
    samples = read_samples(options.faces, "eval-pairs")
    found = [[face.landmarks for face in engine.detector(sample.photo) if face.landmarks is not None][:1] for sample in samples]
    both = [(a, b) for a, b in zip(*pair_rows(samples), strict=True) if found[a] and found[b]]
    neutral, smiling = (np.stack([found[row][0] for row in rows]) for rows in zip(*both, strict=True))

    shards = read_shards(options.shards)
    known = np.flatnonzero(shards.persons >= 0)
    learned = known[choose_training_rows(shards.persons[known], options.learned)]
    rest = np.flatnonzero(~np.isin(shards.persons, shards.persons[learned]))
    shapes = np.stack([normalize_pose(points)[0] for points in shards.landmarks[rest]])
    scores, basis = read(shapes), engine.model.geometry.identity_basis.double().numpy()
    ways: dict[str, Exchange] = {"the original landmarks": lambda points, identity: points}
    ways |= {f"privacy {name}": partial(engine.shape_model.anonymize, privacy=name) for name in PRIVACY}
    ways |= {f"k-same, k = {k}": KSame(engine.shape_model, basis, shapes, shards.persons[rest], scores, read, k) for k in options.groups}
    print(f"{len(neutral)} people; attackers train on {len(learned)} faces, k-same on {len(rest)}\n")
    print("| | landmark attack | by a parrot | blendshape correlation |\n|---|---|---|---|")
    for name, way in ways.items():
        numbers = count()
        draw = lambda numbers=numbers: draw_identity(  # noqa: E731
            options.seed, next(numbers), engine.population, num_expression=engine.model.config.num_expression
        )
        figures = target_measures((shards.landmarks[learned], shards.persons[learned]), neutral, smiling, way, draw, read)
        shares = [figures[key] for key in ("geometry_rank1", "parrot_geometry_rank1")]
        cells = [f"{100 * one.value:.0f} % ({100 * one.low:.0f} to {100 * one.high:.0f})" for one in shares]
        kept = figures["blendshape_correlation"]
        print(f"| {name} | {' | '.join(cells)} | {kept.value:.2f} ({kept.low:.2f} to {kept.high:.2f}) |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
