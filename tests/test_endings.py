"""Commands end cleanly when they are stopped from a terminal or by signals. experiments/trust/endings.py stops
many more, at random moments."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

FOLDER = Path(__file__).parents[1] / "experiments" / "trust"
ENDLESS = ["train", "gan", "--data", "pictures", "--size", "8", "--batch", "4", "--kimg", "1000", "--tick", "0.1"]


@pytest.fixture
def endings(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("endings")


@pytest.fixture
def end(endings, workdir):
    """Return a function that starts a command in a terminal and stops it once it prints `marker` or creates a file that
    matches it. The function checks how the command ended, and returns its output."""

    def run(arguments: list[str], marker: str, method: str, environment: dict[str, str] | None = None) -> str:
        stop, signal_number = endings.STOP_METHODS[method]
        terminal = endings.Terminal([sys.executable, *arguments], workdir, workdir / "screen.txt", environment)
        ready = terminal.wait_until(lambda: marker in terminal.output() or any(workdir.glob(marker)), seconds=120)
        assert ready, terminal.output()
        stop(terminal)
        status = terminal.wait(endings.MAX_ENDING_SECONDS)
        terminal.close()
        assert status == 128 + signal_number, terminal.output()
        scenario = endings.Scenario(" ".join(arguments), seconds=0)  # `seconds` is only for signals at random moments
        assert endings.ending_faults(scenario, terminal, status, signal_number) == [], terminal.output()
        assert terminal.kill_leftovers() == []
        return terminal.output()

    return run


@pytest.mark.parametrize("method", ["Ctrl-C", "hang-up", "timeout", "SIGHUP to the group"])
def test_a_training_ends_with_a_checkpoint(endings, end, pictures, method):
    screen = end(["-m", "ganzoo", *ENDLESS], "experiments/*/stats.jsonl", method)
    (run,) = Path("experiments").iterdir()
    assert endings.newest_intact(run) is not None
    assert endings.lost_progress(Path("experiments")) == []
    assert ("Continue with: ganzoo train gan --resume" in screen) is (method != "hang-up")


def test_an_evaluation_during_training_is_abandoned(endings, end, pictures):
    measuring = ["--evaluate-every", "0.1", "--evaluate-samples", "50000"]
    screen = end(["-m", "ganzoo", *ENDLESS, *measuring], "experiments/*/checkpoint-*", "Ctrl-C")
    assert "Continue with: ganzoo train gan --resume" in screen
    assert endings.lost_progress(Path("experiments")) == []


@pytest.mark.parametrize(
    ("arguments", "marker"),
    [
        (["generate", "--seeds", "0-9999", "--out", "made"], "made/*.png"),
        (["evaluate", "--samples", "20000", "--metrics", "fid"], "generating"),
        (["data", "prepare", "pictures", "--out", "./prepared"], "prepared*.preparing/*"),
    ],
    ids=["generate", "evaluate", "prepare"],
)
@pytest.mark.parametrize("method", ["Ctrl-C", "SIGTERM to the group"])
def test_a_command_ends_at_once(end, ganzoo, pictures, arguments, marker, method):
    if arguments[0] == "data":
        Image.effect_noise((256, 256), 80).save("pictures/00.png")  # 3,000 of these take a while
        for number in range(3000):
            os.link("pictures/00.png", f"pictures/{number:05d}.png")
    else:
        ganzoo(*ENDLESS, "--kimg", "0.004")
    end(["-m", "ganzoo", *arguments], marker, method)


# A program that runs a kernel which is in no cache and takes seconds to compile.
COMPILING = """
import sys, uuid
from ganzoo import backend
from ganzoo.signals import interruptible
found = []
with interruptible() as interrupts:
    try:
        backend.start("cpu")
        source = f'static std::regex text("{uuid.uuid4()}"); @out(0) = 7;'
        made = backend.jittor().code([1], "float32", [], cpu_header="#include <regex>", cpu_src=source)
        print("ready", flush=True)
        with backend.uninterrupted():
            found.extend(made.numpy().tolist())
    except KeyboardInterrupt:
        print("interrupted:", found)
        sys.exit(interrupts.status)
"""


@pytest.mark.parametrize("method", ["Ctrl-C", "SIGTERM to the group"])
def test_compilers_continue_in_a_step_that_must_not_be_interrupted(end, method):
    assert "interrupted: [7.0]" in end(["-c", COMPILING], "ready", method)


def test_the_first_compilation_of_jittor_ends_with_its_compilers(end, workdir):
    home = workdir / "home"
    home.mkdir()
    end(["-m", "ganzoo", "train", "gan", "--data", "mnist"], "compiling Jittor", "Ctrl-C", {"HOME": str(home)})
