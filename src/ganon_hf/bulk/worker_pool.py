"""Worker processes that anonymize untrusted photos, and the same in this process where one is enough.

A photo that crashes its process (a bug in a decoder, no memory) or keeps it for too long costs that photo and not the run, and the pixels
in memory at a time are bounded; :mod:`ganon_hf.bulk.process_pool` does neither. Every worker computes with one thread, so that results do
not depend on how many there are. Workers are spawned: torch's threads do not survive a fork. A worker never gives a picture its final name,
and it ends when the process that started it does, for whatever reason.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, TypeVar

from .process_pool import end_with_parent, single_threaded_children
from .tasks import Engine

LoadEngine = Callable[[int | None], Engine]  # takes the number of detection threads, None for one per core
BYTES_PER_PIXEL = 26  # that a photo takes at its peak, from file to file, beside the engine
# Of the photos that are processed at a time, for each process; a larger one is processed alone.
PIXELS_PER_PROCESS = 50_000_000
# What loading an engine raises where a library, a file or a device is missing.
ENGINE_ERRORS = (ImportError, OSError, RuntimeError, ValueError)


# Seconds that a photo may take. One of 200 megapixels with a thousand faces takes minutes on an old machine.
PHOTO_SECONDS = 600.0


class PhotoTimeoutError(BaseException):
    """A photo has taken too long. Not an ``Exception``, so that nothing on the way takes it for the photo's fault and goes on."""


class EngineError(RuntimeError):
    """The engine cannot be loaded; nothing can be done."""


class HasPixels(Protocol):
    """What a pool must know of a task."""

    @property
    def pixels(self) -> int: ...


Task = TypeVar("Task", bound=HasPixels)
Result = TypeVar("Result")
_Taken = TypeVar("_Taken", bound=HasPixels, contravariant=True)
_Given = TypeVar("_Given", covariant=True)


class TaskHandler(Protocol[_Taken, _Given]):
    """What workers do with tasks. Picklable, like tasks and results."""

    def __call__(self, engine: Engine, tasks: Sequence[_Taken]) -> Iterator[_Given]:
        """One result for each task, in order; errors become results."""
        ...

    def crashed(self, task: _Taken, error: str) -> _Given:
        """The result of a task that crashed its process."""
        ...

    def discard(self, task: _Taken) -> None:
        """Remove what an unfinished task has left behind."""
        ...


class SerialPool(Generic[Task, Result]):
    """A :class:`WorkerPool` without processes: the one worker is this process, and a crash is the end of it.

    A photo that takes too long is given up between two steps of Python, where the system has timers and this is the main thread.
    """

    def __init__(self, load_engine: LoadEngine, handler: TaskHandler[Task, Result], *, photo_seconds: float = PHOTO_SECONDS) -> None:
        self._load_engine, self._handle, self._photo_seconds = load_engine, handler, photo_seconds
        self._engine: Engine | None = None
        self._tasks: Sequence[Task] = ()
        self._cleanup = ExitStack()

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
        """Do what was submitted. Errors as in :meth:`WorkerPool.collect`."""
        tasks, self._tasks = self._tasks, ()
        if self._engine is None:
            try:
                self._engine = self._load_engine(None)
            except ENGINE_ERRORS as error:
                raise EngineError(str(error)) from error
            if "torch" in sys.modules:
                from ..core.threads import one_torch_thread

                self._cleanup.enter_context(one_torch_thread())  # as in a worker process
        groups: list[Sequence[Task]] = [tasks]
        while groups:
            group = groups.pop(0)
            try:
                with _alarm(self._photo_seconds * len(group)):
                    done = list(self._handle(self._engine, group))
            except BaseException as error:
                for task in group:
                    self._handle.discard(task)
                if not isinstance(error, PhotoTimeoutError):
                    raise
                if len(group) == 1:
                    yield group[0], self._handle.crashed(group[0], too_long(self._photo_seconds))
                groups[:0] = [[task] for task in group] if len(group) > 1 else []
            else:
                yield from zip(group, done, strict=True)

    def close(self) -> None:
        """Leave the process as it was."""
        self._cleanup.close()


@dataclass(eq=False)
class _Worker(Generic[Task]):
    """A process, our end of the pipe to it, and its tasks, in groups that are done together; the first group has been sent.

    ``since`` is when it began with what it is doing (``time.monotonic``).
    """

    process: BaseProcess
    connection: Connection
    ready: bool = False
    since: float = 0.0
    groups: deque[deque[Task]] = field(default_factory=deque)


