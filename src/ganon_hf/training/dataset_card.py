"""The card of a prepared data set: metadata for the Hub and ``datasets``, and a description for readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData

from .._atomic import write_atomically
from .face_selection import SPLITS, SelectionOptions

# Why pictures are dropped, as the card explains it.
REASONS = {
    "unreadable": "the bytes are no picture",
    "no_face": "no face was found",
    "no_landmarks": "a face was found, but no mesh fits it",
    "no_pose": "the mesh has no head pose",
    "held_out": "somebody from whom nothing learns",
    "implausible_mesh": "the mesh is further from the mean face than {max_misfit} of its radius",
    "turned_away": "the head is turned by more than {max_yaw} degrees of yaw or {max_pitch} of pitch",
    "cut_off": "less than {min_visible} of the face lies inside the picture",
    "too_small": "less than {min_resolution} photo pixels per crop pixel",
    "blurred": "sharpness below {min_sharpness}",
    "duplicate": "the same pixels were kept already",
}


@dataclass(frozen=True)
class SelectionCounts:
    """How many pictures were kept and dropped.

    Attributes:
        kept: split -> number of pictures.
        dropped: reason -> number of pictures.
    """

    kept: dict[str, int]
    dropped: dict[str, int]

    @classmethod
    def from_decisions(cls, decisions: Sequence[tuple[str | None, str | None]]) -> SelectionCounts:
        """Count the (split, reason) of every row; splits and reasons come in a fixed order."""
        kept, dropped = Counter(split for split, _ in decisions), Counter(reason for _, reason in decisions)
        return cls({name: kept[name] for name in SPLITS if kept[name]}, {name: dropped[name] for name in REASONS if dropped[name]})

    def __str__(self) -> str:
        kept = ", ".join(f"{count} {name}" for name, count in self.kept.items()) or "none"
        return f"kept {kept}; dropped " + (", ".join(f"{count} {name}" for name, count in self.dropped.items()) or "none")


def write_card(
    folder: Path, name: str, counts: SelectionCounts, image_size: int, license: str, options: SelectionOptions, *, tight: bool = False
) -> None:
    """Write ``README.md``, the card of a prepared data set.

    Args:
        folder: of the data set.
        name: title of the card.
        counts: what was kept and dropped.
        image_size: side of the crops in pixels.
        license: identifier of the Hub, such as cc-by-4.0.
        options: thresholds of the selection.
        tight: the face oval fills the crops.
    """
    total = sum(counts.kept.values()) + sum(counts.dropped.values())
    data_files = [{"split": split, "path": f"{split}-*.parquet"} for split in counts.kept]
    data = DatasetCardData(license=license, configs=[{"config_name": "default", "data_files": data_files}])
    lines = [
        "---",
        data.to_yaml(),
        "---",
        "",
        f"# {name}",
        "",
        f"Aligned faces of {image_size} x {image_size} pixels for training ganon-hf, made from {total} pictures by",
        f"`scripts/prepare_dataset.py`. {'The face oval fills the crop' if tight else 'Around the face there is a margin'}.",
        "",
        "| split | pictures |",
        "|---|---|",
        *(f"| {split} | {count} |" for split, count in counts.kept.items()),
        "",
        "| dropped | pictures | because |",
        "|---|---|---|",
        *(f"| {reason} | {count} | {REASONS[reason].format(**options.as_dict())} |" for reason, count in counts.dropped.items()),
        "",
        "Columns: `image` (RGB crop), `matte` (255 = person, 0 = background or outside the photo), `landmarks` (478 x 3 crop pixels, point",
        "by point), `person` (same number, same person; -1 unknown), `source`, `emotion`, `grayscale`, `resolution` (photo pixels per crop",
        "pixel; below 1 the crop was enlarged), `sharpness` (variance of the Laplacian over variance of the luma, face at 128 px).",
        "A person is in one split only, as far as the source tells people apart.",
        "",
    ]
    write_atomically(folder / "README.md", str(DatasetCard("\n".join(lines))))
