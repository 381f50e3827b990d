"""The people who are held out of training, in the project's own pictures that training otherwise uses."""

from __future__ import annotations

from pathlib import Path

from ...training.persons import held_out_people
from .samples import FILLED_BORDER, Sample, read_samples

SET = "train-expressions"  # several photos of most people, taken on different days
HELD_OUT = held_out_people()["expressions"]  # the source of that set


def read_with_held_out(folder: str | Path) -> list[Sample]:
    """All pictures of the set, with the border that lets faces be found: of the people in :data:`HELD_OUT`, and of those of training.

    Raises:
        FileNotFoundError: the folder does not have the set.
    """
    return read_samples(folder, SET, border=FILLED_BORDER)
