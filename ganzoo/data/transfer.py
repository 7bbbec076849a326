"""Resumable HTTP download of a zip archive, which never mixes the bytes of two versions of a file."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib import request
from urllib.error import HTTPError, URLError

from tqdm import tqdm

from ganzoo.data.preparing import amount
from ganzoo.errors import DataError, OptionError, printable

if TYPE_CHECKING:
    from ganzoo.data.downloading import Part

CHUNK = 1 << 18  # bytes read at a time
MAGIC = b"PK"  # first bytes of every zip archive
BUSY = (408, 429, 500, 502, 503, 504)  # statuses of a temporary failure, worth a retry
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
ANOTHER = "the file there may be another one now; starting over"

MAKE_ROOM = "Make room, or set GANZOO_DATA to a folder on another disk."

Say = Callable[[str], None]


@dataclass(frozen=True)
class Patience:
    """Retry policy. `timeout`: seconds without a byte after which a connection counts as dead; `pauses`: seconds before
    each retry. An attempt that gets further than all before it resets the pauses."""

    timeout: float = 30.0
    pauses: tuple[float, ...] = (1.0, 5.0, 20.0, 60.0)


class Failure(Exception):
    """Reason for a failed download, in words; `again` says whether a retry may succeed."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


@dataclass(frozen=True)
class Version:
    """A server's description of a file: its length in bytes (None: unknown), and validators that change with it."""

    url: str
    length: int | None
    etag: str = ""  # strong ETags only: weak ones don't guarantee identical bytes
    modified: str = ""

    @classmethod
    def of(cls, url: str, response: Any, length: int | None) -> Version:
        etag = response.headers.get("ETag", "")
        return cls(url, length, "" if etag.startswith("W/") else etag, response.headers.get("Last-Modified", ""))

    @property
    def mark(self) -> str:
        return self.etag or self.modified

    def equals(self, other: Version) -> bool:
        """Return whether both describe the same bytes; False if the server says too little to be certain."""
        pairs = ((self.etag, other.etag), (self.modified, other.modified))
        told = [ours == theirs for ours, theirs in pairs if ours and theirs]
        return self.url == other.url and self.length == other.length and bool(told) and all(told)


def checked(url: str) -> str:
    """Return the URL, quoted for a request. OptionError if it is not a valid HTTP or HTTPS address."""
    try:
        parts = urllib.parse.urlsplit(url.strip())
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:  # a port that is not a number, an unclosed bracket
        sound = False
    if not sound:
        raise OptionError(
            f"{url!r} can't be fetched: --url takes an address that begins with https://HOST or http://HOST."
        )
    return urllib.parse.quote(url.strip(), safe="%/:=&?~#+!$,;'@()*[]")


def transfer(url: str, part: Part, patience: Patience, say: Say) -> None:
    """Complete the part, retrying as `patience` allows.

    Raises Failure if the download fails, DataError if the disk is full.
    """
    before = furthest = part.size
    pauses = iter(patience.pauses)
    while True:
        try:
            return _attempt(url, part, patience.timeout, say)
        except Failure as failure:
            if part.size > furthest:
                furthest, pauses = part.size, iter(patience.pauses)
            pause = next(pauses, None)
            # Give up at once on an unreachable host, unless it has sent data before: then it may come back.
            unknown = isinstance(failure.__cause__, (socket.gaierror, ConnectionRefusedError))
            if pause is None or not failure.again or (unknown and part.size == before):
                raise
            say(f"{failure}; the next attempt is in {pause:g} s")
            time.sleep(pause)


def _attempt(url: str, part: Part, timeout: float, say: Say) -> None:
    """Request and receive the missing bytes, or the whole file."""
    known = part.version if part.version and part.version.url == url else None
    if known and part.size == known.length:
        return
    answer = _ask_rest(known, part.size, timeout, say) if known else None
    with answer or _ask(url, {}, timeout) as response:
        if response.status == 206 and known:
            length = known.length
            _check_space(part, length)
            say(f"continuing at {amount(part.size)} of {amount(length or 0)}")
        else:
            length = response.length
            _check_space(part, length)
            _begin(url, part, response, timeout)
            say(f"downloading {'a file of unknown length' if length is None else amount(length)}")
        _receive(part, response, length, timeout)


