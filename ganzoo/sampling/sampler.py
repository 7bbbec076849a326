"""Sampling of images from latents. `ganzoo.sampling.styles` extends it for style-based generators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ganzoo.backend import jittor, run_pending
from ganzoo.backend.pixels import to_uint8
from ganzoo.sampling.latents import PATHS, lerp, loop

MAX_CHUNK = 64  # images generated at once
MAX_PIXELS = 2**18  # pixels generated at once, if the image size is known: 16 images of 128 px
Key = tuple[int, ...]  # determines the noise of an image: its seed and, in a video, its frame


class Sampler:
    """Generates images from codes. The code of an image is a vector, here the latent z (latent,), followed by its
    condition if the generator is conditional: the label (classes,) or the attributes (A,).

    An image depends only on its code and key, not on the other images in its chunk. `attributes` are rows (K, A) from
    which seeds choose, if the generator has attributes.
    """

    space = "z"
    max_chunk: int | None = None  # images generated at once; None: as many as fit in memory

    def __init__(self, generator: Any, attributes: np.ndarray | None = None) -> None:
        self.generator, self.attributes = generator, attributes
        self.classes: int = generator.classes
        self.condition_width = condition_width(generator)

    def reuse(self, other: Any) -> None:
        """Take over what another sampler of the same weights has computed. Here there is nothing."""

    def code(self, z: np.ndarray, conditions: np.ndarray | None = None) -> np.ndarray:
        """Return the codes of latents z (N, latent) and labels (N, classes) or attributes (N, A), between which walks
        interpolate."""
        return self._join(z, conditions)

    def _join(self, vectors: np.ndarray, conditions: np.ndarray | None) -> np.ndarray:
        """Append the conditions to vectors (N, length)."""
        if conditions is None and self.condition_width:
            raise ValueError(f"a conditional generator needs {'labels' if self.classes else 'attributes'}")
        return vectors if conditions is None else np.concatenate([vectors, conditions], -1)

    def split(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split codes (..., length) into their vectors and conditions."""
        length = codes.shape[-1] - self.condition_width
        return codes[..., :length], codes[..., length:]

    def between(self, start: np.ndarray, end: np.ndarray, fraction: float) -> np.ndarray:
        """Return the code at a fraction of the way between two codes (length,): linear in w, spherical in z, and linear
        for conditions."""
        (first, condition), (last, other) = self.split(start), self.split(end)
        vector = PATHS["linear" if self.space == "w" else "spherical"](first, last, fraction)
        code: np.ndarray = np.concatenate([vector, lerp(condition, other, fraction)])
        return code.astype(start.dtype)

    @property
    def walk_centre(self) -> Any:
        """The point around which spherical walks turn, a number or an array as long as a code's vector."""
        return 0.0

    def walk(self, codes: np.ndarray, steps: int, path: str) -> Iterator[np.ndarray]:
        """Yield a closed walk through codes (K, ..., length), `steps` points from each code to the next. Vectors are
        interpolated on a path in `PATHS`, conditions linearly."""
        vectors, conditions = self.split(codes)
        walk = loop(vectors, steps, PATHS[path], self.walk_centre)
        if not self.condition_width:
            yield from walk
            return
        for vector, condition in zip(walk, loop(conditions, steps, lerp)):
            yield self._join(vector, condition)

    def inputs(self, codes: np.ndarray) -> list[Any]:
        """Return the inputs of the generator for codes (N, length), as Vars: latents and, if it is conditional, labels
        or attributes."""
        parts = self.split(codes) if self.condition_width else (codes,)
        return [jittor().array(np.ascontiguousarray(part)) for part in parts]

    def generate_batch(self, codes: np.ndarray, keys: Sequence[Key]) -> np.ndarray:
        """Generate images uint8 (N, H, W, C) from N codes and their keys in one batch."""
        with jittor().no_grad():
            return to_uint8(self.generator(*self.inputs(codes)).numpy())

    def stream(self, codes: Iterable[tuple[np.ndarray, Key]]) -> Iterator[np.ndarray]:
        """Yield an image uint8 (H, W, C) for each code and its key, generated in chunks that fit in memory."""
        remaining, count = iter(codes), self.max_chunk or chunk_size(self.generator)
        while chunk := list(islice(remaining, count)):
            yield from self.generate_batch(np.stack([code for code, _ in chunk]), [key for _, key in chunk])
            run_pending()


def condition_width(generator: Any) -> int:
    """Return the length of what the generator gets besides a latent: the number of its classes or attributes."""
    return int(generator.classes or generator.attributes)


def chunk_size(generator: Any) -> int:
    """Return how many images to generate at once with this generator."""
    from ganzoo.interfaces.networks import StyleGenerator

    if not isinstance(generator, StyleGenerator):
        return MAX_CHUNK
    return min(MAX_CHUNK, max(1, MAX_PIXELS // max(generator.noise_sizes()) ** 2))


def generate(generator: Any, z: np.ndarray, conditions: np.ndarray | None = None) -> np.ndarray:
    """Generate images uint8 (N, H, W, C) from latents (N, latent) and, if the generator is conditional, labels
    (N, classes) or attributes (N, A), in chunks that fit in memory."""
    return np.concatenate(list(stream(generator, z, conditions)))


def stream(generator: Any, z: np.ndarray, conditions: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the images of `generate`, chunk by chunk."""
    sampler, count = Sampler(generator), chunk_size(generator)
    codes = sampler.code(z, conditions)
    for start in range(0, len(codes), count):
        yield sampler.generate_batch(codes[start : start + count], ())
    run_pending()
