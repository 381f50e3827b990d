"""Command line ``ganon-hf``. Thin: arguments become options and one call; everything heavy is imported inside the commands."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._atomic import TEMPORARY_PREFIX, LineLog, storage_problem
from .._version import __version__
from ..bulk.engine import model_fingerprint, weights_digest_of
from ..bulk.engine import read_engine as _load_engine
from ..core.options import AnonymizeOptions
from .common import (
    INCOMPLETE,
    check_device,
    fetch_model,
    interruptible,
    list_first,
    open_closed_streams,
    stop,
    stop_because,
    stop_unloadable,
)
from .evaluate import evaluate_command
from .hub import export_command, publish_command
from .options import Corrections, Device, Mark, Model, anonymize_flags
from .review import ReviewPage, check_review_page, review_command, write_review_page
from .scale import scale_command
from .streams import STANDARD, anonymize_stream, check_streams, uses_streams
from .video import video_command, webcam_command

if TYPE_CHECKING:
    from ..bulk.tasks import Outcome, Settings

# With a GPU: photos whose faces form one batch (on a CPU a batch gains nothing), and the most processes that share the GPU, because each
# takes some hundred megabytes of its memory.
PHOTOS_PER_CALL = 8
GPU_PROCESSES = 8

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ganon-hf {__version__}")
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Replace every face in photos with a synthetic one that keeps expression, gaze and head pose."""
    open_closed_streams()


@app.command()
@anonymize_flags()
def anonymize(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Photos, folders (including subfolders) or glob patterns; - is standard input."),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", metavar="OUT", help="Folder for the results (same names); for one photo also a file, or - (standard output)."
        ),
    ],
    options: AnonymizeOptions,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Write one line of JSON per input: status, faces, seed, options. Keep it private."),
    ] = None,
    keep_metadata: Annotated[
        str, typer.Option(metavar="date,camera", help="EXIF fields to keep. Default: none. Never kept: GPS, thumbnails, serial numbers.")
    ] = "",
    mark: Mark = False,
    corrections: Corrections = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Process finished photos again and replace existing files.")] = False,
    review_page: ReviewPage = None,
    model: Model = None,
    device: Device = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="Photos to process at a time, each in its own process. Default: one per core.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1.0, metavar="SECONDS", help="Abandon a photo that takes longer.")] = 600.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")] = False,
) -> None:
    """Anonymize photos.

    Finished photos are skipped on a second run with the same options. Only pixels, a rebuilt color profile, and what --keep-metadata and
    --mark add are written.

    Exit code 0: every photo was anonymized, or copied with --on-no-face keep. 2: the command could not run; nothing was written.
    3: some photos were refused or failed; each is listed with the reason, and nothing was written for it.
    """
    from ..bulk.correction_file import read_corrections, require_known
    from ..bulk.folder import PlanError, State, plan, run
    from ..bulk.process_pool import usable_cores
    from ..bulk.tasks import Outcome, PhotoJob, Settings
    from ..bulk.worker_pool import EngineError
    from ..image_files import METADATA_GROUPS, PICTURE_SUFFIXES, format_of

    keep = tuple(name.strip() for name in keep_metadata.split(",") if name.strip())
    if unknown := [name for name in keep if name not in METADATA_GROUPS]:
        stop(f"--keep-metadata takes {', '.join(METADATA_GROUPS)}, but got {unknown[0]!r}.")
    streams = uses_streams(inputs, out)
    if streams:
        check_streams(inputs, out)
        if review_page is not None:
            stop("--review-page shows the results of a folder, and a standard stream leaves none.")
    check_device(device)
    folder = fetch_model(model)
    try:
        weights = weights_digest_of(folder)
    except (OSError, ValueError) as error:
        stop_unloadable(model, error)
    with interruptible(), ExitStack() as stack:
        try:
            jobs, ignored = ([], []) if streams else plan(inputs, out)
            corrected = {} if corrections is None else read_corrections(corrections)
            require_known(corrected, [job.name for job in jobs])
            settings = Settings(options, keep, overwrite, model_fingerprint(model, weights), corrected, mark)
            single_file = format_of(out) is not None and not Path(out).is_dir()
            state = None if single_file or streams else stack.enter_context(closing(State(Path(out))))
            if review_page is not None:
                check_review_page(review_page, options)
            report_file = None if report is None else stack.enter_context(closing(_open_report(report)))
        except (PlanError, ValueError, OSError) as error:
            stop_because(error)
        gpu = device is not None and not device.startswith("cpu")
        count = processes or min(usable_cores(), GPU_PROCESSES if gpu else len(jobs))
        load_engine = partial(_load_engine, folder, device)
        together = PHOTOS_PER_CALL if gpu else 1
        record = _recorder(report_file, settings, weights)
        outcomes = (
            anonymize_stream(inputs[0], out, settings, load_engine, timeout)
            if streams
            else run(jobs, settings, load_engine, state, processes=count, photos_per_call=together, photo_seconds=timeout)
        )
        finished: list[Outcome] = []
        try:
            followed = _remember(stack.enter_context(closing(outcomes)), finished if review_page is not None else None)
            counts, doubtful, notes = _follow(followed, max(1, len(jobs)), record, quiet)
            for path in ignored:
                record(Outcome(PhotoJob(path, path), "left out", error=f"the name does not end in one of {', '.join(PICTURE_SUFFIXES)}"))
            if review_page is not None:
                write_review_page(review_page, finished, Path(out), settings)
        except ReportError as error:
            typer.echo(f"failed: {error}; the run ends here", err=True)
            raise typer.Exit(INCOMPLETE) from None
        except EngineError as error:
            stop_unloadable(model, error)
        except OSError as error:
            stop_because(error)
    if not quiet:
        to_stderr = out == STANDARD
        typer.echo(_summary(counts, ignored, out, reported=report is not None), err=to_stderr)
        for note, count in notes.items():
            typer.echo(f"{count} {'photo' if count == 1 else 'photos'}: {note}", err=to_stderr)
        if doubtful:
            typer.echo(_doubts(doubtful, report), err=to_stderr)
    if counts["refused"] or counts["failed"]:
        raise typer.Exit(INCOMPLETE)


