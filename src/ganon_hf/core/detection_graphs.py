"""MediaPipe graphs on worker threads: one set per thread, silent, rebuilt when broken, never after a fork.

What MediaPipe does not forgive, and where it is handled here: a graph shared by threads returns other images' results (each worker thread
has its own); a graph that failed once fails for ever (it is rebuilt); a process forked after a graph has run hangs (a clear error instead).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

_quiet_lock = threading.Lock()
_graphs_of_process: int | None = None


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """MediaPipe's C++ code greets on file descriptor 2 and heeds no log level; it is silenced while a graph is born, one at a time."""
    with _quiet_lock:
        try:
            sys.stderr.flush()
            saved = os.dup(2)
        except (AttributeError, OSError):  # no standard error to keep clean
            yield
            return
        sink = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)


class Graphs:
    """Named MediaPipe graphs, one set per worker thread, rebuilt when they break.

    Args:
        builders: name -> function that makes a graph.
        process: runs a graph on an RGB uint8 array.
        has_face: whether a mesh graph's result holds a face.
        threads: worker threads.
    """

    def __init__(
        self,
        builders: dict[str, Callable[[], Any]],
        process: Callable[[Any, np.ndarray], Any],
        has_face: Callable[[Any], bool],
        threads: int,
    ) -> None:
        self._builders = builders
        self._process = process
        self._has_face = has_face
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ganon-detection")

    def map(self, function: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
        """``function`` of every item, on the worker threads, in the order of the items."""
        global _graphs_of_process
        if _graphs_of_process is None:
            _graphs_of_process = os.getpid()
        if _graphs_of_process != os.getpid():
            raise RuntimeError(
                "MediaPipe hangs in a process that was forked after it had run. Start worker processes with the 'spawn' method, "
                "or use num_workers=0."
            )
        return list(self._pool.map(function, items))

    def run(self, name: str, image: np.ndarray) -> Any:
        """The named graph's result; to be called on a worker thread."""
        try:
            return self._call(name, image)
        except (RuntimeError, ValueError):  # the graph is poisoned: a fresh one tells a bad graph from a bad image
            setattr(self._local, name, None)
            return self._call(name, image)

    def _call(self, name: str, image: np.ndarray) -> Any:
        graph, settled = getattr(self._local, name, None) or (None, False)
        if settled:
            return self._process(graph, image)
        with quiet_stderr():
            graph = graph or self._builders[name]()
            result = self._process(graph, image)
        # Each stage of a graph speaks when it first runs, and the mesh's second stage runs when there is a face.
        setattr(self._local, name, (graph, name != "mesh" or self._has_face(result)))
        return result

    def close(self) -> None:
        """End the worker threads; calls under way finish, later ones fail."""
        self._pool.shutdown(wait=True, cancel_futures=True)
