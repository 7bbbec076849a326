"""`ganzoo runs`: the state of each run, and sorting."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ganzoo import runs
from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.metrics import report
from tests.support.evaluations import record


def make_run(kimg: float, goal: float, saved: bool = True) -> runs.Run:
    run = runs.create(Path("experiments"), "gan-mnist")
    run.save_description(RunDescription("gan", {}, {"kimg": goal, "data": "mnist"}))
    run.append_stats({"images": int(kimg * 1000), "kimg": kimg, "images_per_second": 123.4, "losses": {}})
    if saved:
        (run.path / checkpoint.file_name(int(kimg * 1000))).touch()
    return run


def test_runs_are_listed_with_their_state(ganzoo):
    make_run(5, 5)
    make_run(2, 5)
    busy = make_run(1, 5)
    make_run(1, 5).options_file.write_text("{")
    with busy.locked():
        rows = json.loads(ganzoo("runs", "--json").stdout)
        text = ganzoo("runs").stdout
    assert [row["state"] for row in rows] == ["finished", "stopped", "running", "damaged"]
    assert rows[0]["kimg"] == 5
    for row in rows:
        assert row["run"] in text
        assert row["state"] in text


def test_a_crash_is_not_listed_as_stopped(ganzoo):
    for outcome in (["failed"], ["interrupted"], ["finished"], [], ["failed", "on the CPU", "interrupted"]):
        run = make_run(1, 5)
        run.log("on the CPU")
        for message in outcome:
            run.log(message)
    states = [row["state"] for row in json.loads(ganzoo("runs", "--json").stdout)]
    assert states == ["failed", "stopped", "stopped", "killed", "stopped"]
    text = ganzoo("runs").stdout
    assert all(state in text for state in states)


def test_a_run_whose_last_step_was_not_saved_is_not_finished(ganzoo):
    """Such a run diverged in its last step, or was killed before the checkpoint was written."""
    for outcome in ("failed", "interrupted", None):
        run = make_run(5, 5, saved=False)
        run.log("on the CPU")
        if outcome:
            run.log(outcome)
    assert [row["state"] for row in json.loads(ganzoo("runs", "--json").stdout)] == ["failed", "stopped", "killed"]


def test_a_run_whose_goal_is_not_a_number_is_listed_as_damaged(ganzoo):
    for goal in (10**400, "x", [], None):
        make_run(1, goal)
    assert {row["state"] for row in json.loads(ganzoo("runs", "--json").stdout)} == {"damaged"}


def test_an_empty_list_of_runs_is_not_an_error(ganzoo):
    assert ganzoo("runs").exit_code == 0
    assert "ganzoo train" in ganzoo("runs").stdout
    assert json.loads(ganzoo("runs", "--json").stdout) == []


def evaluated_runs(*values: dict[str, float] | None) -> None:
    """Make a run for each dictionary of metrics, and evaluate it; None: without an evaluation."""
    for numbers in values:
        run = make_run(1, 5)
        if numbers is not None:
            report.save(run.path, record(numbers))


def order(ganzoo, column: str) -> list[int]:
    """Return the numbers of the runs in the table, sorted by a column."""
    result = ganzoo("runs", "--sort", column)
    assert result.exit_code == 0, result.output
    return [int(line[:5]) for line in result.stdout.splitlines()[1:]]


def test_runs_are_sorted_by_their_numbers_largest_first(ganzoo):
    for kimg in (2, 5, 1):
        make_run(kimg, 5)
    assert order(ganzoo, "kimg") == [1, 0, 2]
    assert order(ganzoo, "run") == [0, 1, 2]
    assert [row["kimg"] for row in json.loads(ganzoo("runs", "--sort", "kimg", "--json").stdout)] == [5, 2, 1]


def test_runs_are_sorted_by_date_newest_first_with_unknown_ones_last(ganzoo):
    for saved in (1000.0, None, 9e8, 1e300):
        run = make_run(1, 5)
        run.save_description(RunDescription("gan", {}, {"kimg": 5, "data": "mnist"}, saved=saved))
    assert order(ganzoo, "date") == [2, 0, 1, 3]
    assert "1998-0" in ganzoo("runs", "--sort", "date").stdout


def test_the_best_value_of_a_metric_comes_first(ganzoo):
    evaluated_runs({"fid": 30, "recall": 0.2}, None, {"fid": 9, "recall": 0.1}, {"fid": 20, "recall": 0.5})
    assert order(ganzoo, "metrics/fid") == [2, 3, 0, 1]
    assert order(ganzoo, "metrics/recall") == [3, 0, 2, 1]
    assert order(ganzoo, "metrics/fid500-real500-efficientnet-lite0") == [2, 3, 0, 1]
    text = ganzoo("runs", "--sort", "metrics/fid").stdout
    assert "metrics/fid500-real500-efficientnet-lite0" in text.splitlines()[0]
    assert text.splitlines()[-1].endswith(" -")


def test_a_run_counts_with_its_best_evaluation_at_its_full_size_against_its_own_data(ganzoo):
    evaluated_runs({"fid": 30}, {"fid": 20})
    first = runs.list_runs(Path("experiments"))[0]
    first.save_description(RunDescription("gan", {}, {"kimg": 5, "data": "mnist"}, DataInfo("mnist", 60000, 28, 1)))
    for value, changes in ((12, {"images": 2000}), (15, {"images": 3000}), (1, {"size": 8}), (2, {"against": "faces"})):
        report.save(first.path, record({"fid": value}, **changes))
    rows = json.loads(ganzoo("runs", "--sort", "metrics/fid", "--json").stdout)
    name = "fid500-real500-efficientnet-lite0"
    assert [(row["run"][:5], row["metrics"][name]) for row in rows] == [("00000", 12), ("00001", 20)]


def test_metrics_that_cannot_be_compared_are_not_mixed(ganzoo):
    evaluated_runs({"fid": 30}, {"fid": 20})
    report.save(runs.list_runs(Path("experiments"))[0].path, record({"fid": 25}, samples=2000))
    result = ganzoo("runs", "--sort", "metrics/fid")
    assert result.exit_code == 2
    assert "can't be compared" in result.stderr
    assert "metrics/fid2k-real500-efficientnet-lite0" in result.stderr
    assert order(ganzoo, "metrics/fid2k-real500-efficientnet-lite0") == [0, 1]


@pytest.mark.parametrize(("column", "hint"), [("kmg", "Did you mean 'kimg'?"), ("metrics/fdi", "'metrics/fid'?")])
def test_an_unknown_column_is_refused_with_those_that_there_are(ganzoo, column, hint):
    evaluated_runs({"fid": 30})
    result = ganzoo("runs", "--sort", column)
    assert result.exit_code == 2
    assert f"--sort {column}: there is no such column." in result.stderr
    assert hint in result.stderr
    assert "goal_kimg" in result.stderr
    assert "metrics/fid500-real500-efficientnet-lite0" in result.stderr


def test_damaged_evaluations_are_passed_over(ganzoo):
    evaluated_runs({"fid": 30})
    folder = runs.list_runs(Path("experiments"))[0].path
    damaged = [
        {"mean": 3},
        {"recipe": {}},
        {"results": []},
        {"mean": {"": {"fid": "x"}}},
        {"mean": {"": {"x": 10**400}}},
    ]
    with open(folder / report.RECORDS, "a") as file:
        for changes in damaged:
            file.write(json.dumps({**record({"fid": 1}, images=2000), **changes}) + os.linesep)
        file.write("{")
    assert order(ganzoo, "metrics/fid") == [0]
    (row,) = json.loads(ganzoo("runs", "--json").stdout)
    assert row["metrics"] == {"fid500-real500-efficientnet-lite0": 30}
