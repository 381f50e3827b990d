"""scripts/evaluate.py: recognition across days is tried on people from whom no attacker learns either."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from script_loading import load_script

from ganon_hf.training.persons import held_out_people

SCRIPT = load_script("evaluate")
FIRST, SECOND = sorted(held_out_people()["expressions"])[:2]
FREE = max(held_out_people()["expressions"]) + 1


def picture(seed: int) -> dict[str, object]:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    people = [FIRST, FREE, SECOND, FIRST, FREE, FIRST, SECOND]
    rows = [{"image": picture(n), "person": person, "emotion": "neutral"} for n, person in enumerate(people)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train-expressions-00000-of-00001.parquet")
    return tmp_path


def test_two_photos_of_everybody_who_is_held_out(faces: Path) -> None:
    found = SCRIPT.across_days(faces, None)
    assert sorted(sample.person for sample in found.samples) == [FIRST, FIRST, SECOND, SECOND]
    assert {sample.emotion for sample in found.samples} == {""}, "the first photo is known, whatever it shows"
    assert len(SCRIPT.across_days(faces, 1).samples) == 2


def test_attackers_learn_from_others(faces: Path) -> None:
    assert {sample.person for sample in SCRIPT.training_samples(faces)} == {FREE}
