"""Our own operations for the CPU. These are for networks, and differentiable to any order; the
gradients use the same operations:

* convolutions and matrix products by oneDNN, with cached primitives, and Winograd's algorithm where it is faster;
* 3x3 convolutions that double or halve an image, with fewer products;
* convolutions of few pixels, as matrix products;
* 3x3 convolutions from or to few channels, without padding them;
* image filters;
* leaky ReLUs: Jittor composes them of several operations, which fuse with their neighbours into ever new kernels;
* masks of dropout, whose random numbers Jittor draws one after the other.

Operations for weight updates have no gradients. Where our operations are unavailable, as on a GPU, functions compose
Jittor's instead.

Jittor has no convolution operation: it searches graphs of products and sums for convolutions, misses some of them, and
computes the others without Winograd's algorithm, creating primitives anew at each call. The convolutions that it finds,
such as those of `jt.nn.Conv`, also use the operations of this package.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ganzoo.backend import environment
from ganzoo.backend.handle import device, jittor
from ganzoo.backend.operations import reindexing
from ganzoo.errors import ShapeError
from ganzoo.files import atomic_folder

if TYPE_CHECKING:
    import numpy as np

_NAMES = (
    "onednn_conv",
    "onednn_matmul",
    "symmetric_filter",
    "leaky_relu",
    "leaky_relu_grad",
    "dropout_mask",
    "norm",
    "finite",
    "adam",
    "lerp",
)
_PARTS = (
    "convolution",
    "doubling",
    "winograd",
    "bilinear",
    "im2col",
    "few_channels",
    "conversions",
    "bfloat16",
    "matmul",
)
_SOURCES = (*(f"{name}_op.{kind}" for name in _NAMES for kind in ("h", "cc")), *(f"{part}.cc" for part in _PARTS))
_HEADERS = (*(f"{part}.h" for part in _PARTS), "blocks.h", "lanes.h", "slopes.h", "temporary.h", "tiles.h")
# Jittor adds -O2. Square roots are vectorised only if they need not set errno, comparisons for AVX2 only if they need
# not trap, and arrays of vectors are kept in registers only if the loops over them are unrolled.
_COMPILER_FLAGS = "-fopenmp -fno-math-errno -fno-trapping-math -fpeel-loops"
IntOrPair = int | tuple[int, int]


class AdamSettings(Protocol):
    """Attributes of `ganzoo.Adam` that `adam` reads. Bias-corrected learning rates and eps are passed separately."""

    @property
    def beta1(self) -> float: ...
    @property
    def beta2(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


_FORWARD, _BACKWARD_DATA = 0, 1  # see Direction in convolution.h
_HALVING, _DOUBLING = 2, 3  # see Kernels in bfloat16.h
# Fewest channels for 3x3 convolutions fused with 2x up- or downsampling: doubling.cc is faster than oneDNN from 64
# channels on, and bfloat16.cc needs 32.
_MIN_CHANNELS, _MIN_CHANNELS_BFLOAT16 = 64, 32
_library: Any = None
_operations: Any = None
# Whether new convolutions and matrix products, and their gradients, round their inputs to bfloat16 (8 bits of
# precision, the range of float32) and accumulate in float32. Everything else stays float32: norms, losses, penalties,
# weights.
autocast_enabled = False


class Counts(NamedTuple):
    """The number of convolutions that each algorithm has computed in this process."""

    winograd: int
    direct: int
    plain: int
    bfloat16: int
    doubled: int
    im2col: int
    few_channels: int


def load(jittor: Any) -> None:
    """Compile the operations (ten seconds, once per cache) and make Jittor use them. If this fails, Jittor's own are
    used."""
    global _library, _operations
    folder = _onednn_folder()
    if folder is None:
        return
    here = sources_in(Path(jittor.flags.cache_path))
    folders = f'-I"{here}" -I"{folder}/include"'
    libraries = f'-L"{folder}/lib" -lmkldnn -Wl,-rpath,"{folder}/lib"'
    try:
        module = jittor.compiler.compile_custom_ops(
            [str(here / name) for name in _SOURCES],
            extra_flags=f" {_COMPILER_FLAGS} {folders} {libraries} ",
            return_module=True,
            gen_name_=here.name,
        )
    except RuntimeError:
        return
    _library = ctypes.CDLL(module.__file__)
    _library.ganzoo_replace_convolutions()
    _operations = module.ops


def sources_in(cache: Path) -> Path:
    """Return a folder in the cache that holds our sources and is named after the hash of these and of the compiler's
    flags. Jittor names the library after this folder. An upgrade or another copy of ganzoo must not replace a library
    that a process has loaded: kernels that the process loads later would load the new library beside the old one."""
    sources = {name: Path(__file__).with_name(name).read_bytes() for name in (*_SOURCES, *_HEADERS)}
    key = hashlib.sha256(repr((sorted(sources.items()), _COMPILER_FLAGS)).encode()).hexdigest()[:16]
    folder = cache / f"ganzoo_ops_{key}"
    if not folder.exists():
        with atomic_folder(folder) as temporary:  # other processes may do the same at this moment
            for name, source in sources.items():
                (temporary / name).write_bytes(source)
    return folder


def _onednn_folder() -> Path | None:
    """Return the folder in which Jittor keeps oneDNN, or None if there is none."""
    include = os.environ.get("mkl_include_path")
    if include:
        return Path(include).parent
    found = sorted(path for path in (environment.cache_dir() / "mkl").glob("dnnl*") if path.is_dir())
    return found[0] if found else None


def counts() -> Counts:
    """Return the current `Counts`."""
    numbers = (ctypes.c_int64 * len(Counts._fields))()
    if _library is not None:
        _library.ganzoo_convolution_counts(numbers)
    return Counts(*numbers)


@contextlib.contextmanager
def winograd_from(channels: int, pixels: int) -> Iterator[None]:
    """Within the body, use Winograd's algorithm from these sizes on. Convolutions computed before are not affected."""
    minimum = (ctypes.c_int(channels), ctypes.c_int(pixels))
    _library.ganzoo_swap_winograd_minimum(*map(ctypes.byref, minimum))
    try:
        yield
    finally:
        _library.ganzoo_swap_winograd_minimum(*map(ctypes.byref, minimum))


