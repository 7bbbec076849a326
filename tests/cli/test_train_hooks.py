"""What plugins are told during training, and how they end it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo import hookimpl
from ganzoo.checkpoints import checkpoint
from ganzoo.registry import plugins
from ganzoo.runs import Run
from tests.conftest import TINY_RUN_OPTIONS
from tests.distributed.test_ranks import AS_ROOT, MISSING, MPIRUN

TRAIN = ["train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS]
RUN = Path("experiments/00000-gan-pictures")


class Listener:
    """A plugin that records events. `answers` maps events to what it returns."""

    def __init__(self, **answers: object) -> None:
        self.events: list[tuple] = []
        self.answers = answers

    def record(self, event: str, *values: object):
        self.events.append((event, *values))
        return self.answers.get(event)

    @hookimpl
    def ganzoo_run_start(self, run, step, images):
        return self.record("run_start", step, images)

    @hookimpl
    def ganzoo_tick(self, stats):
        return self.record("tick", stats["images"])

    @hookimpl
    def ganzoo_checkpoint(self, run, path, images):
        assert checkpoint.read(path).metadata.progress.images == images
        return self.record("checkpoint", path.name)

    @hookimpl
    def ganzoo_evaluation(self, metrics, images):
        return self.record("evaluation", *metrics, images)

    @hookimpl
    def ganzoo_pictures(self, paths, images):
        assert all(path.stat().st_size for path in paths)
        answer = self.record("pictures", *(path.name for path in paths), images)
        return answer if images else None

    @hookimpl
    def ganzoo_run_end(self, outcome):
        return self.record("run_end", outcome)


@pytest.fixture
def listen(monkeypatch):
    """Return a function that registers a listener as the only plugin with events."""
    load = plugins.load

    def register(**answers: object) -> Listener:
        listener = Listener(**answers)

        def loaded(*arguments, **named):
            registry = load(*arguments, **named)
            registry.manager.register(listener, name="listener")
            return registry

        monkeypatch.setattr(plugins, "load", loaded)
        return listener

    return register


def test_plugins_are_told_what_is_written_and_measured(jittor, ganzoo, pictures, listen):
    listener = listen()
    measure = ["--evaluate", "kid", "--evaluate-every", "0.008", "--evaluate-samples", "12"]
    assert ganzoo(*TRAIN, *measure, "--snapshot", "1").exit_code == 0
    events = [each for each in listener.events if each[0] != "checkpoint"]
    kid = tuple(name for each in events if each[0] == "evaluation" for name in each[1:-1])[:1]
    assert events == [
        ("run_start", 0, 0),
        ("pictures", "reals.png", 0),
        ("pictures", "samples-000000004.png", 4),
        ("evaluation", *kid, 8),
        ("pictures", "samples-000000008.png", 8),
        ("tick", 8),
        ("evaluation", *kid, 16),
        ("pictures", "samples-000000016.png", 16),
        ("tick", 16),
        ("run_end", "finished"),
    ]
    saved = [each for each in listener.events if each[0] == "checkpoint"]
    assert saved == [
        ("checkpoint", "checkpoint-000000008.safetensors"),
        ("checkpoint", "checkpoint-000000016.safetensors"),
    ]
    listener.events.clear()
    assert ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.024").exit_code == 0
    assert listener.events[0] == ("run_start", 4, 16)


@pytest.mark.parametrize("event", ["tick", "pictures", "checkpoint"])
def test_a_reason_stops_the_run_which_can_be_resumed(jittor, ganzoo, pictures, listen, event):
    listener = listen(**{event: "good enough"})
    result = ganzoo(*TRAIN, "--kimg", "1", "--snapshot", "1")
    assert result.exit_code == 0
    assert result.output.count("plugin listener ends training: good enough") == 1
    assert f"stopped: {RUN}" in result.output
    assert "Continue with: ganzoo train gan --resume 00000-gan-pictures" in result.output
    assert listener.events[-1] == ("run_end", "stopped")
    assert "plugin listener ends training: good enough" in (RUN / "log.txt").read_text()
    assert Run(RUN).outcome() == "stopped"
    assert (RUN / "losses.png").exists()
    images = checkpoint.images_seen(checkpoint.newest(RUN))
    assert images < 1000
    listener.answers.clear()
    goal = (images + 8) / 1000
    assert ganzoo("train", "gan", "--resume", "latest", "--kimg", str(goal)).exit_code == 0
    assert checkpoint.images_seen(checkpoint.newest(RUN)) == images + 8


def test_a_reason_at_the_end_changes_nothing(jittor, ganzoo, pictures, listen):
    listener = listen(checkpoint="saved")
    result = ganzoo(*TRAIN, "--snapshot", "100")
    assert result.exit_code == 0
    assert f"finished: {RUN}" in result.output
    assert listener.events[-1] == ("run_end", "finished")


@pytest.mark.parametrize("answer", [True, 3, ["stop"]])
def test_an_answer_that_is_not_a_string_is_reported_once_and_stops_nothing(jittor, ganzoo, pictures, listen, answer):
    listen(tick=answer, run_start="reasons given here have no effect", pictures=" ")
    result = ganzoo(*TRAIN)
    assert result.exit_code == 0
    assert result.output.count(f"plugin listener: ganzoo_tick returned {answer!r}; return a string") == 1
    assert "finished: " in result.output


STOPPING = """
import sys
from ganzoo import hookimpl
from ganzoo.cli import main
from ganzoo.registry import plugins

class Stopping:
    @hookimpl
    def ganzoo_tick(self, stats):
        return "enough" if stats["images"] >= 16 else None

load = plugins.load
def loaded(*arguments, **named):
    registry = load(*arguments, **named)
    registry.manager.register(Stopping(), name="stopping")
    return registry
plugins.load = loaded
main(sys.argv[1:])
"""


@pytest.mark.skipif(not (shutil.which("mpirun") and shutil.which("mpicc")), reason=MISSING)
def test_all_ranks_stop_together(pictures):
    command = [*MPIRUN, "2", sys.executable, "-c", STOPPING, *TRAIN, "--kimg", "1"]
    done = subprocess.run(command, env={**os.environ, **AS_ROOT}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stopped: ") == 1
    assert checkpoint.images_seen(checkpoint.newest(RUN)) == 16
