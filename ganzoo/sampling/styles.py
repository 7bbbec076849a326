"""What a style-based generator can do beside making an image of a latent: truncation, noise, style mixing.

Karras et al., A Style-Based Generator Architecture for Generative Adversarial Networks, 2019, arXiv:1812.04948. In
all of this a style is a w (width,), and the styles of an image are an array (layers, width), coarsest layer first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ganzoo.backend import jittor
from ganzoo.interfaces.noise import constant_noise
from ganzoo.sampling.sampler import Key, Sampler, to_uint8

MEAN_SEED, MEAN_BATCHES, MEAN_BATCH = 11, 10, 1024  # latents whose mean w is taken
NOISE_SEED = 13


class StyleSampler(Sampler):
    """Draws images of a StyleGenerator at its present resolution.

    The code of an image is a latent z (latent,), or a w (width,) if `space` is 'w', or all its styles (layers, width).
    z and w are truncated: the first `cutoff` layers get mean + psi * (w - mean), with the mean of w over all latents
    (appendix B); `cutoff` None: as many layers as the generator says; psi 1: none. `noise`: 'const', the same maps for
    every image; 'random', drawn for each image from its key; 'none'.
    """

    def __init__(
        self, generator: Any, psi: float = 1.0, cutoff: int | None = None, noise: str = "const", space: str = "z"
    ) -> None:
        super().__init__(generator)
        self.psi, self.noise, self.space = psi, noise, space
        layers = generator.style_layers()
        asked = generator.truncation_layers if cutoff is None else cutoff
        self.cutoff = layers if asked is None else min(asked, layers)
        self._constant: dict[int, list[Any]] = {}

    def code(self, z: np.ndarray) -> np.ndarray:
        """The w (N, width) of latents z (N, latent), not truncated, if that is the space; else z."""
        return self.map(z) if self.space == "w" else z

    @property
    def centre(self) -> Any:
        """In w, the mean: a spherical walk keeps its distance from the average image."""
        return self.mean if self.space == "w" else 0.0

    def map(self, z: np.ndarray) -> np.ndarray:
        """The w (N, width) of latents z (N, latent)."""
        jt = jittor()
        with jt.no_grad():
            w: np.ndarray = self.generator.map(jt.array(z)).numpy()
        return w

    @cached_property
    def mean(self) -> np.ndarray:
        """The mean of w, float64 (width,): the generator's running average, or that of 10,240 fixed latents."""
        if self.generator.w_average is not None:
            return self.generator.w_average.numpy().astype(np.float64)
        rng = np.random.default_rng(MEAN_SEED)
        batches = (rng.standard_normal((MEAN_BATCH, self.generator.latent), "f4") for _ in range(MEAN_BATCHES))
        return np.mean([self.map(z).mean(0, dtype=np.float64) for z in batches], 0)

    def styles(self, codes: np.ndarray) -> np.ndarray:
        """The styles (N, layers, width) of z or w (N, length), truncated; those of (N, layers, width) are given."""
        if codes.ndim == 3:
            return codes
        w = codes if self.space == "w" else self.map(codes)
        layers = self.generator.style_layers()
        styles = np.repeat(w[:, None], layers, 1)
        if self.psi != 1 and self.cutoff:
            styles[:, : self.cutoff] = (self.mean + self.psi * (w - self.mean))[:, None]
        return styles

    def draw(self, codes: np.ndarray, keys: Sequence[Key]) -> np.ndarray:
        """Images uint8 (N, H, W, C) for N codes and their keys, all at once."""
        jt = jittor()
        # An array of its own for each layer: a slice of a Var would be a kernel of its own for each layer.
        styles = [jt.array(np.ascontiguousarray(each)) for each in self.styles(codes).transpose(1, 0, 2)]
        with jt.no_grad():
            return to_uint8(self.generator.synthesise(styles, self._noise(keys)).numpy())

    def _noise(self, keys: Sequence[Key]) -> list[Any]:
        jt = jittor()
        sides, count = self.generator.noise_sizes(), len(keys)
        if self.noise == "random":
            rngs = [np.random.default_rng([NOISE_SEED, *key]) for key in keys]
            return [jt.array(np.stack([rng.standard_normal((1, side, side), "f4") for rng in rngs])) for side in sides]
        if count not in self._constant:  # of the whole chunks and the last one; drawing them again would take a while
            maps = constant_noise(sides, count)
            factor = np.float32(self.noise == "const")
            self._constant[count] = [jt.array(factor * each).stop_grad() for each in maps]
        return self._constant[count]


def mix(destination: np.ndarray, source: np.ndarray, layers: range) -> np.ndarray:
    """Styles (layers, width) of `destination`, in the given layers those of `source` (section 3.1)."""
    mixed = destination.copy()
    mixed[layers.start : layers.stop] = source[layers.start : layers.stop]
    return mixed
