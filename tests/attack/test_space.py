"""The Space: dead processes' folders, headers, odd uploads, many visitors at once."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from tiny import noise_photo

from ganon_hf import AnonymizeOptions

pytest.importorskip("gradio")
pytestmark = pytest.mark.attack
SPACE = Path(__file__).parents[2] / "spaces"
SUPPORT = Path(__file__).parents[1] / "support"
SERVE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
import work
from tiny import tiny_engine
work.open_engine = tiny_engine  # knows the faces of one photo
import app
app.launch(app.build(app.App()), server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(SPACE))
    return __import__


# ---- folders of dead processes -------------------------------------------------------------------------------------------------


HOLD = (
    "import sys, scratch\nfolder = scratch.open_scratch()\n(folder / 'original.jpg').touch()\nprint(folder, flush=True)\nsys.stdin.read()"
)


def test_a_killed_space_leaves_its_folder_to_the_next_one(space: Callable[[str], ModuleType], tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(SPACE), "TMPDIR": str(tmp_path)}
    held = [subprocess.Popen([sys.executable, "-c", HOLD], stdin=-1, stdout=-1, text=True, env=environment) for _ in range(2)]
    try:
        folders = [Path(process.stdout.readline().strip()) for process in held if process.stdout]
        held[0].send_signal(signal.SIGKILL)
        held[0].wait()
        assert (folders[0] / "original.jpg").exists(), "nobody could remove it"
        (tmp_path / "ganon-space-starting").mkdir()  # of a process that has not got its lock yet
        (tmp_path / "ganon-space-old").mkdir()
        os.utime(tmp_path / "ganon-space-old", (0, 0))
        (tmp_path / "ganon-space-link").symlink_to(Path(__file__).parent)
        ended = subprocess.run([sys.executable, "-c", HOLD], input="", capture_output=True, text=True, env=environment, check=True)
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {folders[1].name, "ganon-space-starting", "ganon-space-link"}, "those that live stay, and it removed its own"
        assert (folders[1] / "original.jpg").exists() and Path(ended.stdout.strip()).parent == tmp_path
    finally:
        for process in held:
            process.kill()
            process.wait()


# ---- memory --------------------------------------------------------------------------------------------------------------------


def test_large_photos_wait_for_each_other(space: Callable[[str], ModuleType], tmp_path: Path) -> None:
    work = space("work")
    room = work.PixelRoom(10_000)
    Image.new("RGB", (80, 100)).save(tmp_path / "large.png")
    Image.new("RGB", (20, 50)).save(tmp_path / "small.png")
    inside, most = [0], [0]
    lock = threading.Lock()

    def visit(name: str) -> None:
        with room.photo(str(tmp_path / name)) as photo:
            pixels = photo.width * photo.height
            with lock:
                inside[0] += pixels
                most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            with lock:
                inside[0] -= pixels

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(visit, ["large.png", "small.png"] * 20))
    assert most[0] <= 10_000 and inside[0] == 0
    (tmp_path / "broken.png").write_bytes((tmp_path / "large.png").read_bytes()[:60])
    with pytest.raises(work.Refusal):
        visit("broken.png")
    visit("large.png")  # what was refused holds no room


# ---- a running Space -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "wb") as log:
        paths = os.pathsep.join([str(SPACE), str(SUPPORT), *sys.path])
        environment = os.environ | {"PYTHONPATH": paths, "TMPDIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        process = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], cwd=SPACE, env=environment, stdout=log, stderr=log)
        try:
            end = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > end:
                        pytest.fail((Path(folder) / "log").read_text()[-3000:])
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)
            written = (Path(folder) / "log").read_text()
        assert "Traceback" not in written, written[-3000:]
        assert not list(Path(folder).glob("ganon-space-*"))


def post(site: str, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=60)
    connection.request("POST", path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def upload(site: str, content: bytes, name: str | None = "a.png", field: str = "files") -> tuple[int, bytes]:
    boundary = uuid.uuid4().hex
    shown = "" if name is None else f'; filename="{name}"'
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"{shown}\r\nContent-Type: image/png\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return post(site, "/gradio_api/upload", body, f"multipart/form-data; boundary={boundary}")


def anonymize(site: str, path: str) -> dict[str, Any] | None:
    """What ``/anonymize`` answers for an uploaded file: its event's data, or None for an error."""
    names = [name for name in AnonymizeOptions.__dataclass_fields__ if name not in ("seed", "min_score", "on_no_face")]
    choices = [getattr(AnonymizeOptions(), name) for name in names]  # of the page's controls, in their order
    data = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, 7, *choices]}).encode()
    status, content = post(site, "/gradio_api/call/anonymize", data, "application/json")
    assert status == 200, content
    event = json.loads(content)["event_id"]
    with urllib.request.urlopen(f"{site}/gradio_api/call/anonymize/{event}", timeout=120) as answer:
        told = answer.read().decode()
    assert "event: complete" in told or "event: error" in told, told
    return json.loads(told.rpartition("data: ")[2]) if "event: complete" in told else None


