"""The kit for a GPU machine, rehearsed on the CPU at tiny sizes; times are not looked at."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.reference import needs_torch

KIT = Path(__file__).parents[2] / "experiments" / "gpu"
MOST = 16 << 20  # bytes of a file that comes back


class Session:
    """Runs steps and stages in a folder of their own."""

    def __init__(self, folder: Path, carried: Path) -> None:
        self.work, self.out = folder / "work", folder / "out"
        places = {"GZ_WORK": str(self.work), "GZ_CARRIED": str(carried), "OUT": str(self.out)}
        how = {"GZ_DEVICE": "cpu", "GZ_SMALL": "1", "GZ_PYTHON": sys.executable, "GZ_GAP": "1"}
        self.environment = {**os.environ, **places, **how}

    def step(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(KIT / "step.py"), *words]
        environment = {**self.environment, **environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def stage(self, name: str) -> str:
        """What the stage prints."""
        command = ["bash", str(KIT / "kit.sh"), name, "600"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.work / "results.jsonl").read_text().splitlines()]

    def brought_back(self) -> dict[str, list[dict[str, Any]]]:
        """Lines of results by kind; checks the files that come back."""
        files = list(self.out.iterdir())
        assert len(files) <= 8
        assert all(file.stat().st_size < MOST for file in files)
        with tarfile.open(self.out / "logs.tar.xz") as tar:
            text = tar.extractfile("log/results.jsonl").read().decode()
        found = defaultdict(list)
        for line in map(json.loads, text.splitlines()):
            assert "error" not in line, line
            assert "skipped" not in line, line
            found[line["kind"]].append(line)
        return found


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """A folder with the CPU's reference for one run."""
    folder = tmp_path_factory.mktemp("carried")
    done = Session(folder, folder).step("references", "gan")
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def session(tmp_path, carried):
    return Session(tmp_path, carried)


def check_steps(said: str, *steps: str) -> None:
    for step in steps:
        assert f"] {step}: done" in said, said
    for word in ("FAILED", ": late", ": skipped", "still running", "too large"):
        assert word not in said, said


@needs_torch
def test_main_brings_back_each_kind_of_result(session):
    said = session.stage("main")
    check_steps(said, "core", "losses", "values-gan-fp32", "speed", "profile", "train", "generate", "sums", "micro")
    assert (session.out / "log.txt").read_text() == said
    found = session.brought_back()
    assert {"machine", "core", "micro", "accuracy"} <= found.keys()
    (losses,), (values,), (speed,), (profile,) = (found[kind] for kind in ("losses", "values", "speed", "profile"))
    assert losses["worst"] < 1e-4
    assert losses["ours"].keys() == {"generator/adversarial", "discriminator/real", "discriminator/fake"}
    assert values["worst"] < 1e-5
    assert values["gradients"].keys() == values["weights"].keys() == {"generator", "discriminator"}
    assert speed["sides"].keys() == {"ganzoo", "torch", "torch-channels-last"}
    times = {side: each["ms"] for side, each in speed["sides"].items()}
    assert speed["ratio"] == pytest.approx(min(times["torch"], times["torch-channels-last"]) / times["ganzoo"])
    assert speed["beside"] == []
    assert profile["launches"] > 20
    assert profile["kernels_ms"] > 0
    assert all(each["relative"] < 1e-5 for each in found["accuracy"])
    # Speed and profile are measured when losses and values have been.
    assert speed["t"] > max(losses["t"], values["t"])
    assert profile["t"] > speed["t"]
    assert np.asarray(Image.open(session.out / "samples.png")).std() > 1
    with tarfile.open(session.out / "run.tar.xz") as tar:
        names = {Path(name).name for name in tar.getnames()}
    assert {"stats.jsonl", "losses.png"} <= names
    assert (session.out / "checkpoint.0").exists()


def test_contact_compiles_and_compares(session):
    said = session.stage("contact")
    check_steps(said, "core", "kernels-1", "growth", "values-gan-fp32", "sums", "profile")
    found = session.brought_back()
    (kernels,), (values,) = found["kernels"], found["values"]
    assert kernels["row"] == "gan-28-64"
    assert kernels["slow_convolutions"] == 0
    assert values["worst"] < 1e-5


def test_a_step_that_is_late_begins_nothing(session):
    done = session.step("values", "gan", "fp32", GZ_UNTIL="1")
    assert done.stdout.endswith("DONE\n")
    assert session.lines()[-1]["skipped"] == "late"


def test_a_step_that_fails_is_told(session):
    done = session.step("values", "unknown", "fp32")
    assert done.returncode == 1
    assert "DONE" not in done.stdout
    (line,) = session.lines()
    assert (line["kind"], line["step"]) == ("failed", "values")
    assert "unknown.npz" in line["trace"]


def test_other_values_are_noticed(monkeypatch):
    monkeypatch.syspath_prepend(KIT)
    values = importlib.import_module("values")
    rng = np.random.default_rng(0)
    names = ("net/g/a", "net/g/idle", "adam/g/first/a", "adam/g/first/idle")
    expected = {name: rng.standard_normal(50).astype("float32") for name in names}
    expected["adam/g/first/idle"] *= 1e-9  # a gradient that is 0 but for rounding
    made = {name: array.copy() for name, array in expected.items()}
    made["net/g/idle"] += 1
    assert values.compare(made, expected)["worst"] == 0
    made["adam/g/first/a"][7] += 0.01
    found = values.compare(made, expected)
    assert found["worst"] == found["gradients"]["g"] == pytest.approx(0.01 / np.linalg.norm(expected["adam/g/first/a"]))
    assert found["weights"] == {"g": 0}
    del made["net/g/idle"]
    with pytest.raises(RuntimeError, match="net/g/idle"):
        values.compare(made, expected)


def test_a_side_that_is_late_or_ends_gets_no_more_requests(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(KIT)
    sides = importlib.import_module("sides")
    monkeypatch.setattr(sides.kit, "WORK", tmp_path)
    monkeypatch.setattr(sides.kit, "HERE", tmp_path)
    monkeypatch.setattr(sides, "PATIENCE", 2.0)
    (tmp_path / "step.py").write_text(
        "import sys, time\nfor line in sys.stdin:\n    time.sleep(60 * ('row' in line))\n    break\n"
    )
    late, dead = sides.Process("ganzoo", "fp32"), sides.Process("ganzoo", "fp32")
    with pytest.raises(sides.NoAnswer, match="no answer in time"):
        late.ask("row", "gan-28-64")
    assert not late.ended()  # it is left alone
    with pytest.raises(sides.NoAnswer, match="before"):
        late.ask("iterate", 0)
    monkeypatch.setattr(sides, "PATIENCE", 60.0)
    with pytest.raises(sides.NoAnswer, match="ended with status 0"):
        dead.ask("iterate", 0)
    assert dead.ended()
    late.child.kill()
    late.child.wait()


def test_without_a_driver_there_is_no_gpu(tmp_path):
    command = ["/bin/bash", "-c", f". '{KIT / 'setup.sh'}'; gpu_is_here"]
    assert subprocess.run(command, env={"PATH": str(tmp_path)}, check=False).returncode == 1


@pytest.mark.parametrize("arguments", [[], ["main"], ["main", "soon"], ["session", "100"]])
def test_a_wrong_call_says_how_to_call(arguments):
    done = subprocess.run(["bash", str(KIT / "kit.sh"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "kit.sh main 450" in done.stderr
