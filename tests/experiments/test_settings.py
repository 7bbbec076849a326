"""The program that compares settings of a model by their FIDs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY_RUN_OPTIONS
from tests.support.processes import MAX_SECONDS, has_ended, wait_until, with_argument

SCRIPT = Path(__file__).parents[2] / "experiments" / "results" / "settings.py"


@pytest.fixture
def compare(workdir, pictures):
    """Return a function that compares settings of short trainings."""
    preset = "\n".join(
        [f"data = {str(pictures)!r}", *(f"{name[2:]} = {value}" for name, value in zip(*[iter(TINY_RUN_OPTIONS)] * 2))]
    )
    Path("tiny.toml").write_text(preset)

    def compare(*tried: str) -> subprocess.CompletedProcess[str]:
        options = ["--preset", "tiny.toml", "--kimg", "0.008", "--seeds", "2", "--samples", "20", "--real", "12"]
        options += ["--folder", "settings", *(argument for each in tried for argument in ("--try", each))]
        return subprocess.run(
            [sys.executable, str(SCRIPT), "gan", *options], capture_output=True, text=True, check=False
        )

    return compare


def test_each_setting_is_measured_with_each_seed_and_only_once(compare) -> None:
    first = compare("", "--learning-rate 0.01")
    assert first.returncode == 0, first.stderr
    header, _, preset, other = first.stdout.splitlines()
    assert header == "| setting | FID | seeds |"
    assert preset.startswith("| the preset | ")
    assert other.startswith("| `--learning-rate 0.01` | ")
    assert preset.split("|")[2] != other.split("|")[2]
    assert " ± 0.0 |" not in first.stdout  # the seeds differ
    measured = {path: path.stat().st_mtime_ns for path in Path("settings").rglob("evaluations.jsonl")}
    assert len(measured) == 4
    again = compare("--learning-rate 0.01")
    assert again.stdout.splitlines()[2:] == [other]
    assert {path: path.stat().st_mtime_ns for path in Path("settings").rglob("evaluations.jsonl")} == measured


def test_a_wrong_option_is_reported_and_the_rest_is_not_trained(compare) -> None:
    result = compare("--nothing 1", *(f"--learning-rate 0.0{digit}" for digit in range(1, 9)))
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert "--nothing" in result.stderr
    assert "Traceback" not in result.stderr
    assert len([*Path("settings").rglob("options.json")]) < 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_comparison_that_is_ended_ends_its_trainings(workdir, pictures, number) -> None:
    command = [sys.executable, str(SCRIPT), "gan", "--kimg", "1000000", "--seeds", "2", "--jobs", "2"]
    options = ["--folder", "settings", "--try", f"--data {pictures} --size 8 --batch 4"]
    comparison = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: len([*Path("settings").rglob("options.json")]) == 2)
        pids = with_argument(str(pictures))
        assert len(pids) > 2
        comparison.send_signal(number)
        output, _ = comparison.communicate(timeout=MAX_SECONDS)
    finally:
        comparison.kill()
    assert comparison.returncode == 1
    assert output.strip() == "Aborted!"
    assert all(map(has_ended, pids))
