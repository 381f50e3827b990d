"""Upload an exported folder to the Hub, in one commit with a tag or as a pull request; and a Space that uses it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, metadata_load, metadata_save
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import get_token, validate_repo_id

from .._version import __version__
from .model_card import REPO_PLACEHOLDER, check_card

PACKAGE = Path(__file__).parent.parent
SPACE = PACKAGE.parents[1] / "spaces"  # part of the checkout, not of an installed package
TAG = f"v{__version__}"
# The base class of the HTTP errors of huggingface_hub, whichever HTTP library its version uses.
_HTTP_ERROR: type[Exception] = next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
# Of the package a Space needs the code alone: the weights come from the model's repository.
_NOT_IN_SPACE = shutil.ignore_patterns("checkpoint", "card", "training", "evaluation", "__pycache__")


class PublishError(RuntimeError):
    """The upload failed or is incomplete; the message says why and what to do."""


@dataclass(frozen=True)
class PublishOptions:
    """Where and how to upload.

    Attributes:
        repo_id: "name/model".
        space: also create or update the Space of the same name.
        private: repositories that do not exist yet are made private.
        pull_request: propose the model's files as a pull request instead of committing and tagging them.
    """

    repo_id: str
    space: bool = False
    private: bool = False
    pull_request: bool = False

    def __post_init__(self) -> None:
        validate_repo_id(self.repo_id)  # HFValidationError is a ValueError
        if self.repo_id.count("/") != 1:
            raise ValueError(f"REPO must be NAME/MODEL, the name of a user or an organization first, but got {self.repo_id!r}.")


@dataclass(frozen=True)
class Published:
    """Addresses on the Hub of what was uploaded."""

    model: str
    commit: str
    space: str | None = None
    pull_request: str | None = None


def publish(folder: Path, options: PublishOptions) -> Published:
    """Upload an exported folder.

    Files of the repository that are not in the folder are deleted in the same commit. Doing it twice changes nothing.

    Raises:
        PublishError: no token, no right to write, no connection, or a tag of this version that names other files.
        ValueError: the folder is no export.
    """
    api = HfApi(library_name="ganon-hf", library_version=__version__)
    with tempfile.TemporaryDirectory(prefix="ganon-hf-publish-") as temporary, _readable_errors(options.repo_id):
        model = stage_model(folder, Path(temporary) / "model", options)
        space = stage_space(folder, Path(temporary) / "space", options) if options.space else None
        _require_token(api)
        home = api.create_repo(options.repo_id, private=options.private or None, exist_ok=True)
        commit = api.upload_folder(
            repo_id=options.repo_id,
            folder_path=model,
            commit_message=f"ganon-hf {__version__}",
            delete_patterns="*",
            create_pr=options.pull_request,
        )
        if not options.pull_request:
            _tag(api, options.repo_id, commit.oid)
        address = None if space is None else _upload_space(api, space, options)
    return Published(str(home), commit.oid, address, getattr(commit, "pr_url", None))


def _upload_space(api: HfApi, folder: Path, options: PublishOptions) -> str:
    address = api.create_repo(options.repo_id, repo_type="space", space_sdk="gradio", private=options.private or None, exist_ok=True)
    api.add_space_variable(options.repo_id, "GANON_MODEL", options.repo_id, description="the model that the app loads")
    api.upload_folder(
        repo_id=options.repo_id, repo_type="space", folder_path=folder, commit_message=f"ganon-hf {__version__}", delete_patterns="*"
    )
    return str(address)


def stage_model(folder: Path, target: Path, options: PublishOptions) -> Path:
    """A copy of an exported folder in which the card names its repository (and its Space).

    Raises:
        ValueError: the folder is no export.
    """
    missing = [name for name in ("README.md", "config.json", "model.safetensors", "model_index.json") if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} is no folder made by `ganon-hf export`: {', '.join(missing)} is missing.")
    shutil.copytree(folder, target)
    card = target / "README.md"
    text = card.read_text(encoding="utf-8").replace(REPO_PLACEHOLDER, options.repo_id)
    if options.space:
        text = text.replace(
            "\n## Use\n",
            f"\nTry it: [huggingface.co/spaces/{options.repo_id}](https://huggingface.co/spaces/{options.repo_id})\n\n## Use\n",
            1,
        )
    check_card(text)
    card.write_text(text, encoding="utf-8")
    return target


def stage_space(folder: Path, target: Path, options: PublishOptions) -> Path:
    """The files of the Space: the app, the package's code, and the report that was exported with the model.

    Raises:
        PublishError: the app is not there, because this is not a checkout.
    """
    if not (SPACE / "app.py").is_file():
        raise PublishError("the Space's files (spaces/) are part of the repository, not of the installed package: run this in a clone.")
    shutil.copytree(SPACE, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE, target / PACKAGE.name, ignore=_NOT_IN_SPACE)
    if (folder / "report.json").is_file():
        shutil.copyfile(folder / "report.json", target / "report.json")
    readme = target / "README.md"
    metadata_save(readme, {**(metadata_load(readme) or {}), "models": [options.repo_id]})  # by which the Hub links Space and model
    return target


def plan(folder: Path, options: PublishOptions) -> list[str]:
    """What :func:`publish` would do, in readable lines; without any request to the Hub."""
    with tempfile.TemporaryDirectory(prefix="ganon-hf-publish-") as temporary:
        model = stage_model(folder, Path(temporary) / "model", options)
        how = "as a pull request" if options.pull_request else f"in one commit, tag {TAG}"
        lines = [f"{options.repo_id}{' (private if new)' if options.private else ''}: {how}", *_listing(model)]
        if options.space:
            space = stage_space(folder, Path(temporary) / "space", options)
            lines += [f"spaces/{options.repo_id}: GANON_MODEL={options.repo_id}", *_listing(space)]
    return lines


def _listing(folder: Path) -> list[str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [f"  {path.stat().st_size:>12,}  {path.relative_to(folder).as_posix()}" for path in files]


def _require_token(api: HfApi) -> None:
    if get_token() is None:
        raise PublishError("there is no token for the Hub: run `hf auth login`, or set HF_TOKEN to a token with the right to write.")
    api.whoami()


def _tag(api: HfApi, repo_id: str, commit: str) -> None:
    """Tag a commit with this version; a tag that is there already must name the same commit."""
    existing = {tag.name: tag.target_commit for tag in api.list_repo_refs(repo_id).tags}
    if TAG not in existing:
        api.create_tag(repo_id, tag=TAG, revision=commit, tag_message=f"ganon-hf {__version__}")
    elif existing[TAG] != commit:
        raise PublishError(
            f"the files are in {repo_id}, but its tag {TAG} names an earlier commit ({existing[TAG][:12]}) and stays there: "
            "people may rely on it. Raise the version of ganon-hf and publish again."
        )


@contextmanager
def _readable_errors(repo_id: str) -> Iterator[None]:
    """Turn errors of the Hub and the network into a :class:`PublishError` that says what to do."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise PublishError("HF_HUB_OFFLINE is set, so nothing can be published; unset it.") from error
    except LocalTokenNotFoundError as error:
        raise PublishError("there is no token for the Hub: run `hf auth login`, or set HF_TOKEN.") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status == 401:
            raise PublishError("the Hub does not accept the token: it may have expired. Run `hf auth login` with a new one.") from error
        if status == 403:
            raise PublishError(
                f"the token may not write to {repo_id}: it needs the right to write, and you a place in that name's team."
            ) from error
        raise PublishError(f"the Hub refused: {error}") from error
    except (_HTTP_ERROR, ConnectionError) as error:
        raise PublishError(f"the Hub cannot be reached ({type(error).__name__}: {error}); is there a connection?") from error
    except PublishError:
        raise
    except RuntimeError as error:  # huggingface_hub raises it for any failure during an upload
        raise PublishError(f"the upload failed: {error} {error.__cause__ or ''}".rstrip()) from error
