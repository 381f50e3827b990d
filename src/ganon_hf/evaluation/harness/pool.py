"""The long parts on all cores: the same function over many pictures, in worker processes that each hold an engine and instruments.

Results come back in the order of the items and do not depend on the number of processes: every worker computes with one thread.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import torch

from ...core.anonymizer import Anonymizer
from .readings import Instruments

Progress = Callable[..., Iterable[Any]]
Item = TypeVar("Item")
Result = TypeVar("Result")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Tools:
    """What every worker holds: the engine under test, and the instruments that read its pictures."""

    engine: Anonymizer
    instruments: Instruments


_tools: Tools | None = None  # of this worker process


def _start(make: Callable[[], Tools]) -> None:
    global _tools
    torch.set_num_threads(1)
    _tools = make()


def _call(function: Callable[[Tools, Any], Any], item: Any) -> Any:
    if _tools is None:
        raise RuntimeError("this process was not started as a worker.")
    return function(_tools, item)


class Pool:
    """Applies functions to items, in this process or in several.

    Args:
        make: makes the tools, once in every process. With several processes it must be picklable, and so must functions and items
            (functions: those of a module, not lambdas).
        processes: how many; 1 stays in this one.
        progress: wraps an iterable, as ``tqdm`` does.

    Raises:
        ValueError: less than one process.
    """

    def __init__(self, make: Callable[[], Tools], processes: int = 1, progress: Progress = lambda items, **_: items) -> None:
        if processes < 1:
            raise ValueError(f"processes must be at least 1, but got {processes!r}.")
        self._make, self._processes, self._progress = make, processes, progress
        self._own: Tools | None = None
        self._executor: ProcessPoolExecutor | None = None
        self._environment: dict[str, str | None] = {}
        self._threads = torch.get_num_threads()

    def __enter__(self) -> Pool:
        # numpy and torch read these when they are imported, which workers do before anything here can speak to them
        self._environment = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        torch.set_num_threads(1)  # sums are rounded differently in several threads
        if self._processes > 1:
            context = multiprocessing.get_context("spawn")  # MediaPipe does not survive a fork
            self._executor = ProcessPoolExecutor(self._processes, context, initializer=_start, initargs=(self._make,))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(self._threads)
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def map(self, function: Callable[[Tools, Item], Result], items: Sequence[Item], *, desc: str) -> list[Result]:
        """``[function(tools, item) for item in items]``.

        Raises:
            RuntimeError: a worker process ended, or something cannot be handed to it; else whatever the function raises.
        """
        if self._executor is None:
            if self._own is None:
                self._own = self._make()
            return [function(self._own, item) for item in self._progress(items, desc=desc, total=len(items))]
        chunk = max(1, min(4, len(items) // (4 * self._processes)))
        try:
            done = self._executor.map(partial(_call, function), items, chunksize=chunk)
            return list(self._progress(done, desc=desc, total=len(items)))
        except BrokenProcessPool as error:
            raise RuntimeError("a worker process ended: its own error stands above, or memory ran out. Try it with one process.") from error
        except (pickle.PicklingError, AttributeError) as error:
            if "pickle" not in str(error).lower():
                raise
            raise RuntimeError(f"this cannot be handed to a worker process ({error}). Try it with one process.") from error
