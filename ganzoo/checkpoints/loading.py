"""Loading networks for inference from a checkpoint alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.checkpoints.checkpoint import Checkpoint, attribute_rows, with_prefix
from ganzoo.errors import CheckpointError, UnsupportedByModelError

if TYPE_CHECKING:
    from ganzoo.interfaces.translator import DirectTranslator, Translator


def trained_sizes(checkpoint: Checkpoint, registry: Any) -> list[int]:
    """Return the resolutions (px) that the networks have been trained at, up to the current one."""
    model = checkpoint.model(registry)
    train = checkpoint.run.train_options(model.defaults)
    stages = model.stages(checkpoint.options(model), train, checkpoint.data)
    position = checkpoint.metadata.position
    return [stage.size for stage in (stages if position is None else stages[: position.index + 1])]


def load_generator(checkpoint: Checkpoint, registry: Any, size: int | None = None) -> Any:
    """Load the generator from a checkpoint, in inference mode, with its EMA weights if there are any.

    It generates images at the resolution that training had reached, or at `size` px, one of the `trained_sizes`.
    UnsupportedByModelError if the model translates images.
    """
    model = checkpoint.model(registry)
    setup = build_setup(checkpoint, model)
    if setup.translator is not None:
        raise UnsupportedByModelError(f"{model.name} translates images: give the input with --source IMAGE|FOLDER.")
    _load(checkpoint, setup, setup.generator, size)
    return setup.networks[setup.generator]


def load_attributes(checkpoint: Checkpoint, generator: Any) -> np.ndarray | None:
    """Return the attributes of some of the training data, float32 (K, attributes), from which the seeds of samples
    choose; None if the generator has no attributes. CheckpointError if they are missing or damaged."""
    if not generator.attributes:
        return None
    try:
        rows = attribute_rows(checkpoint.tensors, generator.attributes)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error
    if len(checkpoint.data.attributes) != generator.attributes:
        raise CheckpointError(f"{checkpoint.path}: its description does not name the generator's attributes.")
    return rows


def load_translator(checkpoint: Checkpoint, registry: Any) -> Translator | DirectTranslator:
    """Load the image translator from a checkpoint, in inference mode. UnsupportedByModelError if the model only
    generates images from latents."""
    model = checkpoint.model(registry)
    setup = build_setup(checkpoint, model)
    if setup.translator is None:
        raise UnsupportedByModelError(
            f"{model.name} generates images from latents and can't translate any; omit --source."
        )
    for name in setup.sampling_networks():
        _load(checkpoint, setup, name)
    translator: Translator | DirectTranslator = setup.translator
    return translator


def _load(checkpoint: Checkpoint, setup: Any, name: str, size: int | None = None) -> None:
    """Load a network's weights (EMA weights if there are any), grow it to the resolution that training had reached, or
    to `size` px, and put it in inference mode."""
    network = setup.networks[name]
    kind = "ema" if name in checkpoint.metadata.ema else "net"
    network.load_state(finite_weights(checkpoint, f"{kind}/{name}/"))
    position = checkpoint.metadata.position
    current, alpha = (position.size, position.alpha) if position else (checkpoint.data.size, 1.0)
    try:
        if size in (None, current):
            network.grow(current, alpha)
        else:
            network.grow(size, 1.0)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.path}: its description is damaged ({error}).") from error
    network.eval()


def translator_of(checkpoint: Checkpoint, registry: Any) -> Translator | DirectTranslator | None:
    """Return the translator of a checkpoint's model, without loading weights; None if the model does not translate
    images. May build its networks to find out, so Jittor must have been started."""
    model = checkpoint.model(registry)
    if not model.is_conditional(checkpoint.options(model)) or not checkpoint.data.domains:
        return None
    translator: Translator | DirectTranslator | None = build_setup(checkpoint, model).translator
    return translator


def finite_weights(checkpoint: Checkpoint, prefix: str) -> dict[str, np.ndarray]:
    """Return a network's weights, those stored as float16 as float32. CheckpointError if any of them is not finite: the
    images would be meaningless."""
    weights = with_prefix(checkpoint.tensors, prefix)
    for name, value in weights.items():
        if not np.isfinite(value).all():
            bad = "NaN" if np.isnan(value).any() else "infinite"
            raise CheckpointError(
                f"{checkpoint.path}: the weight {prefix}{name} is {bad} in places, so no image can be generated. "
                "Use an earlier checkpoint or another file."
            )
    return {name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in weights.items()}


def build_setup(checkpoint: Checkpoint, model: Any) -> Any:
    """Build the networks that a checkpoint describes, without loading weights. CheckpointError if that fails."""
    try:
        train = checkpoint.run.train_options(model.defaults)
        return model.build(checkpoint.options(model), checkpoint.data, train)
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{checkpoint.path}: it describes networks that can't be built.") from error
