"""The review's server: who gets in, what it answers, what nobody may keep, and that originals pass only when they are asked for."""

from __future__ import annotations

import http.client
import io
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from review_runs import MISSED, PLAIN, UNCERTAIN, Run, serving, tiny_run
from standins import names, save
from tiny import noise_photo

from ganon_hf.review.server import HEADERS, MAX_BODY, ReviewServer

ADD = {"box": [round(value, 1) for value in MISSED.box], "do": "replace", "drawn": True}


class Client:
    """A browser that says exactly what it is told to."""

    def __init__(self, server: ReviewServer) -> None:
        self.host, self.path = urlsplit(server.url).netloc, urlsplit(server.url).path
        self.connection = http.client.HTTPConnection(self.host, timeout=60)

    def ask(self, name: str = "", body: Any = None, *, path: str | None = None, headers: dict[str, str] | None = None) -> Any:
        """(status, headers, content) of a request below the token, or of another path."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Host": self.host} | ({} if body is None else {"Content-Type": "application/json"}) | (headers or {})
        self.connection.request("GET" if body is None else "POST", self.path + name if path is None else path, content, sent)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def json(self, name: str, body: Any = None) -> Any:
        status, _, content = self.ask(name, body)
        assert status == 200, content
        return json.loads(content)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("run")
    save(root / "in" / "large.jpg", Image.fromarray(noise_photo(2400, 1000)), comment=b"a comment of the camera")
    save(root / "in" / "<script>alert(1)</script>.png".replace("/", "_"), Image.fromarray(noise_photo(*PLAIN, seed=5)))
    return tiny_run(root, [PLAIN, UNCERTAIN], options=None)


@pytest.fixture(scope="module")
def server(run: Run) -> Iterator[ReviewServer]:
    with run.session() as session, serving(session) as server:
        yield server


@pytest.fixture
def client(server: ReviewServer) -> Client:
    return Client(server)


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def number_of(server: ReviewServer, name: str) -> int:
    return [photo.name for photo in server.routes.session.run.photos].index(name)


def test_the_page_is_served_to_who_has_the_address(client: Client) -> None:
    status, headers, content = client.ask()
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8" and b"review.js" in content
    assert b'id="redo"' in content and b"<!--" not in content, "with the part that photos and films share"
    assert len(client.path) > 40, "a token that nobody guesses"


FORBIDDEN: dict[str, dict[str, Any]] = {
    "no token": {"path": "/"},
    "a wrong token": {"path": "/" + "A" * 43 + "/"},
    "a token that is no text": {"path": "/%ff%fe/api/run"},
    "the favorite icon": {"path": "/favicon.ico"},
    "another host": {"headers": {"Host": "example.com"}},
    "another host with our port": {"headers": {"Host": "127.0.0.1.example.com:80"}},
    "no host": {"headers": {"Host": ""}},
    "a wrong token of the same length, posted": {"path": "/" + "A" * 43 + "/api/photo/0/fine", "body": {"fine": True}},
    "an action from another page": {"name": "api/photo/0/fine", "body": {"fine": True}, "headers": {"Origin": "http://example.com"}},
    "an action from a file": {"name": "api/photo/0/fine", "body": {"fine": True}, "headers": {"Origin": "null"}},
}


@pytest.mark.parametrize("row", FORBIDDEN)
def test_others_stay_outside(row: str, client: Client) -> None:
    status, headers, content = client.ask(**FORBIDDEN[row])
    assert status == 403 and headers["Cache-Control"] == "no-store" and set(json.loads(content)) == {"error"}


@pytest.mark.parametrize("host", ["localhost", "localhost:9999", "127.0.0.1", "[::1]:80"])
def test_a_tunnel_may_end_at_another_port(host: str, client: Client) -> None:
    assert client.ask(headers={"Host": host})[0] == 200


WRONG: dict[str, tuple[int, dict[str, Any]]] = {
    "no such page": (404, {"name": "secret"}),
    "a file beside the page": (404, {"name": "../session.py"}),
    "a file of the machine": (404, {"name": "..%2f..%2fetc%2fpasswd"}),
    "a photo by path": (404, {"name": "result/view/..%2fin%2f0.png"}),
    "a photo by a negative number": (404, {"name": "result/view/-1"}),
    "a photo that is not there": (422, {"name": "result/view/999"}),
    "an original in another size": (404, {"name": "original/thumbnail/0"}),
    "no JSON": (400, {"name": "api/photo/0/fine", "body": b"fine"}),
    "no object": (400, {"name": "api/photo/0/fine", "body": [1]}),
    "a form": (400, {"name": "api/photo/0/fine", "body": b"fine=1", "headers": {"Content-Type": "text/plain"}}),
    "an endless body": (400, {"name": "api/photo/0/fine", "body": b"{}", "headers": {"Content-Length": str(MAX_BODY + 1)}}),
    "nested without end": (400, {"name": "api/photo/0/fine", "body": b"[" * 100_000}),
    "fine as a text": (404, {"name": "api/photo/0/fine", "body": {"fine": "yes"}}),
    "no such action": (404, {"name": "api/photo/0/delete", "body": {}}),
    "corrections that are none": (422, {"name": "api/photo/0/corrections", "body": {"corrections": 5}}),
}


@pytest.mark.parametrize("row", WRONG)
def test_what_makes_no_sense_is_refused_with_a_reason(row: str, client: Client) -> None:
    wanted, request = WRONG[row]
    status, _, content = client.ask(**request)
    assert status == wanted and json.loads(content)["error"]


def test_every_answer_forbids_to_keep_it_and_to_load_from_elsewhere(client: Client) -> None:
    for name in ("", "review.js", "review.css", "api/run", "api/list?filter=all", "result/thumbnail/0", "original/view/0", "nothing"):
        headers = client.ask(name)[1]
        assert {key: headers[key] for key in HEADERS} == HEADERS and headers["Cache-Control"] == "no-store"
        for kept in ("ETag", "Last-Modified", "Expires", "Set-Cookie", "Content-Disposition"):
            assert kept not in headers
    for name in ("", "common.js", "review.js", "faces.js", "review.css"):
        text = client.ask(name)[2].decode()
        assert not re.search(r"https?://|//[a-z]|@import|url\(", text), f"{name} names another place"
        assert not re.search(r"localStorage|sessionStorage|indexedDB|caches|serviceWorker|document\.cookie", text), "nothing is kept"
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), "names of files are texts"


def test_pictures_are_those_that_were_anonymized(client: Client, server: ReviewServer, run: Run) -> None:
    number = number_of(server, "0.png")
    assert picture(client.ask(f"result/view/{number}")[2]).shape == (120, 160, 3)
    shown = picture(client.ask(f"result/large/{number}")[2]).astype(int)
    result, original = (np.asarray(Image.open(folder / "0.png")).astype(int) for folder in (run.out, run.photos))
    face = np.s_[40:80, 35:65]
    assert np.abs(shown[face] - result[face]).mean() < 12 < np.abs(shown[face] - original[face]).mean()
    asked = picture(client.ask(f"original/large/{number}")[2]).astype(int)
    assert np.abs(asked[face] - original[face]).mean() < 12, "only when it is asked for"


def test_large_pictures_are_made_small_and_carry_nothing_else(client: Client, server: ReviewServer) -> None:
    number = number_of(server, "large.jpg")
    status, _, content = client.ask(f"original/view/{number}")
    assert status == 200 and picture(content).shape == (667, 1600, 3) and b"comment" not in content
    assert client.ask(f"result/view/{number}")[0] == 404, "nothing was written for it"


def test_a_review_over_http_and_nothing_in_temporary_folders(
    client: Client, server: ReviewServer, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = names(run.report.parent)
    numbers = client.json("api/list?filter=doubtful")["numbers"]
    assert [one["name"] for one in client.json(f"api/summaries?numbers={','.join(map(str, numbers))}")] == ["1.png"]
    number = number_of(server, "0.png")
    for name in (f"result/thumbnail/{number}", f"result/view/{number}", f"original/view/{number}"):
        assert client.ask(name)[0] == 200
    stale = client.json(f"api/photo/{number}/corrections", {"corrections": [ADD]})
    assert stale["stale"] and len(stale["faces"]) == 1
    done = client.json(f"api/photo/{number}/redo", {})
    assert not done["stale"] and [face["status"] for face in done["faces"]] == ["replaced", "replaced"]
    assert done["version"] != stale["version"], "the browser asks for the new picture"
    assert client.json(f"api/photo/{number}/fine", {"fine": True})["fine"]
    assert client.json("api/list?filter=open")["counts"]["open"] == 3
    assert set(names(run.report.parent)) - set(before) <= {"corrections.jsonl", "reviewed.jsonl"} and names(tmp_path) == []


def test_names_of_files_are_data(client: Client, server: ReviewServer) -> None:
    number = next(n for n, photo in enumerate(server.routes.session.run.photos) if "script" in photo.name)
    _, headers, content = client.ask(f"api/photo/{number}")
    assert headers["Content-Type"] == "application/json" and "<script>" in json.loads(content)["name"]


def test_the_server_listens_to_this_machine_only(server: ReviewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
