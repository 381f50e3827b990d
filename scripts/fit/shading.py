"""Learn from real faces how faces shade themselves, and write a copy of a checkpoint in which only that differs.

    python scripts/fit/shading.py runs/calibrated runs/faces/{train,staff}/train-*.parquet --output-dir OUT

Real faces in color are replaced without shading, and what the synthetic faces lack is regressed on the light, see
ganon_hf/training/shading_response.py. Three minutes on one core for 2,600 faces.
"""

from __future__ import annotations

import argparse
import logging

import numpy as np
import torch
from fit_support import add_checkpoint_arguments

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.shading_response import compare_shading, fit_response, replaced_evenly
from ganon_hf.training.shards import read_shards

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_checkpoint_arguments(parser)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    faces = read_shards(options.shards)
    engine = Anonymizer.from_pretrained(options.checkpoint)
    compared = compare_shading(replaced_evenly(engine, faces, np.flatnonzero(~faces.grayscale)))
    response = fit_response(compared)
    for name, values in response._asdict().items():
        engine.model.geometry.get_buffer(f"shading_{name}").copy_(torch.from_numpy(values))
    save_model(engine.model, options.output_dir)
    change = np.abs(response.maps[response.maps != 0]).mean()
    logger.info("wrote %s from %d faces; luma changes by %.0f %% per deviation", options.output_dir, len(compared.light), 100 * change)


if __name__ == "__main__":
    main()
