"""Many photos in several processes: order, failures, memory, and the same bytes as one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from standins import BROKEN, CRASH, SquareEngine, TroubledEngine, exploding, names, save, square_photo, unloadable

from ganon_hf._atomic import TEMPORARY_PREFIX
from ganon_hf.bulk import folder as batch
from ganon_hf.bulk import worker_pool as workers
from ganon_hf.bulk.tasks import Outcome, PhotoJob, PhotoTask, PhotoTaskHandler, Settings, anonymize_batch
from ganon_hf.core.faces import NoFaceError
from ganon_hf.core.options import AnonymizeOptions

SETTINGS = Settings(AnonymizeOptions(on_no_face="raise"))


def run(folder: Path, out: Path, load_engine: workers.LoadEngine = SquareEngine, **options: int) -> list[Outcome]:
    jobs, _ = batch.plan([str(folder)], str(out))
    state = batch.State(out)
    try:
        return list(batch.run(jobs, SETTINGS, load_engine, state, **options))
    finally:
        state.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos; the third has no face, the fifth breaks the engine, the sixth its process, the ninth is cut off."""
    root = tmp_path_factory.mktemp("photos")
    for number in range(12):
        size = {4: BROKEN, 5: CRASH}.get(number, (96, 64))
        save(root / "in" / f"{number:02d}.jpg", square_photo(size, box=None if number == 2 else (24, 16, 56, 48), seed=number))
    cut = root / "in" / "08.jpg"
    cut.write_bytes(cut.read_bytes()[:-400])
    return root


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> list[Outcome]:
    """Two processes, three photos at a time: the photo that kills its process takes nobody along."""
    return run(folder / "in", folder / "two", TroubledEngine, processes=2, photos_per_call=3)


def test_outcomes_come_in_the_order_of_the_jobs_each_with_its_own_fate(folder: Path, outcomes: list[Outcome]) -> None:
    assert [outcome.job.source.name for outcome in outcomes] == names(folder / "in")
    wrong = {2: "refused", 4: "failed", 5: "failed", 8: "refused"}
    assert [outcome.status for outcome in outcomes] == [wrong.get(number, "ok") for number in range(12)]
    assert "broken" in outcomes[4].error and "exit code -9" in outcomes[5].error and "no face" in outcomes[2].error
    assert all(outcome.seconds > 0 for outcome in outcomes if outcome.status == "ok")


def test_several_processes_write_the_same_bytes_as_one(folder: Path, outcomes: list[Outcome]) -> None:
    one = run(folder / "in", folder / "one")  # the engine that gets over every photo
    written = names(folder / "two")
    assert written == [f"{n:02d}.jpg" for n in range(12) if n not in (2, 4, 5, 8)], "nothing else, no temporary file either"
    for name in written:
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()
    assert [o.faces for o in one if o.job.target.name in written] == [o.faces for o in outcomes if o.status == "ok"]


def test_a_second_run_skips_what_several_processes_finished(folder: Path, outcomes: list[Outcome]) -> None:
    again = run(folder / "in", folder / "two")
    assert [o.status for o in again] == ["ok" if n in (4, 5) else "refused" if n in (2, 8) else "skipped" for n in range(12)]


@pytest.mark.parametrize(
    ("load_engine", "processes", "message"),
    [
        (unloadable, 1, "no such model"),  # in this process
        (unloadable, 2, "no such model"),  # in a worker: the reason travels
        (exploding, 2, "exit code 7"),  # nothing can be said but this
    ],
)
def test_an_engine_that_cannot_be_loaded_ends_the_run(
    load_engine: workers.LoadEngine, processes: int, message: str, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    with pytest.raises(workers.EngineError, match=message):
        run(tmp_path / "in", tmp_path / "out", load_engine, processes=processes)
    assert names(tmp_path / "out") == []


def test_numbers_below_one_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    with pytest.raises(ValueError, match="at least 1"):
        run(tmp_path / "in", tmp_path / "out", processes=0)


def test_leaving_early_ends_the_workers_and_removes_what_they_began(folder: Path, tmp_path: Path) -> None:
    jobs, _ = batch.plan([str(folder / "in")], str(tmp_path / "out"))
    outcomes = batch.run(jobs, SETTINGS, SquareEngine, None, processes=2)
    assert next(outcomes).status == "ok"
    outcomes.close()
    assert [name for name in names(tmp_path / "out") if TEMPORARY_PREFIX in name] == []
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    for child in children.read_text().split() if children.exists() else ():
        assert b"spawn_main" not in Path(f"/proc/{child}/cmdline").read_bytes(), "a worker is left"


# ---- memory ----------------------------------------------------------------------------------------------------------------------


class _PaperPool(workers.WorkerPool):
    """A pool whose processes are never born: who may begin is decided before."""

    def _start(self) -> workers._Worker:
        ours, _ = workers.multiprocessing.Pipe()
        self._workers.append(worker := workers._Worker(None, ours))  # type: ignore[arg-type]
        return worker

    def _send(self, worker: workers._Worker, groups: object) -> None:
        worker.groups = groups  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("in_work", "next_pixels", "room"),
    [
        ((), 200, True),  # the largest photo there is goes when nothing else does
        ((200,), 1, False),  # and alone
        ((24,), 24, True),  # ordinary ones go together
        ((24, 24), 1, False),  # one process, one group
        ((60,), 41, False),  # 2 processes x 50
        ((60,), 40, True),
    ],
)
def test_photos_in_work_are_limited_by_their_pixels(in_work: Sequence[int], next_pixels: int, room: bool, tmp_path: Path) -> None:
    pool = _PaperPool(SquareEngine, PhotoTaskHandler(SETTINGS), 2)
    for megapixels in in_work:
        pool.submit([PhotoTask(0, PhotoJob(tmp_path, tmp_path), tmp_path, megapixels * 10**6, "")])
    assert pool.has_room(next_pixels * 10**6) == room


