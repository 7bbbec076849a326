"""Background compilation of the kernels of later stages, so that training doesn't stall when the networks grow.

Jittor caches compiled kernels on disk, under keys that don't depend on sizes. A child process, with low priority and
one thread, therefore runs a step of two images in each later stage.
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
from ganzoo.checkpoints.description import RunDescription
from ganzoo.errors import GanzooError
from ganzoo.interfaces.progress import Progress

if TYPE_CHECKING:
    from ganzoo.interfaces.stages import Schedule
    from ganzoo.training.plan import Plan
    from ganzoo.training.state import TrainState

IMAGES = 2  # batch size of a step that only compiles kernels; a batch of 1 is broadcast, which needs other kernels
NICENESS = 15
_PDEATHSIG = 1  # option of prctl(2)


def later_positions(schedule: Schedule, progress: Progress) -> Iterator[Progress]:
    """Yield a Progress for each later position that needs new kernels: during the fade-in of a stage, and after it."""
    last = schedule.position(progress)
    for index in range(progress.stage, len(schedule.stages)):
        for images in (0, schedule.stages[index].fade):
            candidate = Progress(stage=index, stage_images=images)
            position = schedule.position(candidate)
            later = index > progress.stage or images > progress.stage_images
            if later and not position.same_networks(last):
                yield candidate
                last = position


class Precompiler:
    """The child process that compiles the kernels of later stages. It may fail without harm: training compiles missing
    kernels when it needs them."""

    def __init__(self, plan: Plan, log: Callable[[str], None]) -> None:
        self.plan, self.log = plan, log
        self._child: subprocess.Popen[str] | None = None
        self._started = False

    def start(self, state: TrainState) -> None:
        """Start the child process at the first call, if there are later stages."""
        if self._started:
            return
        self._started = True
        if next(later_positions(state.schedule, state.progress), None) is None:
            return
        description = {**self.plan.description().to_json(), "progress": state.progress.to_metadata()}
        try:
            with tempfile.TemporaryFile("w+") as stdin:
                json.dump(description, stdin)
                stdin.seek(0)
                self._child = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(os.getpid())],
                    stdin=stdin,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # Ctrl-C doesn't reach it
                    env={**environment.without_mpi(), "OMP_NUM_THREADS": "1"},
                )
        except OSError as error:
            self.log(f"can't compile kernels in advance: {error}")
            return
        self._listener = threading.Thread(target=self._listen, args=(self._child,), daemon=True)
        self._listener.start()

    def _listen(self, child: Any) -> None:
        for line in child.stderr:
            if line.strip():
                self.log(line.strip())
        child.wait()

    def wait(self, seconds: float) -> None:
        """Wait until all kernels are compiled. Raises subprocess.TimeoutExpired after `seconds`."""
        if self._child is not None:
            self._child.wait(seconds)
            self._listener.join()

    def close(self) -> None:
        """End the child process if it is still running."""
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGTERM)  # including its compilers
            self._child.wait()
            self._listener.join(timeout=5)


def compile_later_stages(run: RunDescription, progress: Progress) -> None:
    """Run a step and generate samples in each stage after `progress`. Runs in the child process."""
    import numpy as np

    from ganzoo import backend
    from ganzoo.data.loader import ImageBatch
    from ganzoo.registry import plugins
    from ganzoo.sampling import latents, sampler

    train = run.train_options()
    backend.start(train.device, train.precision)
    from ganzoo.training.state import TrainState  # needs a started Jittor
    from ganzoo.training.step import Step

    backend.compile_in_background()
    model, data = plugins.load().model(run.model), run.data
    assert data is not None
    state = TrainState(model, run.model_options(model), data, train)
    rng = np.random.default_rng(0)
    for later in later_positions(state.schedule, progress):
        state.progress = later
        stage = state.upcoming().stage
        # Gradient accumulation needs other kernels than a step without it.
        micro_batches = 3 if train.micro_batch and train.micro_batch < stage.batch else 1
        count = min(IMAGES, train.micro_batch or stage.batch)
        shape = (count * micro_batches, stage.size, stage.size, data.channels)
        pixels, labels = rng.integers(0, 256, shape, np.uint8), np.zeros(count * micro_batches, np.int64)
        images, config = ImageBatch(pixels, labels), model.loader_config(state.options)
        if config.references:
            images = dataclasses.replace(images, references=np.stack([pixels, pixels]), targets=labels)
        if config.by_domain:
            images = dataclasses.replace(images, domains=np.stack([pixels] * len(data.domains)))
        if data.attributes:
            rows = np.zeros((len(labels), len(data.attributes)), np.float32)
            by_domain = np.stack([rows] * len(data.domains)) if config.by_domain else None
            images = dataclasses.replace(images, attributes=rows, domain_attributes=by_domain)
        what = f"{stage.size} px{', fading in' if state.upcoming().fading else ''}, in advance"
        with backend.show_compilation(what):
            Step(state, train.seed, count if micro_batches > 1 else None, lambda phase, terms, finite: None)(images)
            generator = state.ema.network(state.setup.generator)
            z, width = latents.from_seeds(range(IMAGES), generator.latent), sampler.condition_width(generator)
            sampler.generate(generator, z, np.zeros((IMAGES, width), np.float32) if width else None)
            backend.wait()


def _die_with_parent(parent: int) -> None:
    """Have the operating system end this process when `parent` ends, even if `parent` is killed. A thread that polls
    would not run until Jittor has finished compiling."""
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    os.nice(NICENESS)
    _die_with_parent(int(sys.argv[1]))
    try:
        entries = json.load(sys.stdin)
        compile_later_stages(RunDescription.from_json(entries), Progress.from_metadata(entries["progress"]))
    except GanzooError as error:
        sys.exit(f"can't compile kernels in advance: {error}")
