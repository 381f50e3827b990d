"""torch's number of threads: the one place where this package changes and restores it.

Several threads inside one face synchronize hundreds of times and spin while they wait, which is several times slower as soon as something
else runs on the machine; and sums are rounded differently in them. So faces are computed in parallel with one thread each, and results do
not depend on the number of cores. With ``manage_threads=False`` :class:`~.anonymizer.Anonymizer` leaves the count as it is.
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
