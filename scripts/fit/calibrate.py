"""Calibrate the bank of a checkpoint on real faces, and write a copy in which only the bank differs.

    python scripts/fit/calibrate.py runs/bank runs/faces/{train,staff}/train-*.parquet --output-dir OUT

First, what one person of the bank has and nobody who looks alike is limited: strands of hair, scars, patches in beards. Then real faces in
color are replaced, and what the synthetic faces lack or have too much of on average is added to everybody in the bank, see
ganon_hf/training/calibration.py. Shapes and textures depend on each other, hence two rounds. Then the same is done for women, men, the
young, the old and beards, each compared with the faces that are replaced by one of them. Finally, the rims of irises get the color of the
white around them. This takes about half an hour on one core for 2,600 faces.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass, replace

import numpy as np
from fit_support import add_checkpoint_arguments

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.look import AGES, Look
from ganon_hf.core.model_loading import load_image_processor, load_model
from ganon_hf.core.opencv import cv2
from ganon_hf.core.people import look_of
from ganon_hf.training.calibration import Bias, drawn_looks, measure_bias, remove_bias, replaced_faces
from ganon_hf.training.calm_skin import CalmSkin
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.people_variation import even_beards, limit_outliers
from ganon_hf.training.portrait_eyes import color_irises
from ganon_hf.training.portraits import half_size
from ganon_hf.training.shards import FaceShards, read_shards

logger = logging.getLogger(__name__)

# Standard deviation of the blur of what a group differs by, as a share of the texture's side: lines of the nose and of lids, which not all
# of them have at the same place, would be drawn beside their own.
BLUR = 0.011
# Faces that a group needs, and those at rest that it needs for its shape; and the ridge penalty of the latter.
LEAST, LEAST_AT_REST, SHAPE_RIDGE = 60, 50, 0.2


@dataclass(frozen=True)
class Group:
    """Adults of the bank who are compared apart.

    Attributes:
        name: of the group.
        part, value: of the look, which they have in common.
    """

    name: str
    part: str
    value: str | bool

    def has(self, look: Look) -> bool:
        """Whether a face that is replaced by somebody of this look counts."""
        return look.age in AGES[2:] and getattr(look, self.part) == self.value

    def members(self, looks: np.ndarray) -> np.ndarray:
        """Numbers of the people in the bank, whose looks are stored as (n, 5) classes."""
        return np.flatnonzero([self.has(look_of(classes)) for classes in looks])

    def compare(self, engine: Anonymizer, faces: FaceShards, rows: np.ndarray) -> Bias:
        """By how much the real faces differ: shape and irises only where many are at rest, and of bearded people nothing but the beard."""
        bias = measure_bias(engine.model, replaced_faces(engine, faces, rows), shape_ridge=SHAPE_RIDGE)
        luma, chroma = blurred(bias.luma), np.stack([blurred(one) for one in bias.chroma])
        if self.part == "beard":
            area = CalmSkin(len(luma)).beard
            luma, chroma = luma * area, chroma * half_size(area)
        if self.part == "beard" or bias.num_resting < LEAST_AT_REST:
            bias = replace(bias, shape=np.zeros_like(bias.shape), irises=1.0)
        return replace(bias, luma=luma, chroma=chroma)


def blurred(difference: np.ndarray) -> np.ndarray:
    """A (T, T) difference without its lines; where there is none (eyes, mouth), none comes in."""
    known, sigma = (difference != 0).astype(np.float32), BLUR * len(difference)
    total, weight = (cv2.GaussianBlur(values, (0, 0), sigma) for values in (difference, known))
    return known * total / np.maximum(weight, 1e-3)


# First by sex, of which there are most faces; then what is particular to ages and beards beyond that. People of unsure sex are drawn from
# women and men.
GROUPS = (
    (Group("women", "sex", "woman"), Group("men", "sex", "man")),
    (Group("young", "age", "young"), Group("old", "age", "old"), Group("beards", "beard", True)),
)


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
        logger.info(
            "round %d: luma differed by %.1f gray values (root mean square), shape by %.2f, teeth by a factor of %.2f, irises by %.2f",
            number,
            bias.luma_rms,
            np.linalg.norm(bias.shape),
            bias.mouth,
            bias.irises,
        )
    looks = drawn_looks(Anonymizer(model, processor), faces, rows)
    for groups in GROUPS:
        chosen = {group: rows[[group.has(look) for look in looks]] for group in groups}
        if too_few := {group.name: len(some) for group, some in chosen.items() if len(some) < LEAST}:
            logger.warning("not compared apart, because each group needs %d faces: %s", LEAST, too_few)
        for number in range(1, options.rounds + 1):
            engine = Anonymizer(model, processor)
            biases = {group: group.compare(engine, faces, some) for group, some in chosen.items() if group.name not in too_few}
            for group, bias in biases.items():
                remove_bias(model, bias, group.members(model.geometry.people_looks.numpy()), mouths=False)
                logger.info(
                    "round %d, %s: luma differed by %.1f gray values (root mean square), shape by %.2f, irises by a factor of %.2f; "
                    "%d faces were at rest",
                    number,
                    group.name,
                    bias.luma_rms,
                    np.linalg.norm(bias.shape),
                    bias.irises,
                    bias.num_resting,
                )
    color_irises(model, everybody)  # last, for the white around them has changed
    save_model(model, options.output_dir)
    logger.info("wrote %s", options.output_dir)


if __name__ == "__main__":
    main()
