"""The command ``ganon-hf review``: arguments become a session and a server, or a page to sign."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..bulk.engine import model_fingerprint, read_engine
from ..core.options import AnonymizeOptions
from .common import stop, stop_because
from .options import Device, Model

if TYPE_CHECKING:
    from ..bulk.tasks import Outcome, Settings

ReviewPage = Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page to sign: small anonymized pictures, counts.")]


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
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder with the results of `ganon-hf anonymize`.")],
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="The report of the run. Default: report.jsonl beside the folder.")
    ] = None,
    originals: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the photos are now. Default: where they were, by the report.")
    ] = None,
    review_page: ReviewPage = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page. Default: a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    model: Model = None,
    device: Device = None,
) -> None:
    """Look at every photo of a finished run, correct what went wrong, and do those photos again.

    The page is for this machine only. What you looked at and corrected is saved at each step: corrections.jsonl beside the report is for
    `ganon-hf anonymize --corrections`. End it with Ctrl-C. With --review-page nothing is served.
    """
    from ..review.finished_run import read_run
    from ..review.server import ReviewServer
    from ..review.session import ReviewSession
    from ..review.sheet import sheet_of, write_sheet

    report = out.absolute().parent / "report.jsonl" if report is None else report
    if not out.is_dir():
        stop(f"{out} is no folder with results.")
    if originals is not None and not originals.is_dir():
        stop(f"--originals {originals} is no folder.")
    with ExitStack() as stack:
        try:
            run = read_run(report, out, originals)
            here = model_fingerprint(model)
            problem = "" if here == run.settings.model else f"the run was made with {run.settings.model}, but this is {here}"
            session = stack.enter_context(closing(ReviewSession(run, report, out, lambda: read_engine(model, device), problem)))
            if review_page is not None:
                write_sheet(review_page, sheet_of(session))
                typer.echo(f"{len(run.photos)} photos -> {review_page}")
                return
            server = stack.enter_context(ReviewServer(session, port))
        except FileNotFoundError as error:
            stop(f"{error.filename} does not exist: name the report of the run with --report.")
        except (ValueError, OSError) as error:
            stop_because(error)
        typer.echo(f"{len(run.photos)} photos to look at: {server.url}")
        typer.echo(
            f"For this machine only; whoever has the address sees the photos. Corrections: {session.corrections_file}. Ctrl-C ends it."
        )
        if browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            typer.echo("Ended; everything is saved.")
