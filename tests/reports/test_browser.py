"""The report in Chromium, opened as a file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from ganzoo.reports import save_report
from tests.support.browser import chromium, watched_page
from tests.support.run_folders import row, run_folder

LABELS = "svg => [...svg.querySelectorAll('text')].map((text) => text.textContent).join()"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def report(tmp_path) -> str:
    rows = [row(kimg, losses={"discriminator/real": kimg / 10}) for kimg in range(1, 11)]
    return save_report([run_folder(tmp_path / "run", rows, [1000, 2000, 3000])]).as_uri()


@pytest.fixture
def page(browser, report) -> Iterator[Any]:
    with watched_page(browser) as watched:
        watched.page.goto(report)
        yield watched.page
    assert watched.problems == []
    assert {address for address in watched.addresses if not address.startswith("data:")} == {report}


def test_the_slider_is_moved_by_the_keyboard(page):
    page.locator(".slider input").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".at").inner_text() == "2 kimg"
    assert page.locator(".sample").get_attribute("alt") == "Samples at 2 kimg"
    page.keyboard.press("Home")
    assert page.locator(".slider input").get_attribute("aria-valuetext") == "1 kimg"


def test_hovering_shows_values(page):
    chart = page.locator(".chart").first
    chart.scroll_into_view_if_needed()
    box = chart.locator("svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 11, box["y"] + 100)
    assert "10 kimg" in chart.locator(".legend").inner_text()
    assert "real 1" in chart.locator(".legend").inner_text()


def test_the_keyboard_reads_values(page):
    chart = page.locator(".chart").first
    chart.locator("svg").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert "9 kimg" in chart.locator(".legend").inner_text()


def test_curves_zoom_by_dragging_and_reset_by_a_double_click(page):
    svg = page.locator(".chart svg").first
    svg.scroll_into_view_if_needed()
    box, labels = svg.bounding_box(), svg.evaluate(LABELS)
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.up()
    assert svg.evaluate(LABELS) != labels
    svg.dblclick()
    assert svg.evaluate(LABELS) == labels


def test_a_phone_scrolls_only_downwards(browser, report):
    with watched_page(browser, viewport={"width": 390, "height": 844}) as watched:
        watched.page.goto(report)
        assert watched.page.evaluate("document.documentElement.scrollWidth") == 390


def test_labels_of_resolutions_do_not_cover_each_other(browser, tmp_path):
    sizes = [8] * 2 + [16] * 2 + [32] * 2 + [64] * 2 + [128] * 90 + [1024] * 90
    rows = [row(kimg, losses={"discriminator/real": 1 / kimg}, size=size) for kimg, size in enumerate(sizes, start=1)]
    boxes = """[...document.querySelectorAll('svg text')].filter((text) => text.textContent.endsWith('px'))
        .map((text) => [text.textContent, text.getBoundingClientRect()])"""
    with watched_page(browser) as watched:
        watched.page.goto(save_report([run_folder(tmp_path / "run", rows)]).as_uri())
        found = watched.page.evaluate(boxes)
    labels = dict(found[:5])
    assert list(labels) == ["16 px", "32 px", "64 px", "128 px", "1024 px"]
    for one, other in itertools.combinations(labels.values(), 2):
        beside = one["right"] <= other["left"] or other["right"] <= one["left"]
        assert beside or abs(one["y"] - other["y"]) >= 11
    assert labels["16 px"]["y"] == labels["1024 px"]["y"]
