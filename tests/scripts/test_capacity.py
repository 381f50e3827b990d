"""The arithmetic of scripts/benchmarks/capacity.py and of scripts/benchmarks/folder.py; timing itself is not tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from script_loading import load_script


@pytest.mark.parametrize(
    ("days", "machines", "hours"),
    [
        (1, 1, 10.0),  # 3600 photos x 100 s = 100 core hours on 10 cores
        (0.25, 2, 5.0),  # 6 hours are not enough for one
        (10 / 24, 1, 10.0),  # just enough
    ],
)
def test_machines_are_whole_and_finish_in_time(days: float, machines: int, hours: float) -> None:
    done = load_script("benchmarks/capacity").plan(3600, 100.0, utilisation=1.0, price=0.5, cores=10, days=days)
    assert (done["core_hours"], done["cost"], done["machines"]) == (100.0, 50.0, machines)
    assert done["hours"] == pytest.approx(hours) and done["photos_per_second"] == pytest.approx(3600 / (hours * 3600))


def test_waiting_costs_core_hours() -> None:
    plan = load_script("benchmarks/capacity").plan
    assert plan(3600, 1.0, utilisation=0.5, price=1.0, cores=1, days=1)["core_hours"] == 2.0


def test_the_measured_number_is_the_median_of_the_pipelines_rounds(tmp_path: Path) -> None:
    rounds = [{"processor_seconds_per_photo": value} for value in (0.6, 0.9, 0.7, 0.8)]
    report = tmp_path / "folder.json"
    report.write_text(json.dumps({"rounds": {"naive": [{"processor_seconds_per_photo": 5.0}], "pipeline": rounds}}))
    assert load_script("benchmarks/capacity").core_seconds_of(report) == pytest.approx(0.75)


def test_benchmark_photos_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        load_script("benchmarks/folder").write_photos(tmp_path / name, 2)
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert first == second and len(first) == 2
