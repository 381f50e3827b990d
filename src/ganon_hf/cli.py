"""Command line ``ganon-hf``. Thin: arguments become options and one call; everything heavy is imported inside the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal

import typer

from . import __version__
from .cli_engine import stop_unloadable
from .cli_exit import INCOMPLETE, interruptible
from .cli_exit import stop as _stop
from .cli_hub import export_command, publish_command
from .cli_options import Device, Geometry, MinScore, Model, Privacy, SkinTone
from .cli_scale import scale_command
from .cli_video import video_command, webcam_command
from .loading import model_identity
from .loading import read_engine as _load_engine

if TYPE_CHECKING:
    from .batch import Outcome, Settings

# With a GPU: the faces of so many photos go through it together (on a CPU company is of no use), and so many processes share it, because
# each takes some hundred megabytes of it.
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


@app.command()
def anonymize(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Photos, folders (walked), glob patterns.")],
    output: Annotated[
        str,
        typer.Option("-o", "--out", metavar="OUT", help="Folder for the results (same names); for one photo also a file."),
    ],
    seed: Annotated[
        int | None, typer.Option(min=0, help="Which synthetic person, the same in every photo. Default: a fresh one for each.")
    ] = None,
    geometry: Geometry = "anonymous",
    privacy: Privacy = "medium",
    skin_tone: SkinTone = "match",
    kind: Annotated[
        Literal["photo", "crop"],
        typer.Option("--output", help="`photo` puts the face back, `crop` writes the synthetic faces alone."),
    ] = "photo",
    min_face_size: Annotated[
        int, typer.Option(min=8, max=4096, help="Smallest face to look for, in pixels. Smaller finds more and takes longer.")
    ] = 24,
    min_score: MinScore = 0.5,
    on_no_face: Annotated[
        Literal["refuse", "copy"],
        typer.Option(help="A photo without a found face is refused, because a face may have been missed; `copy` writes it all the same."),
    ] = "refuse",
    report: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Write one line of JSON per input: status, faces.")] = None,
    keep_metadata: Annotated[
        str, typer.Option(metavar="date,camera", help="EXIF fields to keep. Default: none. GPS, thumbnails, serial numbers never.")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo finished photos and replace files that are in the way.")] = False,
    model: Model = None,
    device: Device = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="Photos at a time, each in a process of its own. Default: one per core.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")] = False,
) -> None:
    """Anonymize photos.

    Finished photos are skipped on a second run with the same options. Nothing but pixels and the colour profile is written.

    Exit code 0: every photo was anonymized. 2: the command cannot be carried out, nothing was written. 3: some photos were refused or
    failed; each is named with the reason, and nothing was written for it.
    """
    from .batch import PlanError, Settings, State, plan, run
    from .faces import AnonymizeOptions
    from .files import METADATA_GROUPS, format_of
    from .workers import EngineError, usable_cores

    keep = tuple(name.strip() for name in keep_metadata.split(",") if name.strip())
    if unknown := [name for name in keep if name not in METADATA_GROUPS]:
        _stop(f"--keep-metadata takes {', '.join(METADATA_GROUPS)}, but got {unknown[0]!r}.")
    with interruptible(), ExitStack() as stack:
        try:
            options = AnonymizeOptions(
                seed=seed,
                geometry=geometry,
                privacy=privacy,
                skin_tone=skin_tone,
                output=kind,
                min_face_size=min_face_size,
                min_score=min_score,
                on_no_face="raise" if on_no_face == "refuse" else "keep",
            )
            jobs, ignored = plan(inputs, output)
            settings = Settings(options, keep, overwrite, model_identity(model))
            single_file = format_of(output) is not None and not Path(output).is_dir()
            state = None if single_file else stack.enter_context(closing(State(Path(output))))
            report_file = None if report is None else stack.enter_context(_open_report(report))
        except (PlanError, ValueError, OSError) as error:
            _stop(str(error))
        gpu = device is not None and not device.startswith("cpu")
        count = processes or min(usable_cores(), GPU_PROCESSES if gpu else len(jobs))
        load_engine = partial(_load_engine, model, device)
        outcomes = run(jobs, settings, load_engine, state, processes=count, photos_per_call=PHOTOS_PER_CALL if gpu else 1)
        try:
            counts = _follow(stack.enter_context(closing(outcomes)), len(jobs), report_file, settings, quiet)
        except EngineError as error:
            stop_unloadable(model, error)
    if not quiet:
        typer.echo(_summary(counts, ignored, output))
    if counts["refused"] or counts["failed"]:
        raise typer.Exit(INCOMPLETE)


@app.command()
def evaluate(
    originals: Annotated[
        Path,
        typer.Argument(
            help="Photos of known people: a folder with one sub-folder a person (two photos or more in each), a .csv or .jsonl listing "
            "(file, person, and where known emotion), or with --set a folder of Parquet files."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the report. Its sheets show original faces.")],
    set_name: Annotated[str | None, typer.Option("--set", metavar="NAME", help="Read NAME-*.parquet in the folder.")] = None,
    training: Annotated[
        Path | None, typer.Option(help="Photos of other people, in the same form: attackers learn from them. Without: no such attack.")
    ] = None,
    training_set: Annotated[str | None, typer.Option(metavar="NAME", help="Likewise NAME-*.parquet in the training folder.")] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME=VALUE,...", help="A row with these options instead of the default rows; may be repeated."),
    ] = None,
    recognizers: Annotated[
        list[str] | None,
        typer.Option("--recognizer", metavar="dlib|MODULE:NAME", help="Who tries to recognise people; may be repeated. Default: dlib."),
    ] = None,
    attacks: Annotated[
        str, typer.Option(metavar="LIST", help="Long parts, by commas: seeds, geometry, parrot, reconstruction, emotion; or `none`.")
    ] = "seeds,geometry,parrot,reconstruction,emotion",
    blendshape_model: Annotated[
        Path | None, typer.Option(metavar="face_landmarker.task", help="MediaPipe's bundle. Without: no blendshapes, no smile.")
    ] = None,
    people: Annotated[int | None, typer.Option(min=2, help="Only the first so many people.")] = None,
    draws: Annotated[int, typer.Option(min=1, max=100, help="Anonymize everything so many times with fresh seeds, and average.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="From which the photos' seeds are drawn.")] = 0,
    sheets: Annotated[int, typer.Option(min=0, max=10_000, help="People to show side by side.")] = 8,
    baselines: Annotated[bool, typer.Option(help="Also blur, mosaic, solid cover, and somebody else's landmarks.")] = True,
    coverage: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Of scripts/coverage.py, to be shown with the rest.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, max=256, help="Default: one per core.")] = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Measure on your own photos what is kept and what still identifies: report.json, report.md, plots and sheets.

    Exit code 0: done; whatever was left out is named in the report. 2: the command cannot be carried out.
    """
    from .evaluation.command import run_command

    with interruptible():
        try:
            echo = run_command(
                originals,
                output,
                set_name=set_name,
                training=training,
                training_set=training_set,
                rows=tuple(rows or ()),
                recognizers=tuple(recognizers or ("dlib",)),
                attacks=attacks,
                blendshape_model=blendshape_model,
                people=people,
                draws=draws,
                seed=seed,
                sheets=sheets,
                baselines=baselines,
                coverage=coverage,
                processes=processes,
                model=model,
                device=device,
            )
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            _stop(str(error))
    typer.echo(echo)


