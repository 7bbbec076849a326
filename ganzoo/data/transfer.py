"""The bytes of a zip archive over HTTP: asked for again where a connection broke, and never those of two files."""

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

CHUNK = 1 << 18  # bytes; what is read at once
MAGIC = b"PK"  # how every zip begins
BUSY = (408, 429, 500, 502, 503, 504)  # answers of a server that may give another one soon
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
ANOTHER = "the file there may be another one now; starting over"

MAKE_ROOM = "Make room, or set GANZOO_DATA to a folder on another disk."

Say = Callable[[str], None]


@dataclass(frozen=True)
class Patience:
    """`timeout`: seconds without a byte after which a connection counts as dead; `pauses`: seconds before each further
    attempt. When an attempt gets further than those before it, the pauses begin anew."""

    timeout: float = 30.0
    pauses: tuple[float, ...] = (1.0, 5.0, 20.0, 60.0)


class Failure(Exception):
    """Why nothing (more) comes from an address, in words; `again` says that another attempt may end otherwise."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


@dataclass(frozen=True)
class Version:
    """What a server tells of a file: its length in bytes (None: not told), and marks that change when it does."""

    url: str
    length: int | None
    etag: str = ""  # a strong one; a weak one doesn't promise the same bytes
    modified: str = ""

    @classmethod
    def of(cls, url: str, response: Any, length: int | None) -> Version:
        etag = response.headers.get("ETag", "")
        return cls(url, length, "" if etag.startswith("W/") else etag, response.headers.get("Last-Modified", ""))

    @property
    def mark(self) -> str:
        return self.etag or self.modified

    def equals(self, other: Version) -> bool:
        """Whether bytes of both are bytes of one file; False as well if the server tells too little to be sure."""
        pairs = ((self.etag, other.etag), (self.modified, other.modified))
        told = [ours == theirs for ours, theirs in pairs if ours and theirs]
        return self.url == other.url and self.length == other.length and bool(told) and all(told)


def checked(url: str) -> str:
    """The address, fit to be sent. OptionError if it is none of http or https."""
    try:
        parts = urllib.parse.urlsplit(url.strip())
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        sound = False
    if not sound:
        raise OptionError(
            f"{url!r} can't be fetched: --url takes an address that begins with https://HOST or http://HOST."
        )
    return urllib.parse.quote(url.strip(), safe="%/:=&?~#+!$,;'@()*[]")


def transfer(url: str, part: Part, patience: Patience, say: Say) -> None:
    """Make the part as long as the whole, in as many attempts as that takes while it gets further.

    Raises Failure, and DataError if the disk is full.
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
            # A host that was never there is told at once; one that was may come back.
            unknown = isinstance(failure.__cause__, (socket.gaierror, ConnectionRefusedError))
            if pause is None or not failure.again or (unknown and part.size == before):
                raise
            say(f"{failure}; the next attempt is in {pause:g} s")
            time.sleep(pause)


def _attempt(url: str, part: Part, timeout: float, say: Say) -> None:
    """Ask for what is missing, or for all, and receive it."""
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
    """The answer to a request for the bytes from `start` on: of status 206 with those of the same file, 200 with a
    whole file, or None if the server gives neither."""
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
    """The server's answer: of status 200 or, if a range is wanted, perhaps 206 or 416."""
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
    """Follows redirections, but to nothing else than HTTP; proxies are those of the environment."""
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
    """Turns what goes wrong between here and the server into a Failure."""
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
    if isinstance(cause, (TimeoutError, socket.timeout)):  # two classes until Python 3.10
        return Failure(f"the server sent nothing for {timeout:g} s", again=True)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Failure(f"the host's certificate can't be trusted ({cause.verify_message})")
    if isinstance(cause, (ValueError, str)):  # a host that no name can have, a redirection to ftp
        return Failure(f"such an address can't be asked ({cause})")
    return Failure(f"the connection broke ({cause or type(cause).__name__})", again=True)


def _check_space(part: Part, length: int | None) -> None:
    """DataError if the disk has no room for a file of `length` bytes; those that are here stay or are overwritten."""
    need, free = (length or 0) - part.size, shutil.disk_usage(part.path.parent).free
    if need > free:
        raise DataError(
            f"{part.path.parent}: the download needs {amount(need)}, but {amount(free)} are free there. {MAKE_ROOM}"
        )


def _begin(url: str, part: Part, response: Any, timeout: float) -> None:
    """Begin the part anew, but only if an archive comes: a page that says sorry must not take the place of a part."""
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
    """Add what comes to the part, up to `length` bytes in all."""
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
