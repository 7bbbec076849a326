"""Who may ask the explorer for something: its own page, in the browser of the user who started it.

Any web page that the user visits can send requests to this machine. Requests for another host name are refused,
because a page can point a name of its own at this machine (DNS rebinding), and so are those of pages of other origins.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Return whether a host, a name or an address, is this machine as seen from itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """Middleware that refuses foreign requests, and adds security headers to every response.

    `hosts` are the names that requests may be for, besides those of the loopback interface; the port does not matter,
    because SSH may forward another one. With a `token`, addresses are accepted as hosts too, since no page can make
    them point elsewhere, but every request needs the token: in the address, or afterwards in a cookie.
    """

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str] = (), token: str | None = None, cookie: str = "ganzoo"
    ) -> None:
        self.app, self.token, self.cookie = app, token, cookie
        self.hosts = {host.lower().rstrip(".") for host in (*LOOPBACK, *hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        by_address = self.token is not None and self._matches(_token_in(scope))
        refusal = self._refusal(headers, scope["path"]) or (None if by_address else self._lacks_token(headers))

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    out.setdefault(name, value)
                if by_address and refusal is None:
                    out.append("Set-Cookie", f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        await (refusal or self.app)(scope, receive, send_guarded)

    def _refusal(self, headers: Headers, path: str) -> Response | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._known(hosts[0]):
            return _refused("Unknown host name. Give it to `ganzoo explore` as --allow-host, if it is this machine's.")
        if any(_netloc(origin) != hosts[0].lower() for origin in origins):
            return _refused("Requests from other origins are refused.")
        site = headers.get("sec-fetch-site", "none")
        if site in ("cross-site", "same-site") and not (path == "/" and headers.get("sec-fetch-mode") == "navigate"):
            return _refused("Requests from other sites are refused.")
        return None

    def _known(self, host: str) -> bool:
        try:
            address = urlsplit(f"//{host}")
            name, _ = address.hostname, address.port  # raises ValueError unless the port is a number
        except ValueError:
            return False
        if name is None or "@" in host or address.netloc != host:
            return False
        return name.rstrip(".") in self.hosts or (self.token is not None and _is_address(name))

    def _lacks_token(self, headers: Headers) -> Response | None:
        if self.token is None:
            return None
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            cookie = None
        if cookie is not None and self._matches(cookie.value):
            return None
        return _refused("Open the address that `ganzoo explore` printed: it has the token that is needed here.", 401)

    def _matches(self, given: str) -> bool:
        return self.token is not None and secrets.compare_digest(given.encode(), self.token.encode())


def _netloc(origin: str) -> str:
    """Return the host and port of an origin, in lower case; '' if it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _token_in(scope: Scope) -> str:
    try:
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=100)
    except ValueError:
        return ""
    return query.get("token", [""])[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refused(why: str, status: int = 403) -> Response:
    return PlainTextResponse(why, status)
