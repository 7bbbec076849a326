"""The rows of the benchmark: each model at several sizes and full width, and the batch that both sides train on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DOMAINS = ("a", "b", "c")  # domains of stargan2
SEED = 0  # seed of ganzoo's steps


@dataclass(frozen=True)
class Row:
    """A model, its image size in px and its batch size."""

    model: str
    size: int
    batch: int
    channels: int = 3
    goal: float = 0.0  # minimum of PyTorch's time per iteration / ganzoo's

    @property
    def name(self) -> str:
        return f"{self.model}-{self.size}-{self.batch}"

    def images(self, seed: int = 1) -> dict[str, np.ndarray]:
        """Return a batch: uint8 images (batch, size, size, channels), and for stargan2 references and domains."""
        rng = np.random.default_rng(seed)
        shape = (self.batch, self.size, self.size, self.channels)
        if self.model != "stargan2":
            return {"x": rng.integers(0, 256, shape, np.uint8)}
        found = {name: rng.integers(0, 256, shape, np.uint8) for name in ("x", "reference", "reference2")}
        return {**found, **{name: rng.integers(0, len(DOMAINS), self.batch) for name in ("y", "target")}}


CPU_ROWS = {
    row.name: row
    for row in (
        Row("stylegan", 16, 8, goal=1.7),
        Row("stylegan", 32, 8, goal=2.3),
        Row("stylegan", 64, 4, goal=2.3),
        Row("stylegan", 128, 2, goal=2.0),
        Row("stargan2", 64, 2, goal=1.6),
        Row("gan", 28, 64, channels=1, goal=1.5),
        Row("lsgan", 32, 64, goal=1.5),
    )
}

# StyleGAN with the batches of `--sched`, the others with their default batches.
GPU_ROWS = {
    row.name: row
    for row in (
        *(Row("stylegan", size, batch) for size, batch in ((8, 256), (16, 128), (32, 64), (64, 32), (128, 32))),
        Row("stargan2", 256, 8),
        Row("gan", 28, 64, channels=1),
        Row("lsgan", 32, 64),
    )
}
ROWS = {**CPU_ROWS, **{name: row for name, row in GPU_ROWS.items() if name not in CPU_ROWS}}
GPU_GOALS = {"tf32": 1.2, "fp32": 1.0, "amp": 2.0}  # minimum ratios on a GPU
