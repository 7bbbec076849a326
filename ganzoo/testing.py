"""The contract test, which checks everything that ganzoo expects of a model, with tiny synthetic data.

    from ganzoo.testing import check_model
    from my_package import MyGAN

    def test_contract():
        check_model(MyGAN(), {"size": 16})

It needs no test framework: a violation raises AssertionError with a sentence that says what is wrong.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pluggy

from ganzoo import backend
from ganzoo.errors import GanzooError, PluginError, RunError
from ganzoo.interfaces.dataset import DataInfo, Dataset
from ganzoo.interfaces.loss import Phase, one_hot
from ganzoo.interfaces.model import Model, Setup
from ganzoo.interfaces.options import Options, resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.interfaces.translator import DirectTranslator
from ganzoo.registry.plugins import Registry
from ganzoo.registry.validation import checked_name
from ganzoo.sampling.latents import from_seeds

if TYPE_CHECKING:
    from ganzoo.interfaces.translator import Translator
    from ganzoo.training.state import TrainState

BATCH = 4
IMAGES = 8
AUGMENT_P = 0.5
STEPS = 2
TOLERANCE = 1e-4  # for pixels in [-1, 1], between two ways of computing the same image

# Run in a child process: import a module, and at the first attempt to import Jittor, print the line to blame and exit.
_IMPORT = """
import importlib, os, sys, traceback
import ganzoo.backend
hidden = (os.path.dirname(ganzoo.__file__) + os.sep, os.path.dirname(importlib.__file__) + os.sep, "<")
def report(*ignored):
    frames = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(hidden)]
    print("JITTOR:" + (f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "somewhere"), flush=True)
    os._exit(3)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "jittor":
            report()
sys.meta_path.insert(0, Finder())
ganzoo.backend.start = ganzoo.backend.jittor = report
importlib.import_module(sys.argv[1])
"""


def check_model(
    model: Model,
    options: Mapping[str, Any] | None = None,
    *,
    size: int = 16,
    channels: tuple[int, ...] = (1, 3),
    domains: tuple[str, ...] = ("a", "b"),
) -> None:
    """Check everything that ganzoo expects of `model`. AssertionError if a check fails.

    `options` are the model's own, by name: choose the smallest networks and images, so that the test takes seconds. The
    synthetic images have `size` px (unless the model asks for another size), each number of channels in `channels` in
    turn, and labels from `domains`.
    """
    check_declaration(model)
    chosen = check_options(model, options or {})
    check_lazy_import(model)
    if not backend.started():
        backend.start()
    for count in channels:
        images = -(-IMAGES // max(len(domains), 1)) * max(len(domains), 1)  # equally many of each domain
        data = DataInfo("synthetic", images, size, count, domains)
        data = dataclasses.replace(data, size=model.image_size(chosen, data))
        chosen = check_resolve_options(model, chosen, data)
        train = resolve(TrainOptions, {"batch": BATCH}, model.defaults)
        setup = model.build(chosen, data, train)
        check_setup(setup)
        _require(
            model.is_conditional(chosen) or (setup.translator is None and not _classes(setup)),
            "a model with a translator or with classes needs `conditional = True`, or an option `conditional`.",
        )
        dataset = SyntheticDataset(data)
        state = check_training(model, chosen, data, dataset)
        check_sheets(state, dataset)
        if state.setup.translator is None:
            check_generator(state, data)
        else:
            check_translator(state, data)
        check_checkpoint(model, chosen, data, state)
    check_augmentation(model, chosen, data, SyntheticDataset(data))


def check_declaration(model: Model) -> None:
    """Check that the command line can show and parse the model's name, summary, options class and defaults."""
    try:
        checked_name("models", model)
    except PluginError as error:
        raise AssertionError(f"{error}.") from error


