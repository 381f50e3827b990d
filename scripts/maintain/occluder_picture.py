"""Draw docs/images/occluders.jpg: the portrait in the package with things composed before it, and what becomes of it.

python scripts/maintain/occluder_picture.py docs/images/occluders.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import ganon_hf
from ganon_hf import AnonymizeOptions, Anonymizer, Face
from ganon_hf.core.alignment import crop_image
from ganon_hf.core.faces import box_of_points
from ganon_hf.training.occluder_faces import stored_crop
from ganon_hf.training.occluder_objects import hand, thing
from ganon_hf.training.occluder_samples import STORED_SIZE, BareFaces, compose, make_scene
from ganon_hf.training.occluder_shapes import glasses, hat, mask

PORTRAIT = Path(ganon_hf.__file__).parent / "card" / "portrait.jpg"
# What is drawn, and with which seed: chosen by eye, so that each thing is plain to see.
COLUMNS = ((mask, 5), (mask, 7), (hand, 5), (hat, 8), (thing, 5), (glasses, 2))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=3, help="of the synthetic people")
    options = parser.parse_args(argv)
    engine = Anonymizer.from_pretrained()
    photo = np.array(Image.open(PORTRAIT).convert("RGB"))
    found = max(engine.detector(photo), key=lambda face: face.box[2] - face.box[0])
    crop = stored_crop(np.asarray(found.landmarks, float))
    points = crop.to_crop(np.asarray(found.landmarks)).astype(np.float32)
    faces = BareFaces(crop_image(photo, crop)[None].repeat(2, axis=0), points[None].repeat(2, axis=0))
    columns = []
    for draw, seed in COLUMNS:
        generator = np.random.default_rng(seed)
        layers = draw(make_scene(faces, 0), generator)
        composed = compose(faces.pictures[0], np.zeros((STORED_SIZE, STORED_SIZE), np.uint8), layers, generator)[0]
        before = np.clip(np.round(composed), 0, 255).astype(np.uint8)
        rows = [before]
        for keep in (True, False):
            face = Face(box_of_points(points), 1.0, points)
            rows.append(np.array(engine(before, AnonymizeOptions(seed=options.seed, keep_occluders=keep), faces=[face]).image))
        columns.append(np.vstack(rows))
    Image.fromarray(np.hstack(columns)).save(options.output, quality=90)


if __name__ == "__main__":
    main()
