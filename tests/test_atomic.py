"""One writer for all files: complete or not at all, whatever goes wrong."""

from __future__ import annotations

import ast
import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ganon_hf
from ganon_hf import _atomic
from ganon_hf._atomic import atomic_file, atomic_folder, is_temporary, remove_leftovers, temporary_name, write_atomically

ROOT = Path(ganon_hf.__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("content", "expected"), [("Grüße\n", "Grüße\n".encode()), (b"\0\r\n", b"\0\r\n")])
def test_text_and_bytes_are_written_as_they_are(content: str | bytes, expected: bytes, tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "before, and longer than what comes")
    write_atomically(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == expected and names(tmp_path) == ["a"]


def test_nothing_stands_under_the_name_before_the_end(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path and is_temporary(temporary.name) and names(tmp_path) == [temporary.name]
    assert (tmp_path / "a").read_text() == "new" and names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError("any")])
def test_an_error_leaves_what_was_there(error: BaseException, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(type(error)), atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise error
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


@pytest.mark.parametrize("when", ["fsync", "replace"])
def test_a_disk_that_fails_late_leaves_what_was_there(when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems say only with fsync that a file did not fit."""
    (tmp_path / "a").write_text("old")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_atomic.os, when, full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "a", "new")
    monkeypatch.undo()
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


def test_a_limit_of_the_system_leaves_nothing(tmp_path: Path) -> None:
    """The real thing: the kernel refuses the write in the middle."""
    code = (
        "import sys\nfrom ganon_hf._atomic import write_atomically\n"
        "try:\n    write_atomically(sys.argv[1], bytes(1 << 20))\nexcept OSError as error:\n    sys.exit(error.errno)"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], preexec_fn=limit, check=False)
    assert done.returncode == errno.EFBIG and names(tmp_path) == []


def test_a_file_is_on_disk_before_it_has_its_name_and_the_name_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace
    kinds = {True: "folder", False: "file"}
    monkeypatch.setattr(_atomic.os, "fsync", lambda d: (steps.append(kinds[os.path.isdir(f"/proc/self/fd/{d}")]), fsync(d))[1])
    monkeypatch.setattr(_atomic.os, "replace", lambda *names: (steps.append("rename"), replace(*names))[1])
    write_atomically(tmp_path / "a", "new")
    assert steps == ["file", "rename", "folder"]
    steps.clear()
    with atomic_folder(tmp_path / "b") as folder:
        (folder / "below").mkdir()
        (folder / "below" / "c").write_text("c")
    assert steps == ["folder", "file", "folder", "rename", "folder"]


def test_a_link_in_the_way_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "original").write_text("old")
    (tmp_path / "a").symlink_to(tmp_path / "original")
    write_atomically(tmp_path / "a", "new")
    assert (tmp_path / "original").read_text() == "old" and not (tmp_path / "a").is_symlink()


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "new")
        with atomic_folder(tmp_path / "b"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640 and (tmp_path / "b").stat().st_mode & 0o777 == 0o750


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()  # an empty one is no obstacle
    with atomic_folder(tmp_path / "a") as folder:
        (folder / "b").write_text("b")
        assert folder.name == "a" and not any((tmp_path / "a").iterdir())
    assert names(tmp_path / "a") == ["b"] and names(tmp_path) == ["a"]
    with pytest.raises(OSError, match="not empty"), atomic_folder(tmp_path / "a"):
        pass
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "c") as folder:
        (folder / "b").write_text("half")
        raise RuntimeError
    assert names(tmp_path / "a") == ["b"] and names(tmp_path) == ["a"]


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for path in (temporary_name(tmp_path / "a"), tmp_path / ".ganon-hf-state.jsonl", tmp_path / "a.tmp"):
        path.touch()
    (tmp_path / ".ganon-hf-film.mp4.parts").mkdir()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".ganon-hf-film.mp4.parts", ".ganon-hf-state.jsonl", "a.tmp"]
    remove_leftovers(tmp_path / "absent")


def test_nobody_else_renames_into_place() -> None:
    paths = [path for folder in ("src", "scripts", "spaces") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "os.replace",
                "os.rename",
                "tempfile.mkstemp",
                "tempfile.NamedTemporaryFile",
            ):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {"src/ganon_hf/_atomic.py"}
