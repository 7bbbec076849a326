"""Runs training steps of ganzoo, records their results, and repeats the steps with the reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from . import random_weights, relative_error, run_reference, strip_prefix

LATENT = 24
STEPS = 5


def adam_settings(*, generator_eps: float, discriminator_eps: float) -> dict[str, Any]:
    """Return Adam for both networks. Each eps must be well above the rounding errors of the gradients. Among a million
    gradients some are only rounding errors, and with the usual eps of 1e-8, Adam would turn them into full steps."""
    from ganzoo import Adam

    eps = {"generator": generator_eps, "discriminator": discriminator_eps}
    return {name: Adam(1e-3, beta1=0.5, beta2=0.9, eps=value) for name, value in eps.items()}


@dataclass
class Comparison:
    """The same steps computed by ganzoo (`actual`) and by the reference (`expected`).

    Both map names to arrays: 'term/STEP/PHASE/TERM' to loss terms, in the order of computation; 'grad/NETWORK/WEIGHT'
    to gradients of the first step; 'change/NETWORK/WEIGHT' to changes over all steps; 'statistics/NETWORK/NAME' to the
    final running statistics; 'samples' to images generated at the end.
    """

    actual: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    updates: dict[str, int]  # as counted by ganzoo's optimizers

    def errors(self, prefix: str) -> dict[str, float]:
        """Return the relative error of each array whose name begins with `prefix`, by the rest of its name."""
        return {name: relative_error(actual, expected) for name, actual, expected in self._pairs(prefix)}

    def gradient_errors(self, network: str, without_effect: Container[str]) -> dict[str, float]:
        """Return the relative errors of the gradients. `without_effect` names biases whose true gradient is zero
        because a batch norm removes any constant: their errors are relative to the gradient of the layer's weight."""
        expected = strip_prefix(self.expected, f"grad/{network}/")
        of_weight = {name: np.abs(expected[name.replace("bias", "weight")]).max() for name in expected}
        return {
            name: relative_error(actual, wanted, of_weight[name] if name in without_effect else 0.0)
            for name, actual, wanted in self._pairs(f"grad/{network}/")
        }

    def weight_change_errors(self, network: str, without_effect: Container[str]) -> dict[str, float]:
        """Return the relative errors of the weight changes, except for the biases `without_effect`: their gradients are
        rounding errors, which Adam turns into full steps."""
        pairs = self._pairs(f"change/{network}/")
        return {
            name: relative_error(actual, expected) for name, actual, expected in pairs if name not in without_effect
        }

    def _pairs(self, prefix: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
        actual, expected = strip_prefix(self.actual, prefix), strip_prefix(self.expected, prefix)
        assert actual.keys() == expected.keys()
        assert actual, f"there is no {prefix}"
        return [(name, actual[name], expected[name]) for name in expected]


def compare(
    kind: str,
    model: Any,
    options: Any,
    size: int,
    channels: int,
    folder: Path,
    *,
    optimizers: Mapping[str, Any],
    batch: int = 5,
    micro_batch: int | None = None,
    large_biases: Mapping[str, Container[str]] | None = None,
    prepare: Callable[[Any], Mapping[str, np.ndarray]] = lambda state: {},
) -> Comparison:
    """Train `model` in ganzoo and the reference's model `kind` in PyTorch for `STEPS` steps, from the same weights on
    the same images. `prepare` may change the state first, and returns arrays that the reference needs."""
    from ganzoo import DataInfo
    from ganzoo.interfaces.train_options import TrainOptions
    from ganzoo.training.state import TrainState

    rng = np.random.default_rng(7)
    _replace_optimizers(model, optimizers)
    state = TrainState(model, options, DataInfo("noise", 100, size, channels), TrainOptions(seed=3))
    given = dict(prepare(state))
    for name, network in state.setup.networks.items():
        weights = random_weights(
            [(key, tuple(var.shape)) for key, var in network.state().items()], rng, (large_biases or {}).get(name, ())
        )
        network.load_state(weights)
        given.update({f"net/{name}/{key}": value for key, value in weights.items()})
    images = [rng.integers(0, 256, (batch, size, size, channels), dtype=np.uint8) for _ in range(STEPS)]
    given.update({f"images/{step}": image for step, image in enumerate(images)})
    given["sampled"] = rng.standard_normal((3, LATENT), dtype=np.float32)

    actual, latents = _record(state, images, micro_batch)
    actual["samples"] = state.ema.network("generator")(_to_var(given["sampled"])).numpy()
    given.update({f"latents/{index}": z for index, z in enumerate(_join_micro_batches(latents, batch))})
    adam = {name: dataclasses.asdict(settings) for name, settings in optimizers.items()}
    shape = {"size": size, "channels": channels, "latent": LATENT}
    expected = run_reference("train", given, folder, model=kind, steps=STEPS, adam=adam, **shape)
    updates = {name: max(optimizer.steps.values()) for name, optimizer in state.optimizers.items()}
    return Comparison(_with_changes(actual, given), _with_changes(expected, given), updates)


def _with_changes(record: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the record with 'change/...' and 'statistics/...' in place of 'net/...'. Changes are small compared with
    the weights, so the weights themselves would hide an error of the steps."""
    result = {}
    for name, value in record.items():
        if not name.startswith("net/"):
            result[name] = value
        elif "running" in name:
            result["statistics/" + name[4:]] = value
        else:
            result["change/" + name[4:]] = value.astype(np.float64) - given[name]
    return result


def _replace_optimizers(model: Any, optimizers: Mapping[str, Any]) -> None:
    build = model.build
    model.build = lambda *arguments: dataclasses.replace(build(*arguments), optimizers=optimizers)


def _record(
    state: Any, images: list[np.ndarray], micro_batch: int | None
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Run a step on each batch; return the results and the latents that were drawn."""
    from ganzoo.data.loader import ImageBatch
    from ganzoo.interfaces.loss import Batch
    from ganzoo.training.step import Step

    terms: dict[str, Any] = {}
    gradients: dict[str, Any] = {}
    latents: list[np.ndarray] = []
    draw = Batch.latents

    def recorded(batch: Any, length: int) -> Any:
        z = draw(batch, length)
        latents.append(z.numpy())
        return z

    def record_terms(phase: Any, means: dict[str, Any], finite: Any) -> None:
        terms.update({f"term/{state.progress.step}/{phase.name}/{key}": term for key, term in means.items()})

    for name, optimizer in state.optimizers.items():
        _record_gradients(optimizer, f"grad/{name}/", gradients)
    step = Step(state, 11, micro_batch, record_terms)
    with mock.patch.object(Batch, "latents", recorded):
        for image in images:
            step(ImageBatch(image, np.zeros(len(image), np.int64)))
            state.progress = state.progress.after(len(image))
    record = {name: var.numpy().reshape(()) for name, var in terms.items()}
    record.update({name: var.numpy() for name, var in gradients.items()})
    record.update({name: value for name, value in state.tensors().items() if name.startswith("net/")})
    return record, latents


def _record_gradients(optimizer: Any, prefix: str, gradients: dict[str, Any]) -> None:
    """Make `optimizer` also store the gradients of its first update in `gradients`."""
    update = optimizer.step

    def step(given: Any, finite: Any) -> None:
        if not any(optimizer.steps.values()):
            gradients.update({prefix + name: gradient for name, gradient in zip(optimizer.weights, given)})
        update(given, finite)

    optimizer.step = step


def _join_micro_batches(latents: list[np.ndarray], batch: int) -> list[np.ndarray]:
    """Join the latents of micro-batches into those of batches."""
    rows = np.concatenate(latents)
    assert len(rows) % batch == 0
    return list(rows.reshape(-1, batch, rows.shape[1]))


def _to_var(value: np.ndarray) -> Any:
    from ganzoo import jt

    return jt.array(value)