# ---- faces of several photos in one call ------------------------------------------------------------------------------------------


def photos(count: int = 3) -> list[np.ndarray]:
    return [tiny.noise_photo(seed=seed) for seed in range(count)]


def test_photos_do_not_depend_on_their_company() -> None:
    engine, options = tiny.tiny_engine(), AnonymizeOptions(seed=5)
    together = anonymize_batch(engine, [(photo, options) for photo in photos()])
    for photo, result in zip(photos(), together, strict=True):
        assert not isinstance(result, Exception) and result.num_replaced == 1
        assert tiny.same(result.image, engine(photo, options).image)


def test_each_photo_fails_alone_and_the_batch_is_one_call() -> None:
    engine, calls = tiny.tiny_engine(), []
    generate = engine.generate
    engine.generate = lambda inputs: calls.append(len(inputs)) or generate(inputs)  # type: ignore[method-assign,func-returns-value]
    options = AnonymizeOptions(seed=5, on_no_face="raise")
    unread = OSError("unreadable")
    empty = tiny.noise_photo(90, 70)
    one, other = photos(2)
    row = [(one, options), (unread, options), (empty, options), (other, options)]
    first, second, third, fourth = anonymize_batch(engine, row)
    assert calls == [2] and second is unread and isinstance(third, NoFaceError)
    assert tiny.same(first.image, engine(one, options).image) and tiny.same(fourth.image, engine(other, options).image)  # type: ignore[union-attr]


def test_a_batch_that_fails_altogether_is_tried_photo_by_photo() -> None:
    engine = tiny.tiny_engine()
    generate = engine.generate

    def small_batches_only(inputs: Sequence[dict[str, torch.Tensor]]) -> list[np.ndarray | str]:
        if len(inputs) > 1:
            raise MemoryError("too many")
        return generate(inputs)

    engine.generate = small_batches_only  # type: ignore[method-assign]
    results = anonymize_batch(engine, [(photo, AnonymizeOptions(seed=1)) for photo in photos()])
    assert [result.num_replaced for result in results] == [1, 1, 1]  # type: ignore[union-attr]


# ---- kill ------------------------------------------------------------------------------------------------------------------------

COMMAND = str(Path(sys.executable).parent / "ganon-hf")


class Watch(threading.Thread):
    """Looks at every file with a final name, over and over: each has to be whole from its first moment on."""

    def __init__(self, folder: Path, expected: dict[str, bytes]) -> None:
        super().__init__(daemon=True)
        self.folder, self.expected, self.wrong, self.looks, self.over = folder, expected, set[str](), 0, threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            for path in self.folder.glob("[!.]*"):
                self.looks += 1
                if path.read_bytes() != self.expected.get(path.name):
                    self.wrong.add(path.name)


@pytest.mark.slow
@pytest.mark.detection
def test_killed_runs_end_like_an_undisturbed_one(astronaut: Image.Image, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in range(12):
        save(tmp_path / "in" / f"{number:02d}.jpg", astronaut.resize((200 + 8 * number,) * 2))
    arguments = [COMMAND, "anonymize", str(tmp_path / "in"), "--seed", "7", "-o"]
    subprocess.run([*arguments, str(tmp_path / "calm"), "--processes", "1"], check=True)
    watch = Watch(out, {path.name: path.read_bytes() for path in (tmp_path / "calm").glob("[!.]*")})
    out.mkdir()
    watch.start()
    finished = [0]
    for _ in range(3):
        process = subprocess.Popen([*arguments, str(out), "--processes", "2"])
        while process.poll() is None and len(list(out.glob("[!.]*"))) < finished[-1] + 2:
            time.sleep(0.01)
        process.kill()
        process.wait()
        finished.append(len(list(out.glob("[!.]*"))))
    last = subprocess.run([*arguments, str(out), "--processes", "2"], check=False)
    watch.over.set()
    watch.join()
    assert last.returncode == 0 and finished == sorted(set(finished)) and finished[-1] < 12, f"killed in the middle: {finished}"
    assert watch.looks > 100 and not watch.wrong, watch.wrong
    assert {path.name: path.read_bytes() for path in out.glob("[!.]*")} == watch.expected
    deadline = time.monotonic() + 30
    while names(out) != sorted(watch.expected) and time.monotonic() < deadline:
        time.sleep(0.1)  # workers of the last killed run may still be on their way out
    assert names(out) == sorted(watch.expected)
