"""A command whose extra is not installed says which one, in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Command line -> extra, and a package of it that is hidden.
COMMANDS = {
    "video film.mp4 -o out.mp4": ("video", "threadpoolctl"),
    "webcam": ("video", "threadpoolctl"),
    "review film.mp4 --no-browser": ("video", "threadpoolctl"),
    "evaluate . -o out": ("eval", "tqdm"),
    "scale . out": ("scale", "pyarrow"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_extra_is_named(command: str, tmp_path: Path) -> None:
    extra, package = COMMANDS[command]
    (tmp_path / "film.mp4").write_bytes(b"a film")
    code = f"import sys; sys.modules[{package!r}] = None\nfrom ganon_hf.cli.main import app; app()"
    environment = os.environ | {"DISPLAY": ":0", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("Error: ") and f"'ganon-hf[{extra}]'" in line and package in line
    assert not (tmp_path / "out").exists()
