"""Make the children of a checkpoint's bank look like children, and write a copy in which only they differ.

    python scripts/fit/children.py runs/decoder runs/people/train-*.parquet --output-dir OUT

The portraits are those of scripts/fit/people.py, which show people who do not exist. What the portraits of children have beyond the
synthetic children in their place, less what those of adults have beyond theirs, is added to the children of the bank, class by class, see
ganon_hf/training/calibration.py. First, the textures of toddlers are brought closer together, as their portraits differ by hard light and
worried expressions. Portraits of older children are too few for a texture of their own, so that these come to lie between toddlers and
young adults in the end. Eyes, which the shape's coefficients hardly see, are set last. This takes about two minutes on one core.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from fit_support import add_checkpoint_arguments
from people import TABLE, read_table

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.look import AGES, Age, parse_look
from ganon_hf.core.model_loading import load_image_processor, load_model
from ganon_hf.training.calibration import Bias, measure_bias, remove_bias, replaced_faces
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.people_variation import bring_together
from ganon_hf.training.portrait_eyes import color_irises
from ganon_hf.training.shards import FaceShards, read_shards

logger = logging.getLogger(__name__)

CHILDREN: tuple[Age, ...] = ("toddler", "child")
ADULTS: tuple[Age, ...] = ("young", "middle")
# Share that is left of what a child's texture has beyond the mean of the class: many portraits of children have hard light and a worried
# expression, and blends of a few look worn. Tuned on photos.
_OWN_SHARE = 0.35
# Share of what their irises have beyond adults' that is taken over, as a logarithm: these models exaggerate it. Beside adults', children's
# irises are 1.20 times as large in portraits, and 1.13 times in photos.
_IRISES_SHARE = 0.5
# How much farther than by their shape their eyes are open: on nine children in photos, synthetic eyes were open 0.9 times as far. Portraits
# cannot tell, as they stare, and what exceeds an eye at rest is carried over.
_LIDS = 1.12


def compare(engine: Anonymizer, faces: FaceShards, looks: Sequence[str], ages: Sequence[Age], most: int) -> Bias:
    """Portraits of some ages and the synthetic people in their place.

    Args:
        engine: with the bank.
        faces: the portraits.
        looks: of each of them, in words; empty where it is not used.
        ages: whose portraits count.
        most: portraits that are compared at most.

    Raises:
        ValueError: there is no portrait of these ages in color.
    """
    rows = [row for row, words in enumerate(looks) if words and parse_look(words).age in ages and not faces.grayscale[row]]
    if not rows:
        raise ValueError(
            f"the bank's children are compared with portraits, but none of {' or '.join(ages)} is among {len(looks)} in color."
        )
    rows = np.random.default_rng(0).permutation(rows)[:most].tolist()
    return measure_bias(engine.model, chain.from_iterable(replaced_faces(engine, faces, [row], looks[row]) for row in rows))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_checkpoint_arguments(parser)
    parser.add_argument("--rounds", type=int, default=3, help="how often the children are compared and corrected")
    parser.add_argument("--most", type=int, default=250, help="portraits of a group that are compared")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    faces, table = read_shards(options.shards), read_table(TABLE)
    looks = [table.get(int(person), ("", False))[0] for person in faces.persons]
    model, processor = load_model(options.checkpoint), load_image_processor(options.checkpoint)
    classes = model.geometry.people_looks.numpy()
    groups = {age: np.flatnonzero(classes[:, 0] == AGES.index(age)) for age in CHILDREN}
    toddlers, children = groups.values()
    young = np.flatnonzero((classes[:, 0] == AGES.index("young")) & (classes[:, 2] == 0))
    bring_together(model, toddlers, _OWN_SHARE, [toddlers])
    adults = compare(Anonymizer(model, processor), faces, looks, ADULTS, options.most)
    for number in range(1, options.rounds + 1):
        engine = Anonymizer(model, processor)  # it keeps the shapes that the bank had when it was made
        biases = {age: compare(engine, faces, looks, (age,), options.most).beyond(adults) for age in CHILDREN}
        for age, bias in biases.items():
            # the shape moves irises, too: their factor is right when the shape is
            last = number == options.rounds
            applied = replace(bias, irises=bias.irises**_IRISES_SHARE if last else 1.0)
            if age == "child":  # there are too few portraits of them for their texture
                applied = replace(applied, luma=np.zeros_like(bias.luma), chroma=np.zeros_like(bias.chroma))
            remove_bias(model, applied, groups[age], mouths=False)
            logger.info(
                "round %d, %s: luma of %d people differed by %.1f gray values (root mean square), shape by %.2f, "
                "irises by a factor of %.2f",
                number,
                age,
                len(groups[age]),
                bias.luma_rms,
                np.linalg.norm(bias.shape),
                bias.irises,
            )
    bring_together(model, children, _OWN_SHARE, [toddlers, young])
    every_child = np.concatenate([toddlers, children])
    model.geometry.people_lids[torch.from_numpy(every_child)] = _LIDS
    color_irises(model, every_child)  # last, for the white around them has changed
    save_model(model, options.output_dir)
    logger.info("wrote %s", options.output_dir)


if __name__ == "__main__":
    main()
