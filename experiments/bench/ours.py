"""ganzoo's side: the step that `ganzoo train` takes, with its loss, optimizers and averages, on images in memory."""

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
    """Answers the requests of serve.py."""

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

        given = self.row.images()
        if self.row.model != "stargan2":
            return ImageBatch(given["x"], np.zeros(self.row.batch, np.int64))
        references = np.stack([given["reference"], given["reference2"]])
        return ImageBatch(given["x"], given["y"], references, given["target"])

    def iterate(self) -> None:
        """One iteration, as far as training waits for it."""
        self.step(self.images)
        self.state.progress = self.state.progress.after(self.row.batch)

    def wait(self) -> None:
        """Wait until everything has been computed."""
        self.backend.wait()

    def gpu_memory(self) -> int:
        """Bytes that are taken of a GPU; Jittor gives none back."""
        return self.backend.gpu_memory() or 0

    def weights(self, path: str) -> None:
        """Save all weights and running statistics, by 'NETWORK/NAME'."""
        networks = self.state.setup.networks
        np.savez(
            path, **{f"{n}/{key}": var.numpy() for n, each in networks.items() for key, var in each.state().items()}
        )

    def losses(self) -> dict[str, float]:
        """Those of the first step, by 'PHASE/TERM', without dropout, which each side draws in its own way."""
        for network in self.state.setup.networks.values():
            for module in network.modules():
                if type(module).__name__ == "Dropout":
                    module.p = 0
        self.iterate()
        return self.loss_stats.fetch().losses

    def product(self, side: int) -> None:
        """The product of two square matrices."""
        from ganzoo import linear

        if not hasattr(self, "matrix"):
            self.matrix = self.backend.jittor().randn(side, side)
            self.backend.wait()
        linear(self.matrix, self.matrix).sync()

    def kernels(self) -> str:
        """The folder of compiled kernels."""
        return str(Path(self.backend.jittor().flags.cache_path) / "jit")
