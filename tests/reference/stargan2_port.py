"""Checkpoints of StarGAN v2 for the import to read, made by the reference (see `stargan2_files`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import in_torch

SIZE, COUNT, LATENT, DOMAINS, ITERATIONS = 64, 2, 4, 3, 2
PLAN = {
    "size": SIZE,
    "style_dim": 8,
    "latent": LATENT,
    "hidden": 8,
    "domains": DOMAINS,
    "max_channels": 8,
    "base": 512,
}
# The reference's names of our networks.
NAMES = {
    "generator": "generator",
    "mapping": "mapping_network",
    "encoder": "style_encoder",
    "discriminator": "discriminator",
}
KINDS = ("nets", "nets_ema", "optims")


class Files:
    """The three files of one moment of training, and what the reference makes of them."""

    def __init__(self, folder: Path, w_hpf: float = 0.0, fan: Mapping[str, np.ndarray] | None = None) -> None:
        self.folder = folder
        rng = np.random.default_rng(3)
        self.given: dict[str, np.ndarray] = {
            name: rng.uniform(-1, 1, (COUNT, 3, SIZE, SIZE)).astype(np.float32)
            for name in ("x", "reference", "reference2")
        }
        self.given.update({name: rng.standard_normal((COUNT, LATENT), np.float32) for name in ("z", "z2")})
        self.given.update(y=np.array([0, 1]), target=np.array([2, 1]))
        if w_hpf:
            for name in ("mask/0", "mask/1", "fake_mask/0", "fake_mask/1"):
                self.given[name] = rng.random((COUNT, 1, 128, 128), np.float32)
        landmarks = {f"fan/{name}": value for name, value in (fan or {}).items()}
        settings: dict[str, Any] = {"plan": {**PLAN, "w_hpf": w_hpf}, "iterations": ITERATIONS}
        self.expected = in_torch("stargan2_files", {**self.given, **landmarks}, folder, target=str(folder), **settings)

    def path(self, kind: str) -> Path:
        return self.folder / f"{ITERATIONS:06d}_{kind}.ckpt"

    def translations(self, run: Path) -> dict[str, np.ndarray]:
        """What the imported run in this folder makes of the reference's images, latents and masks."""
        from ganzoo import jt, plugins, sampling
        from ganzoo.training import checkpoint

        translator: Any = sampling.load_translator(checkpoint.read(checkpoint.newest(run)), plugins.load())
        if "mask/0" in self.given:
            translator.landmarks = self
        target = self.given["target"]
        found = {
            "style/latent": translator.style_of_latents(jt.array(self.given["z"]), target),
            "style/reference": translator.style_of_images(jt.array(self.given["reference"]), target),
        }
        for kind in ("latent", "reference"):
            found[f"image/{kind}"] = translator.translate(jt.array(self.given["x"]), found[f"style/{kind}"])
        return {name: var.numpy() for name, var in found.items()}

    def masks(self, images: Any) -> list[Any]:
        """In the place of the landmark network."""
        from ganzoo import jt

        return [jt.array(self.given[f"mask/{index}"]) for index in range(2)]
