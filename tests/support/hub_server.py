"""A local server that speaks the part of the API of Hugging Face's hub that uploads and downloads of models need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test"
LICENSES = ("mit", "apache-2.0", "cc-by-4.0")


@dataclass
class Commit:
    """A state of a repository: its files by name, each with its content and whether it is stored by LFS."""

    files: dict[str, tuple[bytes, bool]]

    @property
    def sha(self) -> str:
        return hashlib.sha1(repr(sorted((name, sha(*each)) for name, each in self.files.items())).encode()).hexdigest()


@dataclass
class Repository:
    private: bool = False
    commits: list[Commit] = field(default_factory=lambda: [Commit({})])

    def at(self, revision: str) -> Commit | None:
        found = [each for each in self.commits if revision in ("main", each.sha)]
        return found[-1] if found else None


def sha(content: bytes, lfs: bool) -> str:
    """Return the ID of a file: its SHA-256 for LFS, else that of Git."""
    if lfs:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Hub:
    """The state of the server. `failures` maps a pattern of 'METHOD /path' to the status with which such requests fail;
    0 closes the connection."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)  # by LFS, by SHA-256
    requests: list[str] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    def count(self, pattern: str) -> int:
        """Return the number of requests that match a pattern."""
        return sum(re.match(pattern, each) is not None for each in self.requests)


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        self.handle_request()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass

    def handle_request(self) -> None:
        hub: Hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = f"{self.command} {path}"
        hub.requests.append(request)
        for pattern, status in hub.failures.items():
            if re.match(pattern, request):
                if status == 0:
                    self.close_connection = True
                    return
                self.answer({"error": "made to fail"}, status, {"Retry-After": "7"} if status == 429 else {})
                return
        for pattern, handler in ROUTES.items():
            match = re.fullmatch(pattern, request)
            if match:
                handler(self, hub, body, *match.groups())
                return
        self.answer({"error": f"no route for {request}"}, 404)

    def answer(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def may_write(self) -> bool:
        if not self.authorised():
            self.answer({"error": "Invalid username or password."}, 401)
        return self.authorised()

    def find(self, hub: Hub, name: str, revision: str = "main") -> Commit | None:
        """Return a commit; None, after answering with the error, if there is none."""
        repository = hub.repositories.get(name)
        if repository is None or (repository.private and not self.authorised()):
            self.answer({"error": "Repository not found"}, 404 if self.authorised() else 401, _error("RepoNotFound"))
            return None
        commit = repository.at(revision)
        if commit is None:
            self.answer({"error": "Invalid rev id"}, 404, _error("RevisionNotFound"))
        return commit


def _error(code: str) -> dict[str, str]:
    return {"X-Error-Code": code, "X-Error-Message": code}


def create(handler: Handler, hub: Hub, body: bytes) -> None:
    asked = json.loads(body)
    name = f"{asked.get('organization') or 'me'}/{asked['name']}"
    if not handler.may_write():
        return
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    status = 409 if name in hub.repositories else 200
    hub.repositories.setdefault(name, Repository(private))
    handler.answer({"url": f"{hub.url}/{name}", "name": name, "error": "You already created this repo"}, status)


def validate(handler: Handler, hub: Hub, body: bytes) -> None:
    found = re.search(r"^license: (.*)$", json.loads(body)["content"], re.MULTILINE)
    errors, warnings = [], []
    if found is None:
        warnings = [{"message": "no license is given"}]
    elif found[1] not in LICENSES:
        errors = [{"message": f'"license" must be one of [{", ".join(LICENSES)}]'}]
    handler.answer({"errors": errors, "warnings": warnings}, 400 if errors else 200)


def info(handler: Handler, hub: Hub, body: bytes, name: str, revision: str | None) -> None:
    commit = handler.find(hub, name, revision or "main")
    if commit is None:
        return
    files = [{"rfilename": file, "size": len(each[0]), "blobId": sha(*each)} for file, each in commit.files.items()]
    handler.answer(
        {"id": name, "modelId": name, "sha": commit.sha, "private": hub.repositories[name].private, "siblings": files}
    )


def preupload(handler: Handler, hub: Hub, body: bytes, name: str, revision: str) -> None:
    commit = handler.find(hub, name)
    if commit is None or not handler.may_write():
        return
    files = [
        {
            "path": each["path"],
            "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
            "shouldIgnore": False,
            "oid": sha(*commit.files[each["path"]]) if each["path"] in commit.files else None,
        }
        for each in json.loads(body)["files"]
    ]
    handler.answer({"files": files})


def lfs_batch(handler: Handler, hub: Hub, body: bytes, name: str) -> None:
    objects = [
        {**each, "actions": {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}}}
        if each["oid"] not in hub.stored
        else each
        for each in json.loads(body)["objects"]
    ]
    handler.answer({"transfer": "basic", "objects": objects})


def lfs_put(handler: Handler, hub: Hub, body: bytes, oid: str) -> None:
    hub.stored[oid] = body
    handler.answer({}, 200 if hashlib.sha256(body).hexdigest() == oid else 400)


def commit(handler: Handler, hub: Hub, body: bytes, name: str, revision: str) -> None:
    newest = handler.find(hub, name)
    if newest is None or not handler.may_write():
        return
    files = dict(newest.files)
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = (base64.b64decode(value["content"]), False)
        elif line["key"] == "lfsFile":
            files[value["path"]] = (hub.stored[value["oid"]], True)
    hub.repositories[name].commits.append(Commit(files))
    oid = Commit(files).sha
    handler.answer({"success": True, "commitOid": oid, "commitUrl": f"{hub.url}/{name}/commit/{oid}", "hookOutput": ""})


def resolve(handler: Handler, hub: Hub, body: bytes, name: str, revision: str, file: str) -> None:
    commit = handler.find(hub, name, revision)
    if commit is None:
        return
    headers = {"X-Repo-Commit": commit.sha}
    if file not in commit.files:
        handler.answer({"error": "Entry not found"}, 404, {**headers, **_error("EntryNotFound")})
        return
    content, lfs = commit.files[file]
    etag = f'"{sha(content, lfs)}"'
    linked = {"X-Linked-Etag": etag, "X-Linked-Size": str(len(content))} if lfs else {}
    handler.answer(content, 200, {**headers, **linked, "ETag": etag})


NAME, REVISION = r"([\w.-]+/[\w.-]+)", r"([\w./-]+?)"
ROUTES: dict[str, Any] = {
    r"POST /api/repos/create": create,
    r"POST /api/validate-yaml": validate,
    rf"GET /api/models/{NAME}(?:/revision/{REVISION})?": info,
    rf"POST /api/models/{NAME}/preupload/{REVISION}": preupload,
    rf"POST /api/models/{NAME}/commit/{REVISION}": commit,
    rf"POST /{NAME}\.git/info/lfs/objects/batch": lfs_batch,
    r"PUT /lfs/(\w+)": lfs_put,
    rf"(?:GET|HEAD) /{NAME}/resolve/{REVISION}/([\w.-]+)": resolve,
}


def forget_client() -> None:
    """Unload huggingface_hub, which reads its environment variables when it is imported."""
    close = getattr(sys.modules.get("huggingface_hub"), "close_session", None)  # there is none before 1.0
    if close is not None:
        close()
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]


@contextmanager
def serve() -> Iterator[Hub]:
    """Run the server, and yield its state."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
