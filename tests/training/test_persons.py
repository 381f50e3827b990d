"""Who is held out stays held out: no way into training reads these people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ganon_hf.training.face_selection import SelectionOptions, drop_reason
from ganon_hf.training.look_samples import read_rows
from ganon_hf.training.persons import held_out_ids, held_out_people, person_id

HELD_OUT = min(held_out_people()["expressions"])
FREE = next(number for number in range(10**6) if number not in held_out_people()["expressions"])


def measured(source: str, person: int) -> dict[str, object]:
    return {
        "reason": None,
        "person": person_id(source, person),
        "misfit": 0,
        "yaw": 0,
        "pitch": 0,
        "visible": 1,
        "resolution": 1,
        "sharpness": 1,
    }


def test_the_list_is_complete() -> None:
    assert list(held_out_people()) == ["expressions"]
    assert len(held_out_people()["expressions"]) == len(held_out_ids()) == 150


@pytest.mark.parametrize(
    ("source", "person", "reason"),
    [
        ("expressions", HELD_OUT, "held_out"),
        ("expressions", FREE, None),
        ("somebody-else", HELD_OUT, None),  # a number means somebody only within its source
    ],
)
def test_prepared_faces_leave_them_out(source: str, person: int, reason: str | None) -> None:
    assert drop_reason(measured(source, person), SelectionOptions()) == reason
    assert drop_reason(measured(source, person), SelectionOptions(keep_all=True)) is None, "evaluation sets keep everybody"


def test_pictures_read_without_preparation_leave_them_out(tmp_path: Path) -> None:
    people = [FREE, HELD_OUT, FREE]
    rows = [
        {"image": {"bytes": bytes([number]), "path": None}, "source": "expressions", "person": person}
        for number, person in enumerate(people)
    ]
    path = tmp_path / "train-expressions-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert [place for place, _ in read_rows([path])] == [("train-expressions", 0), ("train-expressions", 2)], "rows keep their numbers"


def test_a_set_without_people_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist([{"image": {"bytes": b"0", "path": None}}]), path)
    assert len(list(read_rows([path]))) == 1


FACES = Path(__file__).parents[3] / "shared" / "faces"


@pytest.mark.skipif(not list(FACES.glob("train-expressions-*.parquet")), reason="needs the training pictures")
def test_everybody_on_the_list_has_two_photos() -> None:
    persons = np.concatenate(
        [pq.read_table(path, columns=["person"])["person"].to_numpy() for path in FACES.glob("train-expressions-*.parquet")]
    )
    counts = dict(zip(*np.unique(persons, return_counts=True), strict=True))
    assert all(counts.get(person, 0) >= 2 for person in held_out_people()["expressions"])
