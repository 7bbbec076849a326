"""The landmark network: a stacked hourglass (Newell et al. 2016) of one stage, pretrained with the adaptive wing loss
(Wang et al. 2019). ganzoo never trains it.

Weights have the names of the published file wing.ckpt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import BatchNorm, CheckpointError, Conv, Network, average_pool, jt, safe_load, upsample_nearest

nn: Any = jt.nn
SIDE = 256  # size in px of the network's input
NUM_LANDMARKS = 98  # an extra channel of the output is for the boundaries of facial parts
DEPTH = 4  # halvings in the hourglass
WIDTH = 256  # channels of the hourglass

Say = Callable[[str], None]


class CoordConv(nn.Module):  # type: ignore[misc]
    """A convolution with coordinates as input (Liu et al. 2018): three extra channels hold the vertical and horizontal
    position in [-1, 1], and the distance from the centre in [0, 1]."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = Conv(inputs + 3, outputs, kernel, stride, padding)

    def execute(self, x: Any) -> Any:
        n, _, h, w = x.shape
        return self.conv(jt.concat([x, jt.array(coordinate_channels(h, w)).broadcast((n, 3, h, w))], 1))


def coordinate_channels(height: int, width: int) -> np.ndarray:
    """Return the coordinate channels of `CoordConv`, float32 (1, 3, height, width)."""
    down, right = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    distance = np.hypot(down, right)
    return np.stack([down, right, distance / distance.max()])[None].astype(np.float32)


class ConvBlock(nn.Module):  # type: ignore[misc]
    """Three convolutions in sequence, whose concatenated outputs are added to a shortcut (Bulat & Tzimiropoulos 2017).
    Batch norm and ReLU precede each convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.bn1, self.conv1 = BatchNorm(inputs), Conv(inputs, half, 3, padding=1, bias=False)
        self.bn2, self.conv2 = BatchNorm(half), Conv(half, quarter, 3, padding=1, bias=False)
        self.bn3, self.conv3 = BatchNorm(quarter), Conv(quarter, quarter, 3, padding=1, bias=False)
        self.learned = inputs != outputs
        if self.learned:
            self.downsample = nn.Sequential(BatchNorm(inputs), nn.ReLU(), Conv(inputs, outputs, 1, bias=False))

    def execute(self, x: Any) -> Any:
        first = self.conv1(nn.relu(self.bn1(x)))
        second = self.conv2(nn.relu(self.bn2(first)))
        third = self.conv3(nn.relu(self.bn3(second)))
        return jt.concat([first, second, third], 1) + (self.downsample(x) if self.learned else x)


class HourGlass(nn.Module):  # type: ignore[misc]
    """Downsamples to a sixteenth of the size and upsamples again, with a skip branch at every size."""

    def __init__(self) -> None:
        super().__init__()
        self.coordconv = CoordConv(WIDTH, WIDTH, 1)
        for level in range(1, DEPTH + 1):
            for place in (1, 2, 3):
                setattr(self, f"b{place}_{level}", ConvBlock(WIDTH, WIDTH))
        self.b2_plus_1 = ConvBlock(WIDTH, WIDTH)

    def execute(self, x: Any) -> Any:
        return self._below(DEPTH, self.coordconv(x))

    def _below(self, level: int, x: Any) -> Any:
        skip = getattr(self, f"b1_{level}")(x)
        low = getattr(self, f"b2_{level}")(average_pool(x))
        low = self._below(level - 1, low) if level > 1 else self.b2_plus_1(low)
        return skip + upsample_nearest(getattr(self, f"b3_{level}")(low))


class FAN(Network):
    """Maps faces (N, 3, H, W) in [-1, 1] to heatmaps (N, 99, 64, 64), whose values are about 1 at the landmark and
    about 0 elsewhere.

    The last channel holds the boundaries. The network is always in inference mode and has no gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = CoordConv(3, 64, 7, stride=2, padding=3), BatchNorm(64)
        self.conv2, self.conv3, self.conv4 = ConvBlock(64, 128), ConvBlock(128, 128), ConvBlock(128, WIDTH)
        self.m0, self.top_m_0 = HourGlass(), ConvBlock(WIDTH, WIDTH)
        self.conv_last0, self.bn_end0 = Conv(WIDTH, WIDTH, 1), BatchNorm(WIDTH)
        self.l0 = Conv(WIDTH, NUM_LANDMARKS + 1, 1)
        self._set_training(False)
        for var in self.state().values():
            var.stop_grad()

    def execute(self, images: Any) -> Any:
        with jt.no_grad():
            x = resize_bilinear(images, SIDE, align_corners=False) * 0.5 + 0.5
            x = average_pool(self.conv2(nn.relu(self.bn1(self.conv1(x)))))
            x = self.top_m_0(self.m0(self.conv4(self.conv3(x))))
            return self.l0(nn.relu(self.bn_end0(self.conv_last0(x))))

    def parameter_count(self) -> int:
        """Return the number of pretrained parameters."""
        return sum(int(np.prod(var.shape)) for name, var in self.state().items() if "running" not in name)

    def _set_training(self, training: bool) -> None:
        super()._set_training(False)


