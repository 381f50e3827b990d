"""The commands ``ganon-hf export`` and ``ganon-hf publish``: arguments become options and one call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import stop, stop_because
from .options import Model

_REPORT_HELP = (
    "What `ganon-hf evaluate` measured with these weights. Default: the report.json next to them, or the bundled one if it is for these "
    "weights; without a report, the card says so."
)
_LOG_HELP = "Training log (Markdown) whose newest run produced these weights. Default for the bundled weights: the project's log."


def export_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create.")],
    model: Model = None,
    report: Annotated[Path | None, typer.Option(metavar="report.json", help=_REPORT_HELP)] = None,
    training_log: Annotated[Path | None, typer.Option(metavar="FILE.md", help=_LOG_HELP)] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Also write the generator as onnx/model.onnx (needs the extra `onnx`).")] = False,
) -> None:
    """Write a Hub repository: weights, code and configs for transformers and diffusers, model card, samples.

    The folder is checked before it appears: transformers loads it in a fresh process without this package, diffusers with it, and both
    give the same pixels as this package.
    """
    _quiet_libraries()
    files = _export(folder, model, report, training_log, onnx=onnx)
    typer.echo(f"{len(files)} files -> {folder}")


def publish_command(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="NAME/MODEL on the Hub; created if it does not exist.")],
    space: Annotated[bool, typer.Option("--space", help="Also create or update the Space REPO, where people can try the model.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make newly created repositories private.")] = False,
    pull_request: Annotated[bool, typer.Option("--pr", help="Open a pull request instead of committing and tagging.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be uploaded. Needs no token and no network.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder written by `ganon-hf export`. Default: a fresh export, with the options below."),
    ] = None,
    model: Model = None,
    report: Annotated[Path | None, typer.Option(metavar="report.json", help=_REPORT_HELP)] = None,
    training_log: Annotated[Path | None, typer.Option(metavar="FILE.md", help=_LOG_HELP)] = None,
) -> None:
    """Upload a model to the Hub: one commit, tagged with this version, or a pull request.

    Exit code 2: it could not be published; the message says why.
    """
    from tempfile import TemporaryDirectory

    if folder is not None and (model or report or training_log):
        stop("--folder names a finished export; --model, --report and --training-log are for a new one.")
    _quiet_libraries()
    from ..hub.publish import PublishError, PublishOptions, plan, publish

    try:
        options = PublishOptions(repo, space, private, pull_request)
        with TemporaryDirectory(prefix="ganon-hf-export-") as temporary:
            if folder is None:
                folder = Path(temporary) / "export"
                _export(folder, model, report, training_log)
            if dry_run:
                typer.echo("\n".join(plan(folder, options)))
                return
            done = publish(folder, options)
    except (PublishError, ValueError, OSError) as error:
        stop_because(error)
    for line in (done.pull_request or f"{done.model} at {done.commit}", done.space):
        if line:
            typer.echo(line)


def _export(folder: Path, model: str | None, report: Path | None, training_log: Path | None, *, onnx: bool = False) -> list[Path]:
    from ..hub.export import ExportError, ExportOptions, export

    try:
        return export(folder, ExportOptions(model, report, training_log, onnx))
    except (ExportError, ValueError, OSError) as error:
        stop_because(error)


def _quiet_libraries() -> None:
    """No progress bars for reading and writing weights."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        from diffusers.utils.logging import disable_progress_bar as disable_diffusers_progress_bar
    except ImportError:  # an extra; what needs it says so
        return
    disable_diffusers_progress_bar()
