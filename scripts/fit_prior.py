"""Fit the closed-form part of the mesh generator (appearance prior and shape statistics) and write a checkpoint folder.

    python scripts/fit_prior.py FILES.parquet... --output-dir OUT --work-dir WORK

The files hold one picture a row: image (struct with bytes), source, person, emotion, grayscale. Unwrapped textures are kept in WORK, so
that a second run with other sizes of the model starts from there.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from pathlib import Path

from ganon_hf.image_processing_ganon import GanonImageProcessor
from ganon_hf.modeling_ganon import GanonConfig, GanonModel
from ganon_hf.training.data import unwrap_files
from ganon_hf.training.prior import fit_prior, held_out_error
from ganon_hf.training.shape import fit_shape_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="parquet files")
    parser.add_argument("--output-dir", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--work-dir", type=Path, required=True, help="unwrapped textures, about 75 kB a picture")
    parser.add_argument("--held-out", nargs="*", default=[], help="parquet files on which the error is reported")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = GanonConfig()
    textures = unwrap_files(arguments.files, arguments.work_dir, crop_size=config.image_size, texture_size=config.texture_size)
    logging.info("%d pictures, %d in colour", len(textures), len(textures.color_rows))
    model = GanonModel(config)
    model.prior.load_state_dict(fit_prior(textures, config, seed=arguments.seed))
    model.geometry.load_state_dict(fit_shape_model(textures.shapes, textures.persons, textures.angles, textures.neutral, config))
    for path in arguments.held_out:
        pictures = unwrap_files([path], arguments.work_dir / Path(path).stem, crop_size=config.image_size, texture_size=config.texture_size)
        error = held_out_error(pictures, model.prior)
        logging.info("%s: luma error %.2f levels (one average face for all: %.2f)", Path(path).stem, error["prior"], error["mean"])
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.output_dir) as folder:  # whoever reads the old files now keeps them whole
        model.save_pretrained(folder)
        GanonImageProcessor(config.conditioning, config.image_size).save_pretrained(folder)
        for file in sorted(Path(folder).iterdir()):
            file.chmod(0o644)
            os.replace(file, arguments.output_dir / file.name)
    logging.info("wrote %s", arguments.output_dir)


if __name__ == "__main__":
    main()
