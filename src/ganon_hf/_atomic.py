"""Files and folders that appear under their name complete or not at all, also over a crash, a full disk or a power cut.

Everything is written under a temporary name beside the target, flushed to disk and then renamed. Temporary names are hidden and have one
prefix, so that folder walks leave them out and what a killed run leaves behind can be found.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".ganon-hf-"
_SUFFIX = ".tmp"


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
