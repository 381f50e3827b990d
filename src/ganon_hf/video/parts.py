"""The parts of a video on disk, while it is written and, on request, afterwards, so that corrections do again only what they touch.

For each part of about ten seconds there is a segment, a record of what was done in it, and the state of the stream at its beginning. States
and records hold landmarks and places of original faces (no pictures), so the folder is hidden and closed to other users.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._atomic import TEMPORARY_PREFIX
from ..bulk.folder import lock
from ..image_files import printable
from .reader import UnusableVideoError
from .snapshots import load_snapshot, save_snapshot


class PartsFolder:
    """The hidden folder of a video's parts; use it in ``with``.

    Args:
        target: the video that it becomes.
        fingerprint: of everything but corrections that the result depends on; parts that were made under another one are removed.
        seed: of the run; None takes that of the parts that are there.

    Attributes:
        count: parts that are finished, from the first on.
        complete: whether they are the whole video.
        seed: of the parts that are there, else as given.

    Raises:
        ValueError: another run is working in the folder, or it is a link to somewhere else.
    """

    def __init__(self, target: Path, fingerprint: str, seed: int | None = None) -> None:
        self.folder = target.absolute().parent / f"{TEMPORARY_PREFIX}{target.name}.parts"
        self.seed = seed
        self.count, self.complete = 0, False
        self._fingerprint, self._suffix = fingerprint, target.suffix
        self._digests: dict[int, tuple[int, int, list[int], str]] = {}

    def __enter__(self) -> PartsFolder:
        if self.folder.is_symlink():  # what is not a part would be removed there
            raise ValueError(f"{printable(self.folder)} is a link, and parts of a video are written and removed in it: remove the link.")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.is_symlink():  # of somebody else: the program makes none, and would write through it
                path.unlink()
        self._lock = open(self.folder / "lock", "ab")
        try:
            lock(self._lock)
        except OSError as error:
            self._lock.close()
            raise ValueError(f"Another run is working on {printable(self.folder)}.") from error
        self._find_finished()
        known = {"lock", *(path.name for part in range(self.count) for path in (self.segment(part), self._record(part), self._state(part)))}
        known |= {self._state(self.count).name} if self.count else set()
        for path in self.folder.iterdir():  # unfinished, or of another run
            if path.name not in known:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return self

    def __exit__(self, *problem: object) -> None:
        self._lock.close()
        unusable = isinstance(problem[1], UnusableVideoError)
        if problem[0] is not None and (unusable or not self.count) and self.folder.is_dir():
            self.remove()  # there is nothing in it that another run could go on from

    def _find_finished(self) -> None:
        while not self.complete and self.segment(self.count).is_file():
            record = load_snapshot(self._record(self.count))
            if record is None or record.get("fingerprint") != self._fingerprint or self.seed not in (None, record["seed"]):
                break
            self.seed = record["seed"]
            self._note(self.count, record)
        while not self.complete and self.count and self.state(self.count) is None:
            self.count -= 1

    def _note(self, part: int, record: dict[str, Any]) -> None:
        self._digests[part] = (record["first"], record["first"] + len(record["times"]), record["tracks"], record["edits"])
        self.count, self.complete = max(self.count, part + 1), self.complete or record["last"]

    @classmethod
    def discard(cls, target: Path) -> None:
        """Remove what is left of a target's folder, unless a run is working on it."""
        folder = cls(target, "").folder
        if folder.is_dir() and not folder.is_symlink():
            with suppress(ValueError), cls(target, "") as parts:
                parts.remove()

    @property
    def segments(self) -> list[Path]:
        """The finished ones, in order."""
        return [self.segment(part) for part in range(self.count)]

    @property
    def joined(self) -> Path:
        """Where the segments are joined; the file gets its own name when it is complete."""
        return self.folder / f"whole{self._suffix}"

    def segment(self, part: int) -> Path:
        """The file with the pictures of a part."""
        return self.folder / f"segment-{part:06d}"

    def _record(self, part: int) -> Path:
        return self.folder / f"record-{part:06d}.npz"

    def _state(self, part: int) -> Path:
        return self.folder / f"state-{part:06d}.npz"

    def state(self, part: int) -> dict[str, Any] | None:
        """The stream's state at the beginning of a part; None for the first, and where it cannot be read."""
        return load_snapshot(self._state(part)) if part else None

    def records(self) -> Iterator[dict[str, Any]]:
        """What was done in each finished part, in order.

        Raises:
            OSError: a record has become unreadable.
        """
        for part in range(self.count):
            record = load_snapshot(self._record(part))
            if record is None:
                raise OSError(f"{printable(self._record(part))} cannot be read any more: remove {printable(self.folder)}, and begin anew.")
            yield record

    def extent(self, part: int) -> tuple[int, int, list[int], str]:
        """Of a finished part: number of its first frame and of the one behind its last, tracks in it, digest of the corrections in it."""
        return self._digests[part]

    def reopen(self, part: int) -> None:
        """Say that a part is to be written again; until it is finished, a run that is killed goes on from there."""
        self._record(part).unlink(missing_ok=True)

    def finish(self, part: int, record: dict[str, Any], next_state: dict[str, Any] | None, seed: int) -> None:
        """Count a part as finished, whose segment has been written.

        Args:
            part: its number.
            record: of the frames in it, with ``tracks`` and ``edits``; JSON-ready but for arrays.
            next_state: of the stream at the beginning of the next part; None for the last one.
            seed: of the run.
        """
        if next_state is not None:
            save_snapshot(self._state(part + 1), next_state)
        record = record | {"fingerprint": self._fingerprint, "seed": seed, "last": next_state is None}
        save_snapshot(self._record(part), record)
        self._note(part, record)

    def remove(self) -> None:
        """Remove the folder, which is not needed any more."""
        shutil.rmtree(self.folder)
