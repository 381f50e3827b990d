"""One video file anonymized into another, segment by segment, so that a killed run goes on where it was.

Finished segments and a snapshot of the stream lie in a hidden folder beside the target until the video is complete; only then it gets its
name. The snapshot holds landmarks of original faces (no pictures), so the folder is closed to other users and removed at the end.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._atomic import TEMPORARY_PREFIX, rename_into_place, storage_problem
from ..bulk.engine import weights_digest
from ..bulk.folder import lock
from ..core.anonymizer import Anonymizer
from ..core.faces import NoFaceError
from ..core.options import AnonymizeOptions
from ..image_files import printable
from .colorspace import load_av
from .mux import concatenate_segments
from .reader import UnusableVideoError, VideoFrame, VideoReader
from .snapshots import load_snapshot, save_snapshot
from .stream import AnonymizedFrame, FrameStream
from .writer import SegmentWriter, VideoFormat

SEGMENT_SECONDS = 10.0
AUDIOS = ("remove", "keep")


@dataclass
class TrackReport:
    """What happened to one face, from where it appears to where it is lost.

    Attributes:
        track, person: their numbers; tracks of one person have the same synthetic face.
        first, last: seconds from the start of the video.
        replaced, covered: number of frames.
        filled, held: of these, frames in which it was not seen: in gaps, and before the first or after the last sighting.
        reasons: why it was covered -> number of frames.
        doubtful: of the frames in which it was covered, those in which it may be no face.
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
    doubtful: int = 0


@dataclass(frozen=True)
class VideoReport:
    """What was done to a video; :meth:`to_dict` is JSON-ready.

    Attributes:
        frames: number of frames.
        seconds: from the first to the last of them.
        seed: decides the synthetic people.
        tracks: in the order of their numbers.
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

    Everybody gets one synthetic person and keeps it, also after an absence. A face that cannot be replaced is covered; gaps of up to a
    second in which a face is lost are filled, and both ends of its track are covered. Subtitles, chapters and all metadata are left out.

    Args:
        source: any file that FFmpeg reads.
        target: its suffix must fit the codec. It appears complete or not at all. The same call again continues an interrupted run.
        options: ``seed`` decides the people of the whole video, None draws it; ``on_no_face="raise"`` refuses a video without any face.
        anonymizer: the engine; None loads the weights in the package.
        codec: see :class:`~ganon_hf.video.writer.VideoFormat`.
        audio: ``"remove"``, since a voice identifies, or ``"keep"``.
        overwrite: replace an existing target.
        progress: called after every frame with the numbers of frames done and in total (None where the file does not say).

    Returns:
        what was done.

    Raises:
        UnusableVideoError: the source is no usable video.
        NoFaceError: see ``options``; nothing is written.
        FileExistsError: the target exists.
        ValueError: names and options do not fit, or another run is writing this target.
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
        _WorkFolder.discard(target)  # of a run that was killed just after it had finished
        raise FileExistsError(f"{printable(target)} exists already; remove it or overwrite it.")
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(source))
        engine = anonymizer or Anonymizer.from_pretrained()
        work = stack.enter_context(_WorkFolder(target, _fingerprint(source, options, engine, codec)))
        rate = float(reader.frame_rate)
        stream = FrameStream(engine, options, frame_rate=rate, snapshot_every=max(1, round(SEGMENT_SECONDS * rate)))
        report = _ReportBuilder(float(reader.time_base))
        if work.snapshot is not None:
            stream.restore(work.snapshot["stream"])
            report.restore(work.snapshot["report"])
        with _unusable_frames(source):
            _write_segments(reader, stream, work, report, format, progress)
        if not report.tracks and options.on_no_face == "raise":
            work.remove()
            raise NoFaceError(f"{printable(source)}: no face was found in the video.")
        notes = concatenate_segments(
            work.segments, work.joined, format, audio_from=source if audio == "keep" and reader.has_audio else None
        )
        rename_into_place(work.joined, target.absolute())
        work.remove()
        return report.build(stream.seed, [*reader.notes, *notes])


@contextmanager
def _unusable_frames(source: Path) -> Iterator[None]:
    """What FFmpeg cannot encode is the video's fault, except where the disk is full."""
    try:
        yield
    except load_av().error.FFmpegError as error:
        if storage_problem(error):
            raise OSError(error.errno, error.strerror, error.filename) from error
        raise UnusableVideoError(f"{printable(source)}: its frames cannot be encoded ({printable(error.strerror)}).") from error


def _write_segments(
    reader: VideoReader,
    stream: FrameStream,
    work: _WorkFolder,
    report: _ReportBuilder,
    format: VideoFormat,
    progress: Callable[[int, int | None], None] | None,
) -> None:
    """Write the frames that are still to be done, each segment into a file of its own."""
    first = stream.planned

    def frames_to_do() -> Iterator[VideoFrame]:
        for number, frame in enumerate(reader):
            if number >= first:
                frame.image.flags.writeable = False  # nobody else has it: no copy is needed
                yield frame

    frames = stream.run(frames_to_do())
    frame = next(frames, None)
    while frame is not None:
        with SegmentWriter(work.next_segment, format, reader) as writer:
            while frame is not None:
                writer.write(frame)
                report.add(frame)
                if progress is not None:
                    progress(frame.index + 1, reader.num_frames)
                frame = next(frames, None)
                snapshot = None if frame is None else stream.snapshot(frame.index)
                if snapshot is not None:
                    break
        work.finish_segment(None if frame is None else {"stream": snapshot, "report": report.state()})


