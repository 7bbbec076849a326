"""Sampling from style-based generators: truncation, noise inputs and style mixing.

Karras et al., A Style-Based Generator Architecture for Generative Adversarial Networks, 2019, arXiv:1812.04948. In this
module, a style is a w (width,), and the styles of an image are an array (layers, width), coarsest layer first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ganzoo.backend import jittor
from ganzoo.backend.pixels import to_uint8
from ganzoo.interfaces.noise import constant_noise
from ganzoo.sampling.sampler import Key, Sampler

MEAN_SEED, MEAN_BATCHES, MEAN_BATCH = 11, 10, 1024  # batches of latents for estimating the mean w
NOISE_SEED = 13


class StyleSampler(Sampler):
    """Generates images with a StyleGenerator at its current resolution.

    The code of an image is a latent z (latent,), or a w (width,) if `space` is 'w', followed by the label (classes,) or
    the attributes (A,) if the generator is conditional; or all its styles (layers, width). Codes z and w are truncated
    (appendix B): the first `cutoff` layers (None: as many as the generator specifies) get mean + psi * (w - mean), with
    the mean of w over all latents, of the image's class if there are classes, or over the rows of `attributes`. psi 1
    means no truncation. `noise` is 'const' (the same maps for every image), 'random' (drawn for each image from its
    key) or 'none'.
    """

    def __init__(
        self,
        generator: Any,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: str = "const",
        space: str = "z",
        attributes: np.ndarray | None = None,
    ) -> None:
        super().__init__(generator, attributes)
        self.psi, self.noise, self.space = psi, noise, space
        layers = generator.style_layers()
        limit = generator.truncation_layers if cutoff is None else cutoff
        self.cutoff = layers if limit is None else min(limit, layers)
        self._constant_noise: dict[int, list[Any]] = {}

    def reuse(self, other: StyleSampler) -> None:
        """Take over what another sampler of the same weights has computed: the means of w and the noise."""
        if np.array_equal(self.attributes, other.attributes) and "means" in vars(other):  # type: ignore[arg-type]
            self.means = other.means
        if self.noise == other.noise:
            self._constant_noise = other._constant_noise

    def code(self, z: np.ndarray, conditions: np.ndarray | None = None) -> np.ndarray:
        """Return the codes of latents z (N, latent) and labels (N, classes) or attributes (N, A), with the untruncated
        w in place of z if `space` is 'w'."""
        codes = self._join(z, conditions)
        return self._join(self.map(codes), conditions) if self.space == "w" else codes

    @property
    def walk_centre(self) -> Any:
        """The point around which spherical walks turn: in w the mean, of all classes if there are any; in z zero."""
        return self.means.mean(0) if self.space == "w" else 0.0

    def map(self, codes: np.ndarray) -> np.ndarray:
        """Map latents z, each followed by its label or attributes if there are any, (N, length), to w (N, width)."""
        with jittor().no_grad():
            w: np.ndarray = self.generator.map(*self.inputs(codes)).numpy()
        return w

    @cached_property
    def means(self) -> np.ndarray:
        """The mean of w, float64 (1, width), or of each class, (classes, width): the generator's running average if it
        is not conditional, or the mean over 10,240 fixed latents, to which the rows of attributes are dealt out."""
        if self.generator.w_average is not None and not self.condition_width:
            return self.generator.w_average.numpy().astype(np.float64)[None]
        if self.classes:
            return np.stack([self._mean(label[None]) for label in np.eye(self.classes, dtype=np.float32)])
        return self._mean(self.attributes)[None]

    def _mean(self, conditions: np.ndarray | None) -> np.ndarray:
        """Return the mean of w over latents, to which the rows of `conditions` are dealt out in turn."""
        rng, means = np.random.default_rng(MEAN_SEED), []
        for start in range(0, MEAN_BATCHES * MEAN_BATCH, MEAN_BATCH):
            z, turns = rng.standard_normal((MEAN_BATCH, self.generator.latent), "f4"), np.arange(MEAN_BATCH) + start
            rows = None if conditions is None else conditions[turns % len(conditions)]
            means.append(self.map(self._join(z, rows)).mean(0, dtype=np.float64))
        return np.mean(means, 0)

    def styles(self, codes: np.ndarray) -> np.ndarray:
        """Return the truncated styles (N, layers, width) of codes z or w (N, length). Codes that are styles already are
        returned unchanged."""
        if codes.ndim == 3:
            return codes
        vectors, conditions = self.split(codes)
        w = vectors if self.space == "w" else self.map(codes)
        layers = self.generator.style_layers()
        styles = np.repeat(w[:, None], layers, 1)
        if self.psi != 1 and self.cutoff:
            mean = conditions @ self.means if self.classes else self.means
            styles[:, : self.cutoff] = (mean + self.psi * (w - mean))[:, None]
        return styles

    def generate_batch(self, codes: np.ndarray, keys: Sequence[Key]) -> np.ndarray:
        """Generate images uint8 (N, H, W, C) from N codes and their keys in one batch."""
        jt = jittor()
        # A separate array for each layer: slicing a Var would compile a separate kernel for each layer.
        styles = [jt.array(np.ascontiguousarray(each)) for each in self.styles(codes).transpose(1, 0, 2)]
        with jt.no_grad():
            return to_uint8(self.generator.synthesise(styles, self._noise(keys)).numpy())

    def _noise(self, keys: Sequence[Key]) -> list[Any]:
        jt = jittor()
        sides, count = self.generator.noise_sizes(), len(keys)
        if self.noise == "random":
            rngs = [np.random.default_rng([NOISE_SEED, *key]) for key in keys]
            return [jt.array(np.stack([rng.standard_normal((1, side, side), "f4") for rng in rngs])) for side in sides]
        if count not in self._constant_noise:  # cached by count, because drawing is slow
            maps = constant_noise(sides, count)
            factor = np.float32(self.noise == "const")
            self._constant_noise[count] = [jt.array(factor * each).stop_grad() for each in maps]
        return self._constant_noise[count]


def mix(destination: np.ndarray, source: np.ndarray, layers: range) -> np.ndarray:
    """Return a copy of `destination` (layers, width), with the styles of `source` in the given layers (section 3.1)."""
    mixed = destination.copy()
    mixed[layers.start : layers.stop] = source[layers.start : layers.stop]
    return mixed
