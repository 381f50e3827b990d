"""Servers that are slow, endless, lie, or lead into the private network."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import square_photo

from ganon_hf.core import picture_download
from ganon_hf.core.faces import UnusableImageError
from ganon_hf.core.image_loading import load_photo

pytestmark = pytest.mark.attack


def png() -> bytes:
    content = io.BytesIO()
    square_photo().save(content, "PNG")
    return content.getvalue()


def answer(handler: Any, *, kind: str | None = "image/png", body: bytes = b"", status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    if kind:
        handler.send_header("Content-Type", kind)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def drip(handler: Any, block: bytes, pause: float) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "image/png")
    handler.end_headers()
    while True:
        handler.wfile.write(block)
        time.sleep(pause)


def drip_header(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


PAGES: dict[str, Callable[[Any], None]] = {
    "/photo": lambda handler: answer(handler, body=png()),
    "/bytes": lambda handler: answer(handler, kind="application/octet-stream", body=png()),
    "/untyped": lambda handler: answer(handler, kind=None, body=png()),
    "/page": lambda handler: answer(handler, kind="text/html", body=png()),
    "/icon": lambda handler: answer(handler, body=b"\0\0\1\0\1\0\x10\x10"),
    "/missing": lambda handler: answer(handler, status=404),
    "/endless": lambda handler: drip(handler, bytes(1 << 20), 0.0),
    "/slow": lambda handler: drip(handler, b"x", 0.05),
    "/slow-header": drip_header,
    "/silent": lambda handler: time.sleep(30),
    "/to-file": lambda handler: answer(handler, status=302, Location="file:///etc/passwd"),
    "/to-ftp": lambda handler: answer(handler, status=302, Location="ftp://127.0.0.1/a"),
    "/to-itself": lambda handler: answer(handler, status=302, Location="/to-itself"),
    "/to-photo": lambda handler: answer(handler, status=302, Location="/photo"),
}


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            PAGES[self.path](self)
        except OSError:  # the client has hung up, as it should
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANON_ALLOW_PRIVATE_URLS", "1")
    monkeypatch.setattr(picture_download, "WHOLE_SECONDS", 1.5)
    monkeypatch.setattr(picture_download, "CONNECT_SECONDS", 1.0)


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("page", ["/photo", "/bytes", "/untyped", "/to-photo"])
def test_an_honest_picture_is_fetched(page: str, server: str) -> None:
    assert np.array_equal(load_photo(server + page), np.asarray(Image.open(io.BytesIO(png()))))


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("/page", "no picture but 'text/html'"),
        ("/icon", "is not a picture"),
        ("/missing", "404"),
        ("/endless", "larger than 100 MiB"),
        ("/slow", "within 2 seconds"),
        ("/slow-header", "within 2 seconds"),
        ("/silent", "timed out"),
        ("/to-file", "file:///etc/passwd' is not allowed"),
        ("/to-ftp", "from http to ftp"),
        ("/to-itself", "302"),
    ],
)
def test_a_hostile_server_costs_seconds_and_one_error(page: str, reason: str, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "/endless":
        monkeypatch.setattr(picture_download, "WHOLE_SECONDS", 60.0)
    started = time.monotonic()
    with pytest.raises(UnusableImageError, match=reason) as caught:
        load_photo(server + page)
    assert time.monotonic() - started < 20 and str(caught.value).startswith(repr(server + page))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1"]
)
def test_private_addresses_are_not_fetched(host: str) -> None:
    with pytest.raises(UnusableImageError, match="GANON_ALLOW_PRIVATE_URLS=1|cannot be fetched") as caught:
        load_photo(f"http://{host}:9/photo")
    if host in ("127.0.0.1", "169.254.169.254", "10.0.0.1"):
        assert "private network" in str(caught.value)


def test_a_redirect_into_the_private_network_is_not_followed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first name is taken for a public one; where it leads is checked again."""
    asked: list[str] = []
    real = picture_download._require_public

    def check(host: str, address: str) -> None:
        asked.append(host)
        if len(asked) > 1:
            real(host, address)

    monkeypatch.setattr(picture_download, "_require_public", check)
    with pytest.raises(UnusableImageError, match="private network"):
        load_photo(f"{server}/to-photo")
    assert len(asked) == 2


def test_a_name_server_that_changes_its_mind_is_asked_once(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **options: Any) -> Any:
        calls.append(host)
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(picture_download.socket, "getaddrinfo", resolve)
    with pytest.raises(UnusableImageError, match="private network"):
        load_photo("http://public.example/photo")
    assert calls == ["public.example"]


@pytest.mark.parametrize("source", ["file:///etc/passwd", "ftp://example.com/a.jpg", "gopher://example.com", "no such file.jpg"])
def test_other_schemes_are_no_photos(source: str) -> None:
    with pytest.raises(UnusableImageError, match="neither a file, nor a URL"):
        load_photo(source)
