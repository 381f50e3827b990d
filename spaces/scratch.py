"""The folder of this process for uploads and results, and what dead processes have left of theirs."""

from __future__ import annotations

import atexit
import fcntl
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

PREFIX = "ganon-space-"
_LOCK = "lock"
_STARTING_SECONDS = 60  # a folder without a lock may be of a process that has just started
_held: list[IO[bytes]] = []  # a lock lasts as long as its file is open: as long as this process


def open_scratch() -> Path:
    """A fresh folder that is removed at the end of this process, also after a kill: by the next one that starts."""
    remove_dead()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    file = open(folder / _LOCK, "wb")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _held.append(file)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def remove_dead() -> list[Path]:
    """Remove the folders of processes that are gone; returns them. Those of others who live, and of other users, stay."""
    removed = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        try:
            if folder.is_symlink() or not folder.is_dir() or not _is_dead(folder):
                continue
            shutil.rmtree(folder)
        except OSError:  # another user's, or another process was faster
            continue
        removed.append(folder)
    return removed


def _is_dead(folder: Path) -> bool:
    try:
        with open(folder / _LOCK, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _STARTING_SECONDS
    except BlockingIOError:
        return False
