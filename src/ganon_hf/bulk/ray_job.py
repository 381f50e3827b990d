"""Photos by the million on many machines: a Ray Data job from any storage to any storage.

The photos are divided into shards before anything runs. A shard becomes one Parquet file that appears complete or not at all: after a job
was stopped, or an actor was killed, unfinished shards are done again, and finished ones are skipped. A row depends only on its photo, its
name, the options and the job's key, so that an interrupted job ends with the same bytes as an uninterrupted one.

Each actor reads, writes and supervises one worker process, so that a photo that crashes it becomes a row that says so, and not a shard
that is retried for ever.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from ..core.faces import UnusableImageError
from ..core.options import AnonymizeOptions
from ..image_files import METADATA_GROUPS, picture_pixels
from .correction_file import PhotoCorrections, require_known
from .engine import model_fingerprint, read_engine
from .parquet_shards import COUNTS, JobError, Manifest, Shard, Storage, plan_shards, read_counts, read_rows, write_shard
from .rows import RowResult, RowTask, RowTaskHandler
from .worker_pool import PIXELS_PER_PROCESS, EngineError, LoadEngine, WorkerPool

PHOTOS_PER_CALL = 8  # on a GPU; on a CPU batches are not faster


@dataclass(frozen=True)
class ShardJob:
    """What an actor needs to know.

    Attributes:
        source, target: URLs.
        column: of Parquet files.
        handler: what is done with rows.
        key: hex; where the options have no seed, a row's is derived from it and the row's name.
        load_engine: see :data:`~ganon_hf.bulk.worker_pool.LoadEngine`.
        photos_per_call: faces of so many photos go through the generator in one batch.
        corrections: key of a row -> its photo's corrections.
    """

    source: str
    target: str
    column: str
    handler: RowTaskHandler
    key: str
    load_engine: LoadEngine
    photos_per_call: int = 1
    corrections: Mapping[str, PhotoCorrections] = field(default_factory=dict)

    def task(self, name: str, content: bytes | str) -> RowTask:
        """A row as a task, with its seed."""
        seed = self.handler.options.seed
        if seed is None:
            digest = hmac.new(bytes.fromhex(self.key), name.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
            seed = int.from_bytes(digest[:8]) >> 1
        pixels = 0
        if isinstance(content, bytes) and self.photos_per_call > 1:
            try:
                pixels = picture_pixels(content)
            except UnusableImageError:
                pass  # the worker reports it
        return RowTask(name, content, seed, pixels, self.corrections.get(name))


class ShardWorker:
    """The actor: does shards one after the other, with one worker process."""

    def __init__(self, job: ShardJob) -> None:
        self._job = job
        self._source, self._target = Storage(job.source), Storage(job.target)
        self._pool: WorkerPool[RowTask, RowResult] = WorkerPool(job.load_engine, job.handler, 1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Do shards; one that is there already, from an attempt whose answer was lost, is not done again."""
        shards = [Shard.from_json(str(text)) for text in batch["shard"]]
        counts = [
            read_counts(self._target, shard.name)
            if self._target.fs.exists(self._target.path(shard.name))
            else write_shard(self._target, shard.name, self.rows(shard))
            for shard in shards
        ]
        return {"name": [shard.name for shard in shards]} | {status: [one[status] for one in counts] for status in counts[0]}

    def rows(self, shard: Shard) -> Iterator[RowResult]:
        """Yield the rows of a shard in order; the next photos are read while the worker is busy."""
        tasks = (self._job.task(*row) for row in read_rows(self._source, shard, self._job.column))
        for batch in _batches(tasks, self._job.photos_per_call):
            yield from self._finished()
            self._pool.submit(batch)
        yield from self._finished()

    def _finished(self) -> Iterator[RowResult]:
        while self._pool.busy:
            yield from (row for _, row in self._pool.collect())

    def close(self) -> None:
        """End the worker process."""
        self._pool.close()


def _batches(tasks: Iterator[RowTask], limit: int) -> Iterator[list[RowTask]]:
    """Batches of up to ``limit`` tasks, fewer where their photos are large."""
    batch: list[RowTask] = []
    for task in tasks:
        if batch and (len(batch) == limit or sum(one.pixels for one in batch) + task.pixels > PIXELS_PER_PROCESS):
            yield batch
            batch = []
        batch.append(task)
    if batch:
        yield batch


