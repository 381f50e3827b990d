"""One function over many items on all cores, in processes that each load their tools once.

Results come in the order of the items and do not depend on the number of processes, because every process computes with one thread.
Processes are spawned: torch's threads do not survive a fork.

:mod:`ganon_hf.bulk.worker_pool` is the other kind of pool, for untrusted photos: there a process that dies costs one photo and not the
run, and the pixels in memory are bounded. ``concurrent.futures`` can do neither.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

# What numpy, torch and OpenCV read when they are imported.
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")

Tools = TypeVar("Tools")
Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def single_threaded_children() -> Iterator[None]:
    """Processes that are started inside the block compute with one thread each; afterwards the environment is as before."""
    before = {name: os.environ.get(name) for name in _THREAD_COUNTS}
    os.environ.update(dict.fromkeys(_THREAD_COUNTS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def end_with_parent() -> None:
    """In a worker process: end at once, also in the middle of importing, when the process that started it is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        # The kernel does it, because importing a large library holds the interpreter's lock for seconds. The sentinel is a pipe that is
        # closed when the parent ends; the signal of that ends a process that does not handle it.
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)

    def wait() -> None:  # elsewhere, and where the parent had ended before
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="end-with-parent").start()


class ProcessPool(Generic[Tools]):
    """Applies functions to items in worker processes, or in this one; use it in ``with``.

    Inside ``with`` torch computes with one thread in this process, too.

    Args:
        make_tools: called once in every process, when its first item comes. With several processes it must be picklable, and so must
            functions, items and results (functions: those of a module, no lambdas).
        processes: how many; 1 stays in this one.

    Raises:
        ValueError: less than one process.
    """

    def __init__(self, make_tools: Callable[[], Tools], processes: int = 1) -> None:
        if processes < 1:
            raise ValueError(f"processes must be at least 1, but got {processes!r}.")
        self._make_tools, self._processes = make_tools, processes
        self._tools: Tools | None = None
        self._executor: ProcessPoolExecutor | None = None
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        from ..core.threads import one_torch_thread  # here, because it brings torch

        with ExitStack() as stack:
            stack.enter_context(one_torch_thread())
            if self._processes > 1:
                stack.enter_context(single_threaded_children())
                # not multiprocessing.Pool, which waits for ever when a process is killed
                context = multiprocessing.get_context("spawn")
                self._executor = ProcessPoolExecutor(self._processes, context, initializer=_start, initargs=(self._make_tools,))
                stack.callback(self._executor.shutdown, wait=True, cancel_futures=True)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._executor = None
        self._cleanup.close()

    def imap(self, function: Callable[[Tools, Item], Result], items: Sequence[Item], *, chunk_size: int = 1) -> Iterator[Result]:
        """Yield ``function(tools, item)`` for every item, in order, each as soon as it and all before it are done.

        Args:
            function: what is done.
            items: with what.
            chunk_size: so many items go to a process at a time.

        Raises:
            RuntimeError: a worker process ended, or something cannot be handed to it; else whatever ``function`` or ``make_tools`` raises.
        """
        if self._executor is None:
            for item in items:
                if self._tools is None:
                    self._tools = self._make_tools()
                yield function(self._tools, item)
            return
        try:
            yield from self._executor.map(partial(_call, function), items, chunksize=chunk_size)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process ended. Its own error stands above, or memory ran out: try one process. A script that starts workers must "
                "do so below `if __name__ == '__main__':`."
            ) from error
        except (pickle.PicklingError, AttributeError) as error:
            if not any(words in str(error).lower() for words in ("pickle", "local object")):  # by Python's version
                raise
            raise RuntimeError(f"this cannot be handed to a worker process ({error}). Try one process.") from error


# Of a worker process: what makes its tools, and the tools once they are made.
_make: Callable[[], Any] | None = None
_made: Any = None


def _start(make_tools: Callable[[], Any]) -> None:
    global _make
    end_with_parent()
    _make = make_tools


def _call(function: Callable[[Any, Any], Any], item: Any) -> Any:
    global _made
    if _make is None:
        raise RuntimeError("this process is no worker of a ProcessPool.")
    if _made is None:
        _made = _make()
    return function(_made, item)
