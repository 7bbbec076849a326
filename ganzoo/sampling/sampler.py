"""Images from latents. `ganzoo.sampling.styles` adds what a style-based generator can do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.backend import jittor, run_pending

if TYPE_CHECKING:
    pass

CHUNK = 64  # images generated at once
PIXELS = 2**18  # and at most so many pixels, if it is known that images are large: 16 images of 128 px
Key = tuple[int, ...]  # names an image by its seed and, in a video, its frame


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
    from ganzoo.interfaces.networks import StyleGenerator

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
