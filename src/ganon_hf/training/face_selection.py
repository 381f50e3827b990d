"""Which measured faces are kept for training, and in which split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .persons import held_out_ids

# Reasons that hold whatever the thresholds are: there is no face.
NO_FACE_REASONS = ("unreadable", "no_face", "no_landmarks", "no_pose")
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class SelectionOptions:
    """Thresholds of the selection. Changing them needs no new detection.

    Attributes:
        validation_share: share of the people in the validation split, or of the pictures where the person is unknown; 0 to 1.
        seed: of the split and of the contact sheet, 0 to 2**63 - 1.
        keep_all: drop only pictures without a face; the thresholds below, duplicates and people who are held out are not dropped.
        min_resolution: photo pixels per crop pixel; below, the crop is mostly interpolation.
        min_sharpness: variance of the Laplacian over the variance of the luma, on the face at 128 px (no unit).
        max_yaw, max_pitch: degrees away from frontal.
        max_misfit: RMS distance of the pose-normalized mesh from the mean face, in units of the face's radius.
        min_visible: share of the face oval inside the picture.
        gray_chroma: a picture counts as grayscale, whatever its source says, if the colors of the face spread less than this (90th
            percentile of the distance to their median in Cb and Cr, pixel values 0-255). As a color picture it would teach gray skin.

    Raises:
        ValueError: a value is out of range.
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
        """Name -> value."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def drop_reason(row: Mapping[str, Any], options: SelectionOptions) -> str | None:
    """Why a row of ``face_measurement.MEASURED_SCHEMA`` is dropped; None if it is kept."""
    if row["reason"] is not None or options.keep_all:
        return row["reason"]
    if row["person"] in held_out_ids():
        return "held_out"
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


def is_grayscale(row: Mapping[str, Any], options: SelectionOptions) -> bool:
    """Whether a measured row with a face has no color, by the label of its source or by its pixels."""
    return bool(row["grayscale"]) or row["chroma"] < options.gray_chroma


class Selector:
    """Decides on measured rows, one after another; of several equal pictures the first one is kept."""

    def __init__(self, options: SelectionOptions) -> None:
        self.options = options
        self._seen: set[bytes] = set()

    def __call__(self, row: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Decide on the next row: its split ("train" or "validation") and None, or None and the reason why it is dropped."""
        reason = drop_reason(row, self.options)
        if reason is None and not self.options.keep_all:
            # compared with kept pictures only: one that was dropped for its quality makes no other a duplicate
            if row["digest"] in self._seen:
                reason = "duplicate"
            self._seen.add(row["digest"])
        return (None, reason) if reason else (split_of(row["person"], row["digest"], self.options), None)


def split_of(person: int, digest: bytes, options: SelectionOptions) -> str:
    """The split of a person, or of a picture if the person is unknown (-1). It depends only on a hash of person or picture and the seed."""
    name = str(person).encode() if person >= 0 else digest
    value = int.from_bytes(hashlib.sha256(f"{options.seed}:".encode() + name).digest()[:8], "big") / 2**64
    return "validation" if value < options.validation_share else "train"
