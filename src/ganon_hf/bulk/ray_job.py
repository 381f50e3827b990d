"""Photos by the million on many machines: a Ray Data job from any storage to any storage.

The photos are cut into shards before anything runs. A shard becomes one Parquet file that appears complete or not at all: a job that was
stopped, or an actor that was killed, begins its shard anew, and what is finished is skipped. A row depends on its photo, its name, the
options and the job's key alone, so that an interrupted job ends with the same bytes as an undisturbed one.

Each actor reads, writes and watches over one worker process, so that a photo that crashes it is a row that says so, and not a shard that is
tried for ever.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from ..core.faces import UnusableImageError
from ..core.options import AnonymizeOptions
from ..image_files import METADATA_GROUPS, picture_pixels
from .engine import model_identity, read_engine
from .parquet_shards import JobError, Manifest, Shard, Storage, counts_of, cut, read_rows, write_shard
from .rows import Row, RowTask, RowWork
from .worker_pool import PIXELS_PER_PROCESS, Crew, EngineError, LoadEngine

PHOTOS_PER_CALL = 8  # on a GPU; on a CPU company is of no use


@dataclass(frozen=True)
class ShardJob:
    """What an actor has to know.

    Attributes:
        source, target: URLs.
        column: of Parquet files.
        work: options and metadata.
        key: hex; seeds come from it and a row's name where the options have none.
        load_engine: see :data:`~ganon_hf.bulk.worker_pool.LoadEngine`.
        photos_per_call: how many photos' faces go through the generator together.
    """

    source: str
    target: str
    column: str
    work: RowWork
    key: str
    load_engine: LoadEngine
    photos_per_call: int = 1

    def task(self, name: str, content: bytes | str) -> RowTask:
        """A row as a task, with its seed."""
        seed = self.work.options.seed
        if seed is None:
            digest = hmac.new(bytes.fromhex(self.key), name.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
            seed = int.from_bytes(digest[:8]) >> 1
        pixels = 0
        if isinstance(content, bytes) and self.photos_per_call > 1:
            try:
                pixels = picture_pixels(content)
            except UnusableImageError:
                pass  # the worker says so
        return RowTask(name, content, seed, pixels)


class ShardWorker:
    """The actor: shard by shard, with one worker process beside it."""

    def __init__(self, job: ShardJob) -> None:
        self._job = job
        self._source, self._target = Storage(job.source), Storage(job.target)
        self._crew: Crew[RowTask, Row] = Crew(job.load_engine, job.work, 1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Do shards; one that stands already, from an attempt whose answer was lost, is not done again."""
        shards = [Shard.from_json(str(text)) for text in batch["shard"]]
        counts = [
            counts_of(self._target, shard.name)
            if self._target.fs.exists(self._target.path(shard.name))
            else write_shard(self._target, shard.name, self.rows(shard))
            for shard in shards
        ]
        return {"name": [shard.name for shard in shards]} | {status: [one[status] for one in counts] for status in counts[0]}

    def rows(self, shard: Shard) -> Iterator[Row]:
        """The rows of a shard in order; the next photos are read while the worker is busy with some."""
        tasks = (self._job.task(*row) for row in read_rows(self._source, shard, self._job.column))
        for group in _groups(tasks, self._job.photos_per_call):
            yield from self._finished()
            self._crew.submit(group)
        yield from self._finished()

    def _finished(self) -> Iterator[Row]:
        while self._crew.busy:
            yield from (row for _, row in self._crew.collect())

    def close(self) -> None:
        """End the worker process."""
        self._crew.close()


def _groups(tasks: Iterator[RowTask], limit: int) -> Iterator[list[RowTask]]:
    """Up to so many tasks together, fewer where their photos are large."""
    group: list[RowTask] = []
    for task in tasks:
        if group and (len(group) == limit or sum(one.pixels for one in group) + task.pixels > PIXELS_PER_PROCESS):
            yield group
            group = []
        group.append(task)
    if group:
        yield group


@dataclass(frozen=True)
class Summary:
    """What a job did.

    Attributes:
        shards: how many there are, all finished.
        skipped: of these, finished before.
        ok, refused, failed: rows, those of the skipped shards included.
    """

    shards: int
    skipped: int
    ok: int
    refused: int
    failed: int


