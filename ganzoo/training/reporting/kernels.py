"""Compilation of kernels while training runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ganzoo import backend
from ganzoo.training.reporting.logger import RunLogger

WARM_UP = 2  # steps at the start of a stage that compile kernels; excluded from img/s


class WarmUp:
    """The first steps of a stage, which compile kernels. `left` is how many of them are still to come."""

    left = 0

    def restart(self) -> None:
        """Start again, when a stage begins or its fade-in ends."""
        self.left = WARM_UP

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Run a step in the body. In the warm-up, show the compilation on one line. Signals interrupt only the
        first step of a warm-up."""
        # Signals may interrupt that step because it follows a checkpoint or the start, and compiling can take minutes.
        guard = contextlib.nullcontext() if self.left == WARM_UP else backend.uninterrupted()
        with backend.show_compilation(f"step {number}") if self.left else contextlib.nullcontext(), guard:
            yield
        self.left = max(self.left - 1, 0)


class SlowConvolutions:
    """Warning about convolutions that Jittor runs as slow plain loops."""

    def __init__(self) -> None:
        self._count = 0

    def check(self, logger: RunLogger) -> None:
        """Warn once. Call it after a step that may have compiled kernels."""
        before, self._count = self._count, backend.unrecognised_convolutions()
        if before == 0 < self._count:
            logger.info(
                f"warning: Jittor does not recognise {self._count} of the convolutions and runs them as plain "
                "loops, about 100 times slower. Use ganzoo.Conv, ganzoo.ConvTranspose or ganzoo.conv2d in the networks."
            )
