"""Make docs/images/before_after.png: the sample photo (scikit-image's astronaut, NASA, public domain) and three synthetic people."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from skimage import data

from ganon_hf import AnonymizeOptions, Anonymizer

BOX = (96, 0, 352, 256)  # head and shoulders of the sample
SIDE = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3, 6])
    parser.add_argument("--side", type=int, default=SIDE, help="pixels of each picture")
    parser.add_argument("--out", type=Path, default=Path("docs/images/before_after.png"))
    arguments = parser.parse_args()
    photo, anonymizer = Image.fromarray(data.astronaut()), Anonymizer.from_pretrained()
    pictures = [photo] + [anonymizer(photo, AnonymizeOptions(seed=seed)).image for seed in arguments.seeds]
    sheet = Image.new("RGB", (arguments.side * len(pictures), arguments.side))
    for number, picture in enumerate(pictures):
        sheet.paste(picture.crop(BOX).resize((arguments.side,) * 2, Image.Resampling.LANCZOS), (number * arguments.side, 0))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(arguments.out)


if __name__ == "__main__":
    main()
