"""Tests of pictures of real models: the command beside a picture makes the same."""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo as zoo
from ganzoo.errors import OptionError, printable
from ganzoo.explorer.session import Session
from ganzoo.explorer.state import State
from tests.conftest import TINY_RUN_OPTIONS
from tests.support import mean_colour
from tests.support.shifting import ShiftModel
from tests.support.stylegan_checkpoint import write_checkpoint


def session_of(name: str) -> Session:
    session = Session(zoo.load(name), name)
    session.warm_up()
    assert session.ready
    return session


def pixels(source) -> np.ndarray:
    with Image.open(source) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def by_command(ganzoo, command: str) -> np.ndarray:
    words = shlex.split(command)
    assert words[:2] == ["ganzoo", "generate"]
    result = ganzoo(*words[1:], "--out", "made")
    assert result.exit_code == 0, result.output
    (path,) = (path for path in Path("made").glob("*.png") if path.name != "grid.png")
    made = pixels(path)
    path.unlink()
    return made


def check(ganzoo, session: Session, state: State, tolerance: int = 0) -> np.ndarray:
    """Check that a state's picture is the one that its command makes, and return it."""
    shown = pixels(io.BytesIO(session.draw(state)))
    made = by_command(ganzoo, session.command(state))
    assert shown.shape == made.shape
    assert np.abs(shown - made).max() <= tolerance
    return shown


def upload(session: Session, size: tuple[int, int] = (50, 70), seed: int = 0) -> str:
    """Give the session a file `mine.png` in the working folder, and return its name there."""
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(image).save(f"mine{seed}.png")
    assert session.images is not None
    return session.images.add(Path(f"mine{seed}.png").read_bytes(), f"mine{seed}.png")


STYLED = [
    State(),
    State(x=5, y=1, psi=0.3, noise="none"),
    State(x=1.25, y=0.5, psi=-0.4, noise="random"),
    State(x=2, mix=7, layers="4-7", psi=1.0),
    State(x=2.5, y=3.75, mix=7, layers="0"),
]


def test_pictures_of_a_style_based_model(ganzoo, jittor, workdir):
    write_checkpoint(workdir / "tiny.safetensors")
    session = session_of("tiny.safetensors")
    shown = [check(ganzoo, session, state) for state in STYLED]
    assert len({each.tobytes() for each in shown}) == len(shown)
    with pytest.raises(OptionError, match="style layers 0-7"):
        session.draw(State(mix=3, layers="9"))


def test_networks_that_have_grown_are_shown_once_their_first_pictures_are_drawn(jittor, workdir, monkeypatch):
    monkeypatch.setattr("ganzoo.explorer.session.POLL_SECONDS", 0.0)
    Path("growing").mkdir()
    Path("growing/options.json").write_text("{}")
    write_checkpoint(workdir / "growing/checkpoint-000000008.safetensors", 8)
    session = Session(zoo.load("growing"), "growing", partial(zoo.load, "growing"))
    session.warm_up()
    session.look_for_newer()
    write_checkpoint(workdir / "growing/checkpoint-000000016.safetensors", 16)
    seen = []
    while not seen or seen[-1][1] == 8:
        session.look_for_newer()
        status = session.status()
        assert pixels(io.BytesIO(session.draw(State(mix=1, layers="3")))).shape == (status["size"],) * 2 + (3,)
        seen.append((status["checkpoint"], status["size"], status["controls"]["style_layers"]))
    assert set(seen[:-1]) == {("checkpoint-000000008.safetensors", 8, 4)}
    assert seen[-1] == ("checkpoint-000000016.safetensors", 16, 6)
    Path("growing/checkpoint-000000032.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="not an intact checkpoint"):
        session.look_for_newer()
    shutil.rmtree("growing")
    session.look_for_newer()
    assert session.status()["size"] == 16


def test_pictures_of_classes(ganzoo, domains):
    assert ganzoo("train", "gan", "--conditional", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    session = session_of("0")
    one, two = (check(ganzoo, session, State(x=0.5, class_=name)) for name in ("one", "two"))
    assert (one != two).any()
    assert (check(ganzoo, session, State(x=0.5)) == one).all()
    stops = [State(x=1, class_="one"), State(x=1, class_="two")]
    frames = list(session.walk(stops, 2))
    assert len(frames) == 4


def test_translations_with_looks(ganzoo, jittor, workdir, add_model):
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(workdir / "model.safetensors")
    session = session_of("model.safetensors")
    source, reference = upload(session), upload(session, seed=1)
    domain = session.run.data.domains[1]
    check(ganzoo, session, State(source=source, domain=domain, seed=4, psi=0.5), 1)
    check(ganzoo, session, State(source=source, domain=domain, reference=reference), 1)
    with pytest.raises(OptionError, match="choose an image to translate"):
        session.draw(State())
    with pytest.raises(OptionError, match="unknown domain 'cow'"):
        session.draw(State(source=source, domain="cow"))


HOSTILE_NAMES = [
    'it\'s "my" image.png',
    "two\nlines\r.png",
    "$(reboot)`reboot`;&|>x.png",
    "--help",
    "\x1b[2J\u202egnp.exe",
    "a\0b.png",
    "~/x!",
]


def test_a_file_name_is_one_word_of_one_line_in_the_command(jittor, workdir, add_model):
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(workdir / "model.safetensors")
    session = session_of("model.safetensors")
    assert session.images is not None
    Image.new("RGB", (4, 4)).save("mine.png")
    for name in HOSTILE_NAMES:
        command = session.command(State(source=session.images.add(Path("mine.png").read_bytes(), name)))
        assert command.isprintable()
        shell = subprocess.run(["sh", "-c", f"printf '%s\n' {command}"], check=True, capture_output=True, text=True)
        assert shell.stdout.splitlines()[:5] == ["ganzoo", "generate", "model.safetensors", "--source", printable(name)]


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_translations_without_looks(ganzoo, jittor, domains, add_model, fit):
    add_model(ShiftModel())
    train = ["train", "shift", "--data", "pictures", "--batch", "4", "--kimg", "0.012", "--tick", "0.012", "--fit", fit]
    assert ganzoo(*train).exit_code == 0
    session = session_of("0")
    assert session.controls is not None
    assert session.controls.directions == (("one", "two"), ("two", "one"))
    source = upload(session)
    there, back = (check(ganzoo, session, State(source=source, direction=each), 1) for each in ("0", "1"))
    assert (there != back).any()
    assert there.shape[0] < there.shape[1] or fit == "crop"  # without padding
    with pytest.raises(OptionError, match="direction: '2' is not one of the 2"):
        session.draw(State(source=source, direction="2"))
    offered = session.status()["offered"]
    assert {each["domain"] for each in offered} == {"one", "two"}
    session.draw(State(source=offered[0]["name"], direction="0"))
    with pytest.raises(OptionError, match="does not offer this image"):
        session.draw(State(source="data:99999"))
