"""Times single operations, and alternatives to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import kit
import numpy as np

N, C, SIDE, MATRIX = (2, 4, 8, 64) if kit.SMALL else (32, 128, 128, 4096)


class Stopwatch:
    """Times an operation and reports its bandwidth and arithmetic throughput."""

    def __init__(self, jt: Any, tag: str = "") -> None:
        self.jt, self.tag = jt, tag

    def __call__(self, name: str, work: Callable[[], Any], size: float = 0, flop: float = 0, repeat: int = 10) -> None:
        if kit.past_deadline():
            return
        try:
            for _ in range(2):
                self._run(work)
            self.jt.sync_all(True)
            began = time.perf_counter()
            for _ in range(repeat):
                self._run(work)
            host = (time.perf_counter() - began) / repeat
            self.jt.sync_all(True)
            wall = (time.perf_counter() - began) / repeat
        except Exception as error:
            kit.report("micro", name=self.tag + name, error=repr(error)[:500])
            return
        speeds = {"gb_s": size / wall / 1e9, "tflops": flop / wall / 1e12}
        kit.report("micro", name=self.tag + name, ms=wall * 1e3, host_ms=host * 1e3, **speeds)

    def _run(self, work: Callable[[], Any]) -> None:
        result = work()
        self.jt.sync(result if isinstance(result, list) else [result])

    def normal(self, *shape: int) -> Any:
        """Return a constant array of random numbers, already computed."""
        var = self.jt.array(np.random.default_rng(1).standard_normal(shape, dtype="float32")).stop_grad()
        self.jt.sync([var], True)
        return var


def sums() -> None:
    """Measure the time of reductions and their error against float64. Jittor chooses a kernel once per process, so
    measuring with GZ_FLAGS=para_opt_level=4 needs another process."""
    jt = kit.start(kit.DEFAULT_PRECISION).jittor()
    from ganzoo.interfaces import layers

    clock = Stopwatch(jt, f"para_opt_level={jt.flags.para_opt_level}: ")
    x, w = clock.normal(N, C, SIDE, SIDE), clock.normal(4 * C, 4 * C, 3, 3)
    size = 4.0 * x.numel()
    clock("mean([3]).mean([2])", lambda: x.mean([3]).mean([2]), size)
    clock("mean([2, 3])", lambda: x.mean([2, 3]), size)
    clock("sum([0, 2, 3]), a bias's gradient", lambda: x.sum([0, 2, 3]), size)
    clock("sum of squares of weights", lambda: w.sqr().sum(), 4.0 * w.numel())
    clock("centre_and_deviation", lambda: list(layers.centre_and_deviation(x)), 2 * size)
    exact, squares = x.numpy().astype(np.float64), np.square(w.numpy().astype(np.float64))
    pairs = {
        "mean": (x.mean([2, 3]), exact.mean((2, 3))),
        "sum": (x.sum([0, 2, 3]), exact.sum((0, 2, 3))),
        "squares": (w.sqr().sum(), squares.sum()),
    }
    for name, (found, right) in pairs.items():
        error = np.abs(found.numpy() - right).max() / np.abs(right).max()
        kit.report("accuracy", name=f"{clock.tag}{name}", relative=float(error))


def micro() -> None:
    """Time arrays from the host, random numbers, blur, matrix products and convolutions."""
    jt = kit.start(kit.DEFAULT_PRECISION).jittor()
    clock = Stopwatch(jt)
    arrays(jt, clock)
    blurs(jt, clock)
    products(jt, clock)


def arrays(jt: Any, clock: Stopwatch) -> None:
    """Measure whether an array from the host stalls the GPU, and how long seeding takes."""
    a = clock.normal(MATRIX, MATRIX)

    def chain(made: bool) -> Any:
        y = a
        for _ in range(10):
            y = jt.nn.matmul(y, a) * 1e-3
            if made:
                y = y + jt.array(np.ones((1, 2), np.float32))[0, 0]
        return y

    def draw(seeded: bool) -> Any:
        if seeded:
            jt.set_seed(7)
        return jt.random((64, 128, 16, 16))

    clock("10 products", lambda: chain(False), repeat=3)
    clock("10 products and arrays", lambda: chain(True), repeat=3)
    clock("random", lambda: draw(False))
    clock("random after set_seed", lambda: draw(True))


def blurs(jt: Any, clock: Stopwatch) -> None:
    """Time ganzoo's blur, and blur as a depthwise convolution."""
    from ganzoo.interfaces import layers

    x = clock.normal(N, C, SIDE, SIDE)
    size = 8.0 * x.numel()
    kernel = jt.array([[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]).float32() / 16
    clock("copy", lambda: x + 1.0, size)
    clock("blur: symmetric_filter", lambda: layers.symmetric_filter(x, 1 / 4, 1 / 8, 1 / 16), size)
    if kit.DEVICE == "cuda":  # the CPU would run it as a plain loop
        clock("blur: in groups", lambda: jt.nn.conv2d(x, kernel.broadcast((C, 1, 3, 3)), None, 1, 1, 1, C), size)


def products(jt: Any, clock: Stopwatch) -> None:
    """Time matrix products and convolutions in float32, and in bfloat16 on a GPU."""
    shapes = {"64 px": (N, 2 * C, SIDE // 2), "128 px": (N, C, SIDE), "16 px": (4 * N, 4 * C, SIDE // 8 or 1)}
    for kind in ("float32", "bfloat16") if kit.DEVICE == "cuda" else ("float32",):
        a = cast(jt, clock.normal(MATRIX, MATRIX), kind)
        clock(f"matrix product {kind}", lambda a=a: jt.nn.matmul(a, a), flop=2.0 * MATRIX**3)
        for name, (batch, channels, side) in shapes.items():
            x = cast(jt, clock.normal(batch, channels, side, side), kind)
            w = cast(jt, clock.normal(channels, channels, 3, 3), kind)
            flop = 18.0 * x.numel() * channels
            clock(f"conv {name} {kind}", lambda x=x, w=w: convolve(x, w), flop=flop, repeat=5)
            both = f"conv {name} {kind} and its gradients"
            clock(both, lambda x=x, w=w: gradients(jt, x, w), flop=3 * flop, repeat=5)


def cast(jt: Any, var: Any, kind: str) -> Any:
    result = getattr(var, kind)().stop_grad()
    jt.sync([result], True)
    return result


def convolve(x: Any, w: Any) -> Any:
    from ganzoo.backend import operations

    return operations.conv2d(x, w, padding=1)


def gradients(jt: Any, x: Any, w: Any) -> Any:
    p, q = x.clone(), w.clone()
    for var in (p, q):
        var.start_grad()
    return jt.grad(convolve(p, q).float32().sqr().sum(), [p, q])
