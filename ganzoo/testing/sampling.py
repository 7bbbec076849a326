"""The part of the contract test about sampling: generated and translated images, sheets, and checkpoints."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pluggy

from ganzoo import backend
from ganzoo.errors import PluginError
from ganzoo.interfaces.dataset import DataInfo, Dataset
from ganzoo.interfaces.loss import one_hot
from ganzoo.interfaces.model import Model
from ganzoo.interfaces.options import Options, resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.interfaces.translator import DirectTranslator
from ganzoo.registry.plugins import Registry
from ganzoo.sampling.latents import from_seeds
from ganzoo.testing.requirement import BATCH, require

if TYPE_CHECKING:
    from ganzoo.interfaces.translator import Translator
    from ganzoo.training.state import TrainState

TOLERANCE = 1e-4  # for pixels in [-1, 1], between two ways of computing the same image


def _images(generator: Any, z: np.ndarray, label: int = 0) -> np.ndarray:
    """Generate images from latents, all of one class if there are classes, or with all attributes equal to `label` if
    there are attributes."""
    jt, inputs = backend.jittor(), [z]
    if generator.classes:
        inputs.append(one_hot(np.full(len(z), label), generator.classes))
    elif generator.attributes:
        inputs.append(np.full((len(z), generator.attributes), label, np.float32))
    with jt.no_grad():
        images: np.ndarray = generator(*map(jt.array, inputs)).numpy()
    return images


def _check_images(images: np.ndarray, data: DataInfo, count: int, inputs: str, network: str) -> None:
    """Check the shape, dtype and values of the images that a network returns for `count` inputs."""
    expected = (count, data.channels, data.size, data.size)
    require(images.shape == expected, f"for {count} {inputs} {network} gives {images.shape}, not {expected}.")
    require(images.dtype == np.float32, f"{network} gives {images.dtype}, not float32.")
    require(bool(np.isfinite(images).all()), f"{network} gives pixels that are infinite or NaN.")


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    return not np.allclose(one, other, rtol=0, atol=TOLERANCE)


def check_generator(state: TrainState, data: DataInfo) -> None:
    """Check the generated images: float (N, C, H, W) in [-1, 1], each depending on its own latent only."""
    generator = state.ema.network(state.setup.generator)
    z = from_seeds(range(3), generator.latent)
    three, one = _images(generator, z), _images(generator, z[:1])
    for images, count in ((three, 3), (one, 1)):
        _check_images(images, data, count, "latents", "the generator")
        low, high, limit = float(images.min()), float(images.max()), 1 + TOLERANCE
        inside = -limit <= low and high <= limit
        require(inside, f"the generator's pixels are in [{low:.3g}, {high:.3g}], not [-1, 1].")
    again = _images(generator, z)
    require(not _differ(three, again), "in inference the same latents give different images each time.")
    require(not _differ(three[:1], one), "in inference an image depends on the other images in its batch.")
    require(not np.array_equal(three[0], three[1]), "two latents give the same image.")
    if generator.classes:
        require(
            generator.classes == len(data.domains),
            f"the generator has {generator.classes} classes, but the data has {len(data.domains)} domains.",
        )
    if generator.classes or generator.attributes:
        what, which = ("classes", "labels") if generator.classes else ("values of the attributes", "attributes")
        require(
            not np.array_equal(three, _images(generator, z, 1)),
            f"two {what} give the same images: the generator does not use its {which}.",
        )


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
    require(not _differ(images, again), "the same image and style give different images each time.")
    require(not _differ(images[[0, 3]], alone), "a translation depends on the other images in its batch.")
    require(_differ(images[:1], images[1:2]), "two images in two styles give the same image.")


def _check_directions(translator: DirectTranslator, data: DataInfo) -> None:
    """Check the translations in every direction: float (N, C, H, W), each depending on its own image only."""
    jt = backend.jittor()
    for direction in translator.directions:
        what = f"in the direction {direction} the translator"
        with jt.no_grad():
            images, again, alone = (
                translator.translate(jt.array(_noise(data, 1)[:count]), direction).numpy() for count in (3, 3, 1)
            )
        _check_images(images, data, 3, "images", what)
        require(not _differ(images, again), f"{what} gives different images each time.")
        require(not _differ(images[:1], alone), f"{what} lets an image depend on the others of its batch.")
        require(_differ(images[:1], images[1:2]), f"{what} gives the same image for two images.")


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
        require(np.array_equal(value, restored[name]), f"{name} is not the same after saving and loading.")
    require(other.progress == state.progress, "the progress is not the same after saving and loading.")
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
    require(
        not _differ(before, after),
        f"{what} gives different images after saving and loading: some weights are not in the checkpoint ({hint}).",
    )


def check_sheets(state: TrainState, dataset: Dataset) -> None:
    """Check the names and pictures of the sheets that the model draws itself, if it does."""
    from ganzoo.training.reporting.model_sheets import model_sheets

    try:
        sheets = model_sheets(state, dataset) if state.model.draws_sheets() else []
    except PluginError as error:
        raise AssertionError(str(error)) from error
    require(bool(sheets) or not state.model.draws_sheets(), "`sheets` is overridden, but yields no sheet.")
