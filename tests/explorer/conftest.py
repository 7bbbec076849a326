"""Fixtures of the explorer's tests: a real server, and a browser that opens its page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import chromium, watched_page

START_SECONDS = 120


@pytest.fixture
def children() -> list[subprocess.Popen[str]]:
    """Return the processes that `explore` has started."""
    return []


@pytest.fixture
def explore(workdir: Path, children: list[subprocess.Popen[str]]) -> Iterator[Callable[..., str]]:
    """Return a function that starts `ganzoo explore` in a process of its own, and returns the address of its page."""

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


@pytest.fixture(scope="module")  # while it runs, other tests can't run an event loop
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser, explore) -> Iterator[Any]:
    """Return a page of the browser. The test fails if its console shows an error, or if it asks another server."""
    with watched_page(browser, accept_downloads=True) as watched:
        yield watched.page
        own = re.match(r"https?://[^/]+/", watched.page.url)
    assert watched.problems == []
    foreign = [each for each in watched.addresses if own is None or not each.removeprefix("blob:").startswith(own[0])]
    assert [each for each in foreign if not each.startswith("about:")] == []
