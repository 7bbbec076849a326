"""Event hooks: one that fails is reported, and the others run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ganzoo.registry import plugins
from tests.registry.conftest import Install

EVENT = """
import ganzoo
seen = []

@ganzoo.hookimpl
def ganzoo_tick({arguments}):
    {body}
    seen.append({arguments})
"""


@pytest.mark.parametrize("failure", ["raise ValueError('no disk')", "raise SystemExit(1)"])
def test_an_event_hook_that_raises_is_reported_and_stops_no_other(install: Install, failure: str) -> None:
    install("event_a", EVENT.format(arguments="stats", body="pass"))
    install("event_b", EVENT.format(arguments="stats", body=failure))
    install("event_c", EVENT.format(arguments="run", body="pass"))
    registry = plugins.load()
    (report,) = registry.notify("ganzoo_tick", run=Path("here"), stats={"kimg": 4})
    assert report.startswith("plugin dist-of-event_b:event_b: ganzoo_tick raised ")
    modules: dict[str, Any] = sys.modules
    assert modules["event_a"].seen == [{"kimg": 4}]
    assert modules["event_b"].seen == []
    assert modules["event_c"].seen == [Path("here")]


def test_ctrl_c_in_an_event_hook_is_not_caught() -> None:
    registry = plugins.load([])

    class Interrupting:
        @plugins.hookspecs.hookimpl
        def ganzoo_tick(self) -> None:
            raise KeyboardInterrupt

    registry.manager.register(Interrupting())
    with pytest.raises(KeyboardInterrupt):
        registry.notify("ganzoo_tick", run=Path(), stats={})


def test_two_implementations_of_one_hook_belong_to_their_own_plugin(install: Install) -> None:
    """pluggy before 1.7 could attribute an implementation registered with `specname` to the wrong plugin."""
    second = '\n@ganzoo.hookimpl(specname="ganzoo_tick")\ndef second(stats): raise OSError("disk")\n'
    install("event_a", EVENT.format(arguments="stats", body="pass"))
    install("event_b", EVENT.format(arguments="stats", body="pass") + second)
    (report,) = plugins.load().notify("ganzoo_tick", run=Path(), stats={})
    assert report == "plugin dist-of-event_b:event_b: ganzoo_tick raised OSError: disk"
    assert sys.modules["event_a"].__dict__["seen"] == [{}]