def resize_bilinear(x: Any, side: int, *, align_corners: bool) -> Any:
    """Scale (N, C, H, W) bilinearly to `side` x `side` px. With `align_corners`, the centres of the outermost pixels
    stay in place; otherwise their outer edges do."""
    n, c, h, w = x.shape
    if (h, w) == (side, side):
        return x
    # Two matrix products are several times as fast as Jittor's interpolation, which works by index.
    across, down = (jt.array(_weights(length, side, align_corners)) for length in (w, h))
    x = jt.matmul(x.reshape((n * c * h, w)), across).reshape((n * c, h, side))
    x = jt.matmul(x.transpose(0, 2, 1).reshape((n * c * side, h)), down).reshape((n * c, side, side))
    return x.transpose(0, 2, 1).reshape((n, c, side, side))


def _weights(length: int, side: int, align_corners: bool) -> np.ndarray:
    """Return the weights that scale a row of `length` pixels to `side` pixels, float32 (length, side)."""
    target = np.arange(side)
    source = target * ((length - 1) / (side - 1)) if align_corners else (target + 0.5) * (length / side) - 0.5
    source = np.clip(source, 0, length - 1)
    before = np.minimum(np.floor(source).astype(int), length - 1)
    weights = np.zeros((length, side), np.float32)
    weights[before, target] += 1 - (source - before)
    weights[np.minimum(before + 1, length - 1), target] += source - before
    return weights


def read_wing(path: Path, say: Say = lambda line: None) -> dict[str, np.ndarray]:
    """Read the weights in a file like wing.ckpt, for `FAN.load_state`, and report unused entries through `say`.

    CheckpointError if the file is of another kind or lacks a weight.
    """
    content = safe_load(path)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    try:
        return wing_weights(state, lambda line: say(f"{path}: {line}"))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def wing_weights(state: Any, say: Say = lambda line: None) -> dict[str, np.ndarray]:
    """Like `read_wing`, but from a state_dict. The caller prefixes CheckpointError messages with the file's name."""
    if not isinstance(state, Mapping):
        raise CheckpointError("it holds no landmark network.")
    # Strip the prefix of weights trained on several GPUs, and drop batch counters, which are not weights.
    found = {str(name).removeprefix("module."): value for name, value in state.items()}
    found = {name: value for name, value in found.items() if not name.endswith(".num_batches_tracked")}
    wanted = {name: tuple(var.shape) for name, var in FAN().state().items()}
    for name, shape in wanted.items():
        _check(name, shape, found.get(name))
    if len(found) > len(wanted):
        say(f"{len(found) - len(wanted)} entries are not used by the landmark network and were ignored")
    return {name: found[name].astype(np.float32) for name in wanted}


def _check(name: str, shape: tuple[int, ...], value: Any) -> None:
    if value is None:
        raise CheckpointError(f"its landmark network lacks {name!r}.")
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape != shape:
        what = f"of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise CheckpointError(f"its landmark network's {name!r} is {what}, not numbers of shape {shape}.")
    if not np.isfinite(value).all():
        raise CheckpointError(f"its landmark network's {name!r} is not finite (NaN or infinite).")
