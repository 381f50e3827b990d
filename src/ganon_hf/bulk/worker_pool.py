"""Worker processes that anonymize photos, and the same in this process where one is enough.

Processes, not threads: a decoder that crashes costs one photo, Python's lock holds nobody up, and every worker computes with one thread, so
that results do not depend on how many there are. They are spawned, because MediaPipe does not survive a fork. A worker never gives a
picture its final name; it ends when the process that started it does, whatever ended that one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, TypeVar

from .tasks import Engine

LoadEngine = Callable[[int | None], Engine]  # takes the number of detection threads, None for one per core
# Of the photos in work at a time, for each process. At the worst moment 17 bytes a pixel are alive; a larger photo goes alone.
PIXELS_PER_PROCESS = 50_000_000
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


# What loading an engine raises: a library, a file, a device that is not there.
ENGINE_ERRORS = (ImportError, OSError, RuntimeError, ValueError)


class EngineError(RuntimeError):
    """The engine cannot be loaded; nothing can be done."""


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Sized(Protocol):
    """A task, as far as a crew looks at it."""

    @property
    def pixels(self) -> int: ...


Task = TypeVar("Task", bound=Sized)
Result = TypeVar("Result")
_Taken = TypeVar("_Taken", bound=Sized, contravariant=True)
_Given = TypeVar("_Given", covariant=True)


class Work(Protocol[_Taken, _Given]):
    """What is to be done with tasks. Picklable, like tasks and results."""

    def __call__(self, engine: Engine, tasks: Sequence[_Taken]) -> Iterator[_Given]:
        """One result for each task, in order; errors become results."""
        ...

    def crashed(self, task: _Taken, error: str) -> _Given:
        """The result of a task whose process did not survive it."""
        ...

    def discard(self, task: _Taken) -> None:
        """Remove whatever a task that was not finished has left."""
        ...


class InPlace(Generic[Task, Result]):
    """One worker that is this process; arguments as for :class:`Crew`."""

    def __init__(self, load_engine: LoadEngine, work: Work[Task, Result]) -> None:
        self._load_engine, self._do = load_engine, work
        self._engine: Engine | None = None
        self._threads = 0
        self._tasks: Sequence[Task] = ()

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    def has_room(self, pixels: int) -> bool:
        """Whether a photo of so many pixels may be submitted."""
        return not self._tasks

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks, to be done together."""
        self._tasks = tasks

    def collect(self) -> Iterator[tuple[Task, Result]]:
        """Do what was submitted. Errors as in :meth:`Crew.collect`."""
        tasks, self._tasks = self._tasks, ()
        if self._engine is None:
            try:
                self._engine = self._load_engine(None)
            except ENGINE_ERRORS as error:
                raise EngineError(str(error)) from error
            if "torch" in sys.modules:
                import torch

                self._threads = torch.get_num_threads()
                torch.set_num_threads(1)  # like a worker process: in several threads sums are rounded differently
        yield from zip(tasks, self._do(self._engine, tasks), strict=True)

    def close(self) -> None:
        """Leave the process as it was."""
        if self._threads:
            import torch

            torch.set_num_threads(self._threads)


@dataclass(eq=False)
class _Worker(Generic[Task]):
    """A process, our end of the pipe to it, and what it still has to do; the first group has been sent."""

    process: BaseProcess
    connection: Connection
    ready: bool = False
    groups: deque[deque[Task]] = field(default_factory=deque)


class Crew(Generic[Task, Result]):
    """Worker processes, started one by one while there is something to do for them.

    Args:
        load_engine: picklable; called once in every process.
        work: what is done with tasks.
        processes: at most so many.
    """

    def __init__(self, load_engine: LoadEngine, work: Work[Task, Result], processes: int) -> None:
        self._load_engine, self._do, self._processes = load_engine, work, processes
        self._workers: list[_Worker[Task]] = []

    @property
    def busy(self) -> bool:
        return any(worker.groups for worker in self._workers)

    def has_room(self, pixels: int) -> bool:
        """Whether a worker is free, or can be started, and a photo of so many pixels fits beside those in work."""
        alive = sum(task.pixels for worker in self._workers for group in worker.groups for task in group)
        fits = not self.busy or alive + pixels <= PIXELS_PER_PROCESS * self._processes
        return fits and (len(self._workers) < self._processes or any(not worker.groups for worker in self._workers))

    def submit(self, tasks: Sequence[Task]) -> None:
        """Give tasks, to be done together, to a worker that has room."""
        worker = next((worker for worker in self._workers if not worker.groups), None) or self._start()
        self._send(worker, deque([deque(tasks)]))

    def collect(self) -> Iterator[tuple[Task, Result]]:
        """Wait until something is done, and return what is.

        Raises:
            EngineError: a worker could not load the engine.
        """
        by_connection = {worker.connection: worker for worker in self._workers if worker.groups}
        for connection in wait(list(by_connection)):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                yield from self._handle_dead_worker(worker)
                continue
            if isinstance(message, str):
                raise EngineError(message)
            if message is None:
                worker.ready = True
                continue
            task = worker.groups[0].popleft()
            if not worker.groups[0]:
                worker.groups.popleft()
                self._send(worker, worker.groups)
            yield task, message

    def close(self) -> None:
        """End all workers at once; what they had begun is removed."""
        for worker in self._workers:
            worker.connection.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            for task in (task for group in worker.groups for task in group):
                self._do.discard(task)
        self._workers = []

    def _start(self) -> _Worker[Task]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._load_engine, self._do), daemon=True)
        with _single_threaded(), _ctrl_c_held_back():
            process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        worker: _Worker[Task] = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _send(self, worker: _Worker[Task], groups: deque[deque[Task]]) -> None:
        worker.groups = groups
        if groups:
            try:
                worker.connection.send(list(groups[0]))
            except OSError:
                pass  # it has ended: collect() finds the end of the pipe

    def _handle_dead_worker(self, worker: _Worker[Task]) -> Iterator[tuple[Task, Result]]:
        """A process has ended by itself. A photo that was alone in it is at fault; those of a group are tried one by one."""
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        tasks = [task for group in worker.groups for task in group]
        for task in tasks:
            self._do.discard(task)
        if not worker.ready:
            raise EngineError(
                f"a worker process ended (exit code {worker.process.exitcode}) before it was ready. A script that starts workers must do "
                "so below `if __name__ == '__main__':`. Otherwise memory ran out, or an error stands above: try one process."
            )
        if len(worker.groups[0]) == 1:
            code = worker.process.exitcode
            yield (
                tasks[0],
                self._do.crashed(tasks[0], f"the worker process ended (exit code {code}): the photo crashed it, or memory ran out"),
            )
            tasks = tasks[1:]
        if tasks:
            self._send(self._start(), deque(deque([task]) for task in tasks))


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes started inside compute with one thread each: libraries read these when they are imported."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, which a terminal sends to all of them; ours arrives afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, load_engine: LoadEngine, work: Work[Any, Any]) -> None:
    """Life of a worker process: load the engine, say None, then a result for every task until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where masks are unknown
    try:
        engine = load_engine(1)
    except ENGINE_ERRORS as error:
        connection.send(str(error) or type(error).__name__)
        return
    try:
        connection.send(None)
        while True:
            tasks = connection.recv()
            for task, result in zip(tasks, work(engine, tasks), strict=True):
                try:
                    connection.send(result)
                except OSError:
                    work.discard(task)
                    raise
    except (EOFError, OSError):
        return  # nobody is there to give the next picture its name
