"""What the app does with a video: limits, one at a time, texts. Nothing here knows about the page.

The upload is copied before it waits in the queue, so that the upload itself may be deleted meanwhile; the copy and everything unfinished
lie in a folder of their own that is removed at the end, also after an error.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ganon_hf import AnonymizeOptions, Anonymizer, NoFaceError
from ganon_hf.video import UnusableVideoError, VideoReport, anonymize_video
from ganon_hf.video.reader import VideoReader
from work import Refusal, table

MAX_SECONDS = 10
MAX_FRAMES = 300
MAX_PIXELS = 1920 * 1080
WAITING = 3  # videos that wait while one is anonymized; more are refused, because waiting would be long
NO_SOUND = "The sound was removed, because a voice identifies."


@dataclass(frozen=True)
class AnonymizedVideo:
    """An anonymized video.

    Attributes:
        path: an MP4 file with H.264.
        report: what was done to each face, track by track.
        has_sound: whether the upload had sound, which the result has not.
    """

    path: str
    report: VideoReport
    has_sound: bool


class VideoQueue:
    """One video at a time: a free Space has two cores."""

    def __init__(self, waiting: int = WAITING) -> None:
        self._room, self._turn = threading.BoundedSemaphore(1 + waiting), threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the videos before this one.

        Raises:
            Refusal: too many wait already.
        """
        if not self._room.acquire(blocking=False):
            raise Refusal("Several videos are already waiting. Please try again in a few minutes.")
        try:
            with self._turn:
                yield
        finally:
            self._room.release()


def anonymize(
    engine: Anonymizer,
    path: str,
    options: AnonymizeOptions,
    *,
    queue: VideoQueue,
    unfinished: Path,
    results: Path,
    progress: Callable[[int, int | None], None],
) -> AnonymizedVideo:
    """One video.

    Args:
        path: the upload.
        unfinished: folder for what is unfinished; nothing stays there.
        results: folder that the app's server clears; the result gets a folder of its own below it.
        progress: called with frames done and frames to do (None where the file does not say); 0 is "waiting".

    Raises:
        Refusal: the video was not anonymized.
    """
    with tempfile.TemporaryDirectory(dir=unfinished) as temporary:
        source, target = Path(temporary) / "upload", Path(temporary) / "anonymized.mp4"
        try:
            shutil.copyfile(path, source)
        except FileNotFoundError as error:
            raise Refusal(
                "This video has been deleted here already: uploads are kept for less than a minute. Please choose it again."
            ) from error
        progress(0, None)
        with queue.turn():
            try:
                has_sound = _check(source)
                report = anonymize_video(source, target, options, anonymizer=engine, progress=_limited(progress))
            except NoFaceError as error:
                raise Refusal(
                    "No face was found in this video, so nothing was changed and nothing is shown. Faces that are very small, dark, turned "
                    "away or occluded can be missed; a lower “Min face size” in the options finds more."
                ) from error
            except UnusableVideoError as error:
                reason = str(error).removeprefix(f"{source}: ")
                raise Refusal(f"This file cannot be used as a video: it {reason}") from error
            except ValueError as error:  # options that fit a photo and not a video
                raise Refusal(str(error).replace(str(source), "the video")) from error
        kept = Path(tempfile.mkdtemp(dir=results)) / target.name
        shutil.copyfile(target, kept)  # a copy: its age counts from now for the sweeping
    return AnonymizedVideo(str(kept), report, has_sound)


def _check(source: Path) -> bool:
    """Refuse what is too large for a small server; returns whether there is sound."""
    with VideoReader(source) as reader:
        if reader.width * reader.height > MAX_PIXELS:
            raise Refusal(
                f"This video has {reader.width} x {reader.height} pixels. At most {MAX_PIXELS:,} in all (1920 x 1080) are possible "
                "here; the command line has no such limit."
            )
        if (reader.seconds or 0) > MAX_SECONDS + 0.5 or (reader.num_frames or 0) > MAX_FRAMES + 15:
            lasts = f"lasts {reader.seconds:.1f} seconds" if reader.seconds else "is too long"
            frames = f" and has {reader.num_frames} frames" if reader.num_frames else ""
            raise Refusal(
                f"This video {lasts}{frames}. At most {MAX_SECONDS} seconds and {MAX_FRAMES} frames are possible here; "
                "the command line has no such limit."
            )
        return reader.has_audio


def _limited(progress: Callable[[int, int | None], None]) -> Callable[[int, int | None], None]:
    """The same, but it refuses a video that turns out to be longer than its file says."""

    def count(done: int, total: int | None) -> None:
        if done > MAX_FRAMES + 15:
            raise Refusal(f"This video has more frames than its file says. At most {MAX_FRAMES} are possible here.")
        progress(done, total)

    return count


def summary(video: AnonymizedVideo) -> str:
    """Two or three sentences."""
    report = video.report
    people = len({track.person for track in report.tracks})
    replaced, covered, doubtful = (sum(getattr(track, name) for track in report.tracks) for name in ("replaced", "covered", "doubtful"))
    parts = [f"{report.frames} frames", f"{people} {'person' if people == 1 else 'people'}", f"{replaced} faces replaced"]
    parts += [f"{covered - doubtful} covered, because they could not be replaced"] if covered > doubtful else []
    parts += [f"{doubtful} covered, although there may be no face"] if doubtful else []
    sound = f" {NO_SOUND}" if video.has_sound else ""
    return f"{', '.join(parts)}. Seed {report.seed}.{sound} Check the result before you use it: a face may have been missed."


def people_table(report: VideoReport) -> str:
    """HTML table: one row per track."""
    rows = [
        [
            str(track.person + 1),
            f"{track.first:.1f} to {track.last:.1f} s",
            str(track.replaced),
            str(track.covered),
            ", ".join(f"{reason} ({count})" for reason, count in track.reasons.items()) or "-",
        ]
        for track in report.tracks
    ]
    names = ["person", "in the picture", "frames replaced", "frames covered", "why covered"]
    return table("People: everybody keeps one synthetic face", names, rows)
