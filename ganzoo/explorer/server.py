"""The web application of the explorer: its page, pictures, walks, uploads, and the report of the run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Future
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ganzoo.errors import DataError, GanzooError, describe_failure, is_out_of_memory, printable
from ganzoo.explorer import exports
from ganzoo.explorer.images import MAX_BYTES, TooLargeError
from ganzoo.explorer.pictures import png
from ganzoo.explorer.session import Session
from ganzoo.explorer.state import State
from ganzoo.explorer.worker import BusyError, OvertakenError, Worker
from ganzoo.files import open_regular

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")  # name of a tab or of a place on its page
MAX_UPLOADS, MAX_DECODED = 8, 2  # at the same time: each may have MAX_BYTES, and then hundreds of MB of pixels
UPLOAD_SECONDS = 120.0  # until an upload must have arrived, or slow clients would keep all places
DISCONNECT_SECONDS = 0.1  # between checks whether the browser still waits
MAX_REPORT = 64 << 20  # bytes
MAX_FILE_NAME = 200  # letters
REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; sandbox allow-scripts"
)


class GoneError(Exception):
    """The browser no longer waits for the answer."""


class UnreadableReportError(Exception):
    """The report of the run can't be served."""


class Server:
    """The routes. Pictures are drawn by the worker, whose `run` another thread calls."""

    def __init__(self, session: Session, worker: Worker, say: Callable[[str], None] = lambda line: None) -> None:
        self.session, self.worker, self._say = session, worker, say
        self._exports, self._decoding = asyncio.Semaphore(exports.MAX_EXPORTS), asyncio.Semaphore(MAX_DECODED)
        self._uploads = asyncio.Semaphore(MAX_UPLOADS)
        folder = resources.files("ganzoo.explorer") / "static"
        # Read once: no request names a file.
        self._static = {path.name: path.read_bytes() for path in folder.iterdir() if "." in path.name}
        routes = [
            Route("/", self._page),
            Route("/static/{name}", self._file),
            Route("/status", self._status),
            Route("/picture", self._picture),
            Route("/command", self._command),
            Route("/walk", self._walk),
            Route("/images", self._upload, methods=["POST"]),
            Route("/images/{name}", self._image),
            Route("/report", self._report),
        ]
        self.app = Starlette(
            routes=[Route(each.path, self._answered(each.endpoint), methods=each.methods) for each in routes]
        )

    def _answered(self, endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """Turn the errors of a route into answers of one line."""

        async def answer(request: Request) -> Response:
            try:
                response: Response = await endpoint(request)
                return response
            except TooLargeError as error:
                return PlainTextResponse(str(error), 413)
            except GanzooError as error:
                return PlainTextResponse(str(error), 400)
            except UnreadableReportError as error:
                return PlainTextResponse(str(error), 404)
            except BusyError:
                return PlainTextResponse("Busy: too many pictures are waiting.", 503, {"Retry-After": "1"})
            except OvertakenError:
                return PlainTextResponse("Dropped: a newer picture was asked for.", 409)
            except (GoneError, ClientDisconnect, asyncio.CancelledError):
                return Response(status_code=499)
            except Exception as error:
                line = "out of memory" if is_out_of_memory(error) else describe_failure(error)
                self._say(f"{request.url.path}: {line}")
                return PlainTextResponse(f"Error: {line}", 500)

        return answer

    async def _page(self, request: Request) -> Response:
        return Response(self._static["index.html"], media_type=TYPES[".html"])

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._static:
            return PlainTextResponse("There is no such file.", 404)
        return Response(self._static[name], media_type=TYPES[name[name.rindex(".") :]])

    async def _status(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.session.status))

    def _require_ready(self) -> None:
        if not self.session.ready:
            raise BusyError

    async def _picture(self, request: Request) -> Response:
        self._require_ready()
        query = request.query_params
        state, key = State.from_query(query), (query.get("tab", ""), query.get("place", ""))
        if not all(map(KEY.fullmatch, key)):
            raise DataError("tab and place: give names of up to 40 letters.")
        future = self.worker.submit(key, lambda: (self.session.draw(state), self.session.command(state)))
        picture, command = await self._awaited(request, future)
        return Response(picture, media_type="image/png", headers={"X-Command": quote(command)})

    async def _awaited(self, request: Request, future: Future[Any]) -> Any:
        """Wait for a future; cancel it, and raise GoneError, if the browser no longer waits."""
        waiting = asyncio.wrap_future(future)
        while True:
            done, _ = await asyncio.wait([waiting], timeout=DISCONNECT_SECONDS)
            if done:
                return waiting.result()
            if await request.is_disconnected():
                future.cancel()
                raise GoneError

    async def _command(self, request: Request) -> Response:
        self._require_ready()
        stops = exports.stops_of(request.query_params)
        if len(stops) == 1:
            return PlainTextResponse(self.session.command(stops[0]))
        return PlainTextResponse(exports.command(self.session, stops, request.query_params))

    async def _walk(self, request: Request) -> Response:
        self._require_ready()
        walk = exports.parse_walk(request.query_params)
        if self._exports.locked():
            raise BusyError
        async with self._exports:
            export = exports.Export(self.session, self.worker, walk)
            rendering = asyncio.ensure_future(run_in_threadpool(export.render))
            try:
                while not (await asyncio.wait([rendering], timeout=DISCONNECT_SECONDS))[0]:
                    if await request.is_disconnected():
                        raise GoneError
                content = rendering.result()
            finally:
                export.cancelled = True
        disposition = f'attachment; filename="walk.{walk.format}"'
        return Response(content, media_type=exports.FORMATS[walk.format], headers={"Content-Disposition": disposition})

    async def _upload(self, request: Request) -> Response:
        self._require_ready()
        images = self.session.images
        assert images is not None
        if self._uploads.locked():
            raise BusyError
        async with self._uploads:
            try:
                content = await asyncio.wait_for(_received(request), UPLOAD_SECONDS)
            except asyncio.TimeoutError:
                return PlainTextResponse("The upload took too long.", 408, {"Connection": "close"})
        file = request.query_params.get("file", "")[:MAX_FILE_NAME] or "IMAGE"
        async with self._decoding:
            name = await run_in_threadpool(images.add, content, file)
        return JSONResponse({"name": name})

    async def _image(self, request: Request) -> Response:
        self._require_ready()
        images = self.session.images
        assert images is not None
        state = State.from_query({"source": request.path_params["name"]})
        async with self._decoding:
            image = await run_in_threadpool(images.get, state.source or "")
        return Response(png(image.pixels), media_type="image/png")

    async def _report(self, request: Request) -> Response:
        if not self.session.report_exists():
            return PlainTextResponse("This run has no report yet.", 404)
        content = await run_in_threadpool(_read_report, self.session.run.path / "report.html")
        return Response(content, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


def _read_report(path: Path) -> bytes:
    """Return the report of a run. UnreadableReportError if it can't be read or has more than MAX_REPORT bytes."""
    try:
        with open_regular(path) as file:
            content = file.read(MAX_REPORT + 1)
    except OSError as error:
        raise UnreadableReportError("The report can't be read.") from error
    if len(content) > MAX_REPORT:
        raise UnreadableReportError(
            f"The report has more than {MAX_REPORT >> 20} MB. Open it as a file: {printable(path)}"
        )
    return content


async def _received(request: Request) -> bytes:
    """Return the body of a request. TooLargeError as soon as it has more than MAX_BYTES."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BYTES:
            raise TooLargeError(f"the limit for an image is {MAX_BYTES >> 20} MB.")
    return bytes(content)
