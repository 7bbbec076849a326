"""Resumable HTTP download of a zip archive, which never mixes the bytes of two versions of a file.

Written here because no library both resumes a download and first compares the server's validators, to see whether the
file has changed: pooch does not resume, huggingface_hub does not compare, and requests leaves both to its caller.
"""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit

from ganzoo.data.partial import FREE_SPACE, PartialFile, Version
from ganzoo.errors import DataError, OptionError, printable
from ganzoo.files import format_bytes
from ganzoo.progress_bars import progress_bar

CHUNK = 1 << 18  # bytes read at a time
MAGIC = b"PK"  # first bytes of every zip archive
RETRY_STATUSES = (408, 429, 500, 502, 503, 504)  # temporary failures
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
BAR = {"unit": "B", "unit_scale": True, "leave": False, "disable": None, "delay": 1}  # options of tqdm
FILE_CHANGED = "the file on the server may have changed; starting over"

Say = Callable[[str], None]


@dataclass(frozen=True)
class RetryPolicy:
    """`timeout`: seconds without a byte after which a connection counts as dead; `delays`: seconds before each retry.
    An attempt that gets further than all earlier ones resets the delays."""

    timeout: float = 30.0
    delays: tuple[float, ...] = (1.0, 5.0, 20.0, 60.0)


