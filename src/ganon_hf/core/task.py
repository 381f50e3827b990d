"""The name of the task and the weights that serve it unless others are named; light, because ``import ganon_hf`` reads it."""

from __future__ import annotations

from pathlib import Path

TASK = "face-anonymization"
CHECKPOINT = Path(__file__).parent.parent / "checkpoint"
