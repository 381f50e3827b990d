"""A stand-in of the Hub's HTTP API on this machine's loopback: repositories in memory, as much of the API as publishing and loading use.

Tokens: "writer" may write to repositories of the user "writer", "reader" to none; everything else is unknown.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

USERS = {"writer", "reader"}
KINDS = {"models": "", "spaces": "spaces/"}


@dataclass
class Repository:
    """Commits (id -> path -> content, newest last), branches and tags, pull requests, variables of a Space."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    pull_requests: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit("initial commit", {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})

    def commit(self, message: str, files: dict[str, bytes], branch: str = "main") -> str:
        name = hashlib.sha1(f"{len(self.commits)}{message}".encode()).hexdigest()
        self.commits[name] = files
        self.refs[branch] = name
        self.messages.append(message)
        return name

    def resolve(self, revision: str) -> str | None:
        revision = unquote(revision)
        return self.refs.get(revision) or self.tags.get(revision) or (revision if revision in self.commits else None)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.refs["main"]]


@dataclass
class Hub:
    """What the stand-in holds and was asked. Repositories by "models/name/model" and "spaces/name/model"."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""


class _Refused(Exception):
    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(status, code)
        self.status, self.code = status, code


@contextmanager
def running_hub() -> Iterator[Hub]:
    """The stand-in, answering on a free port."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._handle("GET")

    def do_HEAD(self) -> None:
        self._handle("HEAD")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def _handle(self, method: str) -> None:
        parts = urlsplit(self.path)
        self.hub.requests.append(f"{method} {parts.path}")
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._chunks()
        try:
            for verbs, pattern, answer in _ROUTES:
                found = re.fullmatch(pattern, parts.path)
                if found and method in verbs:
                    return answer(self, **found.groupdict())
            raise _Refused(404)
        except _Refused as refused:
            headers = {"X-Error-Code": refused.code} if refused.code else {}
            self._send(refused.status, b'{"error": "refused"}', headers)

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode())

    def _user(self) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in USERS:
            raise _Refused(401)
        return token or None

    def _writable(self, owner: str) -> None:
        user = self._user()
        if user != "writer" or owner != user:
            raise _Refused(403 if user else 401)

    def _repository(self, kind: str, name: str) -> Repository:
        repository = self.hub.repositories.get(f"{kind}/{name}")
        if repository is None or (repository.private and self._user() != "writer"):
            raise _Refused(401 if repository else 404, "RepoNotFound")
        return repository

    # what can be asked

    def whoami(self) -> None:
        if (user := self._user()) is None:
            raise _Refused(401)
        self._json({"name": user, "type": "user", "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def validate(self) -> None:
        wish = json.loads(self.body)
        front = re.match(r"---\n(.*?)\n---\n", wish["content"], re.S)
        fields = yaml.safe_load(front.group(1)) if front else {}
        needed = {"model": ("license", "pipeline_tag"), "space": ("sdk", "title", "emoji", "colorFrom", "colorTo")}[wish["repoType"]]
        errors = [{"message": f"{name} is missing"} for name in needed if not fields.get(name)]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def create(self) -> None:
        wish = json.loads(self.body)
        kind = f"{wish.get('type') or 'model'}s"
        owner = wish.get("organization") or self._user() or ""
        self._writable(owner)
        name = f"{owner}/{wish['name']}"
        address = {"url": f"{self.hub.endpoint}/{KINDS[kind]}{name}", "name": name}
        if f"{kind}/{name}" in self.hub.repositories:
            return self._json({"error": "exists", **address}, 409)
        private = bool(wish.get("private")) or wish.get("visibility") == "private"
        self.hub.repositories[f"{kind}/{name}"] = Repository(private, settings=wish)
        self._json(address)

    def info(self, kind: str, name: str, revision: str = "main") -> None:
        repository = self._repository(kind, name)
        commit = self._commit(repository, revision)
        files = [{"rfilename": path} for path in repository.commits[commit]]
        self._json(
            {"id": name, "modelId": name, "sha": commit, "private": repository.private, "siblings": files, "tags": [], "downloads": 0}
        )

    def tree(self, kind: str, name: str, revision: str) -> None:
        repository = self._repository(kind, name)
        files = repository.commits[self._commit(repository, revision)]
        self._json([{"type": "file", "path": path, "size": len(data), "oid": _oid(data)} for path, data in files.items()])

    def refs(self, kind: str, name: str) -> None:
        repository = self._repository(kind, name)
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in repository.refs.items()]
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in repository.tags.items()]
        self._json({"branches": branches, "tags": tags, "converts": []})

    def tag(self, kind: str, name: str, revision: str) -> None:
        self._writable(name.split("/")[0])
        repository, wish = self._repository(kind, name), json.loads(self.body)
        if wish["tag"] in repository.tags:
            return self._json({"error": "exists"}, 409)
        repository.tags[wish["tag"]] = self._commit(repository, revision)
        self._json({})

    def variable(self, name: str) -> None:
        self._writable(name.split("/")[0])
        repository, wish = self._repository("spaces", name), json.loads(self.body)
        repository.variables[wish["key"]] = wish["value"]
        self._json({key: {"value": value} for key, value in repository.variables.items()})

    def preupload(self, kind: str, name: str, revision: str) -> None:
        self._writable(name.split("/")[0])
        repository = self._repository(kind, name)
        present = repository.commits[self._commit(repository, revision)]
        files = []
        for file in json.loads(self.body)["files"]:
            large, data = file["path"].endswith((".safetensors", ".jpg")), present.get(file["path"])
            oid = None if data is None else hashlib.sha256(data).hexdigest() if large else _oid(data)
            files.append({"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid})
        self._json({"files": files})

    def lfs_batch(self, path: str) -> None:
        def one(wish: dict[str, Any]) -> dict[str, Any]:
            known = {"oid": wish["oid"], "size": wish["size"]}
            upload = {"actions": {"upload": {"href": f"{self.hub.endpoint}/objects/{wish['oid']}"}}}
            return known if wish["oid"] in self.hub.objects else known | upload

        self._json({"transfer": "basic", "objects": [one(wish) for wish in json.loads(self.body)["objects"]]})

    def put_object(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _Refused(400)
        self.hub.objects[oid] = self.body
        self._send(200, b"")

    def commit(self, kind: str, name: str, revision: str) -> None:
        self._writable(name.split("/")[0])
        repository = self._repository(kind, name)
        files, message = dict(repository.files), ""
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        proposal = self.query.get("create_pr") == "1"
        number = len(repository.pull_requests) + 1
        commit = repository.commit(message, files, f"refs/pr/{number}" if proposal else "main")
        address = f"{self.hub.endpoint}/{KINDS[kind]}{name}"
        answer = {"success": True, "commitOid": commit, "commitUrl": f"{address}/commit/{commit}"}
        if proposal:
            answer["pullRequestUrl"] = f"{address}/discussions/{number}"
            repository.pull_requests.append(answer["pullRequestUrl"])
        self._json(answer)

    def resolve(self, name: str, revision: str, path: str, kind: str = "models") -> None:
        repository = self._repository(kind, name)
        commit = self._commit(repository, revision)
        data = repository.commits[commit].get(unquote(path))
        if data is None:
            raise _Refused(404, "EntryNotFound")
        self._send(200, data, {"X-Repo-Commit": commit, "ETag": f'"{_oid(data)}"', "Content-Type": "application/octet-stream"})

    @staticmethod
    def _commit(repository: Repository, revision: str) -> str:
        commit = repository.resolve(revision)
        if commit is None:
            raise _Refused(404, "RevisionNotFound")
        return commit


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # as git names a file


_REPO = r"(?P<kind>models|spaces)/(?P<name>[^/]+/[^/]+)"
_ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/api/whoami-v2", _Handler.whoami),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", "/api/repos/create", _Handler.create),
    ("GET", f"/api/{_REPO}", _Handler.info),
    ("GET", f"/api/{_REPO}/revision/(?P<revision>.+)", _Handler.info),
    ("GET", f"/api/{_REPO}/tree/(?P<revision>[^/]+)", _Handler.tree),
    ("GET", f"/api/{_REPO}/refs", _Handler.refs),
    ("POST", f"/api/{_REPO}/tag/(?P<revision>.+)", _Handler.tag),
    ("POST", r"/api/spaces/(?P<name>[^/]+/[^/]+)/variables", _Handler.variable),
    ("POST", f"/api/{_REPO}/preupload/(?P<revision>.+)", _Handler.preupload),
    ("POST", f"/api/{_REPO}/commit/(?P<revision>.+)", _Handler.commit),
    ("POST", r"/(?P<path>.+)\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", r"/objects/(?P<oid>[0-9a-f]{64})", _Handler.put_object),
    ("GET HEAD", r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
]