def conv2d(
    x: Any, weight: Any, stride: IntOrPair = 1, padding: IntOrPair = 0, dilation: IntOrPair = 1, groups: int = 1
) -> Any:
    """Like torch.nn.functional.conv2d without bias, for x (N, C, H, W) and weight (K, C / groups, h, w). Pairs are
    (height, width)."""
    _require("a convolution", x, (0, weight.shape[1] * groups, 0, 0))
    if _operations is None:
        return _autocast_call(jittor().nn.conv2d, x, weight, None, stride, padding, dilation, groups)
    pairs = ((each, each) if isinstance(each, int) else each for each in (stride, padding, dilation))
    sides = (side for pair in pairs for side in pair)
    return _conv(x, weight, _FORWARD, 0, 0, *sides, groups)


def _conv(left: Any, right: Any, *geometry: int, w_format: str = "oihw", widened: int = 0) -> Any:
    """Create a convolution as in onednn_conv_op.h, in the current precision."""
    return _operations.onednn_conv(left, right, *geometry, "abcd", w_format, "abcd", autocast_enabled, widened)


def _require(what: str, x: Any, expected: tuple[int, ...]) -> None:
    """Raise ShapeError unless x has the shape `expected`, in which 0 means any positive number. Jittor would fail
    with a dump of its graph, and the gradient of an empty array would end the process."""
    shape = tuple(x.shape)
    fits = len(shape) == len(expected) and all(side == need for side, need in zip(shape, expected) if need)
    if not fits or 0 in shape:
        names = "NCHW" if len(expected) == 4 else "NC"
        sides = ", ".join(str(need) if need else name for name, need in zip(names, expected))
        empty = " Empty arrays are not supported." if fits else ""
        raise ShapeError(f"{what} expects shape ({sides}), got {shape}.{empty}")


