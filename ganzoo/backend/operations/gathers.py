"""Operations that only bring pixels together, made of Jittor's `reindex`, so that each is one kernel on a GPU and its
gradient is such a kernel again. What Jittor derives by itself adds up with atomic operations, where threads wait for
one another: on an H100 the pooling of StarGAN v2 took a third of a step, and a filter as a convolution in groups is
thousands of convolutions of one channel to cuDNN.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ganzoo.backend.handle import jittor


def transposed(x: Any, axes: Sequence[int]) -> Any:
    """As np.transpose. Jittor's own is computed by the host where a library of NVIDIA's was not downloaded for it, and
    then each call waits for the GPU."""
    places = [f"i{axes.index(axis)}" for axis in range(x.ndim)]
    return x.reindex([x.shape[axis] for axis in axes], places)


def symmetric_filter(x: Any, centre: float, side: float, corner: float) -> Any:
    """See `operations.symmetric_filter`."""
    return _functions()[0](centre, side, corner)(x)


def doubled(x: Any) -> Any:
    """Each pixel of (N, C, H, W) becomes 2x2 pixels."""
    return _functions()[1]()(x)


def added(x: Any) -> Any:
    """The sum of each 2x2 pixels of (N, C, H, W), whose sides are even."""
    return _functions()[2]()(x)


@functools.cache
def _functions() -> tuple[Any, Any, Any]:
    function: Any = jittor().Function

    class Filter(function):  # type: ignore[misc]
        def __init__(self, centre: float, side: float, corner: float) -> None:
            super().__init__()
            self.centre, self.side, self.corner = centre, side, corner

        def execute(self, x: Any) -> Any:
            def at(down: int, right: int) -> Any:
                return x.reindex(list(x.shape), ["i0", "i1", f"i2+({down})", f"i3+({right})"], overflow_value=0)

            sides = at(-1, 0) + at(1, 0) + at(0, -1) + at(0, 1)
            corners = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
            return self.centre * x + self.side * sides + self.corner * corners

        def grad(self, gradient: Any) -> Any:
            return Filter(self.centre, self.side, self.corner)(gradient)

    class Doubled(function):  # type: ignore[misc]
        def execute(self, x: Any) -> Any:
            n, c, h, w = x.shape
            return x.reindex([n, c, 2 * h, 2 * w], ["i0", "i1", "i2/2", "i3/2"])

        def grad(self, gradient: Any) -> Any:
            return Added()(gradient)

    class Added(function):  # type: ignore[misc]
        def execute(self, x: Any) -> Any:
            n, c, h, w = x.shape

            def at(down: int, right: int) -> Any:
                return x.reindex([n, c, h // 2, w // 2], ["i0", "i1", f"i2*2+{down}", f"i3*2+{right}"])

            return (at(0, 0) + at(0, 1)) + (at(1, 0) + at(1, 1))

        def grad(self, gradient: Any) -> Any:
            return Doubled()(gradient)

    return Filter, Doubled, Added
