"""Tests of training from Python."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import ganzoo as zoo
from tests.conftest import TINY_RUN_OPTIONS
from tests.support.runs import same, tensors

TINY = {"size": 8, "batch": 4, "kimg": 0.016, "tick": 0.008}


def test_a_run_equals_that_of_the_command_line(jittor, ganzoo, pictures, capsys):
    assert ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    run = zoo.train("gan", pictures, **TINY)
    assert run.path == Path("experiments/00001-gan-pictures")
    assert same(*(tensors(zoo.load(number).path) for number in (0, 1)))
    assert len(run.generate(range(2))) == 2


def test_a_run_can_be_resumed_and_options_come_from_a_preset(jittor, pictures):
    Path("tiny.toml").write_text("size = 8\nbatch = 4\ntick = 0.008\n")
    run = zoo.train("gan", "pictures", preset="tiny.toml", kimg=0.008)
    assert run.kimg == 0.008
    assert zoo.train("gan", resume="latest", kimg=0.016).kimg == 0.016
    assert run.path == zoo.load().path


def test_a_callback_sees_each_tick_and_can_end_training(jittor, pictures):
    seen = []
    zoo.train("gan", "pictures", on_tick=lambda row: seen.append(row["images"]), **TINY)
    assert seen == [8, 16]
    run = zoo.train("gan", "pictures", on_tick=lambda row: "enough", **TINY)
    assert run.kimg == 0.008


def test_an_error_in_the_callback_ends_training_with_a_checkpoint(jittor, pictures):
    def fail(row):
        raise ZeroDivisionError("in the callback")

    with pytest.raises(ZeroDivisionError, match="in the callback"):
        zoo.train("gan", "pictures", on_tick=fail, **TINY)
    assert zoo.load().kimg == 0.008


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"kimgs": 1}, "gan has no option 'kimgs'. Did you mean"),
        ({"batch_size": 4}, "gan has no option 'batch_size'. Use --batch"),
        ({"kimg": "much"}, "--kimg: 'much' is not a number of at least 0.001"),
        ({"resume": "latest"}, "there is no run in experiments yet"),
        ({"preset": "none.toml"}, "--preset none.toml: gan has no such preset"),
    ],
)
def test_wrong_options_are_refused(jittor, pictures, options, problem):
    with pytest.raises(zoo.GanzooError) as caught:
        zoo.train("gan", "pictures", **options)
    assert str(caught.value).startswith(problem)


def test_training_works_in_another_thread(jittor, pictures):
    runs = []
    thread = threading.Thread(target=lambda: runs.append(zoo.train("gan", "pictures", **TINY)))
    thread.start()
    thread.join()
    assert runs[0].kimg == 0.016


INTERRUPTED = """
import os, signal
import ganzoo

def interrupt(row):
    if row["images"] == 8:
        os.kill(os.getpid(), signal.SIGINT)

try:
    ganzoo.train("gan", "pictures", size=8, batch=4, kimg=0.1, tick=0.008, on_tick=interrupt)
except KeyboardInterrupt:
    print("interrupted at", ganzoo.load().kimg, "kimg")
"""


def test_ctrl_c_saves_a_checkpoint_and_raises_keyboard_interrupt(pictures):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "interrupted at 0.008 kimg"