def check_options(model: Model, values: Mapping[str, Any]) -> Options:
    """Return the resolved options, after checking that they survive a round trip through JSON, from which a run is
    resumed."""
    try:
        chosen = resolve(model.options, values)
        instances: list[Options] = [chosen, resolve(model.options, {}), resolve(TrainOptions, {}, model.defaults)]
        for each in instances:
            again = resolve(type(each), json.loads(json.dumps(each.to_dict())))
            _require(again == each, f"{type(each).__name__} is not the same after a round trip through JSON: {each}")
    except (GanzooError, TypeError, ValueError) as error:
        raise AssertionError(f"the options of {model.name!r} are invalid: {error}") from error
    return chosen


def check_resolve_options(model: Model, options: Any, data: DataInfo) -> Options:
    """Return the options with data-dependent defaults filled in, after checking that they are filled in only once:
    later calls must not change a run's options."""
    chosen: Options = model.resolve_options(options, data)
    again = model.resolve_options(chosen, dataclasses.replace(data, name="other"))
    _require(again == chosen, f"`resolve_options` changes options that it has resolved: {chosen} to {again}.")
    return chosen


def check_lazy_import(model: Model) -> None:
    """Check that the model's module does not import Jittor, because every `--help` imports that module."""
    module = type(model).__module__
    if module == "__main__":
        return
    where, failure = _import_alone(module)
    _require(not where, f"{module} imports Jittor when it is imported ({where}); do it inside `build`.")
    _require(not failure, f"{module} can't be imported by itself: {failure}")