app.command(name="video")(video_command)
app.command(name="webcam")(webcam_command)
app.command(name="scale")(scale_command)
app.command(name="export")(export_command)
app.command(name="publish")(publish_command)


def _open_report(report: Path) -> IO[bytes]:
    """A new report; the name must look like one, so that no slip of the hand replaces a photo."""
    from .files import TEMPORARY_PREFIX

    if report.suffix != ".jsonl" or report.name.startswith(TEMPORARY_PREFIX):
        raise ValueError(f"--report must name a file that ends in .jsonl, but got {report}.")
    try:
        return report.open("wb")
    except OSError as error:
        raise ValueError(f"--report {report} cannot be written: {error.strerror}.") from error


def _follow(outcomes: Iterable[Outcome], total: int, report: IO[bytes] | None, settings: Settings, quiet: bool) -> dict[str, int]:
    """Consume the outcomes: report line, message, progress. Returns how often each thing happened."""
    from .batch import append_line
    from .files import printable

    counts = dict.fromkeys(("ok", "skipped", "refused", "failed", "replaced", "covered"), 0)
    extra = {"model": settings.model, "seed": settings.options.seed, "geometry": settings.options.geometry}
    with _progress(total, enabled=not quiet) as (advance, say):
        for outcome in outcomes:
            counts[outcome.status] += 1
            for face in outcome.faces if outcome.status == "ok" else ():
                counts[face["status"]] += 1
            if outcome.error:
                say(f"{outcome.status}: {printable(outcome.job.source)}: {outcome.error}")
            if report is not None:
                try:
                    append_line(report, outcome.to_dict() | extra)
                except OSError as error:  # without the account that was asked for, going on would be wrong
                    say(f"failed: {printable(report.name)}: {error.strerror}")
                    raise typer.Exit(INCOMPLETE) from None
            advance()
    return counts


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


def _summary(counts: dict[str, int], ignored: int, output: str) -> str:
    """The last line: what was done, and where it is."""
    from .files import printable

    parts = [f"{counts['ok']} anonymized ({counts['replaced']} faces replaced, {counts['covered']} covered)"]
    parts += [
        f"{counts[name]} {text}"
        for name, text in (("skipped", "finished before"), ("refused", "refused"), ("failed", "failed"))
        if counts[name]
    ]
    parts += [f"{ignored} other files left out"] if ignored else []
    return f"{', '.join(parts)} -> {printable(output)}"
