"""Fixtures of the explorer's tests: a real server, and a browser that opens its page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

START_SECONDS = 120


@pytest.fixture
def explore(workdir: Path) -> Iterator[Callable[..., str]]:
    """Return a function that starts `ganzoo explore` in a process of its own, and returns the address of its page."""
    children: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> str:
        command = [sys.executable, "-m", "ganzoo", "explore", *arguments, "--port", "0", "--device", "cpu"]
        log = workdir / f"explore{len(children)}.txt"
        with log.open("w") as output:
            child = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
        children.append(child)
        end = time.monotonic() + START_SECONDS
        while "ready" not in log.read_text():
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        found = re.search(r"http://\S+", log.read_text())
        assert found is not None
        return found[0]

    yield start
    for child in children:
        os.kill(child.pid, signal.SIGTERM)
        child.wait(20)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, explore):
    """Return a page of the browser. The test fails if its console shows an error, or if it asks another server."""
    context = chromium.new_context(accept_downloads=True)
    opened = context.new_page()
    problems: list[str] = []
    addresses: set[str] = set()
    opened.on(
        "console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None
    )
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: addresses.add(request.url))
    yield opened
    own = re.match(r"https?://[^/]+/", opened.url)
    context.close()
    assert problems == []
    foreign = [each for each in addresses if own is None or not each.removeprefix("blob:").startswith(own[0])]
    assert [each for each in foreign if not each.startswith("about:")] == []
