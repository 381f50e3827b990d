"""One video file anonymized into another, part by part, so that a killed run goes on where it was.

Finished parts lie in a hidden folder beside the target until the video is complete (see ``parts.py``); only then it gets its name. Where
the folder is kept, a run with other corrections does again only the parts in which they change something.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .._atomic import rename_into_place, storage_problem
from ..bulk.engine import weights_digest
from ..core.anonymizer import Anonymizer
from ..core.faces import NoFaceError
from ..core.options import AnonymizeOptions
from ..image_files import printable
from .colorspace import load_av
from .edits import FilmEdits, plan_edits
from .film_corrections import FilmCorrectionError, FilmCorrections, film_digest
from .mux import concatenate_segments
from .parts import PartsFolder
from .reader import UnusableVideoError, VideoFrame, VideoReader
from .report import PartRecord, VideoReport, build_report
from .stream import FrameStream
from .writer import SegmentWriter, VideoFormat

SEGMENT_SECONDS = 10.0
AUDIOS = ("remove", "keep")
Progress = Callable[[int, int | None], None]


def anonymize_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: AnonymizeOptions | None = None,
    *,
    anonymizer: Anonymizer | None = None,
    codec: str = "h264",
    audio: str = "remove",
    overwrite: bool = False,
    corrections: FilmCorrections | None = None,
    keep_parts: bool = False,
    progress: Progress | None = None,
) -> VideoReport:
    """Anonymize a video file.

    Everybody gets one synthetic person and keeps it, even after an absence. A face that cannot be replaced is covered; gaps of up to a
    second in which a face is lost are filled, and both ends of its track are covered. Subtitles, chapters and all metadata are left out.

    Args:
        source: any file that FFmpeg reads.
        target: its suffix must match the codec. It appears complete or not at all. Call again to continue an interrupted run.
        options: ``seed`` determines the people of the whole video, None draws it; ``on_no_face="raise"`` refuses a video without any face.
        anonymizer: the engine; None loads the bundled weights.
        codec: see :class:`~ganon_hf.video.writer.VideoFormat`.
        audio: ``"remove"``, because voices identify people, or ``"keep"``.
        overwrite: replace an existing target.
        corrections: what a reviewer of the result decided about individual faces, see ``docs/review.md``.
        keep_parts: keep the hidden folder with the finished parts, so that later corrections only render what they change. It contains
            landmarks of original faces.
        progress: called after every frame with the number of finished frames and the total (None if the file does not say).

    Returns:
        what was done.

    Raises:
        UnusableVideoError: the source is not a usable video.
        FilmCorrectionError: corrections are for another video, or one matches no face; the target is unchanged.
        NoFaceError: see ``options``; nothing is written.
        FileExistsError: the target exists.
        ValueError: names and options do not match, or another run is writing this target.
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
        if not keep_parts:
            PartsFolder.discard(target)  # of a run that was killed just after it had finished
        raise FileExistsError(f"{printable(target)} exists already; remove it or overwrite it.")
    if corrections is not None and film_digest(source) != corrections.sha256:
        raise FilmCorrectionError(f"{printable(source)} has changed since it was corrected: correct it again.")
    seed = corrections.seed if options.seed is None and corrections is not None else options.seed
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(source))
        engine = anonymizer or Anonymizer.from_pretrained()
        parts = stack.enter_context(PartsFolder(target, _fingerprint(source, options, engine, codec), seed))
        options = dataclasses.replace(options, seed=secrets.randbits(62) if parts.seed is None else parts.seed)
        with _unusable_frames(source):
            edits = _plan_edits(source, corrections, engine, options, float(reader.frame_rate))
            _Run(source, engine, options, format, parts, edits, progress).finish()
        report = _report(parts, float(reader.time_base), corrections)
        if not report.tracks and options.on_no_face == "raise":
            parts.remove()
            raise NoFaceError(f"{printable(source)}: no face was found in the video.")
        notes = concatenate_segments(
            parts.segments, parts.joined, format, audio_from=source if audio == "keep" and reader.has_audio else None
        )
        rename_into_place(parts.joined, target.absolute())
        if not keep_parts:
            parts.remove()
        return dataclasses.replace(report, notes=(*report.notes, *notes))


