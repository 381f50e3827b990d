"""Photos in the rows of tables: bytes in, bytes and an account out. For ``datasets`` and for :mod:`ganon_hf.bulk.ray_job`.

A row whose photo was not anonymized has no photo: nothing of the original passes because something went wrong.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..core.faces import AnonymizationResult
from ..core.options import AnonymizeOptions
from ..image_files import Picture, decode_image, encode_image, printable, read_image
from .engine import read_engine
from .tasks import Engine, anonymize_together, explain

if TYPE_CHECKING:
    from PIL import Image

# Formats that are written as they came; photos of any other are written as PNG, which loses nothing.
SAME_FORMAT = {"JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WEBP"}


@dataclass(frozen=True)
class RowTask:
    """A photo on its way through a worker.

    Attributes:
        key: names the row in the account.
        content: the photo's file, or the reason why it could not be read.
        seed: which synthetic person; None draws one.
        pixels: of the photo, by its header; 0 where that cannot be read.
    """

    key: str
    content: bytes | str
    seed: int | None = None
    pixels: int = 0


@dataclass(frozen=True)
class Row:
    """What became of a photo.

    Attributes:
        key: of the row.
        image: the anonymized photo's file; None unless ``status`` is ok.
        status: ok, refused (the photo's fault) or failed (the machine's or the program's).
        reason: why there is no image.
        faces: one report per face, as the pipelines return them.
        notes: what was changed when the photo was read.
    """

    key: str
    image: bytes | None
    status: str
    reason: str = ""
    faces: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowWork:
    """What workers do with rows.

    Attributes:
        options: for all photos; each row brings its own seed.
        keep_metadata: names from ``files.METADATA_GROUPS``.
    """

    options: AnonymizeOptions
    keep_metadata: tuple[str, ...] = ()

    def __call__(self, engine: Engine, tasks: Sequence[RowTask]) -> Iterator[Row]:
        """One row for each task, in order; whatever goes wrong becomes a row without an image."""
        pictures = [self._read(task) for task in tasks]
        photos = [
            (picture.image if isinstance(picture, Picture) else picture, replace(self.options, seed=task.seed))
            for task, picture in zip(tasks, pictures, strict=True)
        ]
        for task, picture, result in zip(tasks, pictures, anonymize_together(engine, photos), strict=True):
            yield _row(task.key, picture, result)

    def _read(self, task: RowTask) -> Picture | Exception:
        try:
            if isinstance(task.content, str):
                raise OSError(task.content)
            return decode_image(task.content, keep_metadata=self.keep_metadata)
        except Exception as error:
            return error

    def crashed(self, task: RowTask, error: str) -> Row:
        """A photo that its process did not survive."""
        return Row(task.key, None, "failed", error)

    def discard(self, task: RowTask) -> None:
        """Nothing is left of a row."""


def _row(key: str, picture: Picture | Exception, result: AnonymizationResult | Exception) -> Row:
    try:
        if isinstance(picture, Exception):
            raise picture
        if isinstance(result, Exception):
            raise result
        file = io.BytesIO()
        encode_image(replace(picture, image=result.image), file, SAME_FORMAT.get(picture.format, "PNG"))
    except Exception as error:
        return Row(key, None, *explain(error))
    return Row(key, file.getvalue(), "ok", faces=tuple(face.to_dict() for face in result.faces), notes=picture.notes)


@dataclass
class AnonymizeRows:
    """A function for ``datasets.Dataset.map(..., batched=True)``: anonymizes one column, and says what it did in others.

    It can be pickled and costs nothing to: every process loads its engine with the first batch. With ``num_proc`` above 1 nothing of this
    package, and no torch, may have run in the process that calls ``map``, because ``datasets`` forks it.

    Attributes:
        options: for all photos; None refuses photos without a face and takes the defaults for the rest.
        column: holds the photos: pictures, or better files (``datasets.Image(decode=False)``): one that cannot be decoded is then a row
            with a reason, and not the end of ``map``.
        model: folder or Hub name; None takes the weights in the package.
        device: where the generator runs; None is the CPU.

    Adds ``status``, ``reason`` and ``faces``. The column is null unless the status is ok.
    """

    options: AnonymizeOptions | None = None
    column: str = "image"
    model: str | None = None
    device: str | None = None
    _engine: Engine | None = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_engine": None}  # also keeps the fingerprint, by which datasets finds finished work, the same

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Columns of a batch -> the changed and the new columns.

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
        results = anonymize_together(self._engine, photos)
        rows = [_row("", picture, result) for picture, result in zip(pictures, results, strict=True)]
        return {
            self.column: [None if row.image is None else {"bytes": row.image, "path": None} for row in rows],
            "status": [row.status for row in rows],
            "reason": [row.reason for row in rows],
            "faces": [list(row.faces) for row in rows],
        }


def _picture(cell: Image.Image | Mapping[str, Any] | None) -> Picture | Exception:
    """A cell of a column of pictures: decoded, or not."""
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
