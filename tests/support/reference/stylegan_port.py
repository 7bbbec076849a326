"""Checkpoints of the public PyTorch port of StyleGAN, made by the reference for tests of the import."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import run_reference

LATENT, DEPTH, UPDATES = 8, 2, 2
WIDTHS = [max(1, min(256 // size, 8)) for size in (4, 8, 16, 32, 64, 128, 256, 512, 1024)]
SIZES = (4, 8, 16, 32, 64, 128)


class ReferenceFiles:
    """Files of networks trained up to `size` px, and the reference's results with them."""

    def __init__(self, folder: Path, size: int) -> None:
        from ganzoo.interfaces.noise import constant_noise

        self.folder, self.size = folder, size
        rng = np.random.default_rng(size)
        noise = constant_noise([side for side in SIZES if side <= size], 3)
        self.given = {"z": rng.standard_normal((3, LATENT), np.float32)}
        self.given.update({f"noise/{each.shape[2]}": each for each in noise})
        for update in range(UPDATES + 1):
            for network, weights in self._active_weights().items():
                for name, shape in weights.items():
                    self.given[f"grad/{update}/{network}/{name}"] = rng.standard_normal(shape).astype(np.float32)
        shape = {"widths": WIDTHS, "code": LATENT, "depth": DEPTH}
        settings = {"target": str(folder), "size": size, "updates": UPDATES, **shape}
        self.expected = run_reference("stylegan_files", self.given, folder, **settings)

    def _active_weights(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Return the shapes of the weights that have gradients at the last resolution."""
        from ganzoo_stylegan import StyleGAN

        from ganzoo import DataInfo, TrainOptions
        from ganzoo.interfaces.options import resolve

        model = StyleGAN()
        values = {"latent": LATENT, "mapping_layers": DEPTH, "channels_base": 256, "channels_max": 8}
        setup = model.build(resolve(model.options, values), DataInfo("none", 0, self.size, 3), TrainOptions())
        return {
            name: {key: tuple(var.shape) for key, var in network.active_weights().items()}
            for name, network in setup.networks.items()
        }

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.model"

    def images(self, run: Path) -> np.ndarray:
        """Generate images with the imported run in the folder `run`, from the reference's latents."""
        from ganzoo import jt
        from ganzoo.checkpoints import checkpoint, loading
        from ganzoo.registry import plugins

        saved = checkpoint.read(checkpoint.newest(run))
        generator = loading.load_generator(saved, plugins.load())
        return generator(jt.array(self.given["z"])).numpy()
