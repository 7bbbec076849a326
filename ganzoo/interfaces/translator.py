"""The interfaces of image-to-image translation, with styles and without.

Choi et al., StarGAN v2: Diverse Image Synthesis for Multiple Domains, 2020, arXiv:1912.01865.
Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, 2017, arXiv:1703.10593.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np


class Translator(ABC):
    """Translates images to another domain (Choi et al. 2020, section 2.1).

    A style, a Var (N, width), determines the domain and one of its looks. It is computed from a random latent or from a
    reference image. Domains are numbers: positions in `DataInfo.domains`.
    """

    latent: int

    @abstractmethod
    def style_of_latents(self, z: Any, domains: np.ndarray) -> Any:
        """Return the style (N, width) of each standard normal latent z (N, latent) in its domain (N,)."""

    @abstractmethod
    def style_of_images(self, images: Any, domains: np.ndarray) -> Any:
        """Return the style (N, width) of each image (N, C, H, W) in [-1, 1], treated as an image of its domain (N,)."""

    @abstractmethod
    def translate(self, images: Any, styles: Any) -> Any:
        """Translate images (N, C, H, W) in [-1, 1] into the styles (N, width). The result is not limited to [-1, 1]."""


class DirectTranslator(ABC):
    """Translates images without styles: in each direction, an image has a single translation (Zhu et al. 2017).

    `directions` are the pairs (source, target) of domains that it can translate between. Domains are numbers: positions
    in `DataInfo.domains`.
    """

    directions: Sequence[tuple[int, int]]

    @abstractmethod
    def translate(self, images: Any, direction: tuple[int, int]) -> Any:
        """Translate images (N, C, H, W) in [-1, 1] of the direction's source domain to its target domain. The result is
        not limited to [-1, 1]."""
