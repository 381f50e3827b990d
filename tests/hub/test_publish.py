"""Publishing to a stand-in of the Hub: one commit and a tag, a pull request, a Space; and plain words when it cannot be done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from click.testing import Result
from hub_standin import Hub, running_hub
from huggingface_hub import HfApi, ModelCard
from typer.testing import CliRunner

from ganon_hf import __version__
from ganon_hf.cli import main as cli
from ganon_hf.hub.model_card import HardSample, fill_card
from ganon_hf.hub.publish import PublishError, PublishOptions, publish, stage_space

REPO = "writer/ganon"
TAG = f"v{__version__}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as hub:
        for name, value in {"ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "writer")
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What an export looks like from outside: a real card, weights and code that nobody loads here."""
    folder = tmp_path / "export"
    (folder / "samples").mkdir(parents=True)
    config = {"conditioning": "mesh", "image_size": 64, "texture_size": 32, "num_appearance": 4, "refinement_channels": 0}
    arguments: dict[str, Any] = {"report": None, "training": None, "hard_samples": [HardSample("a", "missed")], "pictures": []}
    card = fill_card(config=config, parameters=7, weights="00", version=__version__, **arguments)
    files = {"README.md": card.encode(), "config.json": json.dumps(config).encode(), "model_index.json": b"{}", "report.json": b"{}"}
    files |= {"model.safetensors": bytes(range(256)) * 40, "faces.py": b"x = 1\n", "samples/people.jpg": b"\xff\xd8jpeg"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(cli.app, ["publish", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_one_commit_with_everything_and_a_tag(hub: Hub, folder: Path) -> None:
    done = publish(folder, PublishOptions(REPO))
    repository = hub.repositories[f"models/{REPO}"]
    assert repository.messages == ["initial commit", f"ganon-hf {__version__}"]
    assert repository.tags == {TAG: done.commit} and repository.refs == {"main": done.commit}
    expected = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert set(repository.files) == set(expected) | {".gitattributes"}
    assert all(repository.files[name] == content for name, content in expected.items() if name != "README.md")
    assert not repository.private and list(hub.repositories) == [f"models/{REPO}"]


def test_the_card_names_its_repository(hub: Hub, folder: Path) -> None:
    publish(folder, PublishOptions(REPO))
    card = ModelCard(hub.repositories[f"models/{REPO}"].files["README.md"].decode())
    assert f'model="{REPO}", trust_remote_code=True' in card.text and f'from_pretrained("{REPO}")' in card.text
    assert "YOUR_NAME" not in card.content and "huggingface.co/spaces" not in card.text
    assert "YOUR_NAME" in (folder / "README.md").read_text(), "the exported folder itself stays as it was"


def test_again_changes_nothing_and_stale_files_go(hub: Hub, folder: Path) -> None:
    first = publish(folder, PublishOptions(REPO))
    assert publish(folder, PublishOptions(REPO)) == first
    repository = hub.repositories[f"models/{REPO}"]
    assert len(repository.commits) == 2
    (folder / "faces.py").unlink()
    del repository.tags[TAG]
    publish(folder, PublishOptions(REPO))
    assert len(repository.commits) == 3 and "faces.py" not in repository.files and ".gitattributes" in repository.files


def test_a_tag_is_never_moved(hub: Hub, folder: Path) -> None:
    publish(folder, PublishOptions(REPO))
    (folder / "faces.py").write_text("x = 2\n")
    with pytest.raises(PublishError, match=f"its tag {TAG} names an earlier commit .* Raise the version"):
        publish(folder, PublishOptions(REPO))
    repository = hub.repositories[f"models/{REPO}"]
    assert repository.tags[TAG] != repository.refs["main"]


def test_a_pull_request_leaves_main_and_tags_alone(hub: Hub, folder: Path) -> None:
    HfApi().create_repo(REPO)
    result = command(REPO, "--pr", "--folder", folder)
    repository = hub.repositories[f"models/{REPO}"]
    assert result.exit_code == 0 and result.output.strip() == repository.pull_requests[0]
    assert set(repository.files) == {".gitattributes"} and not repository.tags
    assert "model.safetensors" in repository.commits[repository.refs["refs/pr/1"]]


def test_space_and_model_name_each_other(hub: Hub, folder: Path) -> None:
    result = command(REPO, "--space", "--private", "--folder", folder)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"{hub.endpoint}/spaces/{REPO}"
    model, space = (hub.repositories[f"{kind}/{REPO}"] for kind in ("models", "spaces"))
    assert model.private and space.private and space.settings["sdk"] == "gradio"
    assert space.variables == {"GANON_MODEL": REPO}
    front = ModelCard(space.files["README.md"].decode()).data
    assert front.to_dict()["models"] == [REPO] and front.to_dict()["sdk"] == "gradio"
    assert f"https://huggingface.co/spaces/{REPO}" in model.files["README.md"].decode()
    assert space.files["report.json"] == (folder / "report.json").read_bytes()
    command(REPO, "--space", "--folder", folder)
    assert len(space.commits) == 2, "a second time nothing changes"


def test_a_space_has_the_code_and_no_weights(folder: Path, tmp_path: Path) -> None:
    space = stage_space(folder, tmp_path / "space", PublishOptions(REPO))
    names = {path.relative_to(space).as_posix() for path in space.rglob("*") if path.is_file()}
    assert {"app.py", "README.md", "requirements.txt", "ganon_hf/__init__.py", "ganon_hf/core/anonymizer.py"} <= names
    assert not [name for name in names if name.endswith((".safetensors", ".pyc")) or "training" in name]


def test_a_dry_run_asks_nobody(folder: Path) -> None:
    result = command(REPO, "--dry-run", "--space", "--folder", folder)
    assert result.exit_code == 0, result.output
    assert f"{REPO}: in one commit, tag {TAG}" in result.output and f"spaces/{REPO}" in result.output
    for name in ("model.safetensors", "samples/people.jpg", "ganon_hf/core/anonymizer.py", "app.py"):
        assert f"  {name}" in result.output


@pytest.mark.parametrize(
    ("token", "repo", "words"),
    [
        ("", REPO, "there is no token"),
        ("expired", REPO, "does not accept the token"),
        ("reader", REPO, f"may not write to {REPO}"),
        ("writer", "somebody/else", "may not write to somebody/else"),
    ],
)
def test_without_the_right_to_write(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, token: str, repo: str, words: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    result = command(repo, "--folder", folder)
    assert result.exit_code == 2 and words in result.output and not hub.repositories
    assert "Traceback" not in result.output and len(result.output.splitlines()) == 1


def test_offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "writer")
    result = command(REPO, "--folder", folder)
    assert result.exit_code == 2 and "HF_HUB_OFFLINE is set" in result.output


def test_no_connection(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    result = command(REPO, "--folder", folder)
    assert result.exit_code == 2 and "cannot be reached" in result.output


@pytest.mark.parametrize("repo", ["ganon", "a/b/c", "a/ b", "-/x", "", "../x"])
def test_names_that_cannot_be_one(repo: str, folder: Path) -> None:
    result = command("--folder", folder, "--", repo)
    assert result.exit_code == 2 and "Traceback" not in result.output


def test_what_was_not_exported_is_not_published(hub: Hub, folder: Path, tmp_path: Path) -> None:
    (folder / "model_index.json").unlink()
    result = command(REPO, "--folder", folder)
    assert result.exit_code == 2 and "model_index.json is missing" in result.output and not hub.repositories
    result = command(REPO, "--folder", folder, "--model", tmp_path)
    assert result.exit_code == 2 and "--folder names a finished export" in result.output
