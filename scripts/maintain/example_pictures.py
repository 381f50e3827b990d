"""Make the sample photos of the model card and the Space from scikit-image's astronaut (NASA, public domain).

src/ganon_hf/card/portrait.jpg   the portrait with a synthetic face: nobody
spaces/examples/portrait.jpg     the portrait
spaces/examples/two_people.jpg   two synthetic people
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageOps
from skimage import data

from ganon_hf import AnonymizeOptions, Anonymizer

ROOT = Path(__file__).resolve().parents[2]
BOX = (32, 0, 416, 384)  # head and shoulders, 384 x 384
SEEDS = (1, 2)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    photo, engine = Image.fromarray(data.astronaut()), Anonymizer.from_pretrained()
    first, second = (engine(photo, AnonymizeOptions(seed=seed)).image.crop(BOX) for seed in SEEDS)
    two = Image.new("RGB", (2 * first.width, first.height))
    two.paste(first, (0, 0))
    two.paste(ImageOps.mirror(second), (first.width, 0))
    pictures = {
        "src/ganon_hf/card/portrait.jpg": first,
        "spaces/examples/portrait.jpg": photo.crop(BOX),
        "spaces/examples/two_people.jpg": two,
    }
    for name, picture in pictures.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(ROOT / name, quality=90, subsampling=0)


if __name__ == "__main__":
    main()