def _autocast_call(function: Any, x: Any, weight: Any, *rest: Any) -> Any:
    if not autocast_enabled:
        return function(x, weight, *rest)
    return function(x.bfloat16(), weight.bfloat16(), *rest).float32()


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Within the body, compute nothing in bfloat16: published values of metrics were computed in float32."""
    global autocast_enabled
    previous, autocast_enabled = autocast_enabled, False
    try:
        yield
    finally:
        autocast_enabled = previous


def on_gpu() -> bool:
    """Whether Jittor computes on a GPU."""
    return device() == "cuda"


def available() -> bool:
    """Whether our own operations are available: on the CPU, if they could be compiled."""
    return _operations is not None


def upsampling_conv2d(x: Any, weight: Any) -> Any:
    """Return the transposed convolution of x (N, C, H, W) and weight (K, C, 4, 4) with stride 2, as (N, K, 2 H, 2 W).
    Needs `available()`."""
    _require("a convolution", x, (0, weight.shape[1], 0, 0))
    sides = [2 * side for side in x.shape[2:]]
    return _conv(weight, x, _BACKWARD_DATA, *sides, 2, 2, 1, 1, 1, 1, 1, w_format="iohw")


def widens_kernels(weight: Any, sides: Sequence[int]) -> bool:
    """Whether `doubling_conv2d`, `halving_conv2d` and `halving_conv_transpose2d` are available for these weights in the
    current precision, and fast. `sides` are the sides of the larger images."""
    channels = min(weight.shape[:2])
    if autocast_enabled:
        return available() and channels >= _MIN_CHANNELS_BFLOAT16 and min(sides) >= 4
    return available() and channels >= _MIN_CHANNELS and all(side % 4 == 0 for side in sides)


def doubling_conv2d(x: Any, weight: Any) -> Any:
    """Return conv2d(upsample_nearest(x), weight, padding=1) for weights (K, C, 3, 3). Needs `widens_kernels`."""
    _require("a convolution", x, (0, weight.shape[1], 0, 0))
    sides = [2 * side for side in x.shape[2:]]
    return _conv(weight, x, _BACKWARD_DATA, *sides, 2, 2, 1, 1, 1, 1, 1, w_format="iohw", widened=_DOUBLING)


def halving_conv2d(x: Any, weight: Any) -> Any:
    """Return average_pool(conv2d(x, weight, padding=1)) for weights (K, C, 3, 3). Needs `widens_kernels`."""
    _require("a convolution", x, (0, weight.shape[1], 0, 0))
    return _conv(x, weight, _FORWARD, 0, 0, 2, 2, 1, 1, 1, 1, 1, widened=_HALVING)


def halving_conv_transpose2d(x: Any, weight: Any) -> Any:
    """Return the transpose of `halving_conv2d`, for weights (C, K, 3, 3). Needs `widens_kernels`."""
    _require("a transposed convolution", x, (0, weight.shape[0], 0, 0))
    sides = [2 * side for side in x.shape[2:]]
    return _conv(weight, x, _BACKWARD_DATA, *sides, 2, 2, 1, 1, 1, 1, 1, widened=_HALVING)


def conv_transpose2d(x: Any, weight: Any, stride: int = 1, padding: int = 0, output_padding: int = 0) -> Any:
    """Like torch.nn.functional.conv_transpose2d without bias, for x (N, C, H, W) and weight (C, K, h, w). Raises
    ShapeError if the arrays don't fit, or `output_padding` is not below the stride."""
    _require("a transposed convolution", x, (0, weight.shape[0], 0, 0))
    if not 0 <= output_padding < stride:
        raise ShapeError(f"output_padding must be at least 0 and below the stride, {stride}, but is {output_padding}.")
    if _operations is None:
        return _autocast_call(jittor().nn.conv_transpose2d, x, weight, None, stride, padding, output_padding)
    height, width = (
        (side - 1) * stride - 2 * padding + kernel + output_padding
        for side, kernel in zip(x.shape[2:], weight.shape[2:])
    )
    return _conv(weight, x, _BACKWARD_DATA, height, width, stride, stride, padding, padding, 1, 1, 1)


