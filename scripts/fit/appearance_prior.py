"""Fit the closed-form part of the mesh generator (the appearance prior) and write a checkpoint folder for scripts/fit/geometry.py.

    python scripts/fit/appearance_prior.py runs/faces/train/train-*.parquet --output-dir OUT --work-dir WORK

The files are shards of prepared faces (scripts/prepare_dataset.py). Unwrapped textures are kept in WORK and used again by later runs, also
with other sizes of the model.
"""

from __future__ import annotations

import argparse
import logging
import resource
from pathlib import Path

from ganon_hf.core.modeling_ganon import GanonConfig, GanonModel
from ganon_hf.training.appearance_prior import fit_prior, held_out_error
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.texture_extraction import unwrap_shards


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", help="parquet files of prepared faces")
    parser.add_argument("--output-dir", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--work-dir", type=Path, help="folder that keeps the unwrapped textures, about 75 kB per face (default: not kept)")
    parser.add_argument("--held-out", nargs="*", default=[], help="shards on which the error is reported, one by one")
    parser.add_argument("--seed", type=int, default=0, help="seed of the randomized subspace iteration")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = GanonConfig()
    textures = unwrap_shards(arguments.shards, config.texture_size, work_dir=arguments.work_dir)
    logging.info("%d pictures, %d in color", len(textures), len(textures.color_rows))
    model = GanonModel(config)
    model.prior.load_state_dict(fit_prior(textures, config, seed=arguments.seed))
    del textures  # free the memory for the held-out pictures
    for path in arguments.held_out:
        pictures = unwrap_shards([path], config.texture_size, work_dir=arguments.work_dir)
        error = held_out_error(pictures, model.prior)
        logging.info("%s: luma error %.2f gray values (average face: %.2f)", path, error["prior"], error["mean"])
    save_model(model, arguments.output_dir)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kB on Linux
    logging.info("wrote %s (peak memory %.1f GB)", arguments.output_dir, gigabytes)


if __name__ == "__main__":
    main()
