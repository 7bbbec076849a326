"""Tests of the page of `ganzoo explore` in a browser."""

from __future__ import annotations

import io
import re
import shlex
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.explorer.exports import MAX_STOPS
from tests.conftest import TINY_RUN_OPTIONS
from tests.support.browser import watched_page
from tests.support.stylegan_checkpoint import write_checkpoint

PICTURE = "document.getElementById('picture').naturalWidth > 0"


def until(page, expression: str) -> None:
    """Wait until an expression is true. Playwright's own function needs `eval`, which the page forbids."""
    end = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"{expression}: {page.text_content('#caption')}"
        time.sleep(0.03)


def opened(page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#main:not([hidden])")
    until(page, PICTURE)


def caption(page, text: str) -> None:
    """Wait until the caption of the picture contains a text."""
    until(page, f"document.getElementById('caption').textContent.includes({text!r})")


def shown(page) -> np.ndarray:
    """Return the pixels of the shown picture."""
    height, width, *values = page.evaluate(
        """() => {
            const image = document.getElementById('picture');
            const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            return [canvas.height, canvas.width, ...context.getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
    )
    return np.array(values, np.uint8).reshape(height, width, 4)[:, :, :3]


def by_command(ganzoo, page) -> np.ndarray:
    """Return the pixels that the command on the page makes."""
    words = shlex.split(page.text_content("#command"))
    assert words[:2] == ["ganzoo", "generate"]
    result = ganzoo(*words[1:], "--out", "made")
    assert result.exit_code == 0, result.output
    (path,) = [path for path in Path("made").glob("*.png") if path.name != "grid.png"]
    pixels = np.asarray(Image.open(path).convert("RGB"))
    path.unlink()
    return pixels


@pytest.fixture
def styled(jittor, workdir):
    write_checkpoint(workdir / "tiny.safetensors")
    return "tiny.safetensors"


def test_a_style_based_model_is_explored(ganzoo, page, explore, styled):
    address = explore(styled)
    opened(page, address)
    caption(page, "seed 0, psi 0.7, const noise")
    assert (shown(page) == by_command(ganzoo, page)).all()
    assert page.is_hidden("#class-controls")
    assert page.is_hidden("#source-controls")

    box = page.locator("#frame").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 150, steps=5)
    page.mouse.up()
    caption(page, "between seeds, at 0.5, 0.313")
    assert "--at 0.5,0.313" in page.text_content("#command")

    page.focus("#frame")
    page.keyboard.press("Shift+ArrowRight")
    caption(page, "seed 2")
    page.keyboard.press("ArrowDown")
    caption(page, "at 2, 0.1")
    page.keyboard.press("s")
    page.keyboard.press("-")
    caption(page, "seed 2, psi 0.65")
    page.fill("#seed", "4711")
    caption(page, "seed 4711")
    page.select_option("#noise", "none")
    page.check("#mixing")
    page.fill("#mix", "8")
    page.click("text=middle")
    caption(page, "psi 0.65, none noise, layers 4-7 of seed 8")
    assert (shown(page) == by_command(ganzoo, page)).all()
    assert page.get_attribute("#picture", "alt") == "stylegan: " + page.text_content("#caption")

    until(page, "location.hash.includes('mix=8')")
    before, link = shown(page), page.url
    page.goto("about:blank")
    opened(page, link)
    caption(page, "seed 4711, psi 0.65, none noise, layers 4-7 of seed 8")
    assert (shown(page) == before).all()
    assert page.is_checked("#mixing")


def test_the_controls_grow_with_the_networks(page, explore, jittor, workdir):
    Path("growing").mkdir()
    Path("growing/options.json").write_text("{}")
    write_checkpoint(workdir / "growing/checkpoint-000000008.safetensors", 8)
    opened(page, explore("growing"))
    assert "8 px" in page.text_content("#facts")
    page.check("#mixing")
    page.fill("#mix", "8")
    caption(page, "layers 0-3 of seed 8")
    page.click("#keep")
    assert page.get_attribute("#last", "max") == "3"
    assert page.locator("#named-layers button").all_text_contents() == ["coarse"]

    write_checkpoint(workdir / "growing/checkpoint-000000016.safetensors", 16)
    until(page, "document.getElementById('facts').textContent.includes('16 px')")
    assert page.get_attribute("#last", "max") == "5"
    assert page.locator("#named-layers button").all_text_contents() == ["coarse", "middle"]
    until(page, "document.getElementById('picture').naturalWidth === 16")
    until(page, "document.querySelector('#list img').naturalWidth === 16")
    page.fill("#last", "5")
    caption(page, "layers 0-5 of seed 8")
    page.click("text=middle")
    caption(page, "layers 4-5 of seed 8")


def test_the_page_is_loaded_again_when_its_port_serves_another_run(page, explore, styled):
    opened(page, explore(styled) + "#x=4")
    with page.expect_event("load"):
        page.route("**/status", lambda route: route.fulfill(json={**route.fetch().json(), "name": "another"}))
    page.wait_for_selector("#main:not([hidden])")
    assert page.text_content("#title") == "another"
    caption(page, "seed 4")


def test_favourites_are_kept_in_the_address_and_walked_through(ganzoo, page, explore, styled):
    opened(page, explore(styled))
    page.keyboard.press("f")
    page.fill("#seed", "5")
    caption(page, "seed 5")
    page.click("#keep")
    until(page, "document.querySelectorAll('#list img[src]').length === 2")
    until(page, "location.hash.split('favourite=').length === 3")
    page.reload()
    until(page, "document.querySelectorAll('#list img[src]').length === 2")
    until(page, "document.querySelector('#list code').textContent.includes('--seeds 0 --psi 0.7')")
    page.fill("#steps", "2")
    page.locator("#steps").blur()
    until(page, "document.getElementById('walk-command').textContent.includes('--steps 2')")
    assert "--interpolate --seeds 0,5 --psi 0.7 --noise const --grid 1x1" in page.text_content("#walk-command")
    page.click("#play")
    page.wait_for_selector("#play[aria-pressed=true]")
    assert page.text_content("#play") == "Stop"
    page.keyboard.press("p")
    page.wait_for_selector("#play[aria-pressed=false]")
    for name, start in (("gif", b"GIF89a"), ("webp", b"RIFF"), ("mp4", b"\0\0\0")):
        with page.expect_download() as download:
            page.click(f".export[value={name}]")
        path = Path(download.value.path())
        assert download.value.suggested_filename == f"walk.{name}"
        assert path.read_bytes().startswith(start)
    page.click("[aria-label='Remove favourite 1']")
    until(page, "document.querySelectorAll('#list li').length === 1")
    assert page.is_hidden("#walk")


def test_the_list_of_favourites_is_bounded(page, explore, styled):
    opened(page, explore(styled) + "#x=9" + "".join(f"&favourite=x%3D{x}" for x in range(70)))
    assert page.locator("#list li").count() == MAX_STOPS
    note = "The list is full: 64 favourites. Remove one to add another."
    assert page.text_content("#favourites-note") == note
    until(page, "document.querySelectorAll('#list img[src]').length === 64")
    until(page, "document.getElementById('walk-command').textContent.includes('62,63')")
    page.keyboard.press("f")
    caption(page, "The list of favourites is full. Remove one to add another.")
    assert page.locator("#list li").count() == MAX_STOPS
    page.click("[aria-label='Remove favourite 64']")
    page.click("#keep")
    until(page, "document.getElementById('walk-command').textContent.includes('62,9')")
    assert page.text_content("#favourites-note") == note


TWO = "#x=1&favourite=x%3D1%26psi%3D0.7&favourite=x%3D2%26psi%3D0.7"
PLAYING = "document.getElementById('caption').textContent.startsWith('walk between')"


def test_a_change_stops_the_walk(page, explore, styled):
    opened(page, explore(styled) + TWO)
    for number, change in enumerate(
        (
            lambda: page.fill("#seed", "7"),
            lambda: page.fill("#fps", "9") or page.locator("#fps").blur(),
            lambda: page.click("#list .show >> nth=1"),
            lambda: page.click("#keep"),
            lambda: page.click("[aria-label='Remove favourite 3']"),
            lambda: page.evaluate("location.hash = location.hash.replace('x=2', 'x=8')"),
            lambda: page.click("#play"),
        )
    ):
        page.click("#play")
        page.wait_for_selector("#play[aria-pressed=true]")
        until(page, PLAYING)
        walk = page.get_attribute("#picture", "src")
        change()
        page.wait_for_selector("#play[aria-pressed=false]")
        caption(page, "seed")
        assert page.get_attribute("#picture", "src") != walk, number
        assert page.evaluate("document.getElementById('picture').complete && " + PICTURE)


def test_a_walk_that_is_being_rendered_is_given_up_by_a_change(page, explore, styled):
    opened(page, explore(styled) + TWO)
    page.fill("#steps", "240")
    page.locator("#steps").blur()
    page.click("#play")
    assert page.text_content("#walk-message") == "Rendering 480 frames ..."
    page.fill("#seed", "7")
    assert page.text_content("#walk-message") == ""
    assert page.get_attribute("#play", "aria-pressed") == "false"
    caption(page, "seed 7")
    page.fill("#steps", "2")
    page.locator("#steps").blur()
    page.click("#play")
    until(page, PLAYING)


def test_a_walk_plays_on_while_training_saves_checkpoints(page, explore, jittor, workdir):
    Path("growing").mkdir()
    Path("growing/options.json").write_text("{}")
    write_checkpoint(workdir / "growing/checkpoint-000000008.safetensors", 8)
    opened(page, explore("growing") + TWO)
    page.click("#play")
    until(page, PLAYING)
    walk = page.get_attribute("#picture", "src")
    write_checkpoint(workdir / "growing/checkpoint-000000016.safetensors", 16)
    until(page, "document.getElementById('facts').textContent.includes('16 px')")
    until(page, "document.querySelector('#list img').naturalWidth === 16")
    assert page.get_attribute("#picture", "src") == walk
    assert page.evaluate(PLAYING)
    page.keyboard.press("p")
    until(page, "document.getElementById('picture').naturalWidth === 16")


def test_dragging_asks_for_the_newest_only(page, explore, styled):
    opened(page, explore(styled) + TWO)
    until(page, "document.querySelectorAll('#list img[src]').length === 2")
    until(page, "document.getElementById('walk-command').textContent.includes('--psi 0.7')")
    asked = []
    page.on("request", lambda request: asked.append(re.sub(r".*/(\w+)\?.*", r"\1", request.url)))
    page.evaluate(
        """() => {
            const slider = document.getElementById('psi');
            for (let step = 1; step <= 100; step += 1) {
                slider.value = step / 100;
                slider.dispatchEvent(new Event('input'));
            }
        }"""
    )
    caption(page, "seed 1, psi 1,")
    until(page, "document.getElementById('walk-command').textContent.includes('--psi 1 ')")
    assert (asked.count("picture"), asked.count("command")) == (2, 2)
    page.keyboard.press("ArrowRight")
    caption(page, "at 1.1, 0, psi 1,")
    assert (asked.count("picture"), asked.count("command")) == (3, 2)  # the walk is the same


MARKUP = "<img src=x onerror=alert(1)>&amp;<b>'\""


def test_names_are_text_whatever_is_in_them(ganzoo, page, explore, domains):
    for name, letter in (("one", "1"), ("two", "2")):
        (domains / name).rename(domains / (MARKUP + letter))
    domains.rename(domains.with_name(MARKUP))
    assert ganzoo("train", "gan", "--conditional", "--data", MARKUP, *TINY_RUN_OPTIONS).exit_code == 0
    (run,) = Path("experiments").iterdir()
    run = run.rename(run.with_name(f"00000-{MARKUP}"))
    opened(page, explore(str(run)))
    caption(page, f"seed 0, class {MARKUP}1")
    assert page.text_content("#title") == f"00000-{MARKUP}"
    assert f"gan, {MARKUP}, 8 px" in page.text_content("#facts")
    assert page.locator("#class option").all_text_contents() == [f"{MARKUP}1", f"{MARKUP}2"]
    page.select_option("#class", f"{MARKUP}2")
    caption(page, f"seed 0, class {MARKUP}2")
    assert shlex.split(page.text_content("#command"))[2] == f"00000-{MARKUP}"
    page.keyboard.press("f")
    page.keyboard.press("f")
    until(page, "document.getElementById('walk-command').textContent.includes('onerror')")
    assert page.locator("img[src=x], b").count() == 0


def test_the_report_of_the_run_works_in_its_sandbox(ganzoo, page, explore, trained):
    assert ganzoo("report").exit_code == 0
    opened(page, explore())
    page.click("#report")
    page.wait_for_selector(".slider input")
    newest = page.text_content(".at")
    page.focus(".slider input")
    page.keyboard.press("Home")
    assert page.text_content(".at") != newest
    assert page.locator(".chart svg .curve").count() > 0
    assert page.evaluate("origin") == "null"
    page.go_back()
    page.wait_for_selector("#main:not([hidden])")


def swipe(page, selector: str, across: int, down: int) -> None:
    """Move a finger from the middle of an element, by so many px, and wait until the page no longer scrolls."""
    touch = page.context.new_cdp_session(page)
    box = page.locator(selector).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for part in range(1, 11):
        point = {"x": x + across * part / 10, "y": y + down * part / 10}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.evaluate(
        "async () => { for (let y = -1; y !== scrollY; await new Promise((go) => setTimeout(go, 300))) y = scrollY; }"
    )


def test_on_a_phone_the_picture_is_dragged_sideways_and_the_page_scrolls(browser, explore, styled):
    with watched_page(browser, viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True) as watched:
        page = watched.page
        opened(page, explore(styled) + "#x=5&y=5")
        caption(page, "seed 505")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        swipe(page, "#frame", -80, 5)
        caption(page, "between seeds, at 5.5, 5")
        assert page.evaluate("scrollY") == 0
        swipe(page, "#frame", 0, -150)
        until(page, "scrollY > 50")
        assert "between seeds, at 5.5, 5" in page.text_content("#caption")
        page.locator("#plane").scroll_into_view_if_needed()
        top = page.evaluate("scrollY")
        swipe(page, "#plane", 0, 60)
        until(page, "!document.getElementById('caption').textContent.includes(', 5,')")
        assert page.evaluate("scrollY") == top
        assert watched.problems == []


def test_a_class_is_chosen(ganzoo, page, explore, domains):
    assert ganzoo("train", "gan", "--conditional", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    opened(page, explore())
    caption(page, "seed 0, class one")
    page.select_option("#class", "two")
    caption(page, "seed 0, class two")
    assert (shown(page) == by_command(ganzoo, page)).all()
    assert page.is_hidden("#style-controls")
    assert page.is_hidden("#mix-controls")
    assert re.search(r"gan, pictures, 8 px, 0.016 kimg", page.text_content("#facts"))
    with page.expect_download() as download:
        page.click("#save")
    assert Image.open(download.value.path()).size == (8, 8)


def test_an_image_is_translated(ganzoo, page, explore, domains):
    narrow = ["--size", "64", "--channels-base", "512", "--channels-max", "64", "--batch", "2", "--kimg", "0.002"]
    assert ganzoo("train", "stargan2", "--data", "pictures", *narrow).exit_code == 0
    opened(page, explore())
    caption(page, "translated to one, look of seed 0")
    assert page.is_hidden("#plane-controls")
    pixels = np.random.default_rng(0).integers(0, 256, (80, 70, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    Path("mine.png").write_bytes(buffer.getvalue())
    page.set_input_files("#upload", files=[{"name": "mine.png", "mimeType": "image/png", "buffer": buffer.getvalue()}])
    until(page, "document.getElementById('command').textContent.includes('--source mine.png')")
    page.select_option("#domain", "two")
    page.fill("#look-seed", "3")
    caption(page, "translated to two, look of seed 3")
    difference = np.abs(shown(page).astype(int) - by_command(ganzoo, page))
    assert difference.max() <= 1  # rounding differs between batch sizes
    until(page, "document.querySelectorAll('#strip img[src]').length === 2")
    page.set_input_files(
        "#reference-upload", files=[{"name": "it.png", "mimeType": "image/png", "buffer": buffer.getvalue()}]
    )
    caption(page, "translated to two, look of the reference")
    page.click("#strip button >> nth=0")
    caption(page, "translated to one, look of the reference")
    until(page, "location.hash.includes('reference=')")
    before = shown(page)
    page.reload()
    until(page, PICTURE)
    caption(page, "translated to one, look of the reference")
    assert (shown(page) == before).all()