@functools.cache
def _import_alone(module: str) -> tuple[str, str]:
    """Return where a module imports Jittor ('' if it doesn't), and why its import fails ('' if it doesn't)."""
    child = subprocess.run(
        [sys.executable, "-c", _IMPORT, module],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = (child.stderr.strip().splitlines() or [f"status {child.returncode}"])[-1]
    return child.stdout.partition("JITTOR:")[2].strip(), last if child.returncode else ""


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


def check_setup(setup: Setup) -> None:
    """Check that the networks, optimizers, phases and EMA decays that `build` returns are consistent."""
    from ganzoo.registry import setup_validation

    try:
        setup_validation.check_setup(setup)
    except PluginError as error:
        raise AssertionError(str(error)) from error


class PhaseChecker:
    """Callback that checks, after each phase, that the losses are finite and that only the phase's networks changed."""

    def __init__(self, state: TrainState) -> None:
        self.networks = state.setup.networks
        self.before = self._weights()
        self.not_run = {phase.name for phase in state.setup.loss.phases}

    def _weights(self) -> dict[str, dict[str, np.ndarray]]:
        backend.run_pending()
        networks = self.networks.items()
        return {name: {key: var.numpy() for key, var in network.trainable().items()} for name, network in networks}

    def __call__(self, phase: Phase, terms: Mapping[str, Any], finite: Any) -> None:
        after, which = self._weights(), f"phase {phase.name!r}"
        for name, term in terms.items():
            value = float(term.item())
            _require(math.isfinite(value), f"term {name!r} of {which} is {value} on noise images.")
        _require(bool(finite.item()), f"the gradients of {which} are not finite on noise images.")
        for network, weights in after.items():
            changed = [key for key, value in weights.items() if not np.array_equal(value, self.before[network][key])]
            named = network in phase.networks
            first = f"{network}.{(changed or [''])[0]}"
            _require(bool(changed) or not named, f"{which} names {network!r}, but changes none of its weights.")
            _require(named or not changed, f"{which} changes {first}, but does not name {network!r}.")
        self.before = after
        self.not_run.discard(phase.name)


def check_training(model: Model, options: Options, data: DataInfo, dataset: Dataset) -> TrainState:
    """Train for a few steps in the first and the last stage, until every phase has run. Losses must be finite, each
    phase must change the networks it names and no others, and every weight must get a gradient. Return the final
    state."""
    from ganzoo.training.state import TrainState

    state = TrainState(model, options, data, resolve(TrainOptions, {"batch": BATCH}, model.defaults))
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
    _require(
        state.augmenter.knows_reals,
        "no discriminator was given real images that ganzoo knows: pass it batch.images, or mark others with "
        "ganzoo.mark_real.",
    )


def _check_stages(state: TrainState, data: DataInfo, dataset: Dataset) -> None:
    for stage in sorted({0, len(state.schedule.stages) - 1}):
        state.progress = dataclasses.replace(state.progress, stage=stage, stage_images=0)
        _check_stage(state, data, dataset)


def _check_stage(state: TrainState, data: DataInfo, dataset: Dataset) -> None:
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
    _require(not checker.not_run, f"these phases never ran in {max_steps} steps: {', '.join(sorted(checker.not_run))}.")


def _classes(setup: Setup) -> int:
    """Return the number of classes of the network to sample, 0 if it has none."""
    return int(getattr(setup.networks.get(setup.generator), "classes", 0))


def _images(generator: Any, z: np.ndarray, label: int = 0) -> np.ndarray:
    """Generate images from latents, all of one class if there are classes."""
    jt, inputs = backend.jittor(), [z]
    if generator.classes:
        inputs.append(one_hot(np.full(len(z), label), generator.classes))
    with jt.no_grad():
        images: np.ndarray = generator(*map(jt.array, inputs)).numpy()
    return images


def _check_images(images: np.ndarray, data: DataInfo, count: int, inputs: str, network: str) -> None:
    """Check the shape, dtype and values of the images that a network returns for `count` inputs."""
    expected = (count, data.channels, data.size, data.size)
    _require(images.shape == expected, f"for {count} {inputs} {network} gives {images.shape}, not {expected}.")
    _require(images.dtype == np.float32, f"{network} gives {images.dtype}, not float32.")
    _require(bool(np.isfinite(images).all()), f"{network} gives pixels that are infinite or NaN.")


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    return not np.allclose(one, other, rtol=0, atol=TOLERANCE)


def check_sheets(state: TrainState, dataset: Dataset) -> None:
    """Check the names and pictures of the sheets that the model draws itself, if it does."""
    from ganzoo.training.reporting.model_sheets import model_sheets

    try:
        sheets = model_sheets(state, dataset) if state.model.draws_sheets() else []
    except PluginError as error:
        raise AssertionError(str(error)) from error
    _require(bool(sheets) or not state.model.draws_sheets(), "`sheets` is overridden, but yields no sheet.")


def check_generator(state: TrainState, data: DataInfo) -> None:
    """Check the generated images: float (N, C, H, W) in [-1, 1], each depending on its own latent only."""
    generator = state.ema.network(state.setup.generator)
    z = from_seeds(range(3), generator.latent)
    three, one = _images(generator, z), _images(generator, z[:1])
    for images, count in ((three, 3), (one, 1)):
        _check_images(images, data, count, "latents", "the generator")
        low, high, limit = float(images.min()), float(images.max()), 1 + TOLERANCE
        inside = -limit <= low and high <= limit
        _require(inside, f"the generator's pixels are in [{low:.3g}, {high:.3g}], not [-1, 1].")
    again = _images(generator, z)
    _require(not _differ(three, again), "in inference the same latents give different images each time.")
    _require(not _differ(three[:1], one), "in inference an image depends on the other images in its batch.")
    _require(not np.array_equal(three[0], three[1]), "two latents give the same image.")
    if generator.classes:
        _require(
            generator.classes == len(data.domains),
            f"the generator has {generator.classes} classes, but the data has {len(data.domains)} domains.",
        )
        _require(not np.array_equal(three, _images(generator, z, 1)), "two classes give the same images.")


def check_translator(state: TrainState, data: DataInfo) -> None:
    """Check the translated images: float (N, C, H, W), each depending on its own image and style only."""
    translator = state.ema.translator()
    assert translator is not None
    if isinstance(translator, DirectTranslator):
        _check_directions(translator, data)
        return
    images = _translated(translator, data)
    _check_images(images, data, 6, "images", "the translator")
    again, alone = _translated(translator, data), _translated(translator, data, 1)
    _require(not _differ(images, again), "the same image and style give different images each time.")
    _require(not _differ(images[[0, 3]], alone), "a translation depends on the other images in its batch.")
    _require(_differ(images[:1], images[1:2]), "two images in two styles give the same image.")


def _check_directions(translator: DirectTranslator, data: DataInfo) -> None:
    """Check the translations in every direction: float (N, C, H, W), each depending on its own image only."""
    jt = backend.jittor()
    for direction in translator.directions:
        what = f"in the direction {direction} the translator"
        _require(max(direction) < len(data.domains), f"{what} uses a domain that the data lacks.")
        with jt.no_grad():
            images, again, alone = (
                translator.translate(jt.array(_noise(data, 1)[:count]), direction).numpy() for count in (3, 3, 1)
            )
        _check_images(images, data, 3, "images", what)
        _require(not _differ(images, again), f"{what} gives different images each time.")
        _require(not _differ(images[:1], alone), f"{what} lets an image depend on the others of its batch.")
        _require(_differ(images[:1], images[1:2]), f"{what} gives the same image for two images.")


def _translated(translator: Translator | DirectTranslator, data: DataInfo, count: int = 3) -> np.ndarray:
    """Translate `count` images to styles of latents, then the same images to styles of other images; or in every
    direction, if there are no styles. Return all in one array."""
    jt = backend.jittor()
    if isinstance(translator, DirectTranslator):
        sources = jt.array(_noise(data, 1)[:count])
        with jt.no_grad():
            return np.concatenate([translator.translate(sources, each).numpy() for each in translator.directions])
    domains = np.arange(count) % len(data.domains)
    sources, references = (_noise(data, seed)[:count] for seed in (1, 2))
    with jt.no_grad():
        by_latents = translator.style_of_latents(jt.array(from_seeds(range(count), translator.latent)), domains)
        by_images = translator.style_of_images(jt.array(references), domains)
        translations = [translator.translate(jt.array(sources), each).numpy() for each in (by_latents, by_images)]
    return np.concatenate(translations)


def _noise(data: DataInfo, seed: int) -> np.ndarray:
    shape = 3, data.channels, data.size, data.size
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def check_checkpoint(model: Model, options: Options, data: DataInfo, state: TrainState) -> None:
    """Check that a state restored from its checkpoint is identical, to the bit, and generates the same images."""
    from ganzoo.checkpoints import checkpoint
    from ganzoo.checkpoints.description import RunDescription
    from ganzoo.checkpoints.loading import load_generator, load_translator
    from ganzoo.training.state import TrainState

    description = RunDescription(model.name, options.to_dict(), data=data)
    tensors = state.tensors()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"contract{checkpoint.SUFFIX}"
        checkpoint.write(path, tensors, description, state.metadata())
        saved = checkpoint.read(path)
    other = TrainState(model, options, data, resolve(TrainOptions, {"batch": BATCH, "seed": 1}, model.defaults))
    other.load(saved.tensors, saved.metadata)
    restored = other.tensors()
    for name, value in tensors.items():
        _require(np.array_equal(value, restored[name]), f"{name} is not the same after saving and loading.")
    _require(other.progress == state.progress, "the progress is not the same after saving and loading.")
    registry = Registry(pluggy.PluginManager("ganzoo"), models={model.name: model})
    translator = state.ema.translator()
    what = "the generator" if translator is None else "the translator"
    hint = "each Var or Module must be an attribute of its own, not in a list"
    if translator is not None:
        hint += "; a ganzoo.Discriminator without EMA is not available to the translator"
        before, after = _translated(translator, data), _translated(load_translator(saved, registry), data)
    else:
        sampled, loaded = state.ema.network(state.setup.generator), load_generator(saved, registry)
        z = from_seeds(range(3), sampled.latent)
        before, after = _images(sampled, z), _images(loaded, z)
    _require(
        not _differ(before, after),
        f"{what} gives different images after saving and loading: some weights are not in the checkpoint ({hint}).",
    )


def _require(condition: bool, message: str) -> None:
    # Not a bare assert: `python -O` would drop it.
    if not condition:
        raise AssertionError(message)
