"""Optimizers and schedules in a training state: learning rates, exact resume, and a change of the optimizer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from ganzoo_gan import GAN, GANOptions

import ganzoo as gz
from ganzoo.checkpoints.description import StateMetadata
from ganzoo.data.loader import ImageBatch
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step

pytestmark = pytest.mark.usefixtures("jittor")

DECAY = gz.LinearDecay(0.01, start=0.25)
OPTIMIZERS = {
    "adam": gz.Adam(DECAY, beta1=0.5, clip_norm=1.0),
    "adamw": gz.AdamW(DECAY),
    "rmsprop": gz.RMSprop(DECAY, clip_weights=0.5),
    "sgd": gz.SGD(DECAY, momentum=0.9, nesterov=True),
}


class OtherGAN(GAN):
    """The basic GAN with another optimizer, and perhaps with a learning rate that its stage sets."""

    def __init__(self, optimizer: gz.Optimizer, stage_rate: float | None = None) -> None:
        self.optimizer, self.stage_rate = optimizer, stage_rate

    def build(self, options, data, train):
        setup = super().build(options, data, train)
        return dataclasses.replace(setup, optimizers=dict.fromkeys(setup.optimizers, self.optimizer))

    def stages(self, options, train, data):
        return [gz.Stage(data.size, train.batch, learning_rate=self.stage_rate)]


def make(optimizer: gz.Optimizer, kimg: float = 0.032, **settings) -> TrainState:
    """Return the state of a run of eight steps."""
    model = OtherGAN(optimizer, **settings)
    return TrainState(model, GANOptions(size=8), DataInfo("noise", 100, 8, 1), TrainOptions(seed=0, batch=4, kimg=kimg))


def run(state: TrainState, steps: int) -> list[dict[str, float]]:
    """Run training steps. Return the logged values of each phase."""
    logged = []

    def on_logged(phase, values, finite):
        logged.append({name: float(value.item()) for name, value in values.items()})

    step = Step(state, 0, None, lambda *_: None, on_logged)
    for _ in range(steps):
        images = np.random.default_rng(state.progress.step).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
        step(ImageBatch(images, np.zeros(4, np.int64)))
        state.count_step()
    return logged


def restore(state: TrainState, saved: TrainState) -> list[str]:
    metadata = json.loads(json.dumps(saved.metadata().to_json()))
    return state.load(saved.tensors(), StateMetadata.from_json(metadata))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_resumes_exactly_in_the_middle_of_a_decay(name):
    uninterrupted, stopped, resumed = (make(OPTIMIZERS[name]) for _ in range(3))
    run(uninterrupted, 6)
    run(stopped, 4)
    assert restore(resumed, stopped) == []
    run(resumed, 2)
    expected = uninterrupted.tensors()
    assert resumed.tensors().keys() == expected.keys()
    assert any(key.startswith(f"{name}/generator/") for key in expected)
    for key, value in resumed.tensors().items():
        np.testing.assert_array_equal(value, expected[key], key)
    assert resumed.optimizers["generator"].steps == uninterrupted.optimizers["generator"].steps


def test_a_scheduled_learning_rate_follows_the_progress_and_is_logged():
    logged = run(make(OPTIMIZERS["sgd"]), 8)
    generator = [row["learning_rate/generator"] for row in logged if "learning_rate/generator" in row]
    assert generator == pytest.approx([DECAY.at(step / 8) for step in range(8)])
    assert sum("learning_rate/discriminator" in row for row in logged) == 8


def test_a_constant_learning_rate_is_not_logged():
    logged = run(make(gz.SGD(0.01)), 1)
    assert [list(row) for row in logged] == [["gradient_norm/generator"], ["gradient_norm/discriminator"]]


def test_the_learning_rate_of_a_stage_replaces_a_schedule():
    logged = run(make(OPTIMIZERS["sgd"], stage_rate=0.003), 8)
    assert [row["learning_rate/generator"] for row in logged[::2]] == pytest.approx([0.003] * 8)


def test_a_run_that_is_extended_has_the_learning_rate_of_a_longer_run():
    stopped, extended = make(OPTIMIZERS["sgd"]), make(OPTIMIZERS["sgd"], kimg=0.064)
    run(stopped, 8)
    assert stopped.progress.fraction == 1
    restore(extended, stopped)
    assert extended.progress.fraction == 0.5
    assert run(extended, 1)[0]["learning_rate/generator"] == pytest.approx(DECAY.at(0.5))


def test_another_optimizer_starts_anew_and_is_named():
    before, after = make(OPTIMIZERS["adam"]), make(OPTIMIZERS["rmsprop"])
    run(before, 2)
    assert restore(after, before) == [
        f"the optimizer of {network} was adam, is rmsprop; its state starts anew"
        for network in ("generator", "discriminator")
    ]
    former = before.tensors()
    for name, value in after.tensors().items():
        if name.startswith("rmsprop/"):
            assert not value.any(), name
        else:
            np.testing.assert_array_equal(value, former[name], name)
    assert not any(after.optimizers["generator"].steps.values())
    assert after.progress == before.progress
    run(after, 1)


def test_a_run_resumed_with_another_optimizer_says_so(ganzoo, pictures, monkeypatch):
    from ganzoo.registry import plugins

    load = plugins.load

    def loaded(*arguments, **named):
        registry = load(*arguments, **named)
        registry.models["gan"] = OtherGAN(optimizer)
        return registry

    monkeypatch.setattr(plugins, "load", loaded)
    optimizer = OPTIMIZERS["sgd"]
    begun = ganzoo("train", "gan", "--data", "pictures", "--size", "8", "--batch", "4", "--kimg", "0.008")
    assert begun.exit_code == 0, begun.output
    optimizer = OPTIMIZERS["rmsprop"]
    resumed = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.012")
    assert resumed.exit_code == 0, resumed.output
    assert "changed: the optimizer of generator was sgd, is rmsprop; its state starts anew" in resumed.output
    rows = Path("experiments/00000-gan-pictures/stats.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["watched"]["generator/learning_rate/generator"] == pytest.approx(DECAY.at(2 / 3))
