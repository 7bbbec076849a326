"""Shell completion: which names are offered, without Jittor and without a word about errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo import runs
from ganzoo.checkpoints.checkpoint import file_name
from ganzoo.checkpoints.description import RunDescription
from ganzoo.cli import completion
from ganzoo.metrics import report
from tests.cli.test_light import BLOCKED
from tests.support.evaluations import record


@pytest.fixture(autouse=True)
def two_runs(workdir):
    for images in (1000, 2000):
        run = runs.create(Path("experiments"), "gan-mnist")
        run.save_description(RunDescription("gan", {}, {"kimg": 5, "data": "mnist"}))
        (run.path / file_name(images)).touch()


def shell(shell: str, words: str, word: int | str) -> subprocess.CompletedProcess:
    """Ask for the completions of a word of a command line, as a shell does."""
    variables = {"_GANZOO_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(word)}
    return subprocess.run(
        [sys.executable, "-c", BLOCKED], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


def names(words: str) -> list[str]:
    """Return the completions of the last word: names, and 'FILE' where the shell completes paths itself."""
    result = shell("bash", words, len(words.split(" ")) - 1)
    assert (result.returncode, result.stderr) == (0, "")
    found = [line.split(",", 1) for line in result.stdout.splitlines() if line]
    return ["FILE" if kind == "file" else value for kind, value in found]


@pytest.mark.parametrize("command", ["generate", "evaluate --quick", "export --out x.safetensors"])
def test_runs_and_their_checkpoints_are_completed(command):
    assert names(f"ganzoo {command} ")[:4] == ["FILE", "latest", "00001-gan-mnist", "00000-gan-mnist"]
    assert names(f"ganzoo {command} 00000") == ["FILE", "00000-gan-mnist"]
    assert names(f"ganzoo {command} 00000-gan-mnist/") == ["FILE", "00000-gan-mnist/checkpoint-000001000"]
    assert names(f"ganzoo {command} some/folder/") == ["FILE"]


def test_runs_of_another_folder_are_completed():
    shutil.move("experiments", "others")
    assert names("ganzoo train gan --experiments others --resume 00001") == ["FILE", "00001-gan-mnist"]
    assert names("ganzoo train gan --resume 00001") == ["FILE"]


def test_models_presets_data_and_choices_are_completed(workdir):
    (workdir / "data").mkdir()
    (workdir / "data" / "mine.lmdb").touch()
    assert names("ganzoo train ls") == ["lsgan"]
    assert names("ganzoo import st") == ["stargan2", "stylegan"]
    assert names("ganzoo train stylegan --preset p") == ["FILE", "paper"]
    assert names("ganzoo train gan --data m") == ["FILE", "mnist", "mine"]
    assert names("ganzoo data check mi") == ["FILE", "mine"]
    assert names("ganzoo train gan --augment d") == ["diffaugment"]


def test_the_last_metric_of_a_list_is_completed():
    assert names("ganzoo evaluate --metrics f") == ["fid"]
    assert names("ganzoo train gan --evaluate fid,k") == ["fid,kid"]
    assert "fid,fid" not in names("ganzoo evaluate --metrics fid,")


def test_columns_to_sort_by_are_completed():
    report.save(Path("experiments/00000-gan-mnist"), record({"fid": 30}))
    assert names("ganzoo runs --sort k") == ["kimg"]
    assert names("ganzoo runs --sort metrics") == ["metrics/fid500-real500-efficientnet-lite0"]


@pytest.mark.parametrize(
    "words", ["ganzoo train nomodel --data ", "ganzoo nocommand ", "ganzoo generate --nooption x ", "ganzoo 'open "]
)
def test_an_error_is_silent(words):
    assert "Error" not in "".join(names(words))


def test_other_programs_names_are_completed_after_their_colon(monkeypatch, ganzoo):
    """Bash takes `x:one` for the three words x, : and one, and replaces the last of them."""
    monkeypatch.setattr(completion, "OTHER_CHECKPOINTS", [lambda ctx: 1 / 0, lambda ctx: ["x:one", "x:two", "y:one"]])
    monkeypatch.setenv("_GANZOO_COMPLETE", "bash_complete")
    for words, word, expected in (
        ("ganzoo generate x : o", 4, "one"),
        ("ganzoo generate x :", 3, "one two"),
        ("ganzoo generate x", 2, "x:one x:two"),
        ("ganzoo generate --class cat : 4 x : t", 8, "two"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(word))
        lines = ganzoo().stdout.split()
        assert [line.removeprefix("plain,") for line in lines if line.startswith("plain,")] == expected.split()


def test_models_of_the_zoo_are_completed():
    assert "zoo:gan-mnist" in names("ganzoo generate ")
    assert names("ganzoo train gan --from zoo:gan") == ["FILE", "gan-mnist"]


def test_downloaded_checkpoints_are_completed(workdir, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(workdir))
    for name, file in (("somebody--digits", "ganzoo.safetensors"), ("somebody--other", "model.safetensors")):
        folder = workdir / f"models--{name}" / "snapshots" / "0123"
        folder.mkdir(parents=True)
        (folder / file).touch()
    assert names("ganzoo generate hf:") == ["FILE", "somebody/digits"]


def test_a_damaged_run_does_not_stop_the_completion():
    Path("experiments/00001-gan-mnist/options.json").write_text("{")
    assert "00000-gan-mnist" in names("ganzoo generate ")


@pytest.mark.parametrize(("name", "word"), [("zsh", "2"), ("fish", "lsg")])
def test_other_shells_are_answered(name, word):
    result = shell(name, "ganzoo train lsg", word)
    assert "lsgan" in result.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_for_bash_completes_in_bash(workdir):
    program = workdir / "ganzoo"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ganzoo "$@"\n')
    program.chmod(0o755)
    lines = [
        f'PATH="{workdir}:$PATH"',
        'eval "$(_GANZOO_COMPLETE=bash_source ganzoo)"',
        "compopt() { :; }",
        "COMP_WORDS=(ganzoo train ls)",
        "COMP_CWORD=2",
        "_ganzoo_completion ganzoo",
        'echo "${COMPREPLY[@]}"',
    ]
    shown = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert shown.stdout.split() == ["lsgan"], shown.stderr
