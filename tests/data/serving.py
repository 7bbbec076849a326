"""A web server on this machine that misbehaves as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """How one request is answered. By default rightly, ranges included."""

    status: int = 200  # anything else: an empty answer of that status
    cut: int | None = None  # the connection is closed after so many bytes of the body
    stall: int | None = None  # nothing more comes after so many bytes
    extra: int = 0  # the length that is told is wrong by so many bytes
    length: bool = True  # whether a length is told at all
    ranges: bool = True  # whether a range is heard
    if_range: bool = True  # whether If-Range is
    etag: bool = True  # whether an ETag and the time of the last change are told
    modified: bool = True
    shift: int = 0  # a range is answered with another that begins so many bytes later
    page: bytes = b""  # comes in place of the file, as HTML
    location: str = ""  # of a redirection
    change: bytes = b""  # from this request on, the file is this one


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        served: Served = self.server.served
        answer = served.answers.pop(0) if served.answers else served.otherwise
        served.ranges.append(self.headers.get("Range"))
        if answer.change:
            served.become(answer.change)
        body, status = served.file, answer.status
        start = self._start(answer, served)
        if answer.page:
            body = answer.page
        elif start is not None and start >= len(body):
            status, body = 416, b""
        elif start is not None:
            status, body = 206, body[start + answer.shift :]
        elif status != 200:
            body = b""
        self.send_response(status)
        if answer.location:
            self.send_header("Location", answer.location)
        self._send_marks(answer, served)
        if status == 206:
            whole = len(served.file)
            self.send_header("Content-Range", f"bytes {whole - len(body)}-{whole - 1}/{whole + answer.extra}")
        if answer.length:
            self.send_header("Content-Length", str(len(body) + answer.extra))
        self.end_headers()
        self._send(answer, body)

    def _start(self, answer: Answer, served: Served) -> int | None:
        wanted = self.headers.get("Range")
        if wanted is None or not answer.ranges or answer.status != 200:
            return None
        if answer.if_range and self.headers.get("If-Range") not in (None, served.etag, served.modified):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _send_marks(self, answer: Answer, served: Served) -> None:
        self.send_header("Content-Type", "text/html" if answer.page else "application/zip")
        if answer.etag:
            self.send_header("ETag", served.etag)
        if answer.modified:
            self.send_header("Last-Modified", served.modified)

    def _send(self, answer: Answer, body: bytes) -> None:
        limits = [limit for limit in (answer.cut, answer.stall) if limit is not None]
        self.wfile.write(body[: min(limits, default=None)])
        if answer.stall is not None:
            self.wfile.flush()
            self.server.served.stopped.wait(10)

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Served:
    """A file at `url`. Each request takes the next of `answers`, or `otherwise`; `ranges` are those asked for."""

    file: bytes
    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    otherwise: Answer = field(default_factory=Answer)
    ranges: list[str | None] = field(default_factory=list)
    version: int = 1
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def etag(self) -> str:
        return f'"{self.version}"'

    @property
    def modified(self) -> str:
        return f"Mon, 01 Jan 2024 00:00:0{self.version % 10} GMT"

    def become(self, file: bytes) -> None:
        if file != self.file:
            self.file, self.version = file, self.version + 1


@contextmanager
def serving(file: bytes) -> Iterator[Served]:
    """Serve `file` until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Served(file, f"http://127.0.0.1:{server.server_address[1]}/set.zip?dl=1")
    server.served = served  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        served.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()