def anonymize_dataset(
    source: str,
    target: str,
    options: AnonymizeOptions | None = None,
    *,
    workers: int | None = None,
    gpus_per_worker: float = 0.0,
    model: str | None = None,
    rows_per_shard: int = 256,
    column: str = "image",
    keep_metadata: Sequence[str] = (),
) -> Summary:
    """Anonymize all photos of a folder, on the Ray cluster that ``RAY_ADDRESS`` names, or on this machine.

    Args:
        source: folder of pictures, or of Parquet files with a column of pictures; a path or URL that fsspec understands, readable from
            every machine.
        target: folder for the results, likewise writable: Parquet files with the columns key, image (null unless the status is ok),
            status (ok, refused, failed), reason, faces and notes, one row per photo. The same call again goes on where one was stopped.
        options: None refuses photos without a face, and takes the defaults for the rest. Without a seed every photo gets its own people.
        workers: actors, each with one core; None takes one per core of the cluster.
        gpus_per_worker: share of a GPU for each actor, above 0 the generator runs there.
        model: folder or Hub name that every machine can load; None takes the weights in the package.
        rows_per_shard: photos that are lost when an actor dies, and that become one file. Row groups of Parquet files are not divided.
        column: of the Parquet files, bytes or {bytes, path}.
        keep_metadata: names from ``files.METADATA_GROUPS``.

    Raises:
        JobError: there is nothing to do, or the target holds something else.
        EngineError: the model cannot be loaded.
        ValueError: an argument that cannot be.
    """
    if rows_per_shard < 1 or (workers is not None and workers < 1) or gpus_per_worker < 0:
        raise ValueError(
            f"rows_per_shard and workers must be at least 1 and gpus_per_worker not negative, but got {rows_per_shard!r}, {workers!r} and "
            f"{gpus_per_worker!r}."
        )
    if unknown := [name for name in keep_metadata if name not in METADATA_GROUPS]:
        raise ValueError(f"keep_metadata takes {', '.join(METADATA_GROUPS)}, but got {unknown[0]!r}.")
    work = RowWork(options or AnonymizeOptions(on_no_face="raise"), tuple(keep_metadata))
    origin, storage = Storage(source), Storage(target)
    if type(origin.fs) is type(storage.fs) and f"{storage.root}/".startswith(f"{origin.root.rstrip('/')}/"):
        raise JobError(f"{target} lies in {source}, and its files would be taken for photos: name a folder elsewhere.")
    shards, digest = cut(origin, rows_per_shard, column)
    identity, rows = model_identity(model), sum(shard.rows for shard in shards)
    manifest = Manifest(
        origin.url, digest, len(shards), rows, rows_per_shard, column, asdict(work.options), work.keep_metadata, identity
    ).claim(storage)
    storage.remove_leftovers()
    there = {name for name, _ in storage.files()}
    finished = [shard for shard in shards if shard.name in there]
    left = [shard for shard in shards if shard.name not in there]
    if left and not manifest.key:
        raise JobError(f"{target} was finished once, but {left[0].name} is gone. Its key is, too: name an empty target.")
    load_engine = partial(read_engine, model, "cuda" if gpus_per_worker else None)
    together = PHOTOS_PER_CALL if gpus_per_worker else 1
    job = ShardJob(origin.url, storage.url, column, work, manifest.key, load_engine, together)
    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(lambda shard: counts_of(storage, shard.name), finished))
    counts += _run(job, left, workers, gpus_per_worker) if left else []
    if manifest.key:
        replace(manifest, key="").write(storage)
    return Summary(len(shards), len(finished), *(sum(one[status] for one in counts) for status in ("ok", "refused", "failed")))


def _run(job: ShardJob, shards: Sequence[Shard], workers: int | None, gpus: float) -> list[dict[str, int]]:
    """Counts of the shards, done by actors."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when a cluster is started: nothing is reported to anybody
    import ray
    import ray.data
    from ray.exceptions import RayError

    logging.getLogger("ray.data").setLevel(logging.WARNING)  # six lines every few seconds; a bar on terminals remains
    if not ray.is_initialized():
        ray.init(include_dashboard=False if "RAY_ADDRESS" not in os.environ else None, log_to_driver=False)
    size = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    size = min(size, len(shards))
    items = ray.data.from_items([{"shard": shard.to_json()} for shard in shards], override_num_blocks=min(len(shards), 100 * size))
    done = items.map_batches(
        ShardWorker,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=size),
        num_cpus=1,
        num_gpus=gpus,
    )
    try:
        return [{status: row[status] for status in ("ok", "refused", "failed")} for row in done.iter_rows()]
    except RayError as error:
        cause = getattr(error, "cause", None) or error
        raise (EngineError if isinstance(cause, EngineError) else RuntimeError)(str(cause)) from error
