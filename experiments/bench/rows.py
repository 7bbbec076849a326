"""What is measured: each model at its sizes, full width, and the batch of images that both sides train on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DOMAINS = ("a", "b", "c")  # of stargan2
SEED = 0  # of ganzoo's steps


@dataclass(frozen=True)
class Row:
    """A model at one size of images, in px, and of batches."""

    model: str
    size: int
    batch: int
    channels: int = 3
    goal: float = 0.0  # PyTorch's time for an iteration / ours, at least

    @property
    def name(self) -> str:
        return f"{self.model}-{self.size}-{self.batch}"

    def images(self, seed: int = 1) -> dict[str, np.ndarray]:
        """One batch: uint8 images (batch, size, size, channels), and for stargan2 references and domains."""
        rng = np.random.default_rng(seed)
        shape = (self.batch, self.size, self.size, self.channels)
        if self.model != "stargan2":
            return {"x": rng.integers(0, 256, shape, np.uint8)}
        found = {name: rng.integers(0, 256, shape, np.uint8) for name in ("x", "reference", "reference2")}
        return {**found, **{name: rng.integers(0, len(DOMAINS), self.batch) for name in ("y", "target")}}


ON_CPU = {
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

# At the batches of `--sched`, and those that the models have by default.
ON_GPU = {
    row.name: row
    for row in (
        *(Row("stylegan", size, batch) for size, batch in ((8, 256), (16, 128), (32, 64), (64, 32), (128, 32))),
        Row("stargan2", 256, 8),
        Row("gan", 28, 64, channels=1),
        Row("lsgan", 32, 64),
    )
}
ROWS = {**ON_CPU, **{name: row for name, row in ON_GPU.items() if name not in ON_CPU}}
GOALS = {"tf32": 1.2, "fp32": 1.0, "amp": 2.0}  # on a GPU