@dataclass(frozen=True)
class JobSummary:
    """What a job did.

    Attributes:
        shards: number of shards, all finished.
        skipped: how many of them were finished before.
        ok, copied, refused, failed: number of rows with this status, including those of the skipped shards.
        doubtful: number of ok rows with a cover that may be a false positive.
    """

    shards: int
    skipped: int
    ok: int
    copied: int
    refused: int
    failed: int
    doubtful: int


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
    corrections: Mapping[str, PhotoCorrections] | None = None,
    mark: bool = False,
) -> JobSummary:
    """Anonymize all photos in a folder, on the Ray cluster given by ``RAY_ADDRESS``, or on this machine.

    Args:
        source: folder of images, or of Parquet files with an image column: a path or URL that fsspec understands and that every
            machine can read.
        target: folder for the results, which every machine can write to: Parquet files with one row per photo and the columns key, image
            (null unless the status is ok or copied), status (ok, copied, refused, failed), reason, faces and notes. Call again
            to continue a stopped job.
        options: None uses the defaults, which refuse photos without a face. Without a seed, every photo gets its own people.
        workers: number of actors, each with one core; None means one per core of the cluster.
        gpus_per_worker: share of a GPU for each actor; above 0, the generator runs on it.
        model: folder or Hub name that every machine can load; None uses the bundled weights.
        rows_per_shard: photos per result file, which are processed again if an actor dies. Row groups of Parquet files are not
            split.
        column: image column of the Parquet files: bytes or {bytes, path}.
        keep_metadata: names from ``image_files.METADATA_GROUPS``.
        corrections: from :func:`~ganon_hf.bulk.correction_file.read_corrections`; matched by the column key of the results.
        mark: photos with a synthetic face carry IPTC's digital source type "composite with trained algorithmic media".

    Returns:
        what was done.

    Raises:
        JobError: there are no photos, or the target holds something else.
        EngineError: the model cannot be loaded.
        ValueError: an argument is out of range, or corrections are for an unknown photo.
    """
    if rows_per_shard < 1 or (workers is not None and workers < 1) or gpus_per_worker < 0:
        raise ValueError(
            f"rows_per_shard and workers must be at least 1 and gpus_per_worker not negative, but got {rows_per_shard!r}, {workers!r} and "
            f"{gpus_per_worker!r}."
        )
    if unknown := [name for name in keep_metadata if name not in METADATA_GROUPS]:
        raise ValueError(f"keep_metadata takes {', '.join(METADATA_GROUPS)}, but got {unknown[0]!r}.")
    handler = RowTaskHandler(options or AnonymizeOptions(on_no_face="raise"), tuple(keep_metadata), mark=mark)
    origin, storage = Storage(source), Storage(target)
    if type(origin.fs) is type(storage.fs) and f"{storage.root}/".startswith(f"{origin.root.rstrip('/')}/"):
        raise JobError(f"{target} lies in {source}, so results would be taken for photos: name a folder elsewhere.")
    shards, digest = plan_shards(origin, rows_per_shard, column)
    corrections = corrections or {}
    require_known(corrections, _keys(shards) if corrections else ())
    identity, rows = model_fingerprint(model), sum(shard.rows for shard in shards)
    manifest = Manifest(
        origin.url,
        digest,
        len(shards),
        rows,
        rows_per_shard,
        column,
        asdict(handler.options),
        handler.keep_metadata,
        identity,
        sorted(row.digest for row in corrections.values()),
        mark=mark,
    ).claim(storage)
    storage.remove_leftovers()
    there = {name for name, _ in storage.files()}
    finished = [shard for shard in shards if shard.name in there]
    left = [shard for shard in shards if shard.name not in there]
    if left and not manifest.key:
        raise JobError(f"{target} was finished before, but {left[0].name} is missing, and its key is deleted: name an empty target.")
    load_engine = partial(read_engine, model, "cuda" if gpus_per_worker else None)
    together = PHOTOS_PER_CALL if gpus_per_worker else 1
    job = ShardJob(origin.url, storage.url, column, handler, manifest.key, load_engine, together, corrections)
    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(lambda shard: read_counts(storage, shard.name), finished))
    counts += _run(job, left, workers, gpus_per_worker) if left else []
    if manifest.key:
        replace(manifest, key="").write(storage)
    return JobSummary(len(shards), len(finished), *(sum(one[status] for one in counts) for status in COUNTS))


def _keys(shards: Sequence[Shard]) -> Iterator[str]:
    """The keys of all rows."""
    for shard in shards:
        yield from (f"{shard.files[0]}#{shard.first + number}" for number in range(shard.rows)) if shard.groups else shard.files


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
        return [{status: row[status] for status in COUNTS} for row in done.iter_rows()]
    except RayError as error:
        cause = getattr(error, "cause", None) or error
        raise (EngineError if isinstance(cause, EngineError) else RuntimeError)(str(cause)) from error
