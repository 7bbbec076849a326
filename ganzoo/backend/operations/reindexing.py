"""Operations that gather and add pixels, composed of Jittor's `reindex`, so that each operation and each gradient is a
single kernel on a GPU. Jittor's own gradients use atomic additions, at which threads wait for one another: on an H100,
pooling took a third of a step of StarGAN v2. If a filter were a grouped convolution, cuDNN would compute thousands of
one-channel convolutions.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ganzoo.backend.handle import jittor


def transpose(x: Any, axes: Sequence[int]) -> Any:
    """Like np.transpose. Jittor's own transpose would have to download the library cuTT; without cuTT, it transposes on
    the host, and each call waits for the GPU."""
    places = [f"i{axes.index(axis)}" for axis in range(x.ndim)]
    return x.reindex([x.shape[axis] for axis in axes], places)


def symmetric_filter(x: Any, centre: float, side: float, corner: float) -> Any:
    """See `operations.symmetric_filter`."""
    return _functions()[0](centre, side, corner)(x)


def upsample_nearest(x: Any) -> Any:
    """Repeat each pixel of (N, C, H, W) as 2x2 pixels."""
    return _functions()[1]()(x)


def sum_pool(x: Any) -> Any:
    """Return the sum of each 2x2 block of pixels of (N, C, H, W). H and W must be even."""
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

    class UpsampleNearest(function):  # type: ignore[misc]
        def execute(self, x: Any) -> Any:
            n, c, h, w = x.shape
            return x.reindex([n, c, 2 * h, 2 * w], ["i0", "i1", "i2/2", "i3/2"])

        def grad(self, gradient: Any) -> Any:
            return SumPool()(gradient)

    class SumPool(function):  # type: ignore[misc]
        def execute(self, x: Any) -> Any:
            n, c, h, w = x.shape

            def at(down: int, right: int) -> Any:
                return x.reindex([n, c, h // 2, w // 2], ["i0", "i1", f"i2*2+{down}", f"i3*2+{right}"])

            return (at(0, 0) + at(0, 1)) + (at(1, 0) + at(1, 1))

        def grad(self, gradient: Any) -> Any:
            return UpsampleNearest()(gradient)

    return Filter, UpsampleNearest, SumPool
