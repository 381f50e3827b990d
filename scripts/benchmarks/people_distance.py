"""How near drawn people come to those that the model was fitted on: distances between coefficients of shape and texture, as a table.

    python scripts/benchmarks/people_distance.py runs/faces/train/train-*.parquet [--checkpoint DIR]

Were people copied, they would be nearer to training people than these are to each other. The measure is blunt: one picture says little
about a person, see the third line. Faces are measured in the checkpoint's own coordinates. About a minute on one core for 14,000 faces,
half of it with --codes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from ganon_hf.core.model_loading import load_model
from ganon_hf.core.task import CHECKPOINT
from ganon_hf.training.gpu_dataset import encode_shards
from ganon_hf.training.population import nearest_people
from ganon_hf.training.shape_space import project_shapes
from ganon_hf.training.shards import read_shards


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", help="parquet files of prepared faces, those that people were fitted on")
    parser.add_argument("--checkpoint", default=str(CHECKPOINT), help="folder or Hub repository; the bundled weights otherwise")
    parser.add_argument("--codes", type=Path, help="appearance codes that scripts/fit/people.py --codes kept")
    parser.add_argument("--draws", type=int, default=10_000, help="how many people are drawn")
    options = parser.parse_args(argv)
    model, shards = load_model(options.checkpoint), read_shards(options.shards)
    if model.prior is None:
        parser.error(f"{options.checkpoint} has no appearance prior (conditioning={model.config.conditioning!r}).")
    codes, measured = encode_shards(shards, model.prior, options.codes)
    population = project_shapes(measured["shapes"], shards.persons, measured["angles"], model.geometry)
    found = nearest_people(population, codes, model.geometry, draws=options.draws)
    rows = {
        "from a drawn person to the nearest training person": found.synthetic,
        "from a training person to the nearest other one": found.training,
        "between two pictures of one training person": found.same,
    }
    usual = float(np.median(found.training))
    print("| distance, median of the second line = 1 | number | smallest | 1 % | median | 99 % |\n|---|---|---|---|---|---|")
    for name, values in rows.items():
        quantiles = np.quantile(values, [0, 0.01, 0.5, 0.99]) / usual
        print(f"| {name} | {len(values)} | " + " | ".join(f"{value:.2f}" for value in quantiles) + " |")
    nearer = 100 * np.mean(found.training < found.synthetic.min())
    print(f"\n{nearer:.1f} % of the training people have somebody nearer to them than the nearest of those drawn is to anybody.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
