"""`ganzoo train --precision` works on the CPU too."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path

import pytest

from ganzoo.backend import environment
from tests.cli.test_train import start, wait_for

needs_amx = pytest.mark.skipif(not environment.amx_available(), reason="this processor has no AMX")
HINT = "this processor has AMX: --precision amp (bfloat16 convolutions) trains faster"
LSGAN = ["--size", "32", "--batch", "8", "--tick", "0.008", "--snapshot", "1"]
RUN = Path("experiments/00000-lsgan-pictures")


def train(*arguments: str) -> str:
    child = start("train", "lsgan", *arguments)
    assert child.wait(timeout=300) == 0, Path("output.txt").read_text()
    return Path("output.txt").read_text()


def digest(kimg: float) -> str:
    return hashlib.sha256((RUN / f"checkpoint-{round(kimg * 1000):09}.safetensors").read_bytes()).hexdigest()


@needs_amx
def test_training_in_bfloat16_resumes_with_the_same_bits_after_a_kill(pictures):
    arguments = ["--data", "pictures", *LSGAN, "--precision", "amp"]
    output = train(*arguments, "--kimg", "0.048")
    assert "CPU, bfloat16 and float32 (" in output
    assert HINT not in output
    expected = digest(0.048)
    RUN.rename("uninterrupted")
    child = start("train", "lsgan", *arguments, "--kimg", "0.048")
    wait_for(lambda: (RUN / "checkpoint-000000016.safetensors").exists(), child)
    child.send_signal(signal.SIGKILL)
    child.wait()
    train("--resume", "0", "--kimg", "0.048")
    assert digest(0.048) == expected


@needs_amx
def test_the_precision_can_change_when_a_run_is_resumed(pictures):
    train("--data", "pictures", *LSGAN, "--precision", "amp", "--kimg", "0.008")
    output = train("--resume", "0", "--precision", "fp32", "--kimg", "0.016")
    assert "CPU, float32" in output
    output = train("--resume", "0", "--precision", "amp", "--kimg", "0.024")
    assert "CPU, bfloat16 and float32" in output
    assert (RUN / "checkpoint-000000024.safetensors").exists()


@pytest.mark.parametrize("amx", [True, False])
def test_a_dry_run_recommends_bfloat16_where_it_is_faster(jittor, ganzoo, pictures, monkeypatch, amx):
    monkeypatch.setattr(environment, "amx_available", lambda: amx)
    for chosen in ([], ["--precision", "fp32"]):
        result = ganzoo("train", "lsgan", "--data", "pictures", *LSGAN, "--dry-run", *chosen)
        assert result.exit_code == 0, result.output
        assert (HINT in result.output) == (amx and not chosen)
