from __future__ import annotations

import numpy as np
import pytest

from ganzoo.backend import checks, environment
from ganzoo.cli import doctor_gpu


def test_a_machine_that_can_train_is_reported_as_ready(jittor, ganzoo):
    result = ganzoo("doctor")
    assert result.exit_code == 0, result.output
    assert "Ready to train." in result.stdout
    assert "agree with NumPy" in result.stdout
    assert "PROBLEM" not in result.stdout


def test_a_missing_compiler_is_a_problem_with_a_remedy(ganzoo, monkeypatch):
    monkeypatch.setenv("cc_path", "no-such-compiler")
    result = ganzoo("doctor")
    assert result.exit_code == 1
    assert "PROBLEM" in result.stdout
    assert "apt install g++" in result.stdout
    assert "Training would fail" in result.stdout


def test_a_half_installed_gpu_is_only_a_note(jittor, ganzoo, monkeypatch):
    finding = checks.Finding("GPU", "1 GPU", "1 found, but there is no nvcc.", "Training runs on the CPU.", fatal=False)
    monkeypatch.setattr(checks, "gpu", lambda: finding)
    result = ganzoo("doctor")
    assert result.exit_code == 0
    assert "note" in result.stdout


@pytest.fixture
def cpu_as_gpu(jittor, monkeypatch):
    """Compare the CPU with itself, in place of a GPU, in the precisions that it has."""
    monkeypatch.setattr(doctor_gpu, "DEVICE", "cpu")
    if not environment.amx_available():
        monkeypatch.delitem(doctor_gpu.TOLERANCES, "amp")
    monkeypatch.setenv("GANZOO_PLUGINS", "ganzoo_gan")


def test_a_step_of_each_model_is_compared(ganzoo, cpu_as_gpu):
    result = ganzoo("doctor", "--gpu")
    assert result.exit_code == 0, result.output
    assert doctor_gpu.TOLERANCES.keys() >= {"fp32", "tf32"}
    for precision in doctor_gpu.TOLERANCES:
        detail = f"{precision}: gradients of one step on the GPU differ from the CPU's by 0.0e+00"
        assert f"ok       gan           {detail}" in result.stdout


def test_gradients_that_differ_are_reported_as_a_problem(ganzoo, cpu_as_gpu, monkeypatch):
    gradient = np.arange(4, dtype=np.float32)

    def step(model, folder, device, precision):
        return {"adam/generator/first/w": gradient * (1.1 if precision == "tf32" else 1)}

    monkeypatch.setattr(doctor_gpu, "_step", step)
    result = ganzoo("doctor", "--gpu")
    assert result.exit_code == 1
    assert "tf32: gradients of one step on the GPU differ from the CPU's by 1.0e-01" in result.stdout
    assert "This exceeds the tolerance of 0.05 for rounding errors." in result.stdout
    assert result.stdout.count("PROBLEM") == 1


def test_a_model_that_is_trained_without_adam_is_not_compared(ganzoo, cpu_as_gpu, monkeypatch):
    state = {"rmsprop/generator/mean_square/w": np.ones(4, np.float32)}
    monkeypatch.setattr(doctor_gpu, "_step", lambda *_: state)
    result = ganzoo("doctor", "--gpu")
    assert result.exit_code == 0
    assert "gan           fp32: not compared, because no network is trained with Adam" in result.stdout


def test_a_failing_step_is_reported(ganzoo, cpu_as_gpu, monkeypatch):
    monkeypatch.setattr(doctor_gpu, "draw_pictures", lambda folder: folder.mkdir())
    result = ganzoo("doctor", "--gpu")
    assert result.exit_code == 1
    assert "a step on the CPU fails: Error: " in result.stdout
    assert "Traceback" not in result.stdout


def test_without_a_gpu_there_is_nothing_to_compare(jittor, ganzoo, monkeypatch):
    monkeypatch.setattr(doctor_gpu.environment, "driver", lambda: None)
    result = ganzoo("doctor", "--gpu")
    assert result.exit_code == 1
    assert "There is nothing to compare: the NVIDIA driver shows no GPU." in result.stdout
