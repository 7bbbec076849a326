"""A local web server that can misbehave in many ways."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Response:
    """The response to one request. By default it is correct, also for a range request."""

    status: int = 200  # any other status has an empty body
    cut: int | None = None  # close the connection after this many bytes of the body
    stall: int | None = None  # send nothing more after this many bytes
    extra: int = 0  # bytes by which the declared length exceeds the true one
    length: bool = True  # whether to declare a length
    ranges: bool = True  # whether to honour Range
    if_range: bool = True  # whether to honour If-Range
    etag: bool = True  # whether to send an ETag
    modified: bool = True  # whether to send Last-Modified
    shift: int = 0  # send a range that begins this many bytes later than requested
    page: bytes = b""  # HTML to send in place of the file
    location: str = ""  # target of a redirect
    change: bytes = b""  # new content of the file, from this request on


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        server: FileServer = self.server.file_server
        response = server.responses.pop(0) if server.responses else server.default
        server.ranges.append(self.headers.get("Range"))
        if response.change:
            server.replace_file(response.change)
        body, status = server.file, response.status
        start = self._start(response, server)
        if response.page:
            body = response.page
        elif start is not None and start >= len(body):
            status, body = 416, b""
        elif start is not None:
            status, body = 206, body[start + response.shift :]
        elif status != 200:
            body = b""
        self.send_response(status)
        if response.location:
            self.send_header("Location", response.location)
        self._send_validators(response, server)
        if status == 206:
            total = len(server.file)
            self.send_header("Content-Range", f"bytes {total - len(body)}-{total - 1}/{total + response.extra}")
        if response.length:
            self.send_header("Content-Length", str(len(body) + response.extra))
        self.end_headers()
        self._send(response, body)

    def _start(self, response: Response, server: FileServer) -> int | None:
        requested = self.headers.get("Range")
        if requested is None or not response.ranges or response.status != 200:
            return None
        if response.if_range and self.headers.get("If-Range") not in (None, server.etag, server.modified):
            return None
        return int(requested.removeprefix("bytes=").removesuffix("-"))

    def _send_validators(self, response: Response, server: FileServer) -> None:
        self.send_header("Content-Type", "text/html" if response.page else "application/zip")
        if response.etag:
            self.send_header("ETag", server.etag)
        if response.modified:
            self.send_header("Last-Modified", server.modified)

    def _send(self, response: Response, body: bytes) -> None:
        limits = [limit for limit in (response.cut, response.stall) if limit is not None]
        self.wfile.write(body[: min(limits, default=None)])
        if response.stall is not None:
            self.wfile.flush()
            self.server.file_server.stopped.wait(10)

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class FileServer:
    """Serves `file` at `url`. Each request gets the next of `responses`, or `default`; its range goes into `ranges`."""

    file: bytes
    url: str = ""
    responses: list[Response] = field(default_factory=list)
    default: Response = field(default_factory=Response)
    ranges: list[str | None] = field(default_factory=list)
    version: int = 1
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def etag(self) -> str:
        return f'"{self.version}"'

    @property
    def modified(self) -> str:
        return f"Mon, 01 Jan 2024 00:00:0{self.version % 10} GMT"

    def replace_file(self, file: bytes) -> None:
        if file != self.file:
            self.file, self.version = file, self.version + 1


@contextmanager
def serve(file: bytes) -> Iterator[FileServer]:
    """Serve `file` until the block ends."""
    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http_server.daemon_threads = True
    server = FileServer(file, f"http://127.0.0.1:{http_server.server_address[1]}/set.zip?dl=1")
    http_server.file_server = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        http_server.shutdown()
        thread.join()
        http_server.server_close()
