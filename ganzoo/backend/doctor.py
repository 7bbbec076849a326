"""The checks of `ganzoo doctor`, including a convolution and its gradients, which are compared with NumPy's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ganzoo import backend
from ganzoo.backend import checks, environment, operations
from ganzoo.backend.checks import Finding
from ganzoo.errors import BackendError


def examine() -> Iterator[Finding]:
    """Yield all findings, the cheap ones first. The last is about a real convolution, which runs only if no fatal
    problem was found."""
    broken = False
    for check in (*checks.QUICK_CHECKS, checks.compiler_works, checks.data_writable, checks.gpu):
        finding = check()
        broken = broken or bool(finding.problem and finding.fatal)
        yield finding
    yield from checks.toolkits()
    if not broken:
        yield check_convolution()


def check_convolution() -> Finding:
    """Start Jittor and compare a convolution and its gradients with NumPy."""
    generator = np.random.default_rng(0)
    image, kernel = (generator.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 8, 8), (4, 3, 3, 3)))
    try:
        device = backend.start(precision="fp32")
        jt = backend.jittor()
        x, weight = jt.array(image), jt.array(kernel)
        with backend.show_compilation("a test convolution"):
            y = operations.conv2d(x, weight)
            results = [y.numpy(), *(each.numpy() for each in jt.grad(y.sqr().sum(), [x, weight]))]
    except (BackendError, RuntimeError) as error:
        return Finding("training", "", " ".join(str(error).split())[:300], "")
    axes: Any = (2, 3)  # Any: NumPy's annotations allow only one axis
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (3, 3), axes)  # (N, C, Y, X, 3, 3)
    output = np.einsum("ncyxhw,kchw->nkyx", windows, kernel)
    weight_gradient = 2 * np.einsum("ncyxhw,nkyx->kchw", windows, output)
    image_gradient = np.zeros(image.shape)
    for row, column in np.ndindex(3, 3):
        shifted = 2 * np.einsum("nkyx,kc->ncyx", output, kernel[:, :, row, column])
        image_gradient[:, :, row : row + 6, column : column + 6] += shifted
    names = ("output", "gradient with respect to x", "gradient with respect to w")
    for name, actual, expected in zip(names, results, (output, image_gradient, weight_gradient)):
        if not np.allclose(actual, expected, rtol=1e-4, atol=1e-3):
            worst = float(np.abs(actual - expected).max())
            remedy = f"Delete {environment.cache_dir()} and try again."
            return Finding("training", device, f"a convolution's {name} is wrong by up to {worst:.2g}.", remedy)
    return Finding("training", f"a convolution and its gradients agree with NumPy, on {backend.describe_device()}")
