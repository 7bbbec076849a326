"""Resampling of images along an affine grid of their own, as one kernel whose gradients of any order are exact.

Matrices and channel mixtures are data, so random transformations compile nothing. Coordinates are computed in double
precision.
"""

from __future__ import annotations

import functools
import re
from string import Template
from typing import Any

import numpy as np

from ganzoo.backend.handle import jittor

# Both kernels visit the output pixels. For each of them, `_PIXEL` finds the four neighbours of its source and their
# weights; `m` is the matrix (2, 3) of the image.
_PIXEL = """
    const double a = m[0] * i + m[1] * j + m[2], b = m[3] * i + m[4] * j + m[5];
    const double a_floor = floor(a), b_floor = floor(b);
    const float fa = a - a_floor, fb = b - b_floor;
    long long a0 = (long long)a_floor % A, b0 = (long long)b_floor % B;
    if (a0 < 0) a0 += A;
    if (b0 < 0) b0 += B;
    const long long a1 = a0 + 1 == A ? 0 : a0 + 1, b1 = b0 + 1 == B ? 0 : b0 + 1;
    const long long at00 = a0 * B + b0, at01 = a0 * B + b1, at10 = a1 * B + b0, at11 = a1 * B + b1;
    const float w00 = (1 - fa) * (1 - fb), w01 = (1 - fa) * fb, w10 = fa * (1 - fb), w11 = fa * fb;
"""
_GATHER = """
    for (int to = 0; to < C; to++) {
        float sum = 0;
        for (int from = 0; from < C; from++) {
            const float* source = images + (n * C + from) * A * B;
            const float value = w00 * source[at00] + w01 * source[at01] + w10 * source[at10] + w11 * source[at11];
            sum += mix[to * C + from] * value;
        }
        results[((n * C + to) * I + i) * J + j] = sum;
    }
"""
_SCATTER = """
    for (int from = 0; from < C; from++) {
        float sum = 0;
        for (int to = 0; to < C; to++) sum += mix[to * C + from] * images[((n * C + to) * I + i) * J + j];
        float* target = results + (n * C + from) * A * B;
        ADD(target[at00], w00 * sum);
        ADD(target[at01], w01 * sum);
        ADD(target[at10], w10 * sum);
        ADD(target[at11], w11 * sum);
    }
"""
# Images are independent of one another, so the sums are the same for any number of threads.
_CPU = """
    const float* images = in0_p;
    float* results = out0_p;
    const long long C = in0_shape1, A = $A, B = $B, I = $I, J = $J;
    $CLEAR
    #pragma omp parallel for
    for (long long n = 0; n < in0_shape0; n++) {
        const double* m = in1_p + n * 6;
        const float* mix = in2_p + n * C * C;
        for (long long i = 0; i < I; i++) for (long long j = 0; j < J; j++) { $PIXEL }
    }
"""
_CUDA = """
    __global__ static void resample(@ARGS_DEF) {
        @PRECALC
        const float* images = in0_p;
        float* results = out0_p;
        const long long C = in0_shape1, A = $A, B = $B, I = $I, J = $J;
        const long long total = in0_shape0 * I * J, step = (long long)gridDim.x * blockDim.x;
        for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < total; at += step) {
            const long long n = at / (I * J), i = at / J % I, j = at % J;
            const double* m = in1_p + n * 6;
            const float* mix = in2_p + n * C * C;
            $PIXEL
        }
    }
    $CLEAR
    resample<<<1024, 256>>>(@ARGS);
"""
_INPUT, _OUTPUT = ("in0_shape2", "in0_shape3"), ("out0_shape2", "out0_shape3")


def warp(images: Any, lookup: np.ndarray, mix: np.ndarray, size: tuple[int, int]) -> Any:
    """Return images (N, C, *size), whose pixel [i, j] is the value of the image (N, C, A, B) at lookup @ (i, j, 1),
    interpolated bilinearly. Beyond its borders the image repeats periodically.

    `lookup` (N, 2, 3) holds a matrix for each image. `mix` (N, C, C) then maps the channels.
    """
    jt = jittor()
    matrices = jt.array(np.ascontiguousarray(lookup, np.float64), dtype="float64").stop_grad()
    mixtures = jt.array(np.ascontiguousarray(mix, np.float32)).stop_grad()
    return _functions()[0](matrices, mixtures, size)(images)


@functools.cache
def _functions() -> tuple[Any, Any]:
    jt: Any = jittor()

    def run(images: Any, lookup: Any, mix: Any, size: tuple[int, int], gather: bool) -> Any:
        (a, b), (i, j) = (_INPUT, _OUTPUT) if gather else (_OUTPUT, _INPUT)

        def source(frame: str, add: str, clear: str) -> str:
            pixel = _PIXEL + (_GATHER if gather else re.sub(r"ADD\((.*), (.*)\)", add, _SCATTER))
            return Template(frame).substitute(A=a, B=b, I=i, J=j, PIXEL=pixel, CLEAR="" if gather else clear)

        return jt.code(
            [*images.shape[:2], *size],
            "float32",
            [images, lookup, mix],
            cpu_header="#include <cmath>\n#include <cstring>",
            cpu_src=source(_CPU, r"\1 += \2", "std::memset(results, 0, out->size);"),
            cuda_src=source(_CUDA, r"atomicAdd(&\1, \2)", "cudaMemsetAsync(out0_p, 0, out->size, 0);"),
        )

    class Warp(jt.Function):  # type: ignore[misc]
        def __init__(self, lookup: Any, mix: Any, size: tuple[int, int]) -> None:
            super().__init__()
            self.lookup, self.mix, self.size = lookup, mix, size

        def execute(self, images: Any) -> Any:
            self.source = tuple(images.shape[2:])
            return run(images, self.lookup, self.mix, self.size, gather=True)

        def grad(self, gradient: Any) -> Any:
            return WarpAdjoint(self.lookup, self.mix, self.source)(gradient)

    class WarpAdjoint(jt.Function):  # type: ignore[misc]
        def __init__(self, lookup: Any, mix: Any, size: tuple[int, int]) -> None:
            super().__init__()
            self.lookup, self.mix, self.size = lookup, mix, size

        def execute(self, images: Any) -> Any:
            self.source = tuple(images.shape[2:])
            return run(images, self.lookup, self.mix, self.size, gather=False)

        def grad(self, gradient: Any) -> Any:
            return Warp(self.lookup, self.mix, self.source)(gradient)

    return Warp, WarpAdjoint
