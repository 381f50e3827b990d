"""Make the sample photos of the model card and the Space from scikit-image's astronaut (NASA, public domain).

src/ganon_hf/card/portrait.jpg   the portrait with a synthetic face: nobody
spaces/examples/portrait.jpg     the portrait
spaces/examples/*.jpg            synthetic people only: two, three, and one in black and white

So that the heads differ, too, hair, skin and suit are recolored, and the hair is cut or grows, before the faces are drawn. An example in
which a face would be covered, or hair taken for a face, is an error: choose another seed, color or haircut.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps
from skimage import data

from ganon_hf import AnonymizeOptions, Anonymizer

ROOT = Path(__file__).resolve().parents[2]
BOX = (32, 0, 416, 384)  # head and shoulders, 384 x 384
HEAD = (slice(0, 185), slice(140, 310))
TEAL, BLUE = 170, 200  # degrees from the orange of the suit
# Of face and hair: x and y of the middle, and ellipses around it as (half the width, height above the middle, height below it).
MIDDLE, FACE, HAIR = (224.5, 104.5), (44.0, 62.0, 70.0), (76.0, 92.0, 60.0)
SHORT, WIDE = (0.45, 0.4), (1.2, 1.4)  # hair above and beside the face, as shares of what is there


def cut_hair(photo: np.ndarray, above: float, beside: float) -> np.ndarray:
    """The portrait with less or more hair: pixels move along rays from the middle of the face, which itself stays; (512, 512, 3) uint8.

    Args:
        photo: the portrait.
        above, beside: thickness of the hair as a share of what is there.
    """
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    x, y = columns - MIDDLE[0], rows - MIDDLE[1]
    distance = np.hypot(x, y)  # nowhere 0: the middle lies between pixels
    across, down = x / distance, y / distance

    def radius(width: float, upper: float, lower: float) -> np.ndarray:
        return 1 / np.hypot(across / width, down / np.where(y < 0, upper, lower))

    face = radius(*FACE)
    hair = np.maximum(radius(*HAIR), face + 4)  # below the chin there is none: four pixels keep what follows finite
    up = np.square(np.maximum(-down, 0))
    share = 1 + (beside * (1 - up) + above * up - 1) * (1 - np.maximum(down, 0))
    edge = face + share * (hair - face)  # where the hair ends now
    end = 1.5 * np.maximum(hair, edge)  # where nothing moves any more
    from_hair, from_behind = face + (distance - face) / share, hair + (distance - edge) * (end - hair) / (end - edge)
    source = np.select([distance < face, distance < edge, distance < end], [distance, from_hair, from_behind], distance) / distance
    places = [(middle + offset * source).astype(np.float32) for middle, offset in zip(MIDDLE, (x, y), strict=True)]
    return cv2.remap(photo, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def darken_head(photo: np.ndarray) -> np.ndarray:
    """Hair and skin of the portrait in a darker shade; (512, 512, 3) uint8."""
    hue, saturation, _ = np.moveaxis(cv2.cvtColor(photo, cv2.COLOR_RGB2HSV).astype(float), 2, 0)
    warm = (hue > 2) & (hue < 35) & (saturation > 33)
    head = np.zeros(photo.shape[:2], np.uint8)
    head[HEAD] = warm[HEAD]
    head = cv2.morphologyEx(head, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    head = cv2.morphologyEx(head, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return _mix(photo, np.round(255 * 0.85 * (photo / 255) ** 1.7), head, blur=1.5)


def dye_suit(photo: np.ndarray, degrees: int) -> np.ndarray:
    """The space suit in another color: its hue is turned, and paler; (512, 512, 3) uint8."""
    hue, saturation, value = np.moveaxis(cv2.cvtColor(photo, cv2.COLOR_RGB2HSV), 2, 0)
    orange = ((hue < 16) | (hue > 168)) & (saturation > 90)
    orange[: HEAD[0].stop] = False
    turned = ((hue.astype(int) + degrees // 2) % 180).astype(np.uint8)
    dyed = cv2.cvtColor(np.stack([turned, saturation // 2, value], axis=2), cv2.COLOR_HSV2RGB)
    return _mix(photo, dyed, cv2.dilate(orange.astype(np.uint8), np.ones((5, 5), np.uint8)), blur=2.0)


def _mix(photo: np.ndarray, other: np.ndarray, where: np.ndarray, *, blur: float) -> np.ndarray:
    share = cv2.GaussianBlur(where.astype(np.float32), (0, 0), blur)[..., None]
    return np.round(photo * (1 - share) + other * share).astype(np.uint8)


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size, every second one mirrored."""
    width, height = pictures[0].size
    joined = Image.new("RGB", (width * len(pictures), height))
    for number, picture in enumerate(pictures):
        joined.paste(ImageOps.mirror(picture) if number % 2 else picture, (number * width, 0))
    return joined


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    photo, engine = data.astronaut(), Anonymizer.from_pretrained()

    def person(picture: np.ndarray, seed: int, look: str = "match") -> Image.Image:
        return engine(Image.fromarray(picture), AnonymizeOptions(seed=seed, look=look)).image

    gray = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    man, child = person(cut_hair(darken_head(photo), *SHORT), 15, "man, 40"), person(dye_suit(photo, BLUE), 2, "child")
    woman, old = person(cut_hair(dye_suit(photo, TEAL), *WIDE), 34, "woman, 30"), person(cut_hair(gray, *SHORT), 5, "man, 60")
    three = side_by_side([one.crop(BOX) for one in (child, woman, man)])
    pictures = {
        "src/ganon_hf/card/portrait.jpg": person(photo, 5).crop(BOX),
        "spaces/examples/portrait.jpg": Image.fromarray(photo).crop(BOX),
        "spaces/examples/two_people.jpg": side_by_side([man.crop(BOX), child.crop(BOX)]),
        "spaces/examples/three_people.jpg": three.resize((864, 288), Image.Resampling.LANCZOS),
        "spaces/examples/old_photo.jpg": ImageOps.mirror(old.crop(BOX)).convert("L"),
    }
    for name, picture in pictures.items():
        encoded = io.BytesIO()
        picture.save(encoded, format="JPEG", quality=90, subsampling=0)
        result = engine(Image.open(encoded).convert("RGB"), AnonymizeOptions(seed=0))
        if result.num_replaced < len(result.faces):
            raise SystemExit(f"{name}: {result.num_replaced} of {len(result.faces)} faces can be replaced; nothing more is written.")
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_bytes(encoded.getvalue())


if __name__ == "__main__":
    main()
