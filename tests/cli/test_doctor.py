from __future__ import annotations

from ganzoo.backend import checks


def test_a_good_machine_is_told_so(jittor, ganzoo):
    result = ganzoo("doctor")
    assert result.exit_code == 0, result.output
    assert "Ready to train." in result.stdout
    assert "agree with NumPy" in result.stdout
    assert "PROBLEM" not in result.stdout


def test_a_missing_compiler_is_a_problem_with_a_mend(ganzoo, monkeypatch):
    monkeypatch.setenv("cc_path", "no-such-compiler")
    result = ganzoo("doctor")
    assert result.exit_code == 1
    assert "PROBLEM" in result.stdout
    assert "apt install g++" in result.stdout
    assert "Training would fail" in result.stdout


def test_a_half_installed_gpu_is_only_a_note(jittor, ganzoo, monkeypatch):
    finding = checks.Finding("GPU", "1", "1 found, but there is no nvcc.", "Training runs on the CPU.", fatal=False)
    monkeypatch.setattr(checks, "gpu", lambda: finding)
    result = ganzoo("doctor")
    assert result.exit_code == 0
    assert "note" in result.stdout
