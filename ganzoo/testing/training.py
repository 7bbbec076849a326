"""The part of the contract test about training: a few steps on noise images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo import backend
from ganzoo.data.attributes import sample_attributes
from ganzoo.errors import DataError, PluginError, RunError
from ganzoo.interfaces.dataset import DataInfo, Dataset
from ganzoo.interfaces.loss import Phase
from ganzoo.interfaces.model import Model, Setup
from ganzoo.interfaces.options import Options, resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.testing.requirement import BATCH, require

if TYPE_CHECKING:
    from ganzoo.training.state import TrainState

AUGMENT_P = 0.5
STEPS = 2


class SyntheticDataset(Dataset):
    """Noise images, whose labels take each value in turn; one image of each label forms a pair."""

    def __init__(self, info: DataInfo) -> None:
        self.info = info
        shape = (info.count, info.size, info.size, info.channels)
        self._images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        from ganzoo.data.images import crop_and_resize

        return crop_and_resize(self._images[index], size), index % max(len(self.info.domains), 1)

    def names(self) -> list[str]:
        return [str(index // max(len(self.info.domains), 1)) for index in range(len(self))]

    def attributes(self) -> np.ndarray:
        shape = len(self), len(self.info.attributes)
        return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def check_setup(setup: Setup, data: DataInfo, conditional: bool) -> None:
    """Check that the networks, optimizers, phases and EMA decays that `build` returns are consistent, that the
    generator takes the attributes of the data, and that the model is `conditional` if its networks are built for
    domains."""
    from ganzoo.registry import setup_validation

    try:
        setup_validation.check_setup(setup, data.domains)
        setup_validation.check_attributes(setup, data)
        setup_validation.check_conditional(setup, conditional)
    except (DataError, PluginError) as error:
        raise AssertionError(str(error)) from error


class PhaseChecker:
    """Callback that checks, after each phase, that the losses are finite and that only the phase's networks changed."""

    def __init__(self, state: TrainState) -> None:
        self.networks = state.setup.networks
        self.before = self._weights()
        self.not_run = {phase.name for phase in state.setup.loss.phases}
        self.terms: list[tuple[str, float]] = []

    def _weights(self) -> dict[str, dict[str, np.ndarray]]:
        backend.run_pending()
        networks = self.networks.items()
        return {name: {key: var.numpy() for key, var in network.trainable().items()} for name, network in networks}

    def __call__(self, phase: Phase, terms: Mapping[str, Any], finite: Any) -> None:
        after, which = self._weights(), f"phase {phase.name!r}"
        for name, term in terms.items():
            value = float(term.item())
            require(math.isfinite(value), f"term {name!r} of {which} is {value} on noise images.")
            self.terms.append((f"term {name!r} of {which}", value))
        require(bool(finite.item()), f"the gradients of {which} are not finite on noise images.")
        for network, weights in after.items():
            changed = [key for key, value in weights.items() if not np.array_equal(value, self.before[network][key])]
            named = network in phase.networks
            first = f"{network}.{(changed or [''])[0]}"
            require(bool(changed) or not named, f"{which} names {network!r}, but changes none of its weights.")
            require(named or not changed, f"{which} changes {first}, but does not name {network!r}.")
        self.before = after
        self.not_run.discard(phase.name)


def check_training(model: Model, options: Options, data: DataInfo, dataset: Dataset) -> TrainState:
    """Train for a few steps in the first and the last stage, until every phase has run. Losses must be finite, each
    phase must change the networks it names and no others, and every weight must get a gradient. Return the final
    state."""
    from ganzoo.training.state import TrainState

    train = resolve(TrainOptions, {"batch": BATCH}, model.defaults)
    state = TrainState(model, options, data, train, attributes=sample_attributes(dataset))
    _check_stages(state, data, dataset)
    return state


def check_augmentation(model: Model, options: Options, data: DataInfo, dataset: Dataset) -> None:
    """Train as in `check_training`, with augmented images, unless the model has no discriminator. A discriminator must
    be given images that are known to be real: see `ganzoo.mark_real`."""
    from ganzoo.training.augmentation.augmenter import has_discriminator
    from ganzoo.training.state import TrainState

    train = resolve(TrainOptions, {"batch": BATCH, "augment": "ada"}, model.defaults)
    state = TrainState(model, options, data, train)
    if not has_discriminator(state.setup.networks):
        return
    assert state.augmenter is not None
    assert state.augmenter.controller is not None
    state.augmenter.controller.p = AUGMENT_P
    _check_stages(state, data, dataset)
    require(
        state.augmenter.knows_reals,
        "no discriminator was given real images that ganzoo knows: pass it batch.images, or mark others with "
        "ganzoo.mark_real.",
    )


def check_resuming(state: TrainState, data: DataInfo, dataset: Dataset) -> None:
    """Check that training goes on from the saved state exactly as without a break. On a GPU, where sums are not exactly
    reproducible, this is not checked."""
    from ganzoo.training.state import TrainState

    if backend.device() != "cpu":
        return
    train = resolve(TrainOptions, {"batch": BATCH}, state.model.defaults)
    restored = TrainState(state.model, state.options, data, train)
    restored.load({name: array.copy() for name, array in state.tensors().items()}, state.metadata())
    state.position = None  # the step below is the first of its Step
    terms, restored_terms = (_check_stage(each, data, dataset) for each in (state, restored))
    after = restored.tensors()
    differing = [name for (name, value), (_, other) in zip(terms, restored_terms) if value != other]
    differing += [name for name, value in state.tensors().items() if not np.array_equal(value, after[name])]
    require(
        not differing,
        f"training goes on differently after saving and loading ({(differing or [''])[0]} differs): a step changes "
        "something that is not in the checkpoint. Keep it in a buffer: a Var with stop_grad, whose name does not begin "
        "with '_', and which `Var.update` changes.",
    )


def _check_stages(state: TrainState, data: DataInfo, dataset: Dataset) -> None:
    for stage in sorted({0, len(state.schedule.stages) - 1}):
        state.progress = dataclasses.replace(state.progress, stage=stage, stage_images=0)
        _check_stage(state, data, dataset)


def _check_stage(state: TrainState, data: DataInfo, dataset: Dataset) -> list[tuple[str, float]]:
    """Train in the current stage until every phase has run, and return the terms of all steps."""
    from ganzoo.data.loader import Loader
    from ganzoo.training.step import Step

    size, first = state.upcoming().stage.size, state.progress.step
    checker = PhaseChecker(state)
    step = Step(state, 0, None, checker)
    config = state.model.loader_config(state.options)
    batches = Loader(dataset, BATCH, size=size, channels=data.channels, seed=0, workers=1, config=config).batches()
    max_steps = max(STEPS, *(phase.interval for phase in state.setup.loss.phases))
    while state.progress.step < first + STEPS or (checker.not_run and state.progress.step < first + max_steps):
        try:
            step(next(batches))
        except (PluginError, RunError) as error:
            raise AssertionError(str(error)) from error
        state.progress = state.progress.after(BATCH)
    require(not checker.not_run, f"these phases never ran in {max_steps} steps: {', '.join(sorted(checker.not_run))}.")
    return checker.terms
