"""A headless Chromium for tests of pages. Tests are skipped without it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the system's Chromium; skip the test if it or Playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium: apt install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, the errors and warnings of its console, and the addresses that it asked for."""

    page: Any
    problems: list[str] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)


@contextmanager
def watched_page(browser: Any, **settings: Any) -> Iterator[Watched]:
    """Open a page in a context with Playwright's `settings`."""
    context = browser.new_context(**settings)
    watched = Watched(context.new_page())
    watched.page.on(
        "console", lambda said: watched.problems.append(said.text) if said.type in ("error", "warning") else None
    )
    watched.page.on("pageerror", lambda error: watched.problems.append(str(error)))
    watched.page.on("request", lambda request: watched.addresses.add(request.url))
    yield watched
    context.close()
