from __future__ import annotations

import contextlib
from typing import Any

import pytest

from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.stages import Schedule, Stage, StagePosition
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training import loop

# A stage ends after the step that exceeds its `images`: the first at 8.
STAGES = Schedule([Stage(8, 4, images=4), Stage(16, 2, fade=4)])


class State:
    """A state whose steps train nothing."""

    def __init__(self) -> None:
        self.schedule, self.progress = STAGES, Progress()
        self.position: StagePosition | None = None

    def upcoming(self) -> StagePosition:
        self.progress = self.schedule.advance(self.progress)
        return self.schedule.position(self.progress)

    def count_step(self) -> None:
        assert self.position is not None
        self.progress = self.progress.after(self.position.stage.batch)


class Recorder:
    """Records each call; stands in for the reporter, the feed and the step."""

    def __init__(self, state: State) -> None:
        self.state, self.events = state, []

    def on_loss_terms(self, *_: Any) -> None:
        raise AssertionError("the step is a stub")

    on_logged = on_loss_terms

    def on_stage_start(self, state: State, position: StagePosition) -> None:
        self.events.append(f"stage {position.index}{' fading' if position.fading else ''} at {state.progress.images}")

    @contextlib.contextmanager
    def step(self, state: State) -> Any:
        self.events.append("step begins")
        yield
        self.events.append("step ends")

    def after(self, state: State) -> None:
        self.events.append(f"after {state.progress.images}")

    def finish(self, state: State) -> None:
        self.events.append("finish")

    def batch(self, size: int, batch: int, position: int) -> str:
        self.events.append(f"{batch} images of {size} px from {position}")
        return "images"

    def close(self) -> None:
        self.events.append("feed closed")

    def run_step(self, images: str) -> None:
        self.state.position = self.state.upcoming()
        self.events.append(f"trains on {images}")


@pytest.fixture
def recorder(monkeypatch) -> Recorder:
    made = Recorder(State())
    monkeypatch.setattr(loop, "Step", lambda *_: made.run_step)
    return made


def train(recorder: Recorder, kimg: float, stop=lambda: False) -> list[str]:
    loop.train(recorder.state, recorder, TrainOptions(kimg=kimg), recorder, stop)
    return recorder.events


def test_the_calls_of_a_step_are_in_order(recorder):
    step = ["step begins", "trains on images", "step ends"]
    assert train(recorder, 0.004) == [
        *("stage 0 at 0", "4 images of 8 px from 0", *step, "after 4"),
        *("feed closed", "finish"),
    ]


def test_a_stage_starts_before_its_first_batch_is_loaded_and_when_its_fade_ends(recorder):
    events = [event for event in train(recorder, 0.013) if event.startswith("stage") or "images of" in event]
    assert events == [
        *("stage 0 at 0", "4 images of 8 px from 0", "4 images of 8 px from 4"),
        *("stage 1 fading at 8", "2 images of 16 px from 8", "2 images of 16 px from 10"),
        *("stage 1 at 12", "2 images of 16 px from 12"),
    ]


def test_training_stops_between_steps(recorder):
    events = train(recorder, 1.0, lambda: "after 8" in recorder.events)
    assert events[-3:] == ["after 8", "feed closed", "finish"]
    assert recorder.state.progress.step == 2


def test_a_failure_closes_the_feed_and_finishes_nothing(recorder, monkeypatch):
    def fail(images: str) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(recorder, "run_step", fail)
    with pytest.raises(RuntimeError, match="no"):
        train(recorder, 1.0)
    assert recorder.events[-2:] == ["step begins", "feed closed"]
