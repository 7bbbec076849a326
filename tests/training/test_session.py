from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganzoo.training import session


def test_a_signal_while_another_process_compiles_ends_a_rank_cleanly(jittor, monkeypatch):
    """Jittor's wait for its lock then fails, and so does the call that needed the lock."""
    plan = SimpleNamespace(train=SimpleNamespace(device="cpu", precision="tf32"))
    monkeypatch.setattr(session.distributed, "is_rank_zero", lambda: False)

    def interrupted(plan, stop):
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("Check failed: fcntl(lock_fd, 7, &lock) == 0")

    monkeypatch.setattr(session, "follow", interrupted)
    run, stop = session.run_training(plan, None, Path("experiments"))
    assert (run, stop(), stop.status) == (None, True, 143)

    def failing(plan, stop):
        raise RuntimeError("something else")

    monkeypatch.setattr(session, "follow", failing)
    with pytest.raises(RuntimeError, match="something else"):
        session.run_training(plan, None, Path("experiments"))
