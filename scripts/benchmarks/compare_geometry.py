"""Ways of exchanging the identity in landmarks beside each other, attacked before anything is drawn; a Markdown table.

    python scripts/benchmarks/compare_geometry.py runs/faces/train/train-*.parquet --blendshape-model ../shared/models/face_landmarker.task

The people of eval-pairs are attacked; half of the prepared faces teach the attackers, the other half is what k-same takes its means of.
"""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from ganon_hf import Anonymizer
from ganon_hf.core.geometry import PRIVACY, draw_identity, normalize_pose
from ganon_hf.evaluation.attacks.landmark_attack import choose_training_rows
from ganon_hf.evaluation.attacks.target_landmarks import Exchange, KSame, asked_measures
from ganon_hf.evaluation.data.samples import pair_rows, read_samples
from ganon_hf.training.blendshape_network import BlendshapeNetwork
from ganon_hf.training.shards import read_shards

GROUPS = (10, 30, 100)
LEARNED = 3000


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", help="parquet files of prepared faces")
    parser.add_argument("--faces", type=Path, default=Path("../shared/faces"), help="folder with eval-pairs-*.parquet")
    parser.add_argument("--blendshape-model", type=Path, default=Path("../shared/models/face_landmarker.task"))
    parser.add_argument("--model", help="folder or Hub name of the weights; the bundled ones otherwise")
    parser.add_argument("--learned", type=int, default=LEARNED, help="prepared faces that attackers learn from")
    parser.add_argument("--groups", type=int, nargs="*", default=list(GROUPS), help="k of k-same")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic people")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    engine, read = Anonymizer.from_pretrained(options.model), BlendshapeNetwork(options.blendshape_model)
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
    print(f"{len(neutral)} people; attackers learn from {len(learned)} faces, k-same from {len(rest)}\n")
    print("| | landmark attack | by a parrot | blendshape correlation |\n|---|---|---|---|")
    for name, way in ways.items():
        numbers = count()
        draw = lambda numbers=numbers: draw_identity(  # noqa: E731
            options.seed, next(numbers), engine.population, num_expression=engine.model.config.num_expression
        )
        figures = asked_measures((shards.landmarks[learned], shards.persons[learned]), neutral, smiling, way, draw, read)
        shares = [figures[key] for key in ("geometry_rank1", "parrot_geometry_rank1")]
        cells = [f"{100 * one.value:.0f} % ({100 * one.low:.0f} to {100 * one.high:.0f})" for one in shares]
        kept = figures["blendshape_correlation"]
        print(f"| {name} | {' | '.join(cells)} | {kept.value:.2f} ({kept.low:.2f} to {kept.high:.2f}) |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
