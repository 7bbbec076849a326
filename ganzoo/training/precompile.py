"""Compiles the kernels of later stages in the background, so that growth does not stop training.

Jittor keeps compiled kernels on the disk, and their keys say nothing of sizes; so another process takes a step of two
images in each coming stage, at low priority and on one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ganzoo.backend import environment
from ganzoo.errors import GanzooError
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.progress import Progress

if TYPE_CHECKING:
    from ganzoo.interfaces.stages import Schedule
    from ganzoo.training.plan import Plan
    from ganzoo.training.state import TrainState

IMAGES = 2  # of a step that is taken for its kernels; batches of 1 are broadcast in another way
NICENESS = 15
_PDEATHSIG = 1  # of prctl


def coming(schedule: Schedule, progress: Progress) -> Iterator[Progress]:
    """A progress in each later position that trains other weights: while a stage fades in, and after it."""
    last = schedule.position(progress)
    for index in range(progress.stage, len(schedule.stages)):
        for images in (0, schedule.stages[index].fade):
            there = Progress(stage=index, stage_images=images)
            position = schedule.position(there)
            later = index > progress.stage or images > progress.stage_images
            if later and not position.alike(last):
                yield there
                last = position


class Precompiler:
    """The child process that prepares the stages after `progress`. It can fail without harm: what it has not
    compiled is compiled when it is needed."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan, self.say = plan, say
        self._child: subprocess.Popen[str] | None = None
        self._started = False

    def start(self, state: TrainState) -> None:
        """Begin, at the first call; nothing to do where no other stage will come."""
        if self._started:
            return
        self._started = True
        if next(coming(state.schedule, state.progress), None) is None:
            return
        description = {**self.plan.description(), "progress": dataclasses.asdict(state.progress)}
        try:
            with tempfile.TemporaryFile("w+") as given:
                json.dump(description, given)
                given.seek(0)
                self._child = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(os.getpid())],
                    stdin=given,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # Ctrl-C goes to us alone
                    env={**environment.outside_mpi(), "OMP_NUM_THREADS": "1"},
                )
        except OSError as error:
            self.say(f"kernels can't be prepared ahead of time: {error}")
            return
        self._listener = threading.Thread(target=self._listen, args=(self._child,), daemon=True)
        self._listener.start()

    def _listen(self, child: Any) -> None:
        for line in child.stderr:
            if line.strip():
                self.say(line.strip())
        child.wait()

    def wait(self, seconds: float) -> None:
        """Wait until everything is prepared, or so long. subprocess.TimeoutExpired if it takes longer."""
        if self._child is not None:
            self._child.wait(seconds)
            self._listener.join()

    def close(self) -> None:
        """End the child process, done or not."""
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGTERM)  # with the compilers it runs
            self._child.wait()
            self._listener.join(timeout=5)


def prepare(description: dict[str, Any]) -> None:
    """Take a step and make a sample in each stage that comes after the described progress. The child's work."""
    import numpy as np

    from ganzoo import backend
    from ganzoo.data.loader import ImageBatch
    from ganzoo.interfaces.options import resolve
    from ganzoo.interfaces.train_options import TrainOptions
    from ganzoo.registry import plugins
    from ganzoo.sampling import latents, sampler

    train = resolve(TrainOptions, description["train"])
    backend.start(train.device, train.precision)
    from ganzoo.training.state import TrainState  # needs a started Jittor
    from ganzoo.training.step import Step

    backend.compile_considerately()
    model = plugins.load().model(description["model"])
    data = DataInfo(**{**description["data"], "domains": tuple(description["data"]["domains"])})
    state = TrainState(model, resolve(model.options, description["options"]), data, train)
    rng = np.random.default_rng(0)
    for there in coming(state.schedule, Progress.of(description["progress"])):
        state.progress = there
        stage = state.upcoming().stage
        # Accumulated gradients are other kernels than those of a batch in one piece.
        pieces = 3 if train.micro_batch and train.micro_batch < stage.batch else 1
        count = min(IMAGES, train.micro_batch or stage.batch)
        shape = (count * pieces, stage.size, stage.size, data.channels)
        images = ImageBatch(rng.integers(0, 256, shape, np.uint8), np.zeros(count * pieces, np.int64))
        what = f"{stage.size} px{', fading in' if state.upcoming().fading else ''}, ahead of time"
        with backend.watch_kernels(what):
            Step(state, train.seed, count if pieces > 1 else None, lambda phase, terms, finite: None)(images)
            generator = state.ema.network(state.setup.generator)
            sampler.generate(generator, latents.from_seeds(range(IMAGES), generator.latent))
            backend.wait()


def _end_with(parent: int) -> None:
    """Let the system end this process when `parent` is gone, killed perhaps. A thread that looks for it would wait
    until Jittor has compiled all that it compiles."""
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    os.nice(NICENESS)
    _end_with(int(sys.argv[1]))
    try:
        prepare(json.load(sys.stdin))
    except GanzooError as error:
        sys.exit(f"kernels can't be prepared ahead of time: {error}")
