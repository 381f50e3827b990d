"""Which measured faces are trained on, and in which split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

# Without a face there is nothing to keep, whatever the thresholds.
NO_FACE_REASONS = ("unreadable", "no_face", "no_landmarks", "no_pose")
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class SelectionOptions:
    """Where the lines are drawn. Changing them needs no new detection.

    Attributes:
        validation_share: share of the people (pictures of unknown people: of the pictures) that go to validation, 0 to 1.
        seed: of the split and of the contact sheet, 0 to 2**63 - 1.
        keep_all: only what has no face is dropped; the thresholds below and duplicates do not count.
        min_resolution: photo pixels per crop pixel; below, the crop is mostly interpolation.
        min_sharpness: variance of the Laplacian over the variance of the luma, on the face at 128 px (no unit).
        max_yaw, max_pitch: degrees away from frontal.
        max_misfit: RMS distance of the mesh from the mean face after the pose is taken off, in units of the face's radius.
        min_visible: share of the face oval that lies inside the picture.
        gray_chroma: a picture whose face's colors spread less than this (90th percentile of the distance to their median in Cb, Cr,
            levels) has no color, whatever the source says of it; called a color picture it would teach gray skin.
    """

    validation_share: float = 0.05
    seed: int = 0
    keep_all: bool = False
    min_resolution: float = 0.2
    min_sharpness: float = 0.02
    max_yaw: float = 65.0
    max_pitch: float = 50.0
    max_misfit: float = 0.2
    min_visible: float = 0.7
    gray_chroma: float = 4.5

    def __post_init__(self) -> None:
        for name in ("validation_share", "min_visible"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, but got {getattr(self, name)!r}.")
        for name in ("min_resolution", "min_sharpness", "max_yaw", "max_pitch", "max_misfit", "gray_chroma"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, but got {getattr(self, name)!r}.")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must lie between 0 and 2**63 - 1, but got {self.seed!r}.")

    def as_dict(self) -> dict[str, Any]:
        """Name -> value, for the settings file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def reason_to_drop(row: Mapping[str, Any], options: SelectionOptions) -> str | None:
    """Why a measured row (``measure.MEASURED``) is not trained on; None when it is."""
    if row["reason"] is not None or options.keep_all:
        return row["reason"]
    if row["misfit"] > options.max_misfit:
        return "implausible_mesh"
    if abs(row["yaw"]) > options.max_yaw or abs(row["pitch"]) > options.max_pitch:
        return "turned_away"
    if row["visible"] < options.min_visible:
        return "cut_off"
    if row["resolution"] < options.min_resolution:
        return "too_small"
    if row["sharpness"] < options.min_sharpness:
        return "blurred"
    return None


def is_gray(row: Mapping[str, Any], options: SelectionOptions) -> bool:
    """Whether a measured row with a face has no color: its source says so, or its pixels do."""
    return bool(row["grayscale"]) or row["chroma"] < options.gray_chroma


class Selector:
    """Rows in, in order -> ("train" or "validation", None) or (None, reason). The first of several equal pictures stays."""

    def __init__(self, options: SelectionOptions) -> None:
        self.options = options
        self._seen: set[bytes] = set()

    def __call__(self, row: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Decide on one row; call it once per row."""
        reason = reason_to_drop(row, self.options)
        if reason is None and not self.options.keep_all:
            # counted among the kept only: a picture dropped for its quality is not a duplicate's original
            if row["digest"] in self._seen:
                reason = "duplicate"
            self._seen.add(row["digest"])
        return (None, reason) if reason else (split_of(row["person"], row["digest"], self.options), None)


def split_of(person: int, digest: bytes, options: SelectionOptions) -> str:
    """The split of a person, or of a picture where the person (-1) is unknown: a hash of it and the seed, so it depends on nothing else."""
    name = str(person).encode() if person >= 0 else digest
    value = int.from_bytes(hashlib.sha256(f"{options.seed}:".encode() + name).digest()[:8], "big") / 2**64
    return "validation" if value < options.validation_share else "train"
