"""One video file anonymized into another: segment by segment, so that a killed run goes on where it was.

Finished segments and the state of the stream lie in a hidden folder beside the target until the video is complete; only then it gets its
name. The state holds landmarks of original faces (no pictures), so the folder is closed to others and removed at the end.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..bulk.engine import weights_digest
from ..bulk.folder import lock
from ..core.anonymizer import Anonymizer
from ..core.faces import NoFaceError
from ..core.options import AnonymizeOptions
from ..image_files import TEMPORARY_PREFIX, printable, publish
from .mux import join_segments
from .reader import UnusableVideoError, VideoFrame, VideoReader
from .snapshots import load_state, save_state
from .stream import AnonymizedFrame, FrameStream
from .writer import SegmentWriter, VideoFormat

SEGMENT_SECONDS = 10.0
AUDIOS = ("remove", "keep")


@dataclass
class TrackReport:
    """What happened to one face, from where it appears to where it is lost.

    Attributes:
        track, person: their numbers; tracks of one person wear the same synthetic face.
        first, last: seconds from the start of the video.
        replaced, covered: frames.
        filled: of these, frames between others in which the detector had lost it; ``held``, before and after all others.
        reasons: why frames were covered, and how many.
    """

    track: int
    person: int
    first: float
    last: float
    replaced: int = 0
    covered: int = 0
    filled: int = 0
    held: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoReport:
    """An account of an anonymized video; :meth:`to_dict` is JSON-ready.

    Attributes:
        frames: how many were written.
        seconds: from the first to the last of them.
        seed: of the synthetic people.
        tracks: by their numbers.
        notes: what was changed or left out besides faces, in words.
    """

    frames: int
    seconds: float
    seed: int
    tracks: tuple[TrackReport, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return dataclasses.asdict(self)


def anonymize_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: AnonymizeOptions | None = None,
    *,
    anonymizer: Anonymizer | None = None,
    codec: str = "h264",
    audio: str = "remove",
    overwrite: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> VideoReport:
    """Anonymize a video file.

    Everybody gets one synthetic person and keeps it, also after an absence. What cannot be replaced is covered; gaps of up to a second in
    which a face was lost are filled, and both ends of its track are covered. Subtitles, chapters and all metadata are left out.

    Args:
        source: any file that FFmpeg reads.
        target: its suffix must fit the codec. It appears complete or not at all. A run that was interrupted goes on when it is called again
            with the same arguments.
        options: ``seed`` decides the people of the whole video, None draws it; ``on_no_face="raise"`` refuses a video without any face.
        anonymizer: the engine; None loads the weights in the package.
        codec: see :class:`~ganon_hf.video.writer.VideoFormat`.
        audio: ``"remove"``, since a voice identifies, or ``"keep"``.
        overwrite: replace a target that is there.
        progress: called after every frame with the number done and the number to do, None where the file does not say.

    Raises:
        UnusableVideoError: the source is no usable video.
        NoFaceError: see ``options``; nothing is written.
        FileExistsError: the target is there.
        ValueError: names and options that do not fit, or another run is at work on this target.
        ImportError: PyAV is not installed.
    """
    source, target = Path(source), Path(target)
    options, format = options or AnonymizeOptions(), VideoFormat(codec)
    format.check_target(target)
    if audio not in AUDIOS:
        raise ValueError(f"audio must be one of {', '.join(map(repr, AUDIOS))}, but got {audio!r}.")
    if target.exists() and source.exists() and target.samefile(source):
        raise ValueError(f"{printable(target)} is the source; originals are never overwritten: name another target.")
    if os.path.lexists(target) and not overwrite:
        _Parts.discard(target)  # of a run that was killed when it had just finished
        raise FileExistsError(f"{printable(target)} exists already; remove it or ask for overwriting.")
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(source))
        engine = anonymizer or Anonymizer.from_pretrained()
        parts = stack.enter_context(_Parts(target, _fingerprint(source, options, engine, codec)))
        rate = float(reader.frame_rate)
        stream = FrameStream(engine, options, frame_rate=rate, snapshot_every=max(1, round(SEGMENT_SECONDS * rate)))
        account = _Account(float(reader.time_base))
        if parts.state is not None:
            stream.restore(parts.state["stream"])
            account.restore(parts.state["account"])
        _write_segments(reader, stream, parts, account, format, progress)
        if not account.tracks and options.on_no_face == "raise":
            parts.remove()
            raise NoFaceError(f"{printable(source)}: no face was found in the video.")
        notes = join_segments(parts.segments, parts.joined, format, audio_from=source if audio == "keep" and reader.has_audio else None)
        publish(parts.joined, target.absolute())
        parts.remove()
        return account.report(stream.seed, [*reader.notes, *notes])


def _write_segments(
    reader: VideoReader,
    stream: FrameStream,
    parts: _Parts,
    account: _Account,
    format: VideoFormat,
    progress: Callable[[int, int | None], None] | None,
) -> None:
    """The frames that are still to be done, each segment in a file of its own."""
    times: deque[tuple[int, int]] = deque()
    todo = stream.planned

    def images() -> Iterator[np.ndarray]:
        for number, frame in enumerate(reader):
            if number >= todo:
                times.append((frame.pts, frame.duration))
                frame.image.flags.writeable = False  # nobody else has it: no copy is needed
                yield frame.image

    frames = stream.run(images())
    frame = next(frames, None)
    while frame is not None:
        with SegmentWriter(parts.next_segment, format, reader) as writer:
            while frame is not None:
                pts, duration = times.popleft()
                writer.write(VideoFrame(frame.image, pts, duration))
                account.add(frame, pts)
                if progress is not None:
                    progress(frame.index + 1, reader.num_frames)
                frame = next(frames, None)
                state = None if frame is None else stream.snapshot(frame.index)
                if state is not None:
                    break
        parts.finish_segment(None if frame is None else {"stream": state, "account": account.state()})


class _Account:
    """Collects the report, frame by frame."""

    def __init__(self, time_base: float) -> None:
        self._time_base = time_base
        self._frames, self._first, self._last = 0, 0, 0
        self.tracks: dict[int, TrackReport] = {}

    def add(self, frame: AnonymizedFrame, pts: int) -> None:
        self._first = pts if self._frames == 0 else self._first
        self._frames, self._last = self._frames + 1, pts
        seconds = round((pts - self._first) * self._time_base, 6)
        for face in frame.faces:
            track = self.tracks.setdefault(face.track, TrackReport(face.track, face.person, seconds, seconds))
            track.last = seconds
            track.replaced += face.report.status == "replaced"
            track.covered += face.report.status == "covered"
            track.filled += face.kind == "filled"
            track.held += face.kind == "held"
            if face.report.reason:
                track.reasons[face.report.reason] = track.reasons.get(face.report.reason, 0) + 1

    def report(self, seed: int, notes: list[str]) -> VideoReport:
        seconds = (self._last - self._first) * self._time_base
        return VideoReport(self._frames, seconds, seed, tuple(self.tracks[number] for number in sorted(self.tracks)), tuple(notes))

    def state(self) -> dict[str, Any]:
        tracks = [dataclasses.asdict(track) for track in self.tracks.values()]
        return {"frames": self._frames, "first": self._first, "last": self._last, "tracks": tracks}

    def restore(self, state: dict[str, Any]) -> None:
        self._frames, self._first, self._last = state["frames"], state["first"], state["last"]
        self.tracks = {one["track"]: TrackReport(**one) for one in state["tracks"]}


class _Parts:
    """The hidden folder of an unfinished video: segments, and the state after the last finished one.

    Args:
        target: the video that will be.
        fingerprint: of everything that decides the result; parts of another one are thrown away.
    """

    def __init__(self, target: Path, fingerprint: str) -> None:
        self.folder = target.absolute().parent / f"{TEMPORARY_PREFIX}{target.name}.parts"
        self._fingerprint, self._suffix = fingerprint, target.suffix
        self._state_file = self.folder / "state.npz"
        self.state: dict[str, Any] | None = None
        self._count = 0

    def __enter__(self) -> _Parts:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = open(self.folder / "lock", "ab")
        try:
            lock(self._lock)
        except OSError as error:
            self._lock.close()
            raise ValueError(f"Another run is working on {printable(self.folder)}.") from error
        if self._state_file.is_file():
            found = load_state(self._state_file)
            if found is not None and found["fingerprint"] == self._fingerprint:
                self.state, self._count = found, int(found["segments"])
        for path in self.folder.iterdir():  # unfinished, or of another run
            if path.name != "lock" and path not in (*self.segments, *([self._state_file] if self.state else [])):
                path.unlink()
        return self

    def __exit__(self, *problem: object) -> None:
        self._lock.close()
        if problem[0] is not None and issubclass(problem[0], UnusableVideoError) and self.folder.is_dir():  # type: ignore[arg-type]
            self.remove()

    @classmethod
    def discard(cls, target: Path) -> None:
        """Remove what is left of a target's parts, unless a run is at work on them."""
        folder = cls(target, "").folder
        if folder.is_dir():
            with suppress(ValueError), cls(target, "") as parts:
                parts.remove()

    @property
    def segments(self) -> list[Path]:
        """The finished ones, in order."""
        return [self._segment(number) for number in range(self._count)]

    @property
    def joined(self) -> Path:
        """Where the video is put together, to get its name when it is whole."""
        return self.folder / f"whole{self._suffix}"

    @property
    def next_segment(self) -> Path:
        return self._segment(self._count)

    def _segment(self, number: int) -> Path:
        return self.folder / f"segment-{number:06d}"

    def finish_segment(self, state: dict[str, Any] | None) -> None:
        """The next segment is complete; with ``state`` a later run may go on after it."""
        self._count += 1
        if state is not None:
            save_state(self._state_file, state | {"fingerprint": self._fingerprint, "segments": self._count})

    def remove(self) -> None:
        """Nothing of the folder is needed any more."""
        shutil.rmtree(self.folder)


def _fingerprint(source: Path, options: AnonymizeOptions, anonymizer: Anonymizer, codec: str) -> str:
    """Changes with everything that decides the pictures."""
    from .._version import __version__

    status = source.stat()
    parts = [os.path.abspath(source), status.st_size, status.st_mtime_ns, dataclasses.asdict(options), codec, __version__]
    return hashlib.sha256(json.dumps([*parts, weights_digest(anonymizer)]).encode()).hexdigest()
