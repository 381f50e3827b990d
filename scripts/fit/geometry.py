"""Fit the shape space and the expression code, and write a checkpoint folder for scripts/fit/people.py.

    python scripts/fit/geometry.py PRIOR runs/faces/train/train-*.parquet --output-dir OUT

PRIOR is a checkpoint folder with an appearance prior, from scripts/fit/appearance_prior.py or trained further. Its generator is copied
unchanged, and its bank of people must be made again (scripts/fit/people.py). This takes about ten minutes on one core for 14,000 faces.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ganon_hf.core.model_loading import load_model
from ganon_hf.core.modeling_ganon import ShapeStatistics
from ganon_hf.training.blendshape_network import BlendshapeNetwork
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.expression_code import ExpressionOptions, fit_expression_code
from ganon_hf.training.shape_space import fit_shape_space_to_shards
from ganon_hf.training.shards import read_shards


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder or Hub repository")
    parser.add_argument("shards", nargs="+", help="parquet files of prepared faces")
    parser.add_argument("--output-dir", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--steps", type=int, default=ExpressionOptions.steps, help="training steps of the expression code")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training of the expression code")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    predict_blendshapes = BlendshapeNetwork()
    model = load_model(arguments.checkpoint)
    if model.prior is None:
        parser.error(f"{arguments.checkpoint} has no appearance prior (conditioning={model.config.conditioning!r}).")
    shards = read_shards(arguments.shards)
    model.geometry = ShapeStatistics(model.config)
    population = fit_shape_space_to_shards(shards, model.geometry)
    logging.info("%d faces, %d of them frontal enough", len(shards), len(population.rows))
    options = ExpressionOptions(steps=arguments.steps, seed=arguments.seed)
    fit_expression_code(population, model.geometry, predict_blendshapes, options)
    save_model(model, arguments.output_dir)
    logging.info("wrote %s", arguments.output_dir)


if __name__ == "__main__":
    main()