class _ReportBuilder:
    """Collects the report frame by frame.

    Args:
        time_base: seconds per unit of the frames' time stamps.
    """

    def __init__(self, time_base: float) -> None:
        self._time_base = time_base
        self._frames, self._first, self._last = 0, 0, 0
        self.tracks: dict[int, TrackReport] = {}

    def add(self, frame: AnonymizedFrame) -> None:
        self._first = frame.pts if self._frames == 0 else self._first
        self._frames, self._last = self._frames + 1, frame.pts
        seconds = round((frame.pts - self._first) * self._time_base, 6)
        for face in frame.faces:
            track = self.tracks.setdefault(face.track, TrackReport(face.track, face.person, seconds, seconds))
            track.last = seconds
            track.replaced += face.report.status == "replaced"
            track.covered += face.report.status != "replaced"
            track.doubtful += face.report.status == "doubtful"
            track.filled += face.kind == "filled"
            track.held += face.kind == "held"
            if face.report.reason:
                track.reasons[face.report.reason] = track.reasons.get(face.report.reason, 0) + 1

    def build(self, seed: int, notes: list[str]) -> VideoReport:
        seconds = (self._last - self._first) * self._time_base
        return VideoReport(self._frames, seconds, seed, tuple(self.tracks[number] for number in sorted(self.tracks)), tuple(notes))

    def state(self) -> dict[str, Any]:
        tracks = [dataclasses.asdict(track) for track in self.tracks.values()]
        return {"frames": self._frames, "first": self._first, "last": self._last, "tracks": tracks}

    def restore(self, state: dict[str, Any]) -> None:
        self._frames, self._first, self._last = state["frames"], state["first"], state["last"]
        self.tracks = {one["track"]: TrackReport(**one) for one in state["tracks"]}


class _WorkFolder:
    """The hidden folder of an unfinished video: segments, and the snapshot after the last finished one.

    Args:
        target: the video that it becomes.
        fingerprint: of everything that the result depends on; what was made under another one is removed.
    """

    def __init__(self, target: Path, fingerprint: str) -> None:
        self.folder = target.absolute().parent / f"{TEMPORARY_PREFIX}{target.name}.parts"
        self._fingerprint, self._suffix = fingerprint, target.suffix
        self._snapshot_file = self.folder / "state.npz"
        self.snapshot: dict[str, Any] | None = None
        self._saved = False
        self._count = 0

    def __enter__(self) -> _WorkFolder:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = open(self.folder / "lock", "ab")
        try:
            lock(self._lock)
        except OSError as error:
            self._lock.close()
            raise ValueError(f"Another run is working on {printable(self.folder)}.") from error
        if self._snapshot_file.is_file():
            found = load_snapshot(self._snapshot_file)
            if found is not None and found["fingerprint"] == self._fingerprint:
                self.snapshot, self._count = found, int(found["segments"])
        for path in self.folder.iterdir():  # unfinished, or of another run
            if path.name != "lock" and path not in (*self.segments, *([self._snapshot_file] if self.snapshot else [])):
                path.unlink()
        return self

    def __exit__(self, *problem: object) -> None:
        self._lock.close()
        unusable = isinstance(problem[1], UnusableVideoError)
        if problem[0] is not None and (unusable or self.snapshot is None and not self._saved) and self.folder.is_dir():
            self.remove()  # there is nothing in it that another run could go on from

    @classmethod
    def discard(cls, target: Path) -> None:
        """Remove what is left of a target's folder, unless a run is working on it."""
        folder = cls(target, "").folder
        if folder.is_dir():
            with suppress(ValueError), cls(target, "") as work:
                work.remove()

    @property
    def segments(self) -> list[Path]:
        """The finished ones, in order."""
        return [self._segment(number) for number in range(self._count)]

    @property
    def joined(self) -> Path:
        """Where the segments are joined; the file gets its own name when it is complete."""
        return self.folder / f"whole{self._suffix}"

    @property
    def next_segment(self) -> Path:
        return self._segment(self._count)

    def _segment(self, number: int) -> Path:
        return self.folder / f"segment-{number:06d}"

    def finish_segment(self, snapshot: dict[str, Any] | None) -> None:
        """Count the next segment as complete; with a snapshot a later run may go on after it."""
        self._count += 1
        if snapshot is not None:
            save_snapshot(self._snapshot_file, snapshot | {"fingerprint": self._fingerprint, "segments": self._count})
            self._saved = True

    def remove(self) -> None:
        """Remove the folder, which is not needed any more."""
        shutil.rmtree(self.folder)


def _fingerprint(source: Path, options: AnonymizeOptions, anonymizer: Anonymizer, codec: str) -> str:
    """A digest of everything that the pictures depend on."""
    from .._version import __version__

    status = source.stat()
    parts = [os.path.abspath(source), status.st_size, status.st_mtime_ns, dataclasses.asdict(options), codec, __version__]
    return hashlib.sha256(json.dumps([*parts, weights_digest(anonymizer)]).encode()).hexdigest()
