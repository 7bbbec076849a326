"""Computes reference results with PyTorch. The tests start this program as a child process, through `run_reference`.

It reads a job from each line of its standard input, as JSON: its name, the files of its inputs and its outputs, and its
settings. After each job, it prints what went wrong as JSON; null if nothing did.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

import numpy as np
import torch

from . import (
    backbones,
    landmarks,
    operations,
    stargan2_files,
    stargan2_gradients,
    stargan2_steps,
    stylegan_files,
    stylegan_steps,
    training,
)

JOBS = {
    "adversarial": operations.adversarial,
    "batch_norm": operations.batch_norm,
    "convolution": operations.convolution,
    "efficientnet": backbones.efficientnet,
    "gradient_penalty": operations.gradient_penalty,
    "inception": backbones.inception,
    "landmarks": landmarks.heatmaps,
    "norm": operations.norm,
    "optimizer": operations.optimizer,
    "spectral_norm": operations.spectral_norm,
    "stargan2": stargan2_gradients.gradients,
    "stargan2_files": stargan2_files.files,
    "stargan2_train": stargan2_steps.train,
    "stylegan": stylegan_steps.steps,
    "stylegan_files": stylegan_files.files,
    "train": training.train,
    "lpips": backbones.lpips,
}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(1)  # on a busy machine, several threads only wait for each other
    for line in sys.stdin:
        try:
            run(*json.loads(line))
            problem = None
        except Exception:
            problem = traceback.format_exc()
        print(json.dumps(problem), file=answers, flush=True)


def run(job: str, inputs: str, outputs: str, settings: dict[str, Any]) -> None:
    torch.set_default_dtype(torch.float64)  # a job may change it
    with np.load(inputs) as file:
        arrays = {name: _tensor(value) for name, value in file.items()}
    results = JOBS[job](arrays, **settings)
    np.savez(outputs, **{name: tensor.detach().numpy() for name, tensor in results.items()})


def _tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(value).to(torch.float64)


main()
