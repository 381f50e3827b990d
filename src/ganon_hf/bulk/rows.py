"""Photos in the rows of tables: bytes in, bytes and a report out. For ``datasets`` and for :mod:`ganon_hf.bulk.ray_job`.

A row whose photo was not anonymized has no photo: an error never lets an original through.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..core.faces import AnonymizationResult
from ..core.options import AnonymizeOptions
from ..image_files import Picture, decode_image, encode_image, printable, read_image
from .correction_file import PhotoCorrections
from .engine import read_engine
from .tasks import Engine, anonymize_batch, describe_error, finished_picture, success

if TYPE_CHECKING:
    from PIL import Image

# Formats that are kept, and what takes the place of those that are only read; photos in any other are written as PNG, which is lossless.
SAME_FORMAT = {"JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WEBP", "AVIF": "JPEG", "HEIF": "JPEG"}


@dataclass(frozen=True)
class RowTask:
    """A row as it is handed to a worker.

    Attributes:
        key: names the row in the results.
        content: the photo's file, or the reason why it could not be read.
        seed: decides the synthetic people; None draws one.
        pixels: of the photo, by its header; 0 where that cannot be read.
        corrections: of the photo.
    """

    key: str
    content: bytes | str
    seed: int | None = None
    pixels: int = 0
    corrections: PhotoCorrections | None = None


@dataclass(frozen=True)
class RowResult:
    """What became of a row.

    Attributes:
        key: of the row.
        image: the anonymized photo's file; None unless ``status`` is ok or copied.
        status: ok, copied (no face was found, and ``on_no_face`` is ``"keep"``), refused (the photo's fault) or failed (the machine's or
            the program's).
        reason: why there is no image.
        faces: one report per face, as the pipelines return them.
        notes: what was changed when the photo was read.
        seed: that was given or drawn; None where there is no image. It is not written to shards.
        marked: the image says that a part of it was generated; not written to shards, either.
    """

    key: str
    image: bytes | None
    status: str
    reason: str = ""
    faces: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    seed: int | None = None
    marked: bool = False


@dataclass(frozen=True)
class RowTaskHandler:
    """Anonymizes rows; see :class:`~ganon_hf.bulk.worker_pool.TaskHandler`.

    Attributes:
        options: for all photos; each row has its own seed.
        keep_metadata: names from ``image_files.METADATA_GROUPS``.
        format: Pillow's name of the format to write; empty keeps JPEG and WebP, and makes PNG of lossless formats.
        mark: results with a synthetic face carry IPTC's digital source type.
    """

    options: AnonymizeOptions
    keep_metadata: tuple[str, ...] = ()
    format: str = ""
    mark: bool = False

    def __call__(self, engine: Engine, tasks: Sequence[RowTask]) -> Iterator[RowResult]:
        """Yield one result for each task, in order; an error becomes a row without an image."""
        pictures = [self._read(task) for task in tasks]
        photos = [
            (picture.image if isinstance(picture, Picture) else picture, replace(self.options, seed=task.seed))
            for task, picture in zip(tasks, pictures, strict=True)
        ]
        results = anonymize_batch(engine, photos, [task.corrections for task in tasks])
        for task, picture, result in zip(tasks, pictures, results, strict=True):
            yield _row(task.key, picture, result, self.format, mark=self.mark)

    def _read(self, task: RowTask) -> Picture | Exception:
        try:
            if isinstance(task.content, str):
                raise OSError(task.content)
            if task.corrections is not None:
                task.corrections.check(task.content)
            return decode_image(task.content, keep_metadata=self.keep_metadata)
        except Exception as error:
            return error

    def crashed(self, task: RowTask, error: str) -> RowResult:
        """The result of a photo that crashed its process."""
        return RowResult(task.key, None, "failed", error)

    def discard(self, task: RowTask) -> None:
        """Nothing to remove."""


def _row(
    key: str, picture: Picture | Exception, result: AnonymizationResult | Exception, name: str = "", *, mark: bool = False
) -> RowResult:
    try:
        if isinstance(picture, Exception):
            raise picture
        if isinstance(result, Exception):
            raise result
        file, name = io.BytesIO(), name or SAME_FORMAT.get(picture.format, "PNG")
        faces = tuple(face.to_dict() for face in result.faces)
        picture = finished_picture(picture, result.image, faces, name, mark=mark)
        encode_image(picture, file, name)
    except Exception as error:
        return RowResult(key, None, *describe_error(error))
    return RowResult(key, file.getvalue(), success(result), faces=faces, notes=picture.notes, seed=result.seed, marked=picture.marked)


@dataclass
class AnonymizeRows:
    """A function for ``datasets.Dataset.map(..., batched=True)`` that anonymizes one column and adds report columns.

    It is cheap to pickle: every process loads its engine with the first batch. With ``num_proc`` above 1 neither this package nor torch may
    have computed anything in the process that calls ``map``, because ``datasets`` forks it.

    Examples:
        >>> rows = AnonymizeRows(column="photo")
        >>> rows({"image": []})
        Traceback (most recent call last):
        KeyError: "the rows have no column 'photo', but image: name it with column=..."

    Adds the columns ``status``, ``reason`` and ``faces``. The photo is null unless the status is ok or copied.

    Attributes:
        options: for all photos; None uses the defaults, which refuse photos without a face.
        column: the photos, decoded or, better, as files (``datasets.Image(decode=False)``): a photo that cannot be decoded then becomes a
            row with a reason and does not stop ``map``.
        model: folder or Hub name; None uses the bundled weights.
        device: where the generator runs; None is the CPU.
        mark: photos with a synthetic face carry IPTC's digital source type "composite with trained algorithmic media".
    """

    options: AnonymizeOptions | None = None
    column: str = "image"
    model: str | None = None
    device: str | None = None
    mark: bool = False
    _engine: Engine | None = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_engine": None}  # also keeps the fingerprint, by which datasets finds finished work, the same

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Anonymize a batch.

        Args:
            batch: column name -> cells.

        Returns:
            the changed column and the new ones.

        Raises:
            KeyError: there is no such column.
        """
        if self.column not in batch:
            raise KeyError(f"the rows have no column {self.column!r}, but {', '.join(batch)}: name it with column=...")
        if self._engine is None:
            self._engine = read_engine(self.model, self.device)
        options = self.options or AnonymizeOptions(on_no_face="raise")
        pictures = [_picture(cell) for cell in batch[self.column]]
        photos = [(picture.image if isinstance(picture, Picture) else picture, options) for picture in pictures]
        results = anonymize_batch(self._engine, photos)
        rows = [_row("", picture, result, mark=self.mark) for picture, result in zip(pictures, results, strict=True)]
        return {
            self.column: [None if row.image is None else {"bytes": row.image, "path": None} for row in rows],
            "status": [row.status for row in rows],
            "reason": [row.reason for row in rows],
            "faces": [list(row.faces) for row in rows],
        }


def _picture(cell: Image.Image | Mapping[str, Any] | None) -> Picture | Exception:
    """A cell of the column, decoded or not, as a picture; or the error with which that failed."""
    try:
        if isinstance(cell, Mapping) and isinstance(cell.get("bytes"), bytes):
            return decode_image(cell["bytes"])
        if isinstance(cell, Mapping) and isinstance(cell.get("path"), str):  # how datasets keeps files that it has only listed
            return read_image(cell["path"])
        if hasattr(cell, "convert"):
            return Picture(cell, format=getattr(cell, "format", None) or "")  # type: ignore[arg-type]
        raise TypeError(f"a photo must be a picture or {{'bytes': ...}}, but got {printable(type(cell).__name__)}.")
    except Exception as error:
        return error
