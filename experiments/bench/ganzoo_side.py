"""ganzoo's side: the step of `ganzoo train`, with its loss, optimizers and EMAs, on images in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rows import DOMAINS, SEED, Row

OPTIONS: dict[str, dict[str, Any]] = {
    "stylegan": {"loss": "r1", "mixing": True},
    "stargan2": {},
    "gan": {},
    "lsgan": {},
}


class Side:
    """ganzoo's answers to the requests of serve.py."""

    def __init__(self, row: Row, device: str, precision: str) -> None:
        from ganzoo import DataInfo, TrainOptions, backend
        from ganzoo.interfaces.options import resolve
        from ganzoo.registry import plugins
        from ganzoo.training.loss_stats import LossStats

        backend.start(device, precision)
        from ganzoo.training.state import TrainState  # needs a started Jittor
        from ganzoo.training.step import Step

        self.backend, self.row = backend, row
        model = plugins.load().model(row.model)
        domains = DOMAINS if row.model == "stargan2" else ()
        data = DataInfo("drawn", 1000, row.size, row.channels, domains=domains)
        sizes = {"max_size": row.size, "init_size": row.size} if row.model == "stylegan" else {}
        options = model.resolve_options(resolve(model.options, {**OPTIONS[row.model], **sizes}), data)
        self.state = TrainState(model, options, data, resolve(TrainOptions, {"batch": row.batch}, model.defaults))
        model.load_pretrained(options, self.state.setup.networks)
        self.loss_stats = LossStats()
        self.step = Step(self.state, SEED, None, self.loss_stats.add, self.loss_stats.log)
        self.images = self._batch()

    def _batch(self) -> Any:
        from ganzoo.data.loader import ImageBatch

        batch = self.row.images()
        if self.row.model != "stargan2":
            return ImageBatch(batch["x"], np.zeros(self.row.batch, np.int64))
        references = np.stack([batch["reference"], batch["reference2"]])
        return ImageBatch(batch["x"], batch["y"], references, batch["target"])

    def iterate(self) -> None:
        """Run one iteration, without waiting for the device, as in training."""
        self.step(self.images)
        self.state.progress = self.state.progress.after(self.row.batch)

    def wait(self) -> None:
        """Wait until everything has been computed."""
        self.backend.wait()

    def gpu_memory(self) -> int:
        """Return the GPU memory that Jittor has allocated, in bytes: the peak, because Jittor never returns memory to
        the system."""
        return self.backend.gpu_memory() or 0

    def save_weights(self, path: str) -> None:
        """Save all weights and buffers, by 'NETWORK/NAME'."""
        networks = self.state.setup.networks
        np.savez(
            path, **{f"{n}/{key}": var.numpy() for n, each in networks.items() for key, var in each.state().items()}
        )

    def losses(self, seed: int) -> dict[str, float]:
        """Return the losses of the first step with noise of this seed, by 'PHASE/TERM'. Dropout is switched off,
        because its random numbers differ between the sides."""
        self.step.seed = seed
        for network in self.state.setup.networks.values():
            for module in network.modules():
                if type(module).__name__ == "Dropout":
                    module.p = 0
        self.iterate()
        return self.loss_stats.fetch().losses

    def matmul(self, size: int) -> None:
        """Multiply two square matrices."""
        from ganzoo import linear

        if not hasattr(self, "matrix"):
            self.matrix = self.backend.jittor().randn(size, size)
            self.backend.wait()
        linear(self.matrix, self.matrix).sync()

    def kernel_folder(self) -> str:
        """Return the folder of compiled kernels."""
        return str(Path(self.backend.jittor().flags.cache_path) / "jit")
