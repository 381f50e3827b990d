"""A contact sheet of kept and dropped pictures with reasons and measures, to choose the thresholds of the selection by eye."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..image_files import save_image

_SIDE = 128
_CAPTION = 24
_COLUMNS = 12
_KEPT_ROWS = 6
_DROPPED_ROWS = 2
_BACKGROUND = (0, 160, 80)


class ContactSheet:
    """Collects some of the kept and dropped pictures.

    Args:
        decisions: (split, reason) of every row.
        seed: decides which pictures are shown.
    """

    def __init__(self, decisions: Sequence[tuple[str | None, str | None]], seed: int) -> None:
        groups: dict[str, list[int]] = {}
        for number, (split, reason) in enumerate(decisions):
            groups.setdefault(reason or f"kept: {split}", []).append(number)
        self._titles = sorted(groups, key=lambda title: (not title.startswith("kept"), title))
        generator = np.random.default_rng(seed)
        self._title_of: dict[int, str] = {}
        for title in self._titles:
            count = min(len(groups[title]), _COLUMNS * (_KEPT_ROWS if title.startswith("kept") else _DROPPED_ROWS))
            chosen = generator.choice(groups[title], count, replace=False)
            self._title_of |= {int(number): title for number in chosen}
        self._totals = {title: len(numbers) for title, numbers in groups.items()}
        self._tiles: dict[str, list[Image.Image]] = {title: [] for title in self._titles}

    def add(self, number: int, row: Mapping[str, Any]) -> None:
        """Show the row with this number if it is among the chosen ones; call it once per row."""
        if title := self._title_of.get(number):
            self._tiles[title].append(_tile(row))

    def save(self, path: Path) -> None:
        """Write a PNG with a title line and the pictures of each group."""
        heights = [_CAPTION + -(-len(tiles) // _COLUMNS) * (_SIDE + _CAPTION) for tiles in self._tiles.values()]
        sheet = Image.new("RGB", (_COLUMNS * _SIDE, max(sum(heights), 1)), "white")
        draw, top = ImageDraw.Draw(sheet), 0
        for title, height in zip(self._titles, heights, strict=True):
            draw.text((4, top + 6), f"{title} ({len(self._tiles[title])} of {self._totals[title]})", fill="black")
            for place, tile in enumerate(self._tiles[title]):
                line, column = divmod(place, _COLUMNS)
                sheet.paste(tile, (column * _SIDE, top + _CAPTION + line * (_SIDE + _CAPTION)))
            top += height
        save_image(sheet, path)


def _tile(row: Mapping[str, Any]) -> Image.Image:
    tile = Image.new("RGB", (_SIDE, _SIDE + _CAPTION), "white")
    draw = ImageDraw.Draw(tile)
    if row["image"] is None:
        if row["thumbnail"]:
            tile.paste(Image.open(io.BytesIO(row["thumbnail"])).convert("RGB"))
        draw.text((2, _SIDE), f"row {row['row']}", fill="black")
        return tile
    crop = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB").resize((_SIDE, _SIDE))
    matte = Image.open(io.BytesIO(row["matte"]["bytes"])).convert("L").resize((_SIDE, _SIDE))
    tile.paste(Image.composite(crop, Image.blend(crop, Image.new("RGB", crop.size, _BACKGROUND), 0.6), matte))
    text = f"{'gray ' if row['grayscale'] else ''}{row['resolution']:.2f} px  sharp {row['sharpness']:.3f}\nyaw {row['yaw']:.0f} "
    text += f"pitch {row['pitch']:.0f} fit {row['misfit']:.2f} {row['visible']:.2f}"
    draw.multiline_text((2, _SIDE), text, fill="black", spacing=0)
    return tile
