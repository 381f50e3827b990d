"""What the benchmarks share: photos with known faces, fresh processes, verdicts and files of numbers."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the time that imports take is measured, too
    import numpy as np

# The composers of photos and films, and the measure of memory, lie with the tests, which need them without the scripts.
SUPPORT = Path(__file__).resolve().parents[2] / "tests" / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))
MAX_MESSAGE = 2000  # characters of a failed process' error output


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows the script's docstring as it is written, with ``--json FILE``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    return parser


def write_json(path: Path | None, content: Any) -> None:
    """Write the numbers of a run, if a file was named."""
    if path is not None:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def run_process(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Standard output of a process.

    Raises:
        RuntimeError: it failed; the message holds the end of its error output.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{done.stderr[-MAX_MESSAGE:]}")
    return done.stdout


def measure_in_fresh_process(script: str, arguments: Sequence[Any], environment: Mapping[str, str] | None = None) -> Any:
    """Run a script with ``--child`` and its arguments as JSON; it prints its result as JSON on the last line.

    Raises:
        RuntimeError: as :func:`run_process`.
    """
    output = run_process([sys.executable, script, "--child", json.dumps(arguments)], environment)
    return json.loads(output.splitlines()[-1])


def verdict(met: bool) -> str:
    """The word in front of a target."""
    return "met" if met else "MISSED"


def load_average() -> float | None:
    """Of the last minute; None where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def scene_with_faces(size: tuple[int, int], heights: Sequence[int]) -> np.ndarray:
    """A photo with a face of every height, from pictures of the data folder (the astronaut's without it).

    Args:
        size: (width, height) in pixels.
        heights: of the faces in pixels.

    Returns:
        (height, width, 3) RGB uint8, the same for the same arguments.
    """
    import scenes

    heads = scenes.load_heads("eval-pairs", 12)
    background = scenes.photo_backgrounds(size[1], size[0])["coffee"]
    drawn = (scenes.compose(heads, background, tuple(heights), seed=seed, max_tilt=10) for seed in range(100))
    return next(one.image for one in drawn if len(one.faces) == len(heights))
