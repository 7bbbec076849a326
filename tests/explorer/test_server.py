"""Tests of the explorer's routes, with a model that is made up and may be slow."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from ganzoo import DataInfo
from ganzoo.api.controls import Controls
from ganzoo.errors import OptionError
from ganzoo.explorer import exports, images, worker
from ganzoo.explorer.images import Images
from ganzoo.explorer.pictures import png
from ganzoo.explorer.security import Guard
from ganzoo.explorer.server import MAX_UPLOADS, Server
from ganzoo.explorer.state import State
from ganzoo.explorer.worker import Worker


class FakeSession:
    """A session whose pictures are 4 px of one grey, its x, drawn once `gate` is open."""

    name, ready = "fake", True

    def __init__(self, folder: Path) -> None:
        self.run, self.controls = SimpleNamespace(path=folder), Controls(classes=("cat", "dog"))
        self.images = Images(DataInfo("fake", 3, 4, 3, ("cat", "dog")), None)
        self.drawn: list[State] = []
        self.gate = threading.Event()
        self.gate.set()

    def draw(self, state: State) -> bytes:
        assert self.gate.wait(20)
        self.drawn.append(state)
        if state.class_ == "cow":
            raise OptionError("class: the model has no class 'cow'.")
        if state.class_ == "bug":
            raise ZeroDivisionError("division by zero")
        return png(np.full((4, 4, 1), int(state.x), np.uint8))

    def command(self, state: State) -> str:
        return f"ganzoo generate fake --seeds {int(state.x)} # é"

    def walk(self, stops: list[State], steps: int) -> Iterator[np.ndarray]:
        for number in range(len(stops) * steps):
            assert self.gate.wait(20)
            self.drawn.append(stops[0])
            yield np.full((16, 16, 3), number, np.uint8)

    def status(self) -> dict[str, Any]:
        return {"ready": self.ready}

    def report_exists(self) -> bool:
        return (self.run.path / "report.html").exists()


@pytest.fixture
def session(tmp_path: Path) -> FakeSession:
    return FakeSession(tmp_path)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def server(session: FakeSession, said: list[str]) -> Iterator[Server]:
    found = Server(session, Worker(), said.append)  # type: ignore[arg-type]
    thread = threading.Thread(target=found.worker.run)
    thread.start()
    yield found
    session.gate.set()
    found.worker.close()
    thread.join(20)


@pytest.fixture
def browser(server: Server) -> Iterator[TestClient]:
    with TestClient(Guard(server.app), base_url="http://127.0.0.1:8000") as client:
        yield client


def picture_url(x: int = 1, tab: str = "tab", place: str = "main", more: str = "") -> str:
    return f"/picture?tab={tab}&place={place}&x={x}{more}"


def test_a_picture_is_a_png_with_the_command_that_makes_it(browser: TestClient) -> None:
    response = browser.get(picture_url(7))
    assert response.headers["Content-Type"] == "image/png"
    assert np.unique(np.asarray(Image.open(io.BytesIO(response.content)))) == [7]
    assert response.headers["X-Command"] == "ganzoo%20generate%20fake%20--seeds%207%20%23%20%C3%A9"
    assert browser.get("/command?stop=x%3D7").text == "ganzoo generate fake --seeds 7 # é"


def test_the_page_asks_only_this_server(browser: TestClient) -> None:
    page = browser.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    for name in (
        "app.js",
        "state.js",
        "pictures.js",
        "plane.js",
        "favourites.js",
        "translate.js",
        "style.css",
        "icon.svg",
    ):
        response = browser.get(f"/static/{name}")
        assert response.status_code == 200
        assert "https://" not in response.text + page.text
    assert "style=" not in page.text  # the Content-Security-Policy forbids it


@pytest.mark.parametrize(
    "path",
    [
        "/static/server.py",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2fetc%2fpasswd",
        "/static/__init__.py",
        "/etc/passwd",
        "/report/../options.json",
        "/images/..%2f..%2foptions.json",
        "/images/data:0",
    ],
)
def test_no_path_reaches_the_file_system(browser: TestClient, session: FakeSession, path: str) -> None:
    (session.run.path / "options.json").write_text("secret")
    response = browser.get(path)
    assert response.status_code in (400, 404)
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("url", "status", "text"),
    [
        (picture_url(more="&class=cow"), 400, "class: the model has no class 'cow'."),
        (picture_url(more="&psi=much"), 400, "psi: 'much' is not a number."),
        (picture_url(tab=""), 400, "tab and place"),
        (picture_url(place="x" * 41), 400, "tab and place"),
        (picture_url(more="&class=bug"), 500, "Error: ZeroDivisionError: division by zero"),
        ("/walk?stop=x%3D1", 400, "a walk needs at least two favourites."),
        ("/walk?" + "stop=x%3D1&" * 65, 400, "a walk has from 2 to 64 favourites."),
        ("/walk?stop=x%3D1&stop=x%3D2&format=exe", 400, "format: 'exe' is not gif, webp or mp4."),
        ("/walk?stop=x%3D1&stop=x%3D2&steps=0", 400, "steps: '0' is not a whole number from 1 to 240."),
        ("/walk?stop=x%3D1&stop=x%3D2&fps=60&format=gif", 400, "fps: a GIF has at most 50."),
        ("/walk?" + "stop=x%3D1&" * 60 + "steps=240", 400, "steps: 14,400 frames exceed the maximum of 2,000."),
        ("/images/" + "a" * 32, 400, "this image is no longer in memory"),
        ("/report", 404, "This run has no report yet."),
    ],
)
def test_a_wrong_request_gets_one_line(browser: TestClient, said: list[str], url: str, status: int, text: str) -> None:
    response = browser.get(url)
    assert response.status_code == status
    assert text in response.text
    assert "Traceback" not in response.text
    assert len(said) == (status == 500)


def test_many_requests_at_once_are_answered_or_sent_away(browser: TestClient, session: FakeSession) -> None:
    session.gate.clear()
    with ThreadPoolExecutor(200) as pool:
        asked = [pool.submit(browser.get, picture_url(number % 250, tab=f"tab{number}")) for number in range(200)]
        refused = _until(lambda: [each for each in asked if each.done()], 200 - worker.MAX_WAITING - 1)
        assert all(each.result().status_code == 503 for each in refused)
        assert all(each.result().headers["Retry-After"] == "1" for each in refused)
        session.gate.set()
        statuses = Counter(each.result().status_code for each in asked)
    assert statuses[200] + statuses[503] == 200
    assert worker.MAX_WAITING <= statuses[200] <= worker.MAX_WAITING + 1
    assert browser.get(picture_url()).status_code == 200


def _until(found: Any, count: int) -> list[Any]:
    end = time.monotonic() + 30
    while len(found()) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(found()) >= count
    return list(found())


def test_a_picture_that_the_same_place_overtakes_is_not_drawn(browser: TestClient, session: FakeSession) -> None:
    session.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(browser.get, picture_url(0, place="other"))
        time.sleep(0.2)
        asked = []
        for number in range(1, 5):
            asked.append(pool.submit(browser.get, picture_url(number)))
            time.sleep(0.1)
        session.gate.set()
        assert [each.result().status_code for each in asked] == [409, 409, 409, 200]
        assert first.result().status_code == 200
    assert [state.x for state in session.drawn] == [0, 4]


def test_what_a_closed_tab_waited_for_is_not_drawn(server: Server, session: FakeSession) -> None:
    async def visit() -> int:
        gone = asyncio.Event()
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        query = picture_url(9).partition("?")[2].encode()
        scope = {"type": "http", "method": "GET", "path": "/picture", "query_string": query, "headers": []}
        asked = asyncio.ensure_future(server.app(scope, receive, send))
        await asyncio.sleep(0.2)
        gone.set()
        await asyncio.wait_for(asked, 10)
        return int(sent[0]["status"])

    session.gate.clear()
    busy = server.worker.submit("busy", lambda: session.draw(State()))
    assert asyncio.run(visit()) == 499
    session.gate.set()
    busy.result(10)
    server.worker.submit("end", lambda: session.draw(State(x=1))).result(10)
    assert [state.x for state in session.drawn] == [0, 1]


@pytest.mark.parametrize(("format_", "start"), [("gif", b"GIF89a"), ("webp", b"RIFF"), ("mp4", b"\0\0\0")])
def test_a_walk_is_downloaded(browser: TestClient, format_: str, start: bytes) -> None:
    response = browser.get(f"/walk?stop=x%3D1&stop=x%3D2%26class%3Ddog&steps=3&format={format_}")
    assert response.status_code == 200
    assert response.content.startswith(start)
    assert response.headers["Content-Disposition"] == f'attachment; filename="walk.{format_}"'


def test_walks_leave_the_pictures_their_turn_and_are_bounded(browser: TestClient, session: FakeSession) -> None:
    session.gate.clear()
    url = "/walk?stop=x%3D1&stop=x%3D2&steps=5&format=gif"
    with ThreadPoolExecutor(8) as pool:
        walks = [pool.submit(browser.get, url) for _ in range(exports.MAX_EXPORTS)]
        time.sleep(0.3)
        assert browser.get(url).status_code == 503
        picture = pool.submit(browser.get, picture_url(5))
        time.sleep(0.3)
        session.gate.set()
        assert [each.result().status_code for each in [*walks, picture]] == [200] * 3
    assert [state.x for state in session.drawn].index(5) < 4  # the frames of the walks have x 1


def encoded(size: tuple[int, int] = (9, 6), kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(buffer, kind)
    return buffer.getvalue()


def test_an_upload_is_fitted_to_the_model(browser: TestClient) -> None:
    name = browser.post("/images?file=me.jpg", content=encoded(kind="jpeg")).json()["name"]
    fitted = Image.open(io.BytesIO(browser.get(f"/images/{name}").content))
    assert fitted.size == (4, 4)
    assert browser.post("/images?file=you.jpg", content=encoded(kind="jpeg")).json()["name"] == name


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"hello", "not a readable image"),
        (encoded()[:48], "not a readable image"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 1000, "not a readable image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "not a readable image"),
        (b"%PDF-1.7", "not a readable image"),
    ],
)
def test_a_broken_upload_is_refused(browser: TestClient, content: bytes, problem: str) -> None:
    response = browser.post("/images", content=content)
    assert response.status_code == 400
    assert problem in response.text


def test_a_huge_upload_is_refused_while_it_arrives(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganzoo.explorer.server.MAX_BYTES", 1 << 20)
    response = browser.post("/images", content=(bytes(1 << 20) for _ in range(10)))
    assert (response.status_code, response.text) == (413, "the limit for an image is 1 MB.")


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff"])
def test_the_first_frame_of_an_animation_is_used(browser: TestClient, kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, kind, save_all=True, append_images=frames[1:], **({} if kind == "tiff" else {"duration": 50})
    )
    name = browser.post("/images?file=moving", content=buffer.getvalue()).json()["name"]
    shown = np.asarray(Image.open(io.BytesIO(browser.get(f"/images/{name}").content)))
    assert np.abs(shown.astype(int) - (255, 0, 0)).max() < 20


def test_only_an_image_that_is_too_large_is_answered_so(browser: TestClient) -> None:
    response = browser.get(picture_url(more="&psi=limit"))
    assert (response.status_code, response.text) == (400, "psi: 'limit' is not a number.")


def test_an_upload_that_never_ends_leaves_its_place(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def trickle(sent: list[Any]) -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.02)
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/images", "query_string": b"", "headers": []}
        await asyncio.wait_for(server.app(scope, receive, send), 10)

    async def upload_slowly() -> list[int]:
        answers: list[list[Any]] = [[] for _ in range(MAX_UPLOADS)]
        await asyncio.gather(*map(trickle, answers))
        assert not server._uploads.locked()
        return [answer[0]["status"] for answer in answers]

    monkeypatch.setattr("ganzoo.explorer.server.UPLOAD_SECONDS", 0.2)
    assert asyncio.run(upload_slowly()) == [408] * MAX_UPLOADS


def test_an_image_of_too_many_pixels_is_not_decoded(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(images, "decode_opened", lambda *_: pytest.fail("it was decoded"))
    response = browser.post("/images", content=encoded((200, 100)))
    assert (response.status_code, response.text) == (413, "the image has 200 x 100 px; the limit is 10,000 pixels.")


def test_old_uploads_make_room(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_UPLOADS", 2)
    names = [session.images.add(encoded((9, height)), "x.png") for height in (1, 2, 3)]
    with pytest.raises(OptionError, match="no longer in memory"):
        session.images.get(names[0])
    assert session.images.get(names[2]).file == "x.png"


def test_the_report_is_served_in_a_sandbox(browser: TestClient, session: FakeSession) -> None:
    (session.run.path / "report.html").write_text("<p>report")
    response = browser.get("/report")
    assert response.text == "<p>report"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    (session.run.path / "report.html").unlink()
    (session.run.path / "report.html").mkdir()
    assert browser.get("/report").status_code == 404


def test_a_report_that_is_too_large_is_not_cut(
    browser: TestClient, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = session.run.path / "report.html"
    path.write_bytes(bytes(1 << 20))
    monkeypatch.setattr("ganzoo.explorer.server.MAX_REPORT", 1 << 20)
    assert len(browser.get("/report").content) == 1 << 20
    path.write_bytes(bytes((1 << 20) + 1))
    response = browser.get("/report")
    assert response.status_code == 404
    assert response.text == f"The report has more than 1 MB. Open it as a file: {path}"


def test_pictures_wait_until_the_model_is_loaded(browser: TestClient, session: FakeSession) -> None:
    session.ready = False
    for url in (picture_url(), "/command?stop=x%3D1", "/walk?stop=x%3D1&stop=x%3D2"):
        assert browser.get(url).status_code == 503
    assert browser.post("/images", content=encoded()).status_code == 503
    assert browser.get("/status").json() == {"ready": False}
