from __future__ import annotations

import json
from pathlib import Path

from ganzoo import runs
from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription


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


def test_models_are_listed_with_name_summary_and_paper(ganzoo):
    rows = {row["name"]: row for row in json.loads(ganzoo("models", "--json").stdout)}
    assert {"gan", "lsgan"} <= rows.keys()
    assert "arXiv" in rows["lsgan"]["paper"]
    assert rows["gan"]["summary"] in ganzoo("models").stdout


def test_train_help_names_every_option_with_its_default(ganzoo):
    text = ganzoo("train", "lsgan", "--help").stdout
    for flag in ("--variant", "--size", "--data", "--kimg", "--batch", "--resume", "--preset", "--dry-run"):
        assert flag in text
    assert "[default: 64]" in text
