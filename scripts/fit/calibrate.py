"""Calibrate the bank of a checkpoint on real faces, and write a copy in which only the bank differs.

    python scripts/fit/calibrate.py runs/bank runs/faces/{train,staff}/train-*.parquet --output-dir OUT

First, what one person of the bank has and nobody who looks alike is limited: strands of hair, scars, patches in beards. Then real faces in
color are replaced, and what the synthetic faces lack or have too much of on average is added to everybody in the bank, see
ganon_hf/training/calibration.py. Shapes and textures depend on each other, hence two rounds. Then the same is done for women and for men,
each compared with faces that are replaced by one of them. Finally, the rims of irises get the color of the white around them. This takes
about half an hour on one core for 2,600 faces.
"""

from __future__ import annotations

import argparse
import logging

import numpy as np
from fit_support import add_checkpoint_arguments

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.look import SEXES
from ganon_hf.core.model_loading import load_image_processor, load_model
from ganon_hf.training.calibration import Bias, drawn_looks, measure_bias, remove_bias, replaced_faces
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.people_variation import even_beards, limit_outliers
from ganon_hf.training.portrait_eyes import color_irises
from ganon_hf.training.shards import read_shards

logger = logging.getLogger(__name__)

# They are compared apart; people of unsure sex are drawn from both.
GROUPS = ("woman", "man")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_checkpoint_arguments(parser)
    parser.add_argument("--rounds", type=int, default=2, help="how often the bank is compared and corrected")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    faces = read_shards(options.shards)
    rows = np.flatnonzero(~faces.grayscale)
    model, processor = load_model(options.checkpoint), load_image_processor(options.checkpoint)
    everybody = np.arange(model.config.num_people)
    limit_outliers(model)
    even_beards(model)
    for number in range(1, options.rounds + 1):
        engine = Anonymizer(model, processor)  # it keeps the shapes that the bank had when it was made
        bias = measure_bias(model, replaced_faces(engine, faces, rows))
        remove_bias(model, bias, everybody)
        log_bias(f"round {number}", bias)
    sexes = np.array([look.sex for look in drawn_looks(Anonymizer(model, processor), faces, rows)])
    members = {sex: np.flatnonzero(model.geometry.people_looks[:, 1].numpy() == SEXES.index(sex)) for sex in GROUPS}
    for number in range(1, options.rounds + 1):
        engine = Anonymizer(model, processor)
        biases = {sex: measure_bias(model, replaced_faces(engine, faces, rows[sexes == sex])) for sex in GROUPS}
        for sex, bias in biases.items():
            remove_bias(model, bias, members[sex], mouths=False)
            log_bias(f"round {number}, {sex}", bias)
    color_irises(model, everybody)  # last, for the white around them has changed
    save_model(model, options.output_dir)
    logger.info("wrote %s", options.output_dir)


def log_bias(what: str, bias: Bias) -> None:
    """Log by how much synthetic faces differed."""
    logger.info(
        "%s: luma differed by %.1f gray values (root mean square), shape by %.2f, teeth by a factor of %.2f, irises by %.2f",
        what,
        bias.luma_rms,
        np.linalg.norm(bias.shape),
        bias.mouth,
        bias.irises,
    )


if __name__ == "__main__":
    main()
