"""Two thousand photos: processor time, which others do not lengthen, and memory; `scripts/benchmarks/review.py` times the page."""

from __future__ import annotations

import os
import time
from pathlib import Path

from review_runs import tiny_engine
from script_loading import load_script

from ganon_hf.review.finished_run import read_run
from ganon_hf.review.pictures import THUMBNAIL_SIDE, VIEW_SIDE, PictureCache
from ganon_hf.review.session import FILTERS, ReviewSession

COUNT = 2000


def test_two_thousand_photos_take_little_time_and_no_more_memory(tmp_path: Path) -> None:
    benchmark = load_script("benchmarks/review")
    benchmark.write_run(tmp_path, COUNT, 320, 240)
    started = time.process_time()
    report, out = tmp_path / "report.jsonl", tmp_path / "out"
    session = ReviewSession(read_run(report, out), report, out, tiny_engine)
    counts = session.counts()
    assert time.process_time() - started < 1.5 and counts["all"] == COUNT
    assert sum(counts[name] for name in FILTERS[2:-1]) == COUNT, "every photo has one concern"
    pictures, sizes = PictureCache(), []
    started = time.process_time()
    for number in session.numbers("all"):
        photo = session.photo(number)
        assert session.details(number)["width"] == 320
        if number % 5 == 0:
            assert pictures.result(photo.target, out, VIEW_SIDE).startswith(b"\xff\xd8")
            assert pictures.result(photo.target, out, THUMBNAIL_SIDE).startswith(b"\xff\xd8")
        if number % 100 == 0:
            session.set_fine(number, True)
        sizes.append(benchmark.resident(os.getpid()))
    assert (time.process_time() - started) / COUNT < 0.1
    assert sizes[-1] - sizes[COUNT // 4] < benchmark.TARGET_GROWTH
    assert session.counts()["open"] == COUNT - COUNT // 100
    pictures.close()
    session.close()
