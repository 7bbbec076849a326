"""From seeds to latents to images, and walks between latents. `ganzoo.styles` adds what a style-based generator can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.backend import jittor, run_pending
from ganzoo.errors import CheckpointError, UnsuitableError
from ganzoo.options import resolve
from ganzoo.training.checkpoint import Checkpoint
from ganzoo.training.options import TrainOptions

if TYPE_CHECKING:
    from ganzoo.translation import Translator

CHUNK = 64  # images generated at once
PIXELS = 2**18  # and at most so many pixels, if it is known that images are large: 16 images of 128 px
NOISE = 7  # seed of the constant noise maps

Key = tuple[int, ...]  # names an image by its seed and, in a video, its frame


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
    for name in setup.sampled():
        _load(checkpoint, setup, name)
    translator: Translator = setup.translator
    return translator


def _load(checkpoint: Checkpoint, setup: Any, name: str, size: int | None = None) -> None:
    """Bring a network to what the checkpoint has of it: its average if there is one, grown to what training had come
    to, or to `size` px, in inference mode."""
    network = setup.networks[name]
    kind = "ema" if name in checkpoint.metadata.get("averaged", []) else "net"
    network.load_state(_weights(checkpoint, f"{kind}/{name}/"))
    moment = checkpoint.metadata.get("moment", {})
    present = moment.get("size", checkpoint.data.size)
    try:
        if size in (None, present):
            network.grow(present, moment.get("alpha", 1.0))
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
    from ganzoo.training.state import part

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


def latents(seeds: Sequence[int], length: int) -> np.ndarray:
    """A standard normal latent per seed, (len(seeds), length), the same on every machine and in every company."""
    drawn = [np.random.default_rng(seed).standard_normal(length, dtype=np.float32) for seed in seeds]
    return np.stack(drawn)


def constant_noise(sizes: Sequence[int], count: int) -> list[np.ndarray]:
    """Noise maps (count, 1, side, side) for a style-based generator: one per side, the same for every image, always."""
    maps = [np.random.default_rng([NOISE, n]).standard_normal((1, 1, side, side), "f4") for n, side in enumerate(sizes)]
    return [np.repeat(each, count, 0) for each in maps]


class Sampler:
    """Draws images from codes, one at a time or many: here the code of an image is its latent z (latent,).

    An image depends on its code and key alone, not on the others that are drawn with it.
    """

    space = "z"

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def code(self, z: np.ndarray) -> np.ndarray:
        """The codes between which a walk goes, for latents z (N, latent)."""
        return z

    @property
    def centre(self) -> Any:
        """The point about which a spherical walk turns."""
        return 0.0

    def draw(self, codes: np.ndarray, keys: Sequence[Key]) -> np.ndarray:
        """Images uint8 (N, H, W, C) for N codes and their keys, all at once."""
        jt = jittor()
        with jt.no_grad():
            return to_uint8(self.generator(jt.array(codes)).numpy())

    def images(self, codes: Iterable[tuple[np.ndarray, Key]]) -> Iterator[np.ndarray]:
        """Images uint8 (H, W, C) for codes and their keys, however many: drawn in chunks that fit memory."""
        waiting, count = iter(codes), at_once(self.generator)
        while chunk := list(islice(waiting, count)):
            yield from self.draw(np.stack([code for code, _ in chunk]), [key for _, key in chunk])
            run_pending()


def at_once(generator: Any) -> int:
    """How many images of this generator to make at once."""
    from ganzoo.nets import StyleGenerator

    if not isinstance(generator, StyleGenerator):
        return CHUNK
    return min(CHUNK, max(1, PIXELS // max(generator.noise_sizes()) ** 2))


def generate(generator: Any, z: np.ndarray) -> np.ndarray:
    """Images uint8 (N, H, W, C) for latents (N, length), in chunks that fit memory."""
    return np.concatenate(list(stream(generator, z)))


def stream(generator: Any, z: np.ndarray) -> Iterator[np.ndarray]:
    """As `generate`, chunk by chunk."""
    sampler, count = Sampler(generator), at_once(generator)
    for at in range(0, len(z), count):
        yield sampler.draw(z[at : at + count], ())
    run_pending()


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Floats (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C)."""
    scaled = np.rint((images + 1.0) * 127.5)
    bounded = np.nan_to_num(np.clip(scaled, 0, 255))  # a network that diverged may give numbers that are none
    return bounded.astype(np.uint8).transpose(0, 2, 3, 1)


def lerp(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    """Linear interpolation, at a constant speed, between latents (..., length)."""
    return (1 - t) * start + t * end


def slerp(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    """Spherical interpolation (Shoemake 1985) between latents (..., length): a Gaussian latent keeps its typical
    length. Straight where the two have no angle between them, or half a turn."""
    norms = np.linalg.norm(start, axis=-1, keepdims=True) * np.linalg.norm(end, axis=-1, keepdims=True)
    cosine = (start * end).sum(-1, keepdims=True) / np.where(norms, norms, 1.0)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    straight = (norms == 0) | (np.sin(angle) < 1e-6)
    angle = np.where(straight, 1.0, angle)
    arc = np.sin((1 - t) * angle) / np.sin(angle) * start + np.sin(t * angle) / np.sin(angle) * end
    return np.where(straight, lerp(start, end, t), arc)


Interpolation = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
PATHS: dict[str, Interpolation] = {"linear": lerp, "spherical": slerp}


def loop(keys: np.ndarray, steps: int, path: Interpolation = slerp, centre: Any = 0.0) -> Iterator[np.ndarray]:
    """A closed walk through keys (K, ..., length): `steps` points from each to the next and back to the first.

    Yields K * steps points (..., length) of keys' dtype; point i * steps is key i, exactly. `centre` is the origin
    for a spherical path.
    """
    around = keys.astype(np.float64) - centre  # so exact that adding the centre again gives float32 keys back
    for start, end in zip(around, np.roll(around, -1, axis=0)):
        for step in range(steps):
            yield (path(start, end, step / steps) + centre).astype(keys.dtype)