def symmetric_filter(x: Any, centre: float, side: float, corner: float) -> Any:
    """Filter each feature map of (N, C, H, W) with a symmetric 3x3 kernel of these values, with zero padding."""
    if _operations is not None:
        return _operations.symmetric_filter(x, centre, side, corner)
    return reindexing.symmetric_filter(x, centre, side, corner)


def leaky_relu(x: Any, slope: float = 0.2, fused: bool = False) -> Any:
    """Return the larger of x and slope * x, for a slope from 0 (ReLU) to 1. The gradient at 0 is the slope.

    `fused` lets Jittor compile the ReLU and the operations around it into one kernel, which is faster after a batch
    norm of small images."""
    if _operations is not None and not fused:
        return _operations.leaky_relu(x, slope)
    return jittor().nn.leaky_relu(x, slope)


def dropout_mask(shape: Sequence[int], p: float) -> Any:
    """Return an array of this shape whose elements are 0 with probability `p`, and 1 / (1 - p) otherwise."""
    if _operations is not None:
        mask = _operations.dropout_mask(tuple(shape), p)
    else:
        mask = (jittor().random(tuple(shape)) >= p).float32() / (1.0 - p)
    return mask.stop_grad()


def linear(x: Any, weight: Any) -> Any:
    """Like torch.nn.functional.linear without bias, for x (N, C) and weight (K, C)."""
    _require("a linear layer", x, (0, weight.shape[1]))
    if _operations is None:
        return _autocast_call(jittor().nn.matmul_transpose, x, weight)
    return _operations.onednn_matmul(x, weight, False, True, autocast_enabled)


def matmul(x: Any, y: Any) -> Any:
    """Return the product of the matrices x (N, C) and y (C, K)."""
    if _operations is None:
        return _autocast_call(jittor().nn.matmul, x, y)
    return _operations.onednn_matmul(x, y, False, False, autocast_enabled)


def transpose(x: Any, axes: Sequence[int]) -> Any:
    """Like np.transpose."""
    return reindexing.transpose(x, axes) if on_gpu() else x.transpose(tuple(axes))


def upsample_nearest(x: Any) -> Any:
    """Repeat each pixel of (N, C, H, W) as 2x2 pixels."""
    if on_gpu():
        return reindexing.upsample_nearest(x)
    n, c, h, w = x.shape  # broadcasting is twice as fast on the CPU as interpolation by index
    return x.reshape((n, c, h, 1, w, 1)).broadcast((n, c, h, 2, w, 2)).reshape((n, c, 2 * h, 2 * w))


def average_pool(x: Any) -> Any:
    """Return the mean of each 2x2 block of pixels of (N, C, H, W). ShapeError if a side is odd."""
    n, c, h, w = x.shape
    if h % 2 or w % 2:
        raise ShapeError(f"pooling expects images of even height and width, got {tuple(x.shape)}.")
    if on_gpu():
        return reindexing.sum_pool(x) * 0.25
    return x.reshape((n, c, h // 2, 2, w // 2, 2)).mean([3, 5])


def norm(arrays: Sequence[Any]) -> Any:
    """See updates.norm; needs `available()`."""
    return _operations.norm(list(arrays))


def all_finite(numbers: Sequence[Any]) -> Any:
    """See backend.all_finite; needs `available()`."""
    return _operations.finite(list(numbers))


def adam(
    state: Sequence[tuple[Any, Any, Any]],
    gradients: Sequence[Any],
    scalars: np.ndarray,
    finite: Any,
    settings: AdamSettings,
) -> Iterator[tuple[Any, Any, Any]]:
    """See updates.adam; needs `available()`."""
    import numpy as np

    arrays = [*(array for kind in zip(*state) for array in kind), *gradients]
    numbers = jittor().array(np.ascontiguousarray(scalars, np.float32)).stop_grad()
    updated = _operations.adam(numbers, finite, arrays, settings.beta1, settings.beta2, settings.weight_decay)
    count = len(state)
    return zip(updated[:count], updated[count : 2 * count], updated[2 * count :])


def ema_update(old: Sequence[Any], new: Sequence[Any], weight: float) -> Sequence[Any]:
    """See updates.ema_update; needs `available()`."""
    updated: Sequence[Any] = _operations.lerp([*old, *new], weight)
    return updated
