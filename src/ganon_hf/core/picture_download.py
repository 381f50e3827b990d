"""A picture behind a URL, fetched so that neither a slow, endless or lying server nor a redirect does harm.

Names are resolved here and the connection goes to the address that was checked, so that a second answer of the name server changes nothing.
The standard library's client, because it is the only one whose connections can be made that way.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from .faces import UnusableImageError

CONNECT_SECONDS, WHOLE_SECONDS = 10.0, 60.0
MAX_DOWNLOAD_BYTES = 100 << 20
ALLOW_PRIVATE = "GANON_ALLOW_PRIVATE_URLS"
_CONTENT_TYPES = ("image/", "application/octet-stream", "binary/octet-stream")
_MAX_REDIRECTS = 5
_BLOCK = 1 << 16


def download(url: str) -> bytes:
    """Fetch a picture's file.

    Args:
        url: http:// or https://. Addresses of this machine and of private networks are refused unless the environment variable
            ``GANON_ALLOW_PRIVATE_URLS`` is 1.

    Raises:
        UnusableImageError: it cannot be fetched within 60 seconds, is larger than 100 MiB or no picture, or leads elsewhere.
    """
    guard = _Guard()
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _HttpHandler(guard),
        _HttpsHandler(guard),
        _RedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    watch = threading.Timer(WHOLE_SECONDS, guard.hang_up)
    watch.daemon = True
    watch.start()
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "ganon-hf", "Accept": "image/*"})
        with opener.open(request, timeout=CONNECT_SECONDS) as response:
            return _read(response, guard)
    except UnusableImageError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        if guard.late:
            raise UnusableImageError(f"cannot be fetched within {WHOLE_SECONDS:.0f} seconds") from error
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, UnusableImageError):
            raise reason from error
        status = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
        raise UnusableImageError(f"cannot be fetched ({status}{str(reason)[:200]})") from error
    finally:
        watch.cancel()


def _read(response: Any, guard: _Guard) -> bytes:
    kind = response.headers.get("Content-Type", "")
    if kind and not kind.lower().startswith(_CONTENT_TYPES):
        raise UnusableImageError(f"is no picture but {kind[:60]!r}")
    parts, size = [], 0
    while block := response.read(_BLOCK):
        size += len(block)
        if size > MAX_DOWNLOAD_BYTES:
            raise UnusableImageError(f"is larger than {MAX_DOWNLOAD_BYTES >> 20} MiB, which is not fetched; save it to a file first")
        parts.append(block)
    if guard.late:
        raise UnusableImageError(f"cannot be fetched within {WHOLE_SECONDS:.0f} seconds")
    return b"".join(parts)


class _Guard:
    """Makes connections to addresses that are allowed, and ends them all when the time is over."""

    def __init__(self) -> None:
        self._end = time.monotonic() + WHOLE_SECONDS
        self._sockets: list[socket.socket] = []

    @property
    def late(self) -> bool:
        return time.monotonic() >= self._end

    def hang_up(self) -> None:
        """End all connections; whoever waits for bytes gets an error."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def connect(self, address: tuple[str, int], timeout: Any = None, source_address: Any = None) -> socket.socket:
        """Like ``socket.create_connection``."""
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not _is_proxy(host):
            for *_, place in found:
                _require_public(host, str(place[0]))
        problem: OSError | None = None
        for family, kind, protocol, _, place in found:
            made = socket.socket(family, kind, protocol)
            try:
                made.settimeout(CONNECT_SECONDS)
                made.connect(place)
            except OSError as error:
                made.close()
                problem = error
                continue
            self._sockets.append(made)
            return made
        raise problem or OSError(f"{host} has no address")


def _require_public(host: str, address: str) -> None:
    if os.environ.get(ALLOW_PRIVATE) == "1":
        return
    place = ipaddress.ip_address(address.partition("%")[0])
    place = getattr(place, "ipv4_mapped", None) or place
    if not place.is_global or place.is_multicast:
        raise UnusableImageError(
            f"lies at {host} ({address}), an address of this machine or of a private network, which is not fetched; set the environment "
            f"variable {ALLOW_PRIVATE}=1 to allow it"
        )


def _is_proxy(host: str) -> bool:
    """Whether this is the proxy of the environment, which its administrator has chosen; it resolves names itself."""
    return any(urlsplit(proxy).hostname == host for proxy in urllib.request.getproxies().values())


class _HttpHandler(urllib.request.HTTPHandler):
    def __init__(self, guard: _Guard) -> None:
        super().__init__()
        self._guard = guard

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self._connection, req)

    def _connection(self, host: str, **options: Any) -> http.client.HTTPConnection:
        made = http.client.HTTPConnection(host, **options)
        made._create_connection = self._guard.connect  # type: ignore[attr-defined]  # where the library itself makes its connection
        return made


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, guard: _Guard) -> None:
        super().__init__()
        self._guard = guard

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self._connection, req)

    def _connection(self, host: str, **options: Any) -> http.client.HTTPSConnection:
        made = http.client.HTTPSConnection(host, **options)
        made._create_connection = self._guard.connect  # type: ignore[attr-defined]
        return made


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows within http and https; never from an encrypted to an open connection. Every address on the way is checked again."""

    max_redirections = _MAX_REDIRECTS

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after != before and (before, after) != ("http", "https"):
            raise UnusableImageError(f"leads from {before} to {after[:20]}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
