"""Pictures for the model card: synthetic people, one photo before and after, and difficult pictures. No real person is in them.

The photo is ``card/portrait.jpg``: NASA's portrait from scikit-image (public domain) with a synthetic face in the place of the real one
(``scripts/maintain/example_pictures.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from ..core.anonymizer import Anonymizer
from ..core.faces import AnonymizationResult
from ..core.options import AnonymizeOptions
from ..evaluation.report.people_sheet import people_sheet
from .model_card import HardSample

PORTRAIT = Path(__file__).parent.parent / "card" / "portrait.jpg"
SEEDS = (1, 2, 3)
TILE = 192
_CELL = 128  # a face on the sheet of people


def read_portrait() -> Image.Image:
    """The sample photo."""
    with Image.open(PORTRAIT) as image:
        return image.convert("RGB")


def _small(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (160, 160), (150, 150, 150))
    canvas.paste(image.resize((50, 50), Image.Resampling.LANCZOS), (60, 70))
    return canvas


def _masked(image: Image.Image) -> Image.Image:
    copy = image.copy()
    width, height = image.size
    ImageDraw.Draw(copy).rectangle((0.34 * width, 0.32 * height, 0.68 * width, 0.50 * height), fill=(120, 160, 170))
    return copy


def _large(image: Image.Image) -> Image.Image:
    width, height = image.size
    face = image.crop((round(0.25 * width), round(0.08 * height), round(0.75 * width), round(0.58 * height)))
    return face.resize((face.width * 6, face.height * 6), Image.Resampling.BICUBIC)


HARD_SAMPLES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "the photo as it is": lambda image: image,
    "lying on the side": lambda image: image.rotate(90),
    "upside down": lambda image: image.rotate(180),
    "nose and mouth hidden": _masked,
    "four fifths of the face outside the picture": lambda image: image.crop(
        (round(image.width * 0.55), 0, round(image.width * 1.0), round(image.height * 0.45))
    ),
    "a face of 14 pixels": _small,
    "printed as black dots": lambda image: image.convert("1").convert("RGB"),
    "out of focus": lambda image: image.filter(ImageFilter.GaussianBlur(image.width / 40)),
    "a face of 650 pixels": _large,
}


def anonymize_hard_samples(engine: Anonymizer) -> tuple[list[HardSample], Image.Image]:
    """Outcome of the largest face in each difficult picture, and one sheet of all: input and output side by side, numbered."""
    photo, samples, pairs = read_portrait(), [], []
    for name, change in HARD_SAMPLES.items():
        picture = change(photo)
        result = engine(picture, AnonymizeOptions(seed=SEEDS[0], on_no_face="keep"))
        samples.append(_outcome_of(name, result))
        pairs.append((picture, result.image))
    columns = 3
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * (2 * TILE + 8), rows * (TILE + 8)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, pair in enumerate(pairs):
        left, top = number % columns * (2 * TILE + 8), number // columns * (TILE + 8)
        for side, picture in enumerate(pair):
            sheet.paste(ImageOps.pad(picture, (TILE, TILE), color=(150, 150, 150)), (left + side * TILE, top))
        draw.rectangle((left, top, left + 18, top + 16), fill="white")
        draw.text((left + 5, top + 2), str(number + 1), fill="black")
    return samples, sheet


def _outcome_of(name: str, result: AnonymizationResult) -> HardSample:
    if not result.faces:
        return HardSample(name, "missed")
    first = result.faces[0]
    return HardSample(name, "replaced" if first.status == "replaced" else "covered", first.reason)


def sample_pictures(engine: Anonymizer) -> dict[str, Image.Image]:
    """File name -> picture: a photo, its result, both beside two more results, and for mesh generators a sheet of synthetic people."""
    photo = read_portrait()
    pictures = [photo] + [engine(photo, AnonymizeOptions(seed=seed)).image for seed in SEEDS]
    strip = Image.new("RGB", (photo.width * len(pictures), photo.height))
    for number, picture in enumerate(pictures):
        strip.paste(picture, (number * photo.width, 0))
    made = {"photo.jpg": photo, "result.jpg": pictures[1], "before_after.jpg": strip}
    if engine.model.config.conditioning == "mesh":  # the paper's generator has no people of its own to draw
        sheet = people_sheet(engine, SEEDS)
        height = len(SEEDS) * _CELL
        made["people.jpg"] = Image.fromarray(sheet).resize(
            (round(sheet.shape[1] * height / sheet.shape[0]), height), Image.Resampling.LANCZOS
        )
    return made
