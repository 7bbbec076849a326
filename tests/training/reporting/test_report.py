"""The report during training."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from ganzoo.registry import plugins
from ganzoo.runs import Run
from ganzoo.training import session
from ganzoo.training.reporting import report
from ganzoo.training.reporting.logger import RunLogger
from ganzoo.training.reporting.progress_bar import ProgressBar
from ganzoo.training.reporting.report import INTERVAL, SHARE, ReportWriter
from tests.conftest import TINY_RUN_OPTIONS
from tests.support.run_folders import row, run_folder

RUN = Path("experiments/00000-gan-pictures/report.html")
TRAIN = ["train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS]


class Stop:
    """Stands in for the watched signals."""

    requested = False

    def __call__(self) -> bool:
        return self.requested


class Clock:
    """A clock in seconds; each rendering takes `rendering` of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.rendering, self.renderings = 1000.0, 0.0, 0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(report, "render", self._render)

    def _render(self, *arguments: object, **named: object) -> str:
        self.now += self.rendering
        self.renderings += 1
        return "page"


def writer(run: Run, stop: Stop) -> ReportWriter:
    return ReportWriter(run, plugins.load(), RunLogger(run, ProgressBar(run.path.name, 0, 1000), stop), stop)


def test_the_report_is_not_written_more_often_than_the_interval(tmp_path, monkeypatch):
    clock, each = Clock(monkeypatch), writer(run_folder(tmp_path / "run"), Stop())
    for wait, expected in ((0.0, 1), (INTERVAL - 1, 1), (1.0, 2)):
        clock.now += wait
        each.tick()
        assert clock.renderings == expected


def test_slow_writing_is_rarer(tmp_path, monkeypatch):
    clock, each = Clock(monkeypatch), writer(run_folder(tmp_path / "run"), Stop())
    clock.rendering = 2.0
    each.tick()
    clock.now += 2.0 / SHARE - 1
    each.tick()
    assert clock.renderings == 1
    clock.now += 1.0
    each.tick()
    assert clock.renderings == 2


def test_after_a_signal_only_the_end_is_written(tmp_path, monkeypatch):
    clock, stop = Clock(monkeypatch), Stop()
    each = writer(run_folder(tmp_path / "run"), stop)
    stop.requested = True
    each.tick()
    assert clock.renderings == 0
    each.close("interrupted")
    assert clock.renderings == 1


@pytest.mark.parametrize("outcome", ["finished", "interrupted", "failed"])
def test_the_last_report_says_how_training_ended(tmp_path, outcome):
    run = run_folder(tmp_path / "run", [row(1)])
    each = writer(run, Stop())
    with run.locked():
        each.tick()
        assert "gan, running" in (run.path / "report.html").read_text()
        each.close(outcome)
    assert f"gan, {outcome}" in (run.path / "report.html").read_text()


def test_a_resumed_run_writes_its_report_again(ganzoo, trained):
    assert "0.016 kimg of 0.016" in RUN.read_text()
    assert ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032").exit_code == 0
    assert "0.032 kimg of 0.032" in RUN.read_text()
    assert "gan, finished" in RUN.read_text()


def test_a_report_that_can_not_be_written_is_reported_once(ganzoo, trained):
    RUN.unlink()
    RUN.mkdir()
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032")
    assert result.exit_code == 0
    assert result.output.count("warning: report.html: ") == 1
    assert "Training continues." in result.output


def test_an_interrupted_run_says_so(ganzoo, jittor, pictures, monkeypatch):
    monkeypatch.setattr(ReportWriter, "tick", lambda self: signal.raise_signal(signal.SIGINT))
    assert ganzoo(*TRAIN).exit_code == 130
    assert "gan, interrupted" in RUN.read_text()


def test_other_ranks_write_no_report(ganzoo, jittor, pictures, monkeypatch):
    monkeypatch.setattr(session.distributed, "is_rank_zero", lambda: False)
    assert ganzoo(*TRAIN).exit_code == 0
    assert not Path("experiments").exists()