def _ask_rest(known: Version, start: int, timeout: float, say: Say) -> Any:
    """Request the bytes from `start` on. Return a response with status 206 (the rest of the same file) or 200 (a whole
    file), or None if the server sends neither."""
    response = _ask(known.url, {"Range": f"bytes={start}-", "If-Range": known.mark}, timeout)
    if response.status == 200:
        same = known.equals(Version.of(known.url, response, response.length))
        say("the server doesn't continue downloads; starting over" if same else ANOTHER)
        return response
    told = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if told and int(told[1]) == start and known.equals(Version.of(known.url, response, int(told[2]))):
        return response
    response.close()
    say(ANOTHER)
    return None


def _ask(url: str, headers: dict[str, str], timeout: float) -> Any:
    """Return the response: status 200 or, for a range request, also 206 or 416. Raises Failure for any other."""
    allowed = (200, 206, 416) if "Range" in headers else (200,)
    with _failures(timeout):
        try:
            response = _opener().open(request.Request(url, headers={"User-Agent": "ganzoo", **headers}), None, timeout)
        except HTTPError as error:
            response = error
    if response.status not in allowed:
        response.close()
        raise _refusal(response.status, response.reason)
    return response


def _opener() -> request.OpenerDirector:
    """Return an opener that follows redirects, but only to HTTP(S), and uses the proxies of the environment."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPRedirectHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _refusal(status: int, reason: str) -> Failure:
    if status in (404, 410):
        return Failure(f"the server has no such file (status {status})")
    if status in (401, 403):
        return Failure(f"the server doesn't give it to everybody (status {status})")
    return Failure(
        f"the server's answer is {status} ({printable(' '.join(str(reason).split()))})", again=status in BUSY
    )


@contextmanager
def _failures(timeout: float) -> Iterator[None]:
    """Convert network and protocol errors to Failure."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        failure = _failure(cause, timeout)
        raise failure from (cause if isinstance(cause, BaseException) else error)


def _failure(cause: BaseException | str, timeout: float) -> Failure:
    if isinstance(cause, socket.gaierror):
        return Failure("the host's name is not known, or there is no network", again=True)
    if isinstance(cause, ConnectionRefusedError):
        return Failure("the host refuses the connection", again=True)
    if isinstance(cause, (TimeoutError, socket.timeout)):  # distinct classes before Python 3.10
        return Failure(f"the server sent nothing for {timeout:g} s", again=True)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Failure(f"the host's certificate can't be trusted ({cause.verify_message})")
    if isinstance(cause, (ValueError, str)):  # an invalid host name, a redirect to FTP
        return Failure(f"such an address can't be asked ({cause})")
    return Failure(f"the connection broke ({cause or type(cause).__name__})", again=True)


def _check_space(part: Part, length: int | None) -> None:
    """Raise DataError if the disk has no room for a file of `length` bytes. The part's own bytes need no room: they are
    kept or overwritten."""
    need, free = (length or 0) - part.size, shutil.disk_usage(part.path.parent).free
    if need > free:
        raise DataError(
            f"{part.path.parent}: the download needs {amount(need)}, but {amount(free)} are free there. {MAKE_ROOM}"
        )


def _begin(url: str, part: Part, response: Any, timeout: float) -> None:
    """Restart the part, but only if the response is a zip archive: an error page must not replace a part."""
    version = Version.of(url, response, response.length)
    with _failures(timeout):
        head = response.read(len(MAGIC))
    if not head and version.length != 0:
        raise Failure("the connection broke before the first byte", again=True)
    if head != MAGIC:
        page = "html" in response.headers.get("Content-Type", "") or head.startswith(b"<")
        raise Failure(f"what comes from there is {'a web page' if page else 'no zip archive'}; the link may be dead")
    part.restart(version, head)


def _receive(part: Part, response: Any, length: int | None, timeout: float) -> None:
    """Append the response to the part, up to a total of `length` bytes (None: until the response ends)."""
    with tqdm(
        total=length,
        initial=part.size,
        unit="B",
        unit_scale=True,
        desc="downloading",
        leave=False,
        disable=None,
        delay=1,
    ) as bar:
        while length is None or part.size < length:
            with _failures(timeout):
                data = response.read1(CHUNK if length is None else min(CHUNK, length - part.size))
            if not data:
                break
            part.append(data)
            bar.update(len(data))
    if length is not None and part.size < length:
        raise Failure(f"the connection broke at {amount(part.size)} of {amount(length)}", again=True)