class TransferError(Exception):
    """Reason for a failed download, in words; `retryable` says whether a retry may succeed."""

    def __init__(self, reason: str, retryable: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable


def validate_url(url: str) -> str:
    """Return the URL, quoted for a request. OptionError if it is not a valid HTTP or HTTPS address."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:  # a port that is not a number, an unclosed bracket
        valid = False
    if not valid:
        raise OptionError(f"--url {url!r}: give an address that begins with https://HOST or http://HOST.")
    return quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def transfer(url: str, partial: PartialFile, policy: RetryPolicy, say: Say) -> None:
    """Complete the partial file, retrying as `policy` allows.

    Raises TransferError if the download fails, DataError if the disk is full.
    """
    before = furthest = partial.size
    delays = iter(policy.delays)
    while True:
        try:
            return _attempt(url, partial, policy.timeout, say)
        except TransferError as error:
            if partial.size > furthest:
                furthest, delays = partial.size, iter(policy.delays)
            delay = next(delays, None)
            # Give up at once on an unreachable host, unless it has sent data before: then it may come back.
            unreachable = isinstance(error.__cause__, (socket.gaierror, ConnectionRefusedError))
            if delay is None or not error.retryable or (unreachable and partial.size == before):
                raise
            say(f"{error}; retrying in {delay:g} s")
            time.sleep(delay)


def _attempt(url: str, partial: PartialFile, timeout: float, say: Say) -> None:
    """Request and receive the missing bytes, or the whole file."""
    known = partial.version if partial.version and partial.version.url == url else None
    if known and partial.size == known.length:
        return
    rest = _request_rest(known, partial.size, timeout, say) if known else None
    with rest or _request(url, {}, timeout) as response:
        if response.status == 206 and known:
            length = known.length
            _check_space(partial, length)
            say(f"resuming at {format_bytes(partial.size)} of {format_bytes(length or 0)}")
        else:
            length = response.length
            _check_space(partial, length)
            _restart(url, partial, response, timeout)
            say(f"downloading {'a file of unknown length' if length is None else format_bytes(length)}")
        _receive(partial, response, length, timeout)


def _request_rest(known: Version, start: int, timeout: float, say: Say) -> Any | None:
    """Request the bytes from `start` on. Return a response with status 206 (the rest of the same file) or 200 (a whole
    file), or None if the server sends neither."""
    response = _request(known.url, {"Range": f"bytes={start}-", "If-Range": known.validator}, timeout)
    if response.status == 200:
        same = known.matches(_version(known.url, response, response.length))
        say("the server can't resume downloads; starting over" if same else FILE_CHANGED)
        return response
    sent = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if sent and int(sent[1]) == start and known.matches(_version(known.url, response, int(sent[2]))):
        return response
    response.close()
    say(FILE_CHANGED)
    return None


def _request(url: str, headers: dict[str, str], timeout: float) -> Any:
    """Return the response if its status is 200 or, for a range request, 206 or 416; else raise TransferError."""
    allowed = (200, 206, 416) if "Range" in headers else (200,)
    with _network_errors(timeout):
        try:
            response = _opener().open(request.Request(url, headers={"User-Agent": "ganzoo", **headers}), None, timeout)
        except HTTPError as error:
            response = error
    if response.status not in allowed:
        response.close()
        raise _status_error(response.status, response.reason)
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


def _version(url: str, response: Any, length: int | None) -> Version:
    etag = response.headers.get("ETag", "")
    return Version(url, length, "" if etag.startswith("W/") else etag, response.headers.get("Last-Modified", ""))


def _status_error(status: int, reason: str | None) -> TransferError:
    if status in (404, 410):
        return TransferError(f"the server has no such file (status {status})")
    if status in (401, 403):
        return TransferError(f"access is denied (status {status})")
    words = printable(" ".join(str(reason).split()))
    return TransferError(f"the server responded with status {status} ({words})", status in RETRY_STATUSES)


@contextmanager
def _network_errors(timeout: float) -> Iterator[None]:
    """Convert network and protocol errors to TransferError."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        raise _network_error(cause, timeout) from (cause if isinstance(cause, BaseException) else error)


def _network_error(cause: BaseException | str, timeout: float) -> TransferError:
    if isinstance(cause, socket.gaierror):
        return TransferError("the host's name is unknown, or there is no network", retryable=True)
    if isinstance(cause, ConnectionRefusedError):
        return TransferError("the host refused the connection", retryable=True)
    if isinstance(cause, TimeoutError):
        return TransferError(f"the server sent nothing for {timeout:g} s", retryable=True)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TransferError(f"the host's certificate can't be trusted ({cause.verify_message})")
    if isinstance(cause, (ValueError, str)):  # an invalid host name, a redirect to FTP
        return TransferError(f"this address can't be requested ({printable(str(cause))})")
    return TransferError(f"the connection broke ({printable(str(cause)) or type(cause).__name__})", retryable=True)


def _check_space(partial: PartialFile, length: int | None) -> None:
    """Raise DataError if the disk has no room for a file of `length` bytes. The bytes of the partial file need no room:
    they are kept or overwritten."""
    folder = partial.path.parent
    need, free = (length or 0) - partial.size, shutil.disk_usage(folder).free
    if need > free:
        raise DataError(
            f"{folder}: the download needs {format_bytes(need)}, but only {format_bytes(free)} are free. {FREE_SPACE}"
        )


def _restart(url: str, partial: PartialFile, response: Any, timeout: float) -> None:
    """Restart the partial file, but only if the response is a zip archive: an error page must not replace it."""
    version = _version(url, response, response.length)
    with _network_errors(timeout):
        head = response.read(len(MAGIC))
    if not head and version.length != 0:
        raise TransferError("the connection broke before the first byte", retryable=True)
    if head != MAGIC:
        page = "html" in response.headers.get("Content-Type", "") or head.startswith(b"<")
        kind = "a web page" if page else "a file that is not a zip archive"
        raise TransferError(f"the server sent {kind}; the link may be dead")
    partial.restart(version, head)


def _receive(partial: PartialFile, response: Any, length: int | None, timeout: float) -> None:
    """Append the response to the partial file, up to a total of `length` bytes (None: until the response ends)."""
    with progress_bar(total=length, initial=partial.size, desc="downloading", **BAR) as bar:
        while length is None or partial.size < length:
            with _network_errors(timeout):
                data = response.read1(CHUNK if length is None else min(CHUNK, length - partial.size))
            if not data:
                break
            partial.append(data)
            bar.update(len(data))
    if length is not None and partial.size < length:
        raise TransferError(
            f"the connection broke at {format_bytes(partial.size)} of {format_bytes(length)}", retryable=True
        )
