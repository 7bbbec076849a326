from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo import runs
from ganzoo.checkpoints.description import RunDescription
from ganzoo.errors import RunError

OPTIONS = {"model": "gan", "train": {"kimg": 1, "data": "mnist"}, "options": {}}


def make(experiments: Path, name: str = "gan-mnist") -> runs.Run:
    run = runs.create(experiments, name)
    run.save_description(RunDescription.from_json(OPTIONS))
    return run


def create_many(folder: str) -> list[str]:
    return [runs.create(Path(folder), "x").path.name for _ in range(10)]


def test_a_new_run_gets_the_next_number(tmp_path):
    assert make(tmp_path).path.name == "00000-gan-mnist"
    (tmp_path / "00041-other").mkdir()
    (tmp_path / "notes.txt").write_text("not a run")
    assert make(tmp_path, "a b/c").path.name == "00042-a-b-c"


def test_a_long_name_is_shortened(tmp_path):
    assert len(make(tmp_path, f"gan-{'n' * 255}").path.name) < 120


def test_copies_and_other_folders_are_not_newer_runs(tmp_path):
    run = make(tmp_path)
    for name in ("00000-gan-mnist-old", "00000-gan-mnist (copy)", "00007 notes", "00008-"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "options.json").write_text(run.options_file.read_text())
    (tmp_path / "00009-empty").mkdir()
    assert runs.find("latest", tmp_path) == run
    assert [each.path.name for each in runs.list_runs(tmp_path)] == ["00000-gan-mnist-old", "00000-gan-mnist"]
    with pytest.raises(RunError, match="0: several runs have this number, 00000-gan-mnist-old, 00000-gan-mnist"):
        runs.find("0", tmp_path)
    assert runs.find("00000-gan-mnist-old", tmp_path).path.name == "00000-gan-mnist-old"


def test_processes_that_start_simultaneously_get_different_numbers(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        names = [name for some in pool.map(create_many, [str(tmp_path)] * 4) for name in some]
    assert sorted(names) == [f"{number:05d}-x" for number in range(40)]


def test_a_run_is_found_by_number_name_path_and_as_latest(tmp_path, monkeypatch):
    first, second = make(tmp_path), make(tmp_path)
    assert runs.find("0", tmp_path) == runs.find("00000", tmp_path) == first
    assert runs.find(second.path.name, tmp_path) == runs.find("latest", tmp_path) == second
    assert runs.find(str(first.path), tmp_path / "elsewhere") == first


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("latest", "no run in"), ("7", "no run '7'"), (".", "not a run"), ("00000-gan-mnits", "Did you mean")],
)
def test_a_missing_run_is_an_error(tmp_path, monkeypatch, wanted, message):
    monkeypatch.chdir(tmp_path)
    if wanted != "latest":
        make(tmp_path / "runs")
    with pytest.raises(RunError, match=message):
        runs.find(wanted, tmp_path / "runs")


def test_a_run_can_be_locked_once(tmp_path):
    run = make(tmp_path)
    program = f"from ganzoo import runs; import pathlib\nwith runs.Run(pathlib.Path({str(run.path)!r})).locked(): pass"
    with run.locked():
        assert run.in_use()
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert f"in use by another process (PID {os.getpid()})" in other.stderr
    assert not run.in_use()
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_statistics_survive_a_truncated_line_and_are_truncated_on_resume(tmp_path):
    run = make(tmp_path)
    row = {"kimg": 0.1, "images_per_second": 5.5, "losses": {"d/adv": 0.7}}
    for images in (100, 200, 300):
        run.append_stats({"images": images, **row})
    with open(run.stats_file, "a") as file:
        file.write('{"images": 4')
    assert [row["images"] for row in run.stats()] == [100, 200, 300]
    run.truncate_stats(200)
    run.append_stats({"images": 250, **row})
    assert [row["images"] for row in run.stats()] == [100, 200, 250]


def test_the_last_line_of_the_statistics_can_be_replaced(tmp_path):
    run = make(tmp_path)
    row = {"kimg": 0.1, "images_per_second": 5.5, "losses": {}}
    for images in (100, 200):
        run.append_stats({"images": images, **row})
    run.replace_last_stats({"images": 200, **row, "metrics": {"fid": 3.0}})
    run.replace_last_stats({"images": 300, **row})  # appended, because there is no row to replace
    assert [(each["images"], each.get("metrics")) for each in run.stats()] == [
        (100, None),
        (200, {"fid": 3.0}),
        (300, None),
    ]


def test_damaged_options_are_an_error(tmp_path):
    run = make(tmp_path)
    assert run.description().to_json() == OPTIONS
    run.options_file.write_text('{"model": ')
    with pytest.raises(RunError, match=r"options\.json"):
        run.description()


@pytest.mark.parametrize(
    "wrong",
    [
        b"[]",
        b"[" * 10**5,
        b"\xff",
        *(json.dumps({**OPTIONS, **change}).encode() for change in ({"model": 3}, {"train": []}, {"options": None})),
        *(json.dumps({**OPTIONS, "data": data}).encode() for data in (None, {"domains": 3}, {"domains": ["a", None]})),
    ],
    ids=lambda wrong: repr(wrong[-40:]),
)
def test_options_of_wrong_types_are_an_error(tmp_path, wrong):
    run = make(tmp_path)
    run.options_file.write_bytes(wrong)
    with pytest.raises(RunError, match=r"options\.json: can't be read"):
        run.description()


def test_damaged_statistics_are_ignored(tmp_path):
    run = make(tmp_path)
    good = {"images": 100, "kimg": 0.1, "images_per_second": 5.5, "losses": {"d/adv": 0.7}, "watched": {}}
    changes = ({"images": "1"}, {"kimg": None}, {"losses": [1]}, {"losses": {"d": "1"}}, {"watched": 1})
    lines = [json.dumps(row) for row in ([], 3, {}, *({**good, **change} for change in changes))]
    lines += [json.dumps(good).replace("100", wrong) for wrong in ("NaN", "1" * 400, "-Infinity", "9" * 9999)]
    run.stats_file.write_bytes("\n".join([*lines, "[" * 10**5, json.dumps(good)]).encode() + b"\n\xff")
    assert run.stats() == [good]
    run.truncate_stats(50)
    assert run.stats_file.read_text() == ""


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").exists(), reason="needs a folder nobody can write to")
def test_a_folder_that_cannot_be_created_is_an_error():
    with pytest.raises(RunError, match="can't create a run folder there"):
        runs.create(Path("/proc/nowhere"), "x")


def test_the_log_says_where_a_native_crash_was(tmp_path):
    (tmp_path / "experiments").mkdir()
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom ganzoo.runs import create\n"
        "run = create(Path(sys.argv[1]), 'gan-x')\n"
        "def compute():\n    os.kill(os.getpid(), signal.SIGFPE)\n"
        "with run.locked():\n    run.log('on CPU')\n    compute()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "experiments")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGFPE
    log = (tmp_path / "experiments" / "00000-gan-x" / "log.txt").read_text()
    assert re.search("Fatal Python error: Floating.point exception", log)
    assert "in compute" in log


def test_a_name_without_ascii_letters_is_dropped(tmp_path):
    assert runs.create(tmp_path, "gan-画像").path.name == "00000-gan"
