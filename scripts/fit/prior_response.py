"""Correct how the prior of a checkpoint responds to a turned head, and write a copy in which only that differs.

    python scripts/fit/prior_response.py runs/decoder runs/faces/{train,staff}/train-*.parquet --output-dir OUT

Real faces are replaced, and the differences are regressed on the pose, see ganon_hf/training/prior_response.py. Faces in grayscale, of
which more are turned, count as well. This takes about half an hour on one core for 7,000 faces.
"""

from __future__ import annotations

import argparse
import logging

import numpy as np
import torch
from fit_support import add_checkpoint_arguments

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.model_loading import load_image_processor, load_model
from ganon_hf.training.calibration import replaced_faces
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.prior_response import compare_textures, correct_prior, fit_response
from ganon_hf.training.shards import read_shards

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_checkpoint_arguments(parser)
    parser.add_argument("--most", type=int, default=4500, help="faces in grayscale that are compared at most")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    faces = read_shards(options.shards)
    gray = np.random.default_rng(0).permutation(np.flatnonzero(faces.grayscale))[: options.most]
    rows = np.concatenate([np.flatnonzero(~faces.grayscale), np.sort(gray)])
    model, processor = load_model(options.checkpoint), load_image_processor(options.checkpoint)
    comparison = compare_textures(model, replaced_faces(Anonymizer(model, processor), faces, rows))
    change = fit_response(model, comparison)
    applied = np.tensordot(comparison.features[:: max(len(comparison.features) // 300, 1)], change, 1)
    logger.info(
        "%d faces; luma changes by %.1f gray values (mean absolute)",
        len(comparison.features),
        np.abs(applied).mean(),
    )
    correct_prior(model.prior, change)
    save_model(model, options.output_dir)
    logger.info("wrote %s", options.output_dir)


if __name__ == "__main__":
    main()
