"""Train the decoder of the expression code further, and write a copy of a checkpoint in which only that differs.

    python scripts/fit/decoder.py runs/shaded runs/faces/{train,staff}/train-*.parquet --output-dir OUT

Faces move as far as the ones they stand for, and are centered on them, see ganon_hf/training/movement_decoder.py. The encoder stays as it
is: what passes from a face to the synthetic one does not change. This takes about seven minutes on one core for 14,000 faces.
"""

from __future__ import annotations

import argparse
import logging

import torch
from fit_support import add_checkpoint_arguments

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.training.blendshape_network import BlendshapeNetwork
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.movement_decoder import MovementOptions, center_decoder, fit_movement_decoder
from ganon_hf.training.shape_space import measure_population
from ganon_hf.training.shards import read_shards

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_checkpoint_arguments(parser)
    parser.add_argument("--steps", type=int, default=MovementOptions.steps)
    parser.add_argument("--seed", type=int, default=MovementOptions.seed)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    engine = Anonymizer.from_pretrained(options.checkpoint)
    statistics = engine.model.geometry
    population = measure_population(read_shards(options.shards), statistics)
    fit_movement_decoder(
        population, statistics, engine.population, BlendshapeNetwork(), MovementOptions(steps=options.steps, seed=options.seed)
    )
    engine = Anonymizer(engine.model, engine.image_processor)  # with the new decoder
    moved = center_decoder(population, statistics, engine.shape_model, engine.population, seed=options.seed)
    save_model(engine.model, options.output_dir)
    logger.info("wrote %s; everybody was moved by %.4f", options.output_dir, moved)


if __name__ == "__main__":
    main()
