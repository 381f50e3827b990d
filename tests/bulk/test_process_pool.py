"""The pool behind preparing, unwrapping and evaluating: order, one thread each, errors that say what to do, nothing left changed."""

from __future__ import annotations

import os
from pathlib import Path

import cv2  # noqa: F401  OpenCV sets LD_LIBRARY_PATH when it is loaded, which is no change of ours
import pytest
import torch

import ganon_hf
from ganon_hf.bulk.process_pool import ProcessPool

ROOT = Path(ganon_hf.__file__).parent


def make_tools() -> dict[str, int]:
    return {"uses": 0}


def unavailable() -> dict[str, int]:
    raise OSError("no such model")


def use(tools: dict[str, int], number: int) -> tuple[int, int, int]:
    tools["uses"] += 1
    return number * number, tools["uses"], os.getpid()


def threads(tools: dict[str, int], number: int) -> tuple[int, int, str | None]:

    return torch.get_num_threads(), cv2.getNumThreads(), os.environ.get("OPENBLAS_NUM_THREADS")


def die(tools: dict[str, int], number: int) -> int:
    os._exit(3)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """This process computes with several threads, and says so to its children."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield environment()  # type: ignore[misc]
    torch.set_num_threads(before)


def test_in_this_process(many_threads: dict[str, str]) -> None:
    with ProcessPool(make_tools) as pool:
        assert list(pool.imap(use, range(3))) == [(0, 1, os.getpid()), (1, 2, os.getpid()), (4, 3, os.getpid())], "tools are made once"
        assert list(pool.imap(threads, [0]))[0][0] == 1
    assert torch.get_num_threads() == 2 and environment() == many_threads
    with pytest.raises(OSError, match="no such model"), ProcessPool(unavailable) as pool:
        list(pool.imap(use, [1]))


def test_in_several_processes(many_threads: dict[str, str]) -> None:
    with ProcessPool(make_tools, 2) as pool:
        done = list(pool.imap(use, range(12), chunk_size=2))
        assert [square for square, _, _ in done] == [number * number for number in range(12)]
        assert os.getpid() not in {process for _, _, process in done}
        assert list(pool.imap(threads, [0])) == [(1, 1, "1")]
        assert torch.get_num_threads() == 1, "what is computed here in between is rounded alike, too"
        with pytest.raises(RuntimeError, match="cannot be handed to a worker process"):
            list(pool.imap(lambda tools, number: number, [1]))
    assert torch.get_num_threads() == 2 and environment() == many_threads


def test_errors_of_workers() -> None:
    with pytest.raises(OSError, match="no such model"), ProcessPool(unavailable, 2) as pool:
        list(pool.imap(use, [1]))
    with pytest.raises(RuntimeError, match="a worker process ended"), ProcessPool(make_tools, 2) as pool:
        list(pool.imap(die, [1, 2]))
    with pytest.raises(ValueError, match="at least 1, but got 0"):
        ProcessPool(make_tools, 0)


def test_threads_of_children_are_handled_in_one_place() -> None:
    handling = [path.name for path in sorted(ROOT.rglob("*.py")) if "OPENBLAS_NUM_THREADS" in path.read_text()]
    assert handling == ["process_pool.py"]
    executors = [path.name for path in sorted(ROOT.rglob("*.py")) if "import ProcessPoolExecutor" in path.read_text()]
    assert executors == ["process_pool.py"]