def _plan_edits(source: Path, corrections: FilmCorrections | None, engine: Anonymizer, options: AnonymizeOptions, rate: float) -> FilmEdits:
    if corrections is None or not corrections.faces:
        return FilmEdits()
    with ExitStack() as stack:
        return plan_edits(corrections, lambda: (frame.image for frame in stack.enter_context(VideoReader(source))), engine, options, rate)


def _report(parts: PartsFolder, time_base: float, corrections: FilmCorrections | None) -> VideoReport:
    """Of all parts; FilmCorrectionError where a correction is for a frame behind the last."""
    records = list(parts.records())
    digest = "" if corrections is None else corrections.digest
    report = build_report(records, time_base, records[-1]["seed"], records[-1]["notes"], digest)
    for one in () if corrections is None else corrections.faces:
        if one.frame >= report.frames:
            raise FilmCorrectionError(f"a correction is for frame {one.frame}, but the film has {report.frames}: it is of another film.")
    return report


@contextmanager
def _unusable_frames(source: Path) -> Iterator[None]:
    """What FFmpeg cannot encode is the video's fault, except where the disk is full."""
    try:
        yield
    except load_av().error.FFmpegError as error:
        if storage_problem(error):
            raise OSError(error.errno, error.strerror, error.filename) from error
        raise UnusableVideoError(f"{printable(source)}: its frames cannot be encoded ({printable(error.strerror)}).") from error


@dataclass(frozen=True, eq=False)
class _Run:
    """Writes the parts that are missing, and those in which other corrections are to be heeded than were."""

    source: Path
    engine: Anonymizer
    options: AnonymizeOptions
    format: VideoFormat
    parts: PartsFolder
    edits: FilmEdits
    progress: Progress | None

    def finish(self) -> None:
        """Do what is to be done, from the first such part on."""
        parts = self.parts
        changed = [part for part in range(parts.count) if self._is_changed(part)]
        for part in changed:
            if self._is_changed(part):  # unless it was written with the one before
                self._write(part, until_unchanged=True)
        if not parts.complete:
            self._write(parts.count, until_unchanged=False)

    def _is_changed(self, part: int) -> bool:
        first, end, tracks, digest = self.parts.extent(part)
        return self.edits.digest(first, end, tracks) != digest

    def _write(self, part: int, *, until_unchanged: bool) -> None:
        """Write parts from one on: to the end, or as long as they are not as they should be."""
        with VideoReader(self.source) as reader:
            rate = float(reader.frame_rate)
            every = max(1, round(SEGMENT_SECONDS * rate))
            stream = FrameStream(self.engine, self.options, frame_rate=rate, snapshot_every=every, edits=self.edits)
            while part and (state := self.parts.state(part)) is None:
                part -= 1  # what was there is damaged
            if part:
                stream.restore(state)  # type: ignore[arg-type]  # the loop ends with one
            frames = stream.run(_frames_from(reader, stream.planned))
            frame = next(frames, None)
            while frame is not None:
                self.parts.reopen(part)
                record = PartRecord()
                with SegmentWriter(self.parts.segment(part), self.format, reader) as writer:
                    while frame is not None:
                        writer.write(frame)
                        record.add(frame)
                        if self.progress is not None:
                            self.progress(frame.index + 1, reader.num_frames)
                        frame = next(frames, None)
                        state = None if frame is None else stream.snapshot(frame.index)
                        if state is not None:
                            break
                tracks = record.tracks()
                edits = self.edits.digest(record.first, record.end, tracks)
                notes = reader.notes if frame is None else []
                self.parts.finish(part, record.to_dict() | {"tracks": tracks, "edits": edits, "notes": notes}, state, stream.seed)
                part += 1
                if until_unchanged and part < self.parts.count and not self._is_changed(part):
                    return


def _frames_from(reader: VideoReader, first: int) -> Iterator[VideoFrame]:
    for number, frame in enumerate(reader):
        if number >= first:
            frame.image.flags.writeable = False  # nobody else has it: no copy is needed
            yield frame


def _fingerprint(source: Path, options: AnonymizeOptions, anonymizer: Anonymizer, codec: str) -> str:
    """A digest of everything that the pictures depend on but corrections and the seed, which is beside it."""
    from .._version import __version__

    status = source.stat()
    own = {name: value for name, value in dataclasses.asdict(options).items() if name != "seed"}
    parts = [os.path.abspath(source), status.st_size, status.st_mtime_ns, own, codec, __version__]
    return hashlib.sha256(json.dumps([*parts, weights_digest(anonymizer)]).encode()).hexdigest()