app.command(name="evaluate")(evaluate_command)
app.command(name="review")(review_command)
app.command(name="video")(video_command)
app.command(name="webcam")(webcam_command)
app.command(name="scale")(scale_command)
app.command(name="export")(export_command)
app.command(name="publish")(publish_command)


def _open_report(report: Path) -> LineLog:
    """A new report; the name must look like one, so that a typing error replaces no photo."""

    if report.suffix != ".jsonl" or report.name.startswith(TEMPORARY_PREFIX):
        raise ValueError(f"--report must name a file that ends in .jsonl, but got {report}.")
    try:
        return LineLog(report, fresh=True)
    except OSError as error:
        raise ValueError(f"--report {report} cannot be written: {error.strerror}.") from error


def _remember(outcomes: Iterable[Outcome], finished: list[Outcome] | None) -> Iterator[Outcome]:
    """The outcomes, which are also put into a list where there is one."""
    for outcome in outcomes:
        if finished is not None:
            finished.append(outcome)
        yield outcome


class ReportError(OSError):
    """The report takes no more; going on without it would be wrong."""


def _recorder(report: LineLog | None, settings: Settings, weights: str) -> Callable[[Outcome], None]:
    """What writes the line of an outcome; it does nothing without a report.

    A line says all that is needed to make the result again. The seed stands there for what was done in this run.
    """
    from ..bulk.folder import append_record
    from ..image_files import printable

    if report is None:
        return lambda outcome: None

    def record(outcome: Outcome) -> None:
        try:
            append_record(report, outcome.to_dict() | settings.to_dict() | {"weights": weights, "version": __version__})
        except OSError as error:
            raise ReportError(f"{printable(report.file.name)}: {storage_problem(error) or error.strerror}") from error

    return record


def _follow(
    outcomes: Iterable[Outcome], total: int, record: Callable[[Outcome], None], quiet: bool
) -> tuple[Counter[str], dict[Path, list[dict[str, Any]]], Counter[str]]:
    """Consume the outcomes: report line, message, progress.

    Returns:
        the counts, photo by photo its doubtful faces, and how many photos have which note.
    """
    from ..image_files import printable

    counts: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    doubtful: dict[Path, list[dict[str, Any]]] = {}
    with _progress(total, enabled=not quiet) as (advance, say):
        for outcome in outcomes:
            counts[outcome.status] += 1
            notes.update(outcome.notes)
            for face in outcome.faces if outcome.status == "ok" else ():
                counts["replaced" if face["status"] == "replaced" else "covered"] += 1
                if face["status"] == "doubtful":
                    doubtful.setdefault(outcome.job.source, []).append(face)
            if outcome.error:
                say(f"{outcome.status}: {printable(outcome.job.source)}: {outcome.error}")
            record(outcome)
            advance()
    return counts, doubtful, notes


@contextmanager
def _progress(total: int, *, enabled: bool) -> Iterator[tuple[Callable[[], None], Callable[[str], None]]]:
    """A progress bar on a terminal, plain lines elsewhere: (advance by one, say a line on standard error)."""
    if not (enabled and sys.stderr.isatty()):
        yield lambda: None, lambda text: typer.echo(text, err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Anonymizing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield (
            lambda: progress.advance(task),
            lambda text: progress.console.print(text, markup=False, highlight=False, soft_wrap=True),
        )


def _summary(counts: Mapping[str, int], ignored: Sequence[Path], out: str, *, reported: bool) -> str:
    """The last line: what was done, and where it is."""
    from ..image_files import printable

    faces = "face" if counts["replaced"] == 1 else "faces"
    parts = [f"{counts['ok']} anonymized ({counts['replaced']} {faces} replaced, {counts['covered']} covered)"]
    parts += [
        f"{counts[name]} {text}"
        for name, text in (
            ("copied", "copied unchanged, because no face was found"),
            ("skipped", "finished before"),
            ("refused", "refused"),
            ("failed", "failed"),
        )
        if counts[name]
    ]
    if ignored:
        files = "other file" if len(ignored) == 1 else "other files"
        parts.append(f"{len(ignored)} {files} left out ({list_first([printable(path) for path in ignored], reported=reported)})")
    return f"{', '.join(parts)} -> {'standard output' if out == STANDARD else printable(out)}"


def _doubts(doubtful: Mapping[Path, Sequence[Mapping[str, Any]]], report: Path | None) -> str:
    """Where to look: photos in which something was covered that may be no face."""
    from ..image_files import printable

    count = sum(map(len, doubtful.values()))
    covers = f"{count} doubtful {'cover' if count == 1 else 'covers'}, under which there may be no face"
    if len(doubtful) == 1:
        ((photo, faces),) = doubtful.items()
        return f"{printable(photo)} has {covers} ({list_first([_place(face['box']) for face in faces])}): look at it."
    where = f"listed in {printable(report)}" if report is not None else list_first([printable(photo) for photo in doubtful])
    return f"{len(doubtful)} photos have {covers} ({where}): look at them."


def _place(box: Mapping[str, float]) -> str:
    x_min, y_min, x_max, y_max = (round(box[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
    return f"{x_max - x_min} x {y_max - y_min} pixels at {x_min}, {y_min}"
