from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from ganzoo import backend
from ganzoo.training.reporting.kernels import SlowConvolutions, WarmUp


@pytest.fixture
def events(monkeypatch) -> list[str]:
    seen: list[str] = []

    def record(name: str):
        @contextlib.contextmanager
        def context(*arguments: str):
            seen.append(" ".join([name, *arguments]))
            yield

        return context

    for name in ("show_compilation", "uninterrupted"):
        monkeypatch.setattr(backend, name, record(name))
    return seen


def test_two_steps_warm_up_and_only_the_very_first_can_be_interrupted(events):
    warm_up = WarmUp()
    warm_up.restart()
    left = []
    for number in (7, 8, 9):
        left.append(warm_up.left)
        with warm_up.step(number):
            events.append("step")
    assert left == [2, 1, 0]
    assert events == [
        *("show_compilation step 7", "step"),
        *("show_compilation step 8", "uninterrupted", "step"),
        *("uninterrupted", "step"),
    ]


def test_slow_convolutions_are_reported_once(monkeypatch):
    messages: list[str] = []
    convolutions, logger = SlowConvolutions(), SimpleNamespace(info=messages.append)
    for count in (0, 2, 5):
        monkeypatch.setattr(backend, "unrecognised_convolutions", lambda count=count: count)
        convolutions.check(logger)
    assert len(messages) == 1
    assert "does not recognise 2 of the convolutions" in messages[0]
