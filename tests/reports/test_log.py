from __future__ import annotations

from ganzoo.reports.log import LogFacts, parse_log
from tests.support.run_folders import run_folder

BAD = "a.png: not a readable image. Left out of training."


def test_unreadable_images_are_counted_once_in_all_sessions():
    assert parse_log(["on CPU", BAD, "interrupted", "on CPU", BAD, BAD.replace("a", "b", 1)]).left_out == 2


def test_the_error_is_that_of_the_last_session():
    failed = ["on CPU", "Error: no space left", "failed"]
    assert parse_log(failed).error == "no space left"
    assert parse_log([*failed, "on CPU"]).error is None


def test_restarts_after_divergence_are_counted():
    lines = [
        "training diverged after checkpoint-1; restarting from there with --seed 1.",
        "training diverged: 4 updates",
    ]
    assert parse_log(lines).restarts == 1


def test_lines_without_a_time_are_not_messages(tmp_path):
    run = run_folder(tmp_path / "run")
    assert run.log_messages() == []
    run.log(BAD)
    run.log_file.write_text(run.log_file.read_text() + "Traceback\nError: of a traceback\n")
    assert parse_log(run.log_messages()) == LogFacts(1)
