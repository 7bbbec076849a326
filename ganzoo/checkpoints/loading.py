"""Networks to sample, from nothing but a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.checkpoints.checkpoint import Checkpoint, part
from ganzoo.errors import CheckpointError, UnsuitableError
from ganzoo.interfaces.options import resolve
from ganzoo.interfaces.train_options import TrainOptions

if TYPE_CHECKING:
    from ganzoo.interfaces.translator import Translator


def trained_sizes(checkpoint: Checkpoint, registry: Any) -> list[int]:
    """The resolutions in px that the networks were trained at so far, up to the present one."""
    model = checkpoint.model(registry)
    train = resolve(TrainOptions, checkpoint.metadata.get("train", {}), model.defaults, stored=True)
    stages = model.stages(checkpoint.options(model), train, checkpoint.data)
    last = checkpoint.metadata.get("moment", {}).get("index", len(stages) - 1)
    return [stage.size for stage in stages[: last + 1]]


def load_generator(checkpoint: Checkpoint, registry: Any, size: int | None = None) -> Any:
    """The generator to sample, in inference mode, from nothing but a checkpoint: its average where there is one.

    It makes images of the resolution that training had come to, or of `size` px, one of the `trained_sizes`.
    UnsuitableError if the model redraws images.
    """
    model = checkpoint.model(registry)
    setup = _built(checkpoint, model)
    if setup.translator is not None:
        raise UnsuitableError(f"{model.name} redraws images: name them with --source IMAGE|FOLDER.")
    _load(checkpoint, setup, setup.generator, size)
    return setup.networks[setup.generator]


def load_translator(checkpoint: Checkpoint, registry: Any) -> Translator:
    """What translates images, in inference mode, from nothing but a checkpoint. UnsuitableError if the model only makes
    images of latents."""
    model = checkpoint.model(registry)
    setup = _built(checkpoint, model)
    if setup.translator is None:
        raise UnsuitableError(f"{model.name} makes images of latents and can't translate any; leave --source out.")
    for name in setup.sampling_networks():
        _load(checkpoint, setup, name)
    translator: Translator = setup.translator
    return translator


def _load(checkpoint: Checkpoint, setup: Any, name: str, size: int | None = None) -> None:
    """Bring a network to what the checkpoint has of it: its average if there is one, grown to what training had come
    to, or to `size` px, in inference mode."""
    network = setup.networks[name]
    kind = "ema" if name in checkpoint.metadata.get("averaged", []) else "net"
    network.load_state(_weights(checkpoint, f"{kind}/{name}/"))
    position = checkpoint.metadata.get("moment", {})
    present = position.get("size", checkpoint.data.size)
    try:
        if size in (None, present):
            network.grow(present, position.get("alpha", 1.0))
        else:
            network.grow(size, 1.0)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.path}: its description is damaged ({error}).") from error
    network.eval()


def translates(checkpoint: Checkpoint, registry: Any) -> bool:
    """Whether the model of a checkpoint turns images into images. Its networks may be built to find out, so Jittor must
    have been started."""
    model = checkpoint.model(registry)
    if not model.conditional or not checkpoint.data.domains:
        return False
    return _built(checkpoint, model).translator is not None


def _weights(checkpoint: Checkpoint, prefix: str) -> dict[str, np.ndarray]:
    """The arrays of a network. CheckpointError if a number in them is not finite: its images would show nothing."""
    weights = part(checkpoint.tensors, prefix)
    for name, value in weights.items():
        if not np.isfinite(value).all():
            bad = "NaN" if np.isnan(value).any() else "infinite"
            raise CheckpointError(
                f"{checkpoint.path}: the weight {prefix}{name} is {bad} in places, so no image can be made with it. "
                "Take an earlier checkpoint, or another file."
            )
    return weights


def _built(checkpoint: Checkpoint, model: Any) -> Any:
    """The networks that a checkpoint describes, still without weights. CheckpointError if there can't be such."""
    try:
        return model.build(checkpoint.options(model), checkpoint.data)
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{checkpoint.path}: it describes networks that can't be built.") from error