def png(seed: int = 0) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.fromarray(noise_photo(seed=seed)).save(file.name)
        return Path(file.name).read_bytes()


def test_every_answer_has_the_headers(site: str) -> None:
    for path in ("/", "/gradio_api/info", "/no-such-page"):
        connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=60)
        connection.request("GET", path)
        headers = connection.getresponse().headers
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        policy = headers["Content-Security-Policy"]
        assert (
            "default-src 'self'" in policy and "frame-ancestors 'self' https://huggingface.co" in policy and "object-src 'none'" in policy
        )
        connection.close()


@pytest.mark.parametrize(
    ("name", "field", "content"), [("", "files", b"x"), (None, "files", b"x"), ("a.png", "other", b"x"), ("..", "files", b"x")]
)
def test_odd_uploads_are_the_senders_fault(name: str | None, field: str, content: bytes, site: str) -> None:
    status, said = upload(site, content, name, field)
    assert status < 500, (status, said)
    assert post(site, "/gradio_api/upload", b"garbage", "multipart/form-data; boundary=x")[0] in (400, 422)


@pytest.mark.parametrize("kind", ["ICO", "ICNS", "EPS", "TGA"])
def test_uploads_of_other_formats_are_refused(kind: str, site: str, space: Callable[[str], ModuleType], tmp_path: Path) -> None:
    Image.fromarray(noise_photo(256, 256)).save(tmp_path / "a", kind)
    work = space("work")
    with pytest.raises(work.Refusal, match="is not a picture"):
        work.read_photo(str(tmp_path / "a"))
    status, content = upload(site, (tmp_path / "a").read_bytes())
    assert status == 200 and anonymize(site, json.loads(content)[0]) is None


def test_twenty_visitors_get_their_own_faces(site: str) -> None:
    """Each with a photo of its own: nobody's original comes back, and nobody gets another's."""

    def visit(number: int) -> None:
        photo = noise_photo(seed=number)
        status, content = upload(site, png(number), f"{number}.png")
        assert status == 200
        answer = anonymize(site, json.loads(content)[0])
        assert answer is not None
        picture, faces = answer
        assert len(faces) == 1 and faces[0]["seed"] == 7
        with urllib.request.urlopen(picture["url"], timeout=60) as file, Image.open(file) as image:
            made = np.asarray(image.convert("RGB")).astype(int)
        difference = np.abs(made - photo)
        assert difference[:, 120:].mean() < 12, "the background is this visitor's own (JPEG)"
        box = faces[0]["box"]
        inside = np.s_[round(box["ymin"]) + 15 : round(box["ymax"]) - 15, round(box["xmin"]) + 15 : round(box["xmax"]) - 15]
        assert difference[inside].mean() > 20, "the face is not"

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(visit, range(20)))
