"""The scripts for a GPU machine, rehearsed on the CPU at tiny sizes; no time is asserted."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganzoo import backend
from ganzoo.checkpoints import checkpoint
from tests.support.reference import needs_torch

KIT = Path(__file__).parents[2] / "experiments" / "gpu"
MAX_FILE_BYTES = 16 << 20  # limit of a file in the results


class Session:
    """Runs steps and stages in a folder of its own."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.work, self.out = folder / "work", folder / "out"
        places = {"GZ_WORK": str(self.work), "GZ_BUNDLE": str(bundle), "OUT": str(self.out)}
        how = {"GZ_DEVICE": "cpu", "GZ_SMALL": "1", "GZ_PYTHON": sys.executable, "GZ_GAP": "1"}
        self.environment = {**os.environ, **places, **how}

    def step(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(KIT / "step.py"), *words]
        environment = {**self.environment, **environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def stage(self, name: str) -> str:
        """Run a stage and return its output."""
        command = ["bash", str(KIT / "kit.sh"), name, "600"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.work / "results.jsonl").read_text().splitlines()]

    def results(self) -> dict[str, list[dict[str, Any]]]:
        """Check the packed files, and return the lines of results.jsonl by kind."""
        files = list(self.out.iterdir())
        assert len(files) <= 8
        assert all(file.stat().st_size < MAX_FILE_BYTES for file in files)
        with tarfile.open(self.out / "logs.tar.xz") as tar:
            text = tar.extractfile("log/results.jsonl").read().decode()
        found = defaultdict(list)
        for line in map(json.loads, text.splitlines()):
            assert "error" not in line, line
            assert "skipped" not in line, line
            found[line["kind"]].append(line)
        return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return a bundle with the CPU's reference for one run."""
    folder = tmp_path_factory.mktemp("bundle")
    done = Session(folder, folder).step("references", "gan")
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def session(tmp_path, bundle):
    return Session(tmp_path, bundle)


def check_steps(output: str, *steps: str) -> None:
    for step in steps:
        assert f"] {step}: done" in output, output
    for word in ("FAILED", ": late", ": skipped", "still running", "too large"):
        assert word not in output, output


@needs_torch
def test_main_packs_each_kind_of_result(session):
    output = session.stage("main")
    check_steps(output, "core", "losses", "values-gan-fp32", "speed", "profile", "sums", "micro")
    check_steps(output, "train-stylegan", "export-stylegan", "generate")
    assert (session.out / "log.txt").read_text() == output
    found = session.results()
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
    # Speed and profile are measured after losses and values.
    assert speed["t"] > max(losses["t"], values["t"])
    assert profile["t"] > speed["t"]
    assert np.asarray(Image.open(session.out / "samples.png")).std() > 1
    with tarfile.open(session.out / "runs.tar.xz") as tar:
        names = {Path(name).name for name in tar.getnames()}
    assert {"stats.jsonl", "losses.png"} <= names
    assert checkpoint.read(session.out / "stylegan.safetensors").metadata.ema == ("generator",)


@needs_torch
def test_contact_compiles_kernels_and_compares_values(session):
    output = session.stage("contact")
    check_steps(output, "core", "convolutions", "kernels-1", "growth", "values-gan", "sums", "profile")
    found = session.results()
    (kernels,), (values,) = found["kernels"], found["values"]
    assert all(max(each[name] for name in ("output", "image", "kernel")) < 1e-5 for each in found["convolution"])
    assert len(found["convolution"]) == 20
    assert kernels["row"] == "gan-28-64"
    assert kernels["slow_convolutions"] == 0
    assert values["worst"] < 1e-5


def test_a_step_past_its_deadline_starts_nothing(session):
    done = session.step("values", "gan", "fp32", GZ_DEADLINE="1")
    assert done.stdout.endswith("DONE\n")
    assert session.lines()[-1]["skipped"] == "late"


def test_a_failing_step_is_reported(session):
    done = session.step("values", "unknown", "fp32")
    assert done.returncode == 1
    assert "DONE" not in done.stdout
    (line,) = session.lines()
    assert (line["kind"], line["step"]) == ("failed", "values")
    assert "unknown.npz" in line["trace"]


def test_without_its_search_cudnn_chooses_algorithms_by_heuristics(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(KIT)
    kit = importlib.import_module("kit")
    sizes: list[int] = []
    jittor = SimpleNamespace(flags=SimpleNamespace(), cudnn=SimpleNamespace(set_algorithm_cache_size=sizes.append))
    monkeypatch.setattr(backend, "start", lambda *_: None)
    monkeypatch.setattr(backend, "jittor", lambda: jittor)
    monkeypatch.setattr(kit, "WORK", tmp_path)
    monkeypatch.setattr(kit, "FLAGS", "cudnn_search=0,para_opt_level=4")
    kit.start("tf32")
    assert sizes == [0]  # Jittor searches while its cache of algorithms has room
    assert vars(jittor.flags) == {"para_opt_level": 4}


def test_different_values_are_noticed(monkeypatch):
    monkeypatch.syspath_prepend(KIT)
    values = importlib.import_module("values")
    rng = np.random.default_rng(0)
    names = ("net/g/a", "net/g/idle", "adam/g/first/a", "adam/g/first/idle")
    expected = {name: rng.standard_normal(50).astype("float32") for name in names}
    expected["adam/g/first/idle"] *= 1e-9  # a gradient that is 0 except for rounding
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


def test_a_side_that_is_late_or_has_ended_gets_no_more_requests(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(KIT)
    sides = importlib.import_module("sides")
    monkeypatch.setattr(sides.kit, "WORK", tmp_path)
    monkeypatch.setattr(sides.kit, "HERE", tmp_path)
    monkeypatch.setattr(sides, "ANSWER_TIMEOUT", 2.0)
    (tmp_path / "step.py").write_text(
        "import sys, time\nfor line in sys.stdin:\n    time.sleep(60 * ('row' in line))\n    break\n"
    )
    late, dead = sides.SideProcess("ganzoo", "fp32"), sides.SideProcess("ganzoo", "fp32")
    with pytest.raises(sides.NoAnswer, match="no answer in time"):
        late.request("row", "gan-28-64")
    assert not late.ended()  # the late process is not killed
    with pytest.raises(sides.NoAnswer, match="earlier request"):
        late.request("iterate", 0)
    monkeypatch.setattr(sides, "ANSWER_TIMEOUT", 60.0)
    with pytest.raises(sides.NoAnswer, match="ended with status 0"):
        dead.request("iterate", 0)
    assert dead.ended()
    late.child.kill()
    late.child.wait()


@pytest.mark.skipif(not (KIT.parents[1] / ".git").exists(), reason="not a working copy of git")
def test_the_repository_is_small_enough_to_be_carried():
    # prepare.sh adds 11 MB, and what the first session compiled has up to 13 MB.
    root = KIT.parents[1]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    sizes = [(root / name).stat().st_size for name in listed.split("\0") if name]
    assert len(sizes) > 500
    assert sum(sizes) + 24_000_000 < 45_000_000  # the limit of prepare.sh


def test_without_a_driver_there_is_no_gpu(tmp_path):
    command = ["/bin/bash", "-c", f". '{KIT / 'setup.sh'}'; gpu_is_here"]
    assert subprocess.run(command, env={"PATH": str(tmp_path)}, check=False).returncode == 1


@pytest.mark.parametrize("arguments", [[], ["main"], ["main", "soon"], ["session", "100"]])
def test_a_wrong_call_shows_the_usage(arguments):
    done = subprocess.run(["bash", str(KIT / "kit.sh"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "kit.sh main 450" in done.stderr