class WorkerPool(Generic[Task, Result]):
    """Worker processes, started one by one as tasks come in.

    Args:
        load_engine: picklable; called once in every process.
        handler: what is done with tasks.
        processes: at most so many.
        photo_seconds: a photo that takes longer is given up, and its process ended. Loading the engine does not count.
    """

    def __init__(
        self, load_engine: LoadEngine, handler: TaskHandler[Task, Result], processes: int, *, photo_seconds: float = PHOTO_SECONDS
    ) -> None:
        self._load_engine, self._handler, self._processes = load_engine, handler, processes
        self._photo_seconds = photo_seconds
        self._workers: list[_Worker[Task]] = []

    @property
    def busy(self) -> bool:
        return any(worker.groups for worker in self._workers)

    def has_room(self, pixels: int) -> bool:
        """Whether a worker is free, or can be started, and a photo of so many pixels fits into memory beside the others."""
        pending = sum(task.pixels for worker in self._workers for group in worker.groups for task in group)
        fits = not self.busy or pending + pixels <= PIXELS_PER_PROCESS * self._processes
        return fits and (len(self._workers) < self._processes or any(not worker.groups for worker in self._workers))

    def submit(self, tasks: Sequence[Task]) -> None:
        """Give tasks, to be done together, to a worker that has room."""
        worker = next((worker for worker in self._workers if not worker.groups), None) or self._start()
        self._send(worker, deque([deque(tasks)]))

    def collect(self) -> Iterator[tuple[Task, Result]]:
        """Wait until at least one task is done, and yield all that are.

        Raises:
            EngineError: a worker could not load the engine.
        """
        by_connection = {worker.connection: worker for worker in self._workers if worker.groups}
        ends = [self._end_of(worker) for worker in by_connection.values() if worker.ready]
        left = max(0.0, min(ends) - time.monotonic()) if ends else None
        ready = wait(list(by_connection), left)
        for worker in list(by_connection.values()):
            if worker.ready and worker.connection not in ready and time.monotonic() >= self._end_of(worker):
                worker.process.kill()
                yield from self._handle_dead_worker(worker, too_long(self._photo_seconds))
        for connection in ready:
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                yield from self._handle_dead_worker(worker)
                continue
            if isinstance(message, str):
                raise EngineError(message)
            worker.since = time.monotonic()
            if message is None:
                worker.ready = True
                continue
            task = worker.groups[0].popleft()
            if not worker.groups[0]:
                worker.groups.popleft()
                self._send(worker, worker.groups)
            yield task, message

    def _end_of(self, worker: _Worker[Task]) -> float:
        """When a worker has had its first group for too long; the results of a group come together."""
        return worker.since + self._photo_seconds * max(1, len(worker.groups[0]))

    def close(self) -> None:
        """End all workers at once and discard their unfinished tasks."""
        for worker in self._workers:
            worker.connection.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            for task in (task for group in worker.groups for task in group):
                self._handler.discard(task)
        self._workers = []

    def _start(self) -> _Worker[Task]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_run_worker, args=(theirs, self._load_engine, self._handler), daemon=True)
        with single_threaded_children(), _sigint_blocked():
            process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        worker: _Worker[Task] = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _send(self, worker: _Worker[Task], groups: deque[deque[Task]]) -> None:
        worker.groups, worker.since = groups, time.monotonic()
        if groups:
            try:
                worker.connection.send(list(groups[0]))
            except OSError:
                pass  # it has ended: collect() finds the end of the pipe

    def _handle_dead_worker(self, worker: _Worker[Task], reason: str = "") -> Iterator[tuple[Task, Result]]:
        """A process has ended, by itself where there is no reason. A photo that was alone in it is to blame; those of a group are tried
        again one by one."""
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        tasks = [task for group in worker.groups for task in group]
        for task in tasks:
            self._handler.discard(task)
        if not worker.ready:
            raise EngineError(
                f"a worker process ended (exit code {worker.process.exitcode}) before it was ready. A script that starts workers must do "
                "so below `if __name__ == '__main__':`. Otherwise memory ran out, or an error stands above: try one process."
            )
        if len(worker.groups[0]) == 1:
            code = worker.process.exitcode
            error = reason or f"the worker process ended (exit code {code}): the photo crashed it, or memory ran out"
            yield tasks[0], self._handler.crashed(tasks[0], error)
            tasks = tasks[1:]
        if tasks:
            self._send(self._start(), deque(deque([task]) for task in tasks))


def too_long(seconds: float) -> str:
    """Why a photo was given up."""
    return f"took longer than {seconds:g} seconds and was given up (--timeout)"


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """PhotoTimeoutError inside, once so many seconds are over."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(signum: int, frame: Any) -> None:
        raise PhotoTimeoutError

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, which a terminal sends to all of them; this one gets it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_worker(connection: Connection, load_engine: LoadEngine, handler: TaskHandler[Any, Any]) -> None:
    """What a worker process does: load the engine, send None, then one result for every task until the pipe ends."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where signals cannot be blocked
    try:
        engine = load_engine(1)
    except ENGINE_ERRORS as error:
        connection.send(str(error) or type(error).__name__)
        return
    try:
        connection.send(None)
        while True:
            tasks = connection.recv()
            for task, result in zip(tasks, handler(engine, tasks), strict=True):
                try:
                    connection.send(result)
                except OSError:
                    handler.discard(task)
                    raise
    except (EOFError, OSError):
        return  # nobody is there to give the next picture its name
