"""The long parts of an evaluation on all cores: processes that each hold an engine and instruments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...bulk.process_pool import ProcessPool
from ...core.anonymizer import Anonymizer
from .readings import Instruments

Progress = Callable[..., Iterable[Any]]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Tools:
    """What every process holds: the engine under test, and the instruments that read its pictures."""

    engine: Anonymizer
    instruments: Instruments


class Pool(ProcessPool[Tools]):
    """A :class:`~ganon_hf.bulk.process_pool.ProcessPool` that shows its progress.

    Args:
        make_tools, processes: as there.
        progress: wraps an iterable, as ``tqdm`` does.
    """

    def __init__(self, make_tools: Callable[[], Tools], processes: int = 1, progress: Progress = lambda items, **_: items) -> None:
        super().__init__(make_tools, processes)
        self._progress = progress

    def map(self, function: Callable[[Tools, Item], Result], items: Sequence[Item], *, desc: str) -> list[Result]:
        """``[function(tools, item) for item in items]``; errors as in :meth:`ProcessPool.imap`."""
        chunk_size = max(1, min(4, len(items) // (4 * self._processes)))
        return list(self._progress(self.imap(function, items, chunk_size=chunk_size), desc=desc, total=len(items)))
