"""Tests of who may ask the explorer for something."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ganzoo.explorer.security import HEADERS, Guard, is_loopback

TOKEN = "a-secret-token"


async def hello(request: object) -> PlainTextResponse:
    return PlainTextResponse("hello")


def client(host: str = "127.0.0.1:8000", hosts: tuple[str, ...] = (), token: str | None = None) -> TestClient:
    app = Starlette(routes=[Route("/", hello), Route("/other", hello)])
    return TestClient(Guard(app, hosts, token), base_url=f"http://{host}")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:9000", "[::1]:8000", "LOCALHOST", "localhost.:80"])
def test_this_machine_is_served_at_any_port(host: str) -> None:
    """`ssh -L 9000:localhost:8000` makes the browser ask for another port than the server's."""
    response = client().get("/", headers={"Host": host})
    assert response.status_code == 200
    assert {name: response.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "",
        "10.0.0.7:8000",
        "[",
        "::",
        "[2001:db8::7]:8000",
        "[::ffff:10.0.0.7]:8000",
        "[fe80::1%25eth0]:8000",
        "127.0.0.1, evil.example",
        "127.0.0.1/@evil.example",
        "127.0.0.1:8000:evil.example",
        "evil.example#127.0.0.1",
        "127.0.0.1#evil.example",
        "127.0.0.1?evil.example",
        "127.0.0.1\tevil.example",
        "127.1",
        "2130706433",
        "127.0.0.1\x00.evil.example",
    ],
)
def test_other_host_names_are_refused(host: str) -> None:
    """A web page can make a name of its own point at 127.0.0.1 (DNS rebinding)."""
    response = client().get("/", headers={"Host": host})
    assert response.status_code == 403
    assert "hello" not in response.text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("host", ["[2001:db8::7]:8000", "[::ffff:10.0.0.7]", "10.0.0.7:8000"])
def test_with_a_token_addresses_are_served_but_not_names(host: str) -> None:
    assert client(token=TOKEN).get(f"/?token={TOKEN}", headers={"Host": host}).status_code == 200
    named = client(token=TOKEN).get(f"/?token={TOKEN}", headers={"Host": host.strip("[]") + ".evil.example"})
    assert named.status_code == 403


def test_two_host_names_are_refused() -> None:
    headers = [("Host", "127.0.0.1:8000"), ("Host", "evil.example")]
    assert client().get("/", headers=headers).status_code == 403


def test_a_host_name_can_be_allowed() -> None:
    assert client("gpu.lab:8000", ("GPU.lab",)).get("/").status_code == 200
    assert client("cpu.lab:8000", ("GPU.lab",)).get("/").status_code == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:8000", "http://127.0.0.1:3000", "x:["]
)
def test_other_origins_are_refused(origin: str) -> None:
    assert client().get("/other", headers={"Origin": origin}).status_code == 403


def test_the_pages_own_requests_are_served() -> None:
    headers = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert client().get("/other", headers=headers).status_code == 200


def test_other_sites_may_link_to_the_page_but_not_load_its_pictures() -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client().get("/", headers=link).status_code == 200
    assert client().get("/other", headers=link).status_code == 403
    picture = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client().get("/", headers=picture).status_code == 403
    assert client().get("/", headers={**picture, "Sec-Fetch-Site": "same-site"}).status_code == 403


def test_a_token_is_needed_and_then_kept_in_a_cookie() -> None:
    browser = client("10.0.0.7:8000", token=TOKEN)
    assert browser.get("/").status_code == 401
    assert browser.get("/?token=wrong").status_code == 401
    assert browser.get("/?token=").status_code == 401
    assert browser.get("/?token=ÿ%00%ff").status_code == 401
    assert browser.get("/?" + "&".join(["a=b"] * 1000)).status_code == 401
    assert browser.get("/", headers={"Cookie": "ganzoo=wrong"}).status_code == 401
    opened = browser.get(f"/?token={TOKEN}")
    assert opened.status_code == 200
    cookie = opened.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert browser.get("/other").status_code == 200
    assert client("10.0.0.7:8000", token=TOKEN).get("/other").status_code == 401


def test_a_token_does_not_open_the_door_for_other_names_and_origins() -> None:
    assert client("evil.example", token=TOKEN).get(f"/?token={TOKEN}").status_code == 403
    refused = client("10.0.0.7:8000", token=TOKEN).get(f"/?token={TOKEN}", headers={"Origin": "http://evil.example"})
    assert refused.status_code == 403
    assert "Set-Cookie" not in refused.headers


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.0.0.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("lab", False)],
)
def test_only_loopback_addresses_need_no_token(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
