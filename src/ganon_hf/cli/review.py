"""The command ``ganon-hf review``: arguments become a session and a server, or a page to sign."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..bulk.engine import model_fingerprint, read_engine
from ..core.options import AnonymizeOptions
from .common import needing_extra, stop, stop_because
from .options import Device, Model

if TYPE_CHECKING:
    from ..bulk.tasks import Outcome, Settings
    from ..core.anonymizer import Anonymizer
    from ..review.film_session import FilmSession
    from ..review.routes import Routes
    from ..review.session import ReviewSession

ReviewPage = Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page to sign, with anonymized thumbnails and counts.")]


def check_review_page(page: Path, options: AnonymizeOptions) -> None:
    """Raise ValueError where a page cannot be written under this name, or not of such a run."""
    from ..review.sheet import check_sheet_name

    check_sheet_name(page)
    if options.output != "photo":
        raise ValueError("--review-page shows photos, so --output must be photo.")
    if not page.absolute().parent.is_dir():
        raise ValueError(f"--review-page {page} cannot be written: its folder does not exist.")


def write_review_page(page: Path, outcomes: Sequence[Outcome], out: Path, settings: Settings) -> None:
    """Write the page of a run that has just ended. Errors as in :func:`~ganon_hf.review.sheet.write_sheet`."""
    from ..review.sheet import Sheet, SheetPhoto, write_sheet

    photos = [
        SheetPhoto(one.job.name, one.job.target, one.status, one.error, one.faces, corrected=one.job.name in settings.corrections)
        for one in outcomes
    ]
    write_sheet(page, Sheet(photos, out if out.is_dir() else out.parent, settings.to_dict()))


def review_command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder from `ganon-hf anonymize`, or a video from `ganon-hf video`.")],
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The run's report. Default: report.jsonl next to the folder, or VIDEO.json next to the video."),
    ] = None,
    originals: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the originals are now. Default: their location in the report.")
    ] = None,
    review_page: ReviewPage = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page. Default: any free port.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    model: Model = None,
    device: Device = None,
) -> None:
    """Check every photo of a finished run, or every face in a video, correct mistakes, and process it again.

    The page is served on this machine only. What you review and correct is saved at each step: corrections.jsonl next to the report is for
    `ganon-hf anonymize --corrections` and `ganon-hf video --corrections`. Stop with Ctrl-C. With --review-page, nothing is served.
    """
    from ..review.server import ReviewServer

    if not out.exists():
        stop(f"{out} is no folder with results, and no video.")
    if originals is not None and not originals.is_dir():
        stop(f"--originals {originals} is no folder.")
    if report is None:
        report = out.absolute().parent / "report.jsonl" if out.is_dir() else out.with_suffix(".json")
    load = partial(read_engine, model, device)
    with ExitStack() as stack:
        try:
            session = (_photos if out.is_dir() else _film)(out, report, originals, load, model)
            stack.callback(session.close)
            if review_page is not None:
                _write_page_of(session, review_page)
                return
            server = stack.enter_context(ReviewServer(_routes_of(session), port))
        except FileNotFoundError as error:
            stop(f"{error.filename} does not exist: name the report of the run with --report.")
        except (ImportError, ValueError, OSError) as error:
            stop_because(error)
        typer.echo(f"{session.count} to look at: {server.url}")
        typer.echo(f"This machine only; anyone with the address sees everything. Corrections: {session.corrections_file}. Ctrl-C ends it.")
        if browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            typer.echo("Stopped; everything is saved.")


def _photos(out: Path, report: Path, originals: Path | None, load: Callable[[], Anonymizer], model: str | None) -> ReviewSession:
    from ..review.finished_run import read_run
    from ..review.session import ReviewSession

    run = read_run(report, out, originals)
    return ReviewSession(run, report, out, load, _other_model(run.settings.model, model))


def _film(out: Path, report: Path, originals: Path | None, load: Callable[[], Anonymizer], model: str | None) -> FilmSession:
    with needing_extra("review", "video"):
        from ..review.film_session import FilmSession

    return FilmSession(report, out, load, originals=originals, redo_problem=lambda made: _other_model(made, model))


def _routes_of(session: ReviewSession | FilmSession) -> Routes:
    from ..review.routes import PhotoRoutes
    from ..review.session import ReviewSession

    if isinstance(session, ReviewSession):
        return PhotoRoutes(session)
    from ..review.film_routes import FilmRoutes

    return FilmRoutes(session)


def _write_page_of(session: ReviewSession | FilmSession, page: Path) -> None:
    """The page to sign; ValueError for a film."""
    from ..review.session import ReviewSession
    from ..review.sheet import sheet_of, write_sheet

    if not isinstance(session, ReviewSession):
        raise ValueError("--review-page is for photos, but this is a video.")
    write_sheet(page, sheet_of(session))
    typer.echo(f"{session.count} -> {page}")


def _other_model(made: str, model: str | None) -> str:
    """Why nothing can be done again with this model; empty where the run was made with it."""
    here = model_fingerprint(model)
    return "" if here == made else f"the run was made with {made}, but this is {here}"
