"""The command ``ganon-hf scale``: arguments become options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.options import AnonymizeOptions
from .common import INCOMPLETE, interruptible, needing_extra, stop_because
from .options import Corrections, Mark, anonymize_flags


@anonymize_flags()
def scale_command(
    source: Annotated[str, typer.Argument(help="Folder of images or Parquet files: a path, s3://, gs://, anything that fsspec supports.")],
    target: Annotated[str, typer.Argument(help="Folder for the results: Parquet files with image, status, reason and faces.")],
    options: AnonymizeOptions,
    workers: Annotated[int | None, typer.Option(min=1, help="Actors, each with one core. Default: one per core of the cluster.")] = None,
    gpus_per_worker: Annotated[float, typer.Option(min=0.0, help="Share of a GPU per actor; above 0, the generator runs on it.")] = 0.0,
    column: Annotated[str, typer.Option(help="Column of the Parquet files with the photos: bytes, or {bytes, path}.")] = "image",
    rows_per_shard: Annotated[int, typer.Option(min=1, help="Photos per result file.")] = 256,
    keep_metadata: Annotated[str, typer.Option(metavar="date,camera", help="EXIF fields to keep. Default: none.")] = "",
    mark: Mark = False,
    corrections: Corrections = None,
    model: Annotated[str | None, typer.Option(help="Folder or Hub name of another model; every machine must be able to load it.")] = None,
) -> None:
    """Anonymize very many photos, on a Ray cluster (RAY_ADDRESS) or on this machine.

    The results have one row per photo, including photos that were refused or failed, which have no image. Run the same command again to
    continue a stopped job. Exit code 0: every photo was anonymized. 2: the command could not run. 3: some photos were refused or failed.
    """
    from ..bulk.correction_file import read_corrections
    from ..image_files import printable

    with needing_extra("scale", "scale"):
        from ..bulk.ray_job import anonymize_dataset
    with interruptible("Finished shards are kept; run the same command again to go on."):
        try:
            done = anonymize_dataset(
                source,
                target,
                options,
                workers=workers,
                gpus_per_worker=gpus_per_worker,
                model=model,
                rows_per_shard=rows_per_shard,
                column=column,
                keep_metadata=[name.strip() for name in keep_metadata.split(",") if name.strip()],
                corrections=None if corrections is None else read_corrections(corrections),
                mark=mark,
            )
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            stop_because(error)
    doubtful = f" ({done.doubtful} with doubtful covers, see the column faces)" if done.doubtful else ""
    copied = f", {done.copied} copied without a face" if done.copied else ""
    counts = f"{done.ok} anonymized{doubtful}{copied}, {done.refused} refused, {done.failed} failed"
    typer.echo(f"{counts} in {done.shards} shards ({done.skipped} finished before) -> {printable(target)}")
    if done.refused or done.failed:
        raise typer.Exit(INCOMPLETE)
