"""Training must not leak: Jittor keeps every old weight alive whose successors are held but never run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
import numpy as np
from ganzoo import backend
from ganzoo.data import DataInfo
from ganzoo.data.loader import ImageBatch
from ganzoo.training.options import TrainOptions
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step
from ganzoo.training.tally import Tally
from ganzoo_gan import GAN, GANOptions

backend.start("cpu")
jt = backend.jittor()
state = TrainState(GAN(), GANOptions(size=8, ema=float(sys.argv[1])), DataInfo("x", 9, 8, 1), TrainOptions(seed=0))
tally = Tally()
step = Step(state, 0, None, tally.add, tally.watch)
batch = ImageBatch(np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int64))
seen = {}
for count in range(1, 601):
    step(batch)
    state.progress = state.progress.after(4)
    if count % 100 == 0:
        state.averages.sampled("generator")(jt.zeros((2, 100))).numpy()
        tally.fetch()
    if count in (200, 600):
        seen[count] = (backend.memory(), jt.number_of_lived_vars())
print(json.dumps(seen))
"""


@pytest.mark.parametrize("ema", [0.0, 0.99])
def test_200_and_600_steps_hold_the_same_memory(jittor, ema):
    output = subprocess.run([sys.executable, "-c", PROBE, str(ema)], capture_output=True, text=True, check=True).stdout
    seen = json.loads(output.splitlines()[-1])
    assert seen["600"][0] <= 1.02 * seen["200"][0]
    assert seen["600"][1] <= seen["200"][1] + 5
