"""torch's number of threads: the one place where this package changes it, and puts it back.

Several threads inside one face meet hundreds of times and wait for each other by spinning, which costs several times the time once
something else runs on the machine; and sums are rounded differently in them. So faces are computed side by side with one thread each:
results do not depend on the number of cores. Whoever wants to keep the count that they set passes ``manage_threads=False`` to
:class:`~.anonymizer.Anonymizer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch computes with one thread inside the block; afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def single_threaded_pool(workers: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads in each of which torch computes with one thread; afterwards torch's count is what it was.

    Args:
        workers: number of threads.
        name: how their names begin.
    """
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, name, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)  # the initializer also changed what threads that are started later begin with
