"""``ganon-hf review`` in a process of its own: what it prints, what it refuses, and a kill that loses nothing that was saved."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from film_runs import make_film_run, missing_engine, scripted_film
from review_runs import MISSED, PLAIN, UNCERTAIN, Run, tiny_run
from typer.testing import CliRunner

from ganon_hf.cli import main as cli

ADD = {"box": [round(value, 1) for value in MISSED.box], "do": "replace", "drawn": True}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path, [PLAIN, UNCERTAIN, PLAIN])


@contextmanager
def reviewing(run: Run) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command while it serves, and its address."""
    code = "from ganon_hf.cli.main import app; app()"
    command = [sys.executable, "-c", code, "review", str(run.out), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{43}/", line)
            assert address, line + process.stdout.read()
            yield process, address[0]
        finally:
            process.kill()


def ask(address: str, name: str, body: Any = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + name, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_a_kill_loses_nothing_that_was_saved(run: Run) -> None:
    with reviewing(run) as (process, address):
        assert "but this is" in ask(address, "api/run")["redo_problem"], "the tiny model is not the package's"
        numbers = ask(address, "api/list?filter=all")["numbers"]
        for number in numbers:
            ask(address, f"api/photo/{number}/fine", {"fine": True})
        ask(address, f"api/photo/{numbers[1]}/corrections", {"corrections": [ADD]})
        process.send_signal(signal.SIGKILL)
        process.wait()
    with reviewing(run) as (process, address):
        assert ask(address, "api/list?filter=open")["numbers"] == [numbers[1]]
        again = ask(address, f"api/photo/{numbers[1]}")
        assert again["corrections"] == [ADD] and again["stale"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stdout is not None and "everything is saved" in process.stdout.read()


def test_a_page_to_sign_without_a_server(run: Run, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["review", str(run.out), "--review-page", str(tmp_path / "review.html")])
    assert result.exit_code == 0 and "3 photos ->" in result.output, result.output
    assert (tmp_path / "review.html").read_text().count("<img") == 3


def test_a_film_is_reviewed_by_its_report(tmp_path: Path) -> None:
    film = make_film_run(scripted_film(tmp_path / "film.mkv"), tmp_path / "out.mkv", missing_engine)
    with reviewing(Run(tmp_path, film.target, film.report)) as (process, address):
        details = ask(address, "api/film")
        assert details["frames"] == 50 and "but this is" in details["redo_problem"], "the tiny model is not the package's"
        ask(address, "api/track/0/fine", {"fine": True})
        process.send_signal(signal.SIGKILL)
        process.wait()
    with reviewing(Run(tmp_path, film.target, film.report)) as (_, address):
        assert ask(address, "api/film")["tracks"][0]["fine"]
    result = CliRunner().invoke(cli.app, ["review", str(film.target), "--review-page", str(tmp_path / "review.html")])
    assert result.exit_code == 2 and "--review-page is for photos" in result.output
    film.report.unlink()
    result = CliRunner().invoke(cli.app, ["review", str(film.target)])
    assert result.exit_code == 2 and "name the report of the run with --report" in result.output


WRONG = {
    "no folder": (["nowhere"], "no folder with results"),
    "no report": (["out", "--report", "no.jsonl"], "does not exist: name the report"),
    "no originals": (["out", "--originals", "nowhere"], "--originals nowhere is no folder"),
    "a report that is none": (["out", "--report", "out/0.png"], "line 1"),
    "a page with another suffix": (["out", "--review-page", "out/0.png"], "ends in .html"),
}


@pytest.mark.parametrize("row", WRONG)
def test_what_cannot_be_reviewed_is_said(row: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = WRONG[row]
    result = CliRunner().invoke(cli.app, ["review", "--no-browser", *arguments])
    assert result.exit_code == 2 and message in result.output, result.output


def test_the_report_of_anonymize_is_enough(run: Run) -> None:
    """Its lines name every option, so that a photo can be done again."""
    line = json.loads(run.report.read_text().splitlines()[0])
    assert {"input", "name", "output", "status", "faces", "options", "keep_metadata", "model"} <= set(line)
