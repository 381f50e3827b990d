"""The review page's server: for this machine only, for whoever has the address with its token, and nothing may be kept of an answer.

Plain HTTP of the standard library: a page of a few files, JSON, and pictures that are made when they are asked for.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import socket
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..core.faces import UnusableImageError
from ..image_files import printable
from .routes import RefusedError, Routes, as_json
from .session import ReviewError

HOST = "127.0.0.1"
_NAMES = ("127.0.0.1", "localhost", "[::1]")  # a page of another site that resolves to this machine has another name
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
MAX_BODY = 2 << 20
_PART = re.compile(rb" *<!-- part: ([a-z_]+\.html) -->\n")  # in a page: what it shares with the other one
_NUMBER = re.compile(r"[0-9]{1,9}")
_IDLE_SECONDS = 120.0


class ReviewServer(ThreadingHTTPServer):
    """Serves a review until it is shut down.

    Args:
        routes: what the page shows and changes.
        port: 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, routes: Routes, port: int = 0) -> None:
        self.routes = routes
        self.token = secrets.token_urlsafe(32)
        contents = {name: (_page_file(name), _KINDS[Path(name).suffix]) for name in routes.page}
        self.page = {"" if name.endswith(".html") else name: content for name, content in contents.items()}
        super().__init__((HOST, port), _Handler)

    @property
    def url(self) -> str:
        """The address of the page, which nobody can guess."""
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"

    def server_close(self) -> None:
        """Close the socket and end the threads that make pictures."""
        super().server_close()
        self.routes.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no error; anything else has been answered."""

    def server_bind(self) -> None:
        """Without asking for this machine's name, as HTTPServer does: where no name server answers, that takes seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection that says nothing for long is closed."""
        request, address = super().get_request()
        request.settimeout(_IDLE_SECONDS)
        return request, address


def _page_file(name: str) -> bytes:
    """A file of a page, with the parts that it names."""
    content = (files(__package__) / "page" / name).read_bytes()
    return _PART.sub(lambda found: _page_file(found[1].decode()), content)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ganon-hf", ""
    server: ReviewServer

    def log_message(self, format: str, *args: Any) -> None:
        """Addresses hold the token, so that nothing is logged."""

    def do_GET(self) -> None:
        """The page, JSON, pictures."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """What the person did."""
        self._answer(self._post)

    def _answer(self, action: Any) -> None:
        try:
            content, kind = action(self._path())
            self._send(HTTPStatus.OK, content, kind)
        except RefusedError as error:
            self.close_connection = True  # a body may be left unread
            self._send_json(error.status, {"error": str(error)})
        except (ReviewError, UnusableImageError) as error:
            self._send_json(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": printable(error)})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:  # the page must say that something went wrong
            self.close_connection = True
            self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": printable(f"{type(error).__name__}: {error}")})

    def _path(self) -> list[str]:
        """The parts of the address behind the token, once host and token are right."""
        host = self.headers.get("Host", "")
        name = host.rsplit(":", 1)[0] if host.rpartition(":")[2].isdigit() else host
        parts = urlsplit(self.path).path.split("/")[1:]
        token = parts[0] if parts else ""
        if name not in _NAMES or not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "open the address that `ganon-hf review` prints.")
        if self.command == "POST" and self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            raise RefusedError(HTTPStatus.FORBIDDEN, "only the page itself may do this.")
        return parts[1:]

    # ---- reading and doing -------------------------------------------------------------------------------------------------------

    def _get(self, parts: list[str]) -> tuple[bytes, str]:
        if len(parts) == 1 and parts[0] in self.server.page:
            content, kind = self.server.page[parts[0]]
            return content, f"{kind}; charset=utf-8"
        return self.server.routes.get(parts, parse_qs(urlsplit(self.path).query))

    def _post(self, parts: list[str]) -> tuple[bytes, str]:
        return self.server.routes.post(parts, self._body())

    def _body(self) -> Mapping[str, Any]:
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not _NUMBER.fullmatch(length) or int(length) > MAX_BODY:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"an action is JSON of at most {MAX_BODY} bytes.")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "an action is JSON.") from None
        if not isinstance(body, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "an action is a JSON object.")
        return body

    # ---- sending -----------------------------------------------------------------------------------------------------------------

    def _send_json(self, status: HTTPStatus, value: Any) -> None:
        content, kind = as_json(value)
        try:
            self._send(status, content, kind)
        except OSError:
            self.close_connection = True  # nobody is there any more

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
