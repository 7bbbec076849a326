"""The rows of the benchmark: each model at one or more image sizes, with its default numbers of feature maps. A row
also provides the batch that ganzoo and PyTorch train on."""

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
    # On the CPU, PyTorch's time per iteration divided by ganzoo's must be at least this.
    goal: float = 0.0  # in float32
    amp_goal: float = 0.0  # in bfloat16

    @property
    def name(self) -> str:
        return f"{self.model}-{self.size}-{self.batch}"

    def goal_of(self, device: str, precision: str) -> float:
        """Return the goal on a device."""
        if device == "cuda":
            return GPU_GOALS[precision]
        return self.amp_goal if precision == "amp" else self.goal

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
        Row("stylegan", 16, 8, goal=1.7, amp_goal=2.0),
        Row("stylegan", 32, 8, goal=2.3, amp_goal=2.0),
        Row("stylegan", 64, 4, goal=2.3, amp_goal=2.0),
        Row("stylegan", 128, 2, goal=2.0, amp_goal=2.0),
        Row("stargan2", 64, 2, goal=1.6, amp_goal=1.9),
        Row("gan", 28, 64, channels=1, goal=1.5, amp_goal=1.3),
        Row("lsgan", 32, 64, goal=1.5, amp_goal=1.2),
    )
}

# StyleGAN has the batch sizes of `ganzoo train stylegan --sched`, the others have their default batch sizes.
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
INSTRUCTION_SETS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX512_BF16", "amx_bf16": "AMX"}
GPU_GOALS = {"tf32": 1.2, "fp32": 1.0, "amp": 2.0}  # the same for every row on a GPU, by precision
