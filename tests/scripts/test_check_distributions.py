"""What must not be uploaded is found in a wheel or a source distribution."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from script_loading import load_script

SCRIPT = load_script("maintain/check_distributions")
METADATA = "ganon_hf-0.1.0.dist-info/METADATA"


def wheel(folder: Path, changes: dict[str, bytes | None]) -> Path:
    """A wheel with everything that is needed, but for the changes; None leaves a file out."""
    path = folder / "ganon_hf-0.1.0-py3-none-any.whl"
    files: dict[str, bytes | None] = {**SCRIPT.needed(), METADATA: b"[a](https://x.org)", **changes}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def test_what_is_needed_are_the_weights_the_detector_and_the_card() -> None:
    assert {
        "ganon_hf/checkpoint/model.safetensors",
        "ganon_hf/detectors/face_detection_yunet_2023mar.onnx",
        "ganon_hf/card/portrait.jpg",
        "ganon_hf/review/page/review.js",
        "ganon_hf/py.typed",
    } <= SCRIPT.needed().keys()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"ganon_hf/checkpoint/model.safetensors": None}, "ganon_hf/checkpoint/model.safetensors is missing"),
        ({"ganon_hf/checkpoint/config.json": b"{}"}, "ganon_hf/checkpoint/config.json is another one"),
        ({"tests/photo.jpg": b""}, "tests/photo.jpg does not belong there"),
        ({"ganon_hf/review/page/review.js": None}, "ganon_hf/review/page/review.js is missing"),
        ({METADATA: b"![a](docs/images/a.png)"}, "relative links"),
        ({METADATA: b"[a](CONTRIBUTING.md)"}, "relative links"),
        ({METADATA: b"[a](#here)"}, "relative links"),
    ],
)
def test_a_wheel(changes: dict[str, bytes | None], problem: str | None, tmp_path: Path) -> None:
    problems = SCRIPT.problems_of_wheel(wheel(tmp_path, changes))
    assert (problems == []) if problem is None else (len(problems) == 1 and problem in problems[0])


def test_a_folder_with_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel(tmp_path, {})
    assert SCRIPT.main([str(tmp_path)]) == 1 and "has 0 files *.tar.gz" in capsys.readouterr().err
    (tmp_path / "x").write_text("")
    with tarfile.open(tmp_path / "ganon_hf-0.1.0.tar.gz", "w:gz") as archive:
        for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", *(f"src/{name}" for name in SCRIPT.needed())):
            archive.add(tmp_path / "x", f"ganon_hf-0.1.0/{name}")
    assert SCRIPT.main([str(tmp_path)]) == 0 and "MiB" in capsys.readouterr().out
