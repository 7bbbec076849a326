"""Errors in a plugin's code are shown with the plugin's own frames only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registry.conftest import Install

MODEL = """
import ganzoo

class Mismatched(ganzoo.Model):
    name, summary = "mismatched", "a model with an error in its loss"

    def build(self, options, data, train):
        class Network(ganzoo.Generator):
            latent = 2

            def __init__(self):
                super().__init__()
                self.layer = ganzoo.Linear(2, 3)

            def execute(self, z):
                return FAULT

        class Loss(ganzoo.Loss):
            phases = (ganzoo.Phase("only", ("generator",)),)

            def __call__(self, phase, batch, progress):
                return {"term": network(batch.latents(2)).mean()}

        network = Network()
        adam = ganzoo.Adam(1e-3)
        return ganzoo.Setup({"generator": network}, {"generator": adam}, Loss())

@ganzoo.hookimpl
def ganzoo_models():
    return [Mismatched()]
"""
START = 'Error in a plugin: mismatched\n  File "{folder}/mismatched.py", line 22, in __call__\n'


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("ganzoo.jt.concat([z, self.layer(z)], 0)", "RuntimeError: Sizes of vars must match except in dimension 0."),
        ("z + self.layer(z)", "RuntimeError: Check failed xshape(2) == yshape(3) Shape not match"),
        ("z.reshape((5, 7))", "RuntimeError: Check failed x_items(8) == y_items(35) reshape shape is invalid"),
        ("self.leyer(z)", "AttributeError: "),
    ],
)
def test_the_traceback_has_only_the_frames_of_the_plugin(
    jittor, ganzoo, install: Install, pictures: Path, tmp_path: Path, fault: str, message: str
) -> None:
    install("mismatched", MODEL.replace("FAULT", fault))
    result = ganzoo("train", "mismatched", "--data", str(pictures), "--batch", "4", "--kimg", "0.01")
    assert result.exit_code == 1
    shown = result.stderr[result.stderr.index("Error in a plugin") :]
    assert shown.startswith(START.format(folder=tmp_path))
    assert f"    return {fault}\n" in shown
    assert shown.splitlines()[-1].startswith(message)
    for hidden in ("\x1b", "Wrong inputs", "site-packages", "/click/", "/training/"):
        assert hidden not in shown


def test_the_whole_traceback_can_be_shown(
    jittor, ganzoo, install: Install, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANZOO_TRACE_PLUGINS", "1")
    install("mismatched", MODEL.replace("FAULT", "self.leyer(z)"))
    result = ganzoo("train", "mismatched", "--data", str(pictures), "--batch", "4", "--kimg", "0.01")
    assert "Error in a plugin: mismatched\nTraceback (most recent call last):" in result.stderr
    assert "step.py" in result.stderr
