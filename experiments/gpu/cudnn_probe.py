"""Times StyleGAN's convolutions with cuDNN's legacy interface, which Jittor uses, and finds the fastest algorithm for
each data type, layout and math type. Also times PyTorch, which uses the newer interface. Needs no Jittor."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from typing import Any

import kit

SHAPES = ((128, 512, 16), (64, 512, 32), (32, 256, 64), (32, 128, 128))  # images, channels, height and width
TYPES = {"float32": 0, "bfloat16": 9, "float16": 2}
LAYOUTS = {"NCHW": 0, "NHWC": 1}
MATH = {0: "default", 1: "tensor", 2: "tensor with conversion", 3: "fma"}
CROSS_CORRELATION = 1
MAX_ALGORITHMS = 10


class Algorithm(ctypes.Structure):
    """cudnnConvolutionFwdAlgoPerf_t; the types for the two gradients have the same fields."""

    _fields_ = [
        ("number", ctypes.c_int),
        ("status", ctypes.c_int),
        ("ms", ctypes.c_float),
        ("memory", ctypes.c_size_t),
        ("determinism", ctypes.c_int),
        ("math", ctypes.c_int),
        ("reserved", ctypes.c_int * 3),
    ]


def ints(*values: int) -> Any:
    return (ctypes.c_int * len(values))(*values)


class Cudnn:
    """The few cuDNN functions that are needed, through ctypes."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcudnn.so.9")
        self.library.cudnnGetErrorString.restype = ctypes.c_char_p
        self.handle = ctypes.c_void_p()
        self.call("cudnnCreate", ctypes.byref(self.handle))

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name}: {self.library.cudnnGetErrorString(status).decode()} ({status})")

    def create(self, kind: str) -> ctypes.c_void_p:
        descriptor = ctypes.c_void_p()
        self.call(f"cudnnCreate{kind}Descriptor", ctypes.byref(descriptor))
        return descriptor

    def find(self, shape: Sequence[int], dtype: str, layout: str, math: int) -> dict[str, Any]:
        """Return the algorithms of each direction, fastest first."""
        n, c, side = shape
        kinds = ("Tensor", "Filter", "Tensor", "Convolution")
        x, w, y, conv = descriptors = [self.create(kind) for kind in kinds]
        nchw, nhwc = (c * side * side, side * side, side, 1), (c * side * side, 1, side * c, c)
        strides = ints(*(nchw if layout == "NCHW" else nhwc))
        number = TYPES[dtype]
        for tensor in (x, y):
            self.call("cudnnSetTensorNdDescriptor", tensor, number, 4, ints(n, c, side, side), strides)
        self.call("cudnnSetFilterNdDescriptor", w, number, LAYOUTS[layout], 4, ints(c, c, 3, 3))
        one, float32 = ints(1, 1), TYPES["float32"]
        self.call("cudnnSetConvolutionNdDescriptor", conv, 2, one, one, one, CROSS_CORRELATION, float32)
        self.call("cudnnSetConvolutionMathType", conv, math)
        orders = {"Forward": (x, w, conv, y), "BackwardData": (w, y, conv, x), "BackwardFilter": (x, y, conv, w)}
        found = {direction: self._algorithms(direction, order) for direction, order in orders.items()}
        for kind, descriptor in zip(kinds, descriptors):
            self.call(f"cudnnDestroy{kind}Descriptor", descriptor)
        return found

    def _algorithms(self, direction: str, order: Sequence[Any]) -> Any:
        results, count = (Algorithm * MAX_ALGORITHMS)(), ctypes.c_int()
        name = f"cudnnFindConvolution{direction}Algorithm"
        try:
            self.call(name, self.handle, *order, MAX_ALGORITHMS, ctypes.byref(count), results)
        except RuntimeError as error:  # this direction is not supported, but others may be
            return str(error)
        usable = [each for each in results[: count.value] if each.status == 0]
        return [[each.number, MATH.get(each.math, each.math), each.ms, each.memory >> 20] for each in usable]


def probe() -> None:
    """Time cuDNN, then PyTorch, for each shape."""
    import torch

    versions = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}
    kit.report("cudnn", gpu=torch.cuda.get_device_name(), **versions)
    cudnn = Cudnn()
    for shape in SHAPES:
        for dtype, layout, math in itertools.product(TYPES, LAYOUTS, (0, 1)):
            if kit.past_deadline():
                return
            if (dtype, math) != ("float32", 1):
                time_cudnn(cudnn, shape, dtype, layout, math)
        for dtype, layout in itertools.product(("float32", "bfloat16"), ("contiguous_format", "channels_last")):
            time_torch(torch, shape, dtype, layout)


def flop(shape: Sequence[int]) -> float:
    n, c, side = shape
    return 18.0 * n * c * c * side * side


def time_cudnn(cudnn: Cudnn, shape: Sequence[int], dtype: str, layout: str, math: int) -> None:
    what = {"shape": shape, "dtype": dtype, "layout": layout, "math": MATH[math]}
    try:
        found = cudnn.find(shape, dtype, layout, math)
    except RuntimeError as error:
        kit.report("cudnn", **what, refused=str(error))
        return
    lists = {direction: rows for direction, rows in found.items() if isinstance(rows, list) and rows}
    best = {direction: flop(shape) / rows[0][2] / 1e9 for direction, rows in lists.items() if rows[0][2] > 0}
    kit.report("cudnn", **what, best_tflops=best, found=found)


def time_torch(torch: Any, shape: Sequence[int], dtype: str, layout: str, repeat: int = 5) -> None:
    """Time PyTorch's convolution and both its gradients."""
    n, c, side = shape
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = True
    like = {"device": "cuda", "dtype": getattr(torch, dtype)}
    memory = {"memory_format": getattr(torch, layout)}
    x, w = torch.randn(n, c, side, side, **like).to(**memory), torch.randn(c, c, 3, 3, **like).to(**memory)

    def run(times: int) -> None:
        for _ in range(times):
            y = torch.nn.functional.conv2d(x.requires_grad_(), w.requires_grad_(), padding=1)
            torch.autograd.grad(y, (x, w), y)

    run(3)
    torch.cuda.synchronize()
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record()
    run(repeat)
    last.record()
    torch.cuda.synchronize()
    ms = first.elapsed_time(last) / repeat
    kit.report("cudnn", shape=shape, by="torch", dtype=dtype, layout=layout, ms=ms, tflops=3 * flop(shape) / ms / 1e9)
