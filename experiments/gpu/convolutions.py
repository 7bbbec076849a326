"""Compares convolutions and their gradients on this device with PyTorch's in float64."""

from __future__ import annotations

from typing import Any

import kit
import numpy as np

BATCH, SIDE = 8, 32
# Input and output channels: cuDNN chooses other algorithms for images (3 or 4 channels) than for features.
CHANNELS = ((3, 64), (64, 3), (4, 64), (64, 4), (64, 64))
# Side, stride and padding of kernels.
KERNELS = ((1, 1, 0), (3, 1, 1), (3, 2, 1), (4, 2, 1))


def convolutions(precision: str = "fp32") -> None:
    """Report the relative error of outputs and of both gradients for each shape."""
    jt = kit.start(precision).jittor()
    from ganzoo.backend import operations

    for c_in, c_out in CHANNELS:
        for side, stride, padding in KERNELS:
            if kit.past_deadline():
                return
            rng = np.random.default_rng(0)
            x, w = rng.standard_normal((BATCH, c_in, SIDE, SIDE)), rng.standard_normal((c_out, c_in, side, side))
            expected = reference(x, w, stride, padding)
            a, b = (jt.array(each.astype(np.float32)) for each in (x, w))
            for var in (a, b):
                var.start_grad()
            y = operations.conv2d(a, b, stride=stride, padding=padding)
            weights = jt.array(expected["weights"].astype(np.float32))
            gradients = jt.grad((y * weights).sum(), [a, b])
            actual = dict(zip(("output", "image", "kernel"), (y, *gradients)))
            errors = {name: relative_error(var.numpy(), expected[name]) for name, var in actual.items()}
            shape = f"{c_in} to {c_out} channels, kernel {side}, stride {stride}"
            kit.report("convolution", precision=precision, shape=shape, **errors)


def reference(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> dict[str, Any]:
    """Return the output, the weights of its sum, and the gradients of that sum in the image and the kernel."""
    import torch

    # From the same numbers as the device, which gets them in float32.
    a, b = (torch.tensor(each.astype(np.float32)).double().requires_grad_() for each in (x, w))
    y = torch.nn.functional.conv2d(a, b, stride=stride, padding=padding)
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(y.shape, generator=generator, dtype=torch.float32).double()
    image, kernel = torch.autograd.grad((y * weights).sum(), (a, b))
    return {"output": y.detach().numpy(), "weights": weights.numpy(), "image": image.numpy(), "kernel": kernel.numpy()}


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
