"""Learn how faces shade themselves from real faces, and write what the compositor reads.

    python scripts/fit/shading.py CHECKPOINT runs/faces/{train,staff}/train-*.parquet --output src/ganon_hf/core/shading.safetensors

Real faces in color are replaced by the checkpoint under an even light, and what the synthetic faces lack is regressed on the light, see
ganon_hf/training/shading_response.py. Three minutes on one core for 2,600 faces.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ganon_hf._atomic import atomic_file
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.training.shading_response import compare_shading, fit_response, replaced_evenly
from ganon_hf.training.shards import read_shards

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder or Hub repository")
    parser.add_argument("shards", nargs="+", help="parquet files of prepared real faces; gray ones are left out")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    faces = read_shards(options.shards)
    engine = Anonymizer.from_pretrained(options.checkpoint)
    compared = compare_shading(replaced_evenly(engine, faces, np.flatnonzero(~faces.grayscale)))
    response = fit_response(compared)
    with atomic_file(options.output) as temporary:
        save_file({name: values.astype(np.float16) for name, values in response._asdict().items()}, temporary)
    logger.info("wrote %s from %d faces; maps change log luma by %.3f", options.output, len(compared.light), response.maps.std())


if __name__ == "__main__":
    main()
