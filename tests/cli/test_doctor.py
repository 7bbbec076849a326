from __future__ import annotations

from pathlib import Path

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


class Steps:
    """Stands in for steps: gradients of two networks, with errors for the GPU and for weights that differ by rounding,
    which name the network."""

    def __init__(self, gpu: dict[str, float], rounding: dict[str, float]) -> None:
        self.gpu, self.rounding = gpu, rounding

    def __call__(self, model, folder, device, precision, source) -> dict[str, np.ndarray]:
        errors = self.rounding if source == Path("rounded") else self.gpu if precision == "tf32" else {}
        gradient = np.arange(4, dtype=np.float32)
        return {f"adam/{name}/first/w": gradient * (1 + errors.get(name, 0)) for name in ("generator", "encoder")}


@pytest.fixture
def steps(cpu_as_gpu, monkeypatch):
    """Replace the steps by those that a test returns errors for."""
    monkeypatch.setattr(doctor_gpu, "_sources", lambda *_: doctor_gpu.Sources(Path("exact"), Path("rounded")))
    return lambda **errors: monkeypatch.setattr(doctor_gpu, "_step", Steps(**errors))


def test_gradients_that_differ_are_reported_as_a_problem(ganzoo, steps):
    steps(gpu={"generator": 0.1}, rounding={"generator": 1e-6})
    result = ganzoo("doctor", "--gpu")
    assert result.exit_code == 1
    assert "tf32: gradients of one step on the GPU differ from the CPU's by 1.0e-01" in result.stdout
    assert "That of the generator exceeds the tolerance of 0.05 for rounding errors." in result.stdout
    assert result.stdout.count("PROBLEM") == 1


def test_a_network_that_amplifies_rounding_errors_is_not_compared_in_a_lower_precision(ganzoo, steps):
    steps(gpu={"generator": 0.1, "encoder": 0.01}, rounding={"generator": 1e-3})
    result = ganzoo("doctor", "--gpu")
    assert result.exit_code == 0, result.output
    assert "fp32: gradients of one step on the GPU differ from the CPU's by 0.0e+00\n" in result.stdout
    assert (
        "tf32: gradients of one step on the GPU differ from the CPU's by 1.0e-02; not compared, because they amplify "
        "rounding errors: generator\n"
    ) in result.stdout


def test_if_all_networks_amplify_rounding_errors_none_is_compared(ganzoo, steps):
    steps(gpu={}, rounding={"generator": 0.1, "encoder": 0.1})
    result = ganzoo("doctor", "--gpu")
    assert result.exit_code == 0, result.output
    assert "fp32: not compared, because they amplify rounding errors: encoder, generator\n" in result.stdout


def test_the_tolerance_grows_with_the_sensitivity_to_rounding():
    found = doctor_gpu._judge("gan", "fp32", {"generator": 0.01}, {"generator": 2e-3}, 1e-3)
    assert found.problem == ""
    found = doctor_gpu._judge("gan", "fp32", {"generator": 0.03}, {"generator": 2e-3}, 1e-3)
    assert found.problem == "That of the generator exceeds the tolerance of 0.02 for rounding errors."


@pytest.mark.parametrize(("error", "harmless"), [(0.0015, True), (0.02, True), (0.1, False)])
def test_an_activation_whose_sign_changed_is_no_problem(error, harmless):
    found = doctor_gpu._judge("lsgan", "fp32", {"generator": error}, {"generator": 7e-7}, doctor_gpu.TOLERANCES["fp32"])
    assert (found.problem == "") == harmless


def test_runs_are_deleted_once_their_gradients_are_read(ganzoo, cpu_as_gpu, monkeypatch):
    present = set()

    def train(model, folder, *arguments):
        present.update(path.parents[1].name for path in folder.glob("*/*/*.safetensors"))
        return real(model, folder, *arguments)

    real = doctor_gpu._train
    monkeypatch.setattr(doctor_gpu, "_train", train)
    assert ganzoo("doctor", "--gpu").exit_code == 0
    assert present == {"gan-start"}


def test_a_model_that_is_trained_without_adam_is_not_compared(ganzoo, steps, monkeypatch):
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
    assert result.stdout.endswith(
        "This machine can train, but the comparison of GPU and CPU found the problems above.\n"
    )
