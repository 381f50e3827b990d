"""Files and folders that appear under their name complete or not at all, also over a crash, a full disk or a power cut.

Everything is written under a temporary name beside the target, flushed to disk and then renamed. Temporary names are hidden and have one
prefix, so that folder walks leave them out and what a killed run leaves behind can be found. Bytes go through Python's own files, which
raise where the disk takes only a part of them: encoders that are handed a real file (Pillow's of JPEG, for one) overlook that.
"""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY_PREFIX = ".ganon-hf-"
_SUFFIX = ".tmp"
# What a disk says that cannot take more, and what that means for a person.
_STORAGE_PROBLEMS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file became larger than this system allows",
    errno.EIO: "the disk reports an input/output error",
    errno.EROFS: "the disk is read-only",
}


def storage_problem(error: BaseException | None) -> str | None:
    """In words, what the disk had against being written to; None for an error, or the causes of one, that is about something else."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _STORAGE_PROBLEMS:
            return _STORAGE_PROBLEMS[error.errno]
        error = error.__cause__
    return None


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name; it gets its own when the block ends, and disappears after an error.

    Args:
        path: the final name. The folder must exist; a file or link of that name is replaced.

    Yields:
        the name to write to, in the same folder.

    Raises:
        OSError: the file cannot be written; nothing is left behind, and what stood under ``path`` stands as before.
    """
    path = Path(path).absolute()
    temporary = temporary_name(path)
    try:
        yield temporary
        sync(temporary)
        rename_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # gone after the rename; still there after an error or Ctrl-C


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write bytes, or text as UTF-8; everything else as in :func:`atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def write_new(path: Path, content: bytes | memoryview) -> os.stat_result:
    """Write a file that must not exist yet.

    Returns:
        its status; it is safely on disk.

    Raises:
        OSError: it cannot be written, or there is one; the caller removes what an error leaves behind.
    """
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        return os.fstat(file.fileno())


class LineLog:
    """A file to which whole lines are appended: each is safely on disk when :meth:`append` returns, or not in the file at all.

    Args:
        path: an existing file is continued, on a line of its own.
        fresh: empty it first.

    Raises:
        OSError: it cannot be opened or written.
    """

    def __init__(self, path: str | os.PathLike[str], *, fresh: bool = False) -> None:
        # unbuffered: what a full disk has refused must not be tried again when the file is closed
        self.file = open(path, "wb" if fresh else "ab+", buffering=0)
        self._may_be_torn = not fresh

    def read(self) -> bytes:
        """Everything that is in it."""
        self.file.seek(0)
        return self.file.read()

    def append(self, line: bytes) -> None:
        """Append a line, given without its end."""
        size = self.file.seek(0, os.SEEK_END) if self.file.seekable() else 0
        if size and self._may_be_torn:  # by a run that was killed
            self.file.seek(size - 1)
            line = line if self.file.read(1) == b"\n" else b"\n" + line
        try:
            rest = memoryview(line + b"\n")
            while rest:
                rest = rest[self.file.write(rest) :]
            if self.file.seekable():
                os.fsync(self.file.fileno())
        except OSError:
            with suppress(OSError):
                self.file.truncate(size)
            raise
        self._may_be_torn = False

    def close(self) -> None:
        """Close the file."""
        self.file.close()


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Fill a folder in a temporary place; it moves to its own when the block ends, and disappears after an error.

    Args:
        path: the folder, which must be absent or empty. The one above it must exist.

    Yields:
        an empty folder with the final name, inside a temporary one: what goes by a folder's name may be used already.

    Raises:
        OSError: it cannot be written, or ``path`` is in the way; nothing is left behind.
    """
    path = Path(path).absolute()
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, suffix=_SUFFIX, dir=path.parent) as temporary:
        folder = Path(temporary) / path.name
        folder.mkdir()
        yield folder
        sync(folder)
        if path.is_dir():
            path.rmdir()  # raises unless it is empty
        rename_into_place(folder, path)


def temporary_name(path: Path) -> Path:
    """A fresh hidden name beside a file that is to be written, for whoever writes and renames in two steps."""
    return path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"


def is_temporary(name: str) -> bool:
    """Whether a file or folder without a path has a name of :func:`temporary_name`."""
    return name.startswith(TEMPORARY_PREFIX) and name.endswith(_SUFFIX)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed runs from a folder. No other run may be writing there."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_temporary(path.name) and not path.is_dir():
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or a folder with all that is in it, to disk."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        elif file.is_dir():
            _sync_entries(file)
    if path.is_dir():
        _sync_entries(path)


def rename_into_place(temporary: Path, path: Path) -> None:
    """Give a finished file, or folder, that :func:`sync` has flushed its name; the rename survives a power cut, too."""
    os.replace(temporary, path)
    _sync_entries(path.parent)


def _sync_entries(folder: Path) -> None:
    """Flush the names in a folder, where the platform can open folders."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
