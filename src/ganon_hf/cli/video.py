"""The commands ``ganon-hf video`` and ``ganon-hf webcam``: arguments become options and one call."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..core.options import AnonymizeOptions
from .common import INCOMPLETE, interruptible, list_first, load_engine, needing_extra, stop, stop_because
from .options import Device, Model, anonymize_flags

if TYPE_CHECKING:
    import numpy as np

    from ..video import VideoReport


@anonymize_flags(without=["output"])  # a video is given back whole
def video_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Any video file.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="Result: .mp4, .mov or .mkv (h264), .webm or .mkv (vp9), .mkv (lossless).")
    ],
    options: AnonymizeOptions,
    audio: Annotated[Literal["remove", "keep"], typer.Option(help="Voices identify people: sound is removed by default.")] = "remove",
    codec: Annotated[Literal["h264", "vp9", "lossless"], typer.Option(help="H.264 plays everywhere; lossless is FFV1.")] = "h264",
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write what was done to each face in each track, for `ganon-hf review`.")
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Apply the corrections from a review: corrections.jsonl.")
    ] = None,
    keep_parts: Annotated[
        bool, typer.Option("--keep-parts", help="Keep finished parts in a hidden folder, so that a review only renders what it changes.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    model: Model = None,
    device: Device = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")] = False,
) -> None:
    """Anonymize a video.

    Everybody gets one synthetic person throughout the video. Run the same command again to continue a stopped run.
    Sound, subtitles, chapters and metadata are left out.

    Exit code 0: success. 2: the command could not run. 3: the video was refused or failed, and nothing was written.
    """
    from ..core.faces import NoFaceError
    from ..image_files import printable

    if report is not None and report.suffix != ".json":
        stop(f"--report must name a file that ends in .json, but got {report}.")
    with interruptible("Finished parts are kept; run the same command again to go on."):
        with needing_extra("video", "video"):
            from ..bulk.engine import model_fingerprint
            from ..video import UnusableVideoError, anonymize_video, read_film_corrections
            from ..video.film_corrections import corrections_of
            from ..video.report import describe_run, write_video_report
        try:
            corrected = None if corrections is None else corrections_of(read_film_corrections(corrections), source)
            engine = load_engine(model, device)
            with _progress(enabled=not quiet) as progress:
                done = anonymize_video(
                    source,
                    out,
                    options,
                    anonymizer=engine,
                    codec=codec,
                    audio=audio,
                    overwrite=overwrite,
                    corrections=corrected,
                    keep_parts=keep_parts,
                    progress=progress,
                )
            if report is not None:
                write_video_report(report, done, describe_run(source, out, codec, audio, options, model_fingerprint(model)))
        except NoFaceError:
            _refuse(f"{printable(source)}: no face was found (--on-no-face keep writes it all the same)")
        except UnusableVideoError as error:
            _refuse(str(error))
        except (ImportError, OSError, ValueError) as error:
            stop_because(error)
    if not quiet:
        typer.echo(_summary(done, out))


# A frame is shown whole, with or without a face. Somebody at a desk has a large face, and small ones would cost most of the speed.
@anonymize_flags(without=["output", "on_no_face"], min_face_size=64)
def webcam_command(
    options: AnonymizeOptions,
    camera: Annotated[int, typer.Option(min=0, help="Number of the camera.")] = 0,
    model: Model = None,
    device: Device = None,
) -> None:
    """Show live video from the camera with synthetic faces, as fast as this machine can. Press Q or Escape to quit; nothing is recorded.

    Exit code 2: no camera, no display, or an OpenCV build without window support.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        stop("There is no display to show the camera's picture on (neither DISPLAY nor WAYLAND_DISPLAY is set).")
    import cv2

    with interruptible(""):
        with needing_extra("webcam", "video"):
            from ..video import anonymize_frames
        try:
            engine = load_engine(model, device)
            capture, shown = cv2.VideoCapture(camera), False
            try:
                rate = capture.get(cv2.CAP_PROP_FPS)
                rate = rate if rate > 0 else 30.0  # unknown is 0 or -1, by OpenCV's version
                for frame in anonymize_frames(_pictures(capture, camera), options, frame_rate=rate, look_ahead=0, anonymizer=engine):
                    _show(frame.image)
                    shown = True
                    if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
                        break
            finally:
                capture.release()
                if shown:
                    cv2.destroyAllWindows()
        except (ImportError, OSError, ValueError, cv2.error) as error:
            stop_because(error)


def _show(image: np.ndarray) -> None:
    """An RGB picture in the window.

    Raises:
        OSError: OpenCV was built without windows, as the package that servers need is.
    """
    import cv2

    try:
        cv2.imshow("ganon-hf", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise OSError(
            "OpenCV cannot open a window here. Where opencv-python-headless is installed, replace it: "
            f"pip uninstall opencv-python-headless, then pip install opencv-python. ({str(error).strip()})"
        ) from error


def _pictures(capture: Any, camera: int) -> Iterator[np.ndarray]:
    """The camera's frames as RGB, until it gives no more.

    Raises:
        OSError: it gives none at all.
    """
    import cv2

    found, picture = capture.read()
    if not found:
        raise OSError(f"Camera {camera} gives no picture.")
    while found:
        yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        found, picture = capture.read()


def _refuse(message: str) -> None:
    typer.echo(f"refused: {message}", err=True)
    raise typer.Exit(INCOMPLETE)


@contextmanager
def _progress(*, enabled: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar with frames per second and the time left on a terminal; nothing elsewhere."""
    if not (enabled and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Anonymizing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task, begun = bar.add_task("", total=None, speed=""), [0.0, 0]

        def advance(done: int, total: int | None) -> None:
            if not begun[0]:  # a run that goes on starts somewhere in the middle
                begun[:] = [time.monotonic(), done]
            speed = (done - begun[1]) / max(time.monotonic() - begun[0], 1e-9)
            bar.update(task, completed=done, total=total, speed=f"{speed:.1f} frames/s")

        yield advance


def _summary(report: VideoReport, out: Path) -> str:
    from ..image_files import printable

    people = len({track.person for track in report.tracks})
    replaced, covered = (sum(getattr(track, name) for track in report.tracks) for name in ("replaced", "covered"))
    parts = [f"{report.frames} frames, {people} people in {len(report.tracks)} tracks", f"{replaced} faces replaced, {covered} covered"]
    done = "; ".join([*parts, *report.notes]) + f" -> {printable(out)}"
    doubtful = [track for track in report.tracks if track.doubtful]
    if not doubtful:
        return done
    times = list_first([f"{track.first:.1f} to {track.last:.1f} s" for track in doubtful])
    count = sum(track.doubtful for track in doubtful)
    return f"{done}\n{count} of the covers are doubtful: there may be no face under them ({times}). Look at them."
