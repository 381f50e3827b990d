"""The arithmetic of scripts/benchmarks/stages.py and limits.py; the timing itself is not tested."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from script_loading import load_script


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_script("benchmarks/stages")


@pytest.fixture(scope="module")
def limits() -> ModuleType:
    return load_script("benchmarks/limits")


def _process(benchmark: ModuleType, seconds: list[float], peak: int) -> dict[str, Any]:
    def stages(total: float) -> dict[str, float]:
        return {**{stage: total / len(benchmark.STAGES) for stage in benchmark.STAGES}, "mesh alone": 0.01, "whole call": total}

    rounds = [{"faces": 6, "replaced": 5, "seconds": stages(s), "processor": stages(2 * s)} for s in seconds]
    runs = dict.fromkeys(benchmark.TARGET_SECONDS, rounds)
    return {"startup": {"import": 1.0, "load": 0.5}, "runs": runs, "peak_bytes": peak, "torch": "2", "threads": 2}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([3.0], 3.0),  # one
        ([1.0, 9.0, 2.0], 2.0),  # an outlier does not count
        ([1.0, 2.0, 3.0, 9.0], 2.5),  # even number
    ],
)
def test_median(benchmark: ModuleType, values: list[float], wanted: float) -> None:
    assert benchmark.median(values) == wanted


def test_summary_pools_the_rounds_of_all_processes(benchmark: ModuleType) -> None:
    summary = benchmark.summarize([_process(benchmark, [0.6, 0.6], 10**9), _process(benchmark, [1.2], 2 * 10**9)])
    scene = summary["scenes"]["1080p, 6 faces"]
    assert scene["rounds"] == 3
    assert scene["ms"]["whole call"] == pytest.approx(600)
    assert scene["processor_ms"]["whole call"] == pytest.approx(1200)
    assert scene["fastest_ms"]["decode"] == pytest.approx(100)
    assert sum(scene["share"].values()) == pytest.approx(1), "mesh alone and whole call are no stages of their own"
    assert summary["peak_gigabytes"] == 2.0


@pytest.mark.parametrize(
    ("seconds", "peak", "missed"),
    [
        (0.2, 10**9, 0),  # all met
        (0.5, 10**9, 1),  # too slow for one face
        (1.5, 2 * 10**9, 3),  # too slow for both, too large
    ],
)
def test_verdicts(benchmark: ModuleType, seconds: float, peak: int, missed: int) -> None:
    lines = benchmark.verdicts(benchmark.summarize([_process(benchmark, [seconds], peak)]))
    assert sum(line.startswith("MISSED") for line in lines) == missed and len(lines) == 3


def test_table_beside_an_earlier_run(benchmark: ModuleType) -> None:
    new, old = (benchmark.summarize([_process(benchmark, [seconds], 10**9)]) for seconds in (0.3, 0.6))
    assert "ratio" not in benchmark.table(new)
    text = benchmark.table(new, old)
    assert "| whole call | 300.0 | 300.0 | 600.0 |  | 600.0 | 0.50 |" in text
    del old["scenes"]["640 px, 1 face"]  # an older run may know fewer photos
    assert "0.50" in benchmark.table(new, old)


def test_a_line_through_what_was_measured(limits: ModuleType) -> None:
    line = limits._line([1, 6, 30], [0.15, 0.40, 1.60])  # 0.1 s and 50 ms a face
    assert line["ms_per_unit"] == pytest.approx(50) and line["r2"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"times the published generator": 11.9}, ["times the published generator"]),  # wants more
        ({"cold start, s": 8.1}, ["cold start, s"]),  # wants less
    ],
)
def test_limits_are_judged_in_their_own_direction(limits: ModuleType, changes: dict[str, float], missed: list[str]) -> None:
    part = {name: 1.1 * target for name, target in limits.AT_LEAST.items()} | {name: 0.9 * target for name, target in limits.BELOW.items()}
    peer = {"times as fast": {str(size): target for size, target in limits.PEER_TARGETS.items()}}
    lines = limits.verdicts({"generator": part | changes, "peer": peer})
    assert len(lines) == 6 and [line.split(": ")[1] for line in lines if line.startswith("MISSED")] == missed
