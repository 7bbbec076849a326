"""What every update does with every weight: norms of gradients, and Adam.

Jittor's fused kernels run on one thread, and these two are nothing but traffic to memory. So on the CPU they are
written out, with a loop that OpenMP divides; on a GPU they are made of Jittor's operations. Imported by what has
started Jittor already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganzoo import backend

if TYPE_CHECKING:
    from ganzoo.model import Adam

BLOCK = 16384  # numbers that one thread takes at once; fixed, so that another number of threads changes no digit

_HEADER = "#include <algorithm>\n#include <cmath>\n#include <cstring>\n#include <vector>\n"

_NORM = """
    const float* arrays[] = {%(arrays)s};
    const int64 sizes[] = {%(sizes)s};
    double total = 0;
    for (int k = 0; k < %(count)d; k++) {
        const float* array = arrays[k];
        const int64 size = sizes[k], blocks = (size + %(block)d - 1) / %(block)d;
        std::vector<float> sums(blocks);
        #pragma omp parallel for if(blocks > 2)
        for (int64 b = 0; b < blocks; b++) {
            const int64 end = std::min<int64>(size, (b + 1) * %(block)d);
            float sum = 0;
            for (int64 i = b * %(block)d; i < end; i++) sum += array[i] * array[i];
            sums[b] = sum;
        }
        for (int64 b = 0; b < blocks; b++) total += sums[b];
    }
    out0_p[0] = std::sqrt(total);
"""

_ADAM = """
    const int64 size = in0->num, blocks = (size + %(block)d - 1) / %(block)d;
    if (in6_p[0] == 0) {
        std::memcpy(out0_p, in0_p, size * sizeof(float));
        std::memcpy(out1_p, in1_p, size * sizeof(float));
        std::memcpy(out2_p, in2_p, size * sizeof(float));
        return;
    }
    const float rate = in4_p[0], eps = in5_p[0];
    #pragma omp parallel for if(blocks > 2)
    for (int64 b = 0; b < blocks; b++) {
        const int64 end = std::min<int64>(size, (b + 1) * %(block)d);
        #pragma omp simd
        for (int64 i = b * %(block)d; i < end; i++) {
            const float gradient = in3_p[i] + %(decay)rf * in0_p[i];
            const float first = %(beta1)rf * in1_p[i] + %(rest1)rf * gradient;
            const float second = %(beta2)rf * in2_p[i] + %(rest2)rf * (gradient * gradient);
            out0_p[i] = in0_p[i] - rate * first / (std::sqrt(second) + eps);
            out1_p[i] = first;
            out2_p[i] = second;
        }
    }
"""


def norm(arrays: Sequence[Any]) -> Any:
    """The Euclidean norm of all numbers of several float32 Vars, as a Var (1,). Not finite where one of them is not,
    or where its square is not."""
    jt = backend.jittor()
    if backend.device() != "cpu":
        return jt.sqrt(sum(array.sqr().sum() for array in arrays))
    source = _NORM % {
        "arrays": ", ".join(f"in{index}_p" for index in range(len(arrays))),
        "sizes": ", ".join(f"in{index}->num" for index in range(len(arrays))),
        "count": len(arrays),
        "block": BLOCK,
    }
    return jt.code((1,), "float32", list(arrays), cpu_header=_HEADER, cpu_src=source)


def adam(
    weight: Any, first: Any, second: Any, gradient: Any, rate: Any, eps: Any, good: Any, settings: Adam
) -> tuple[Any, Any, Any]:
    """A weight and its moments after an update; the very same numbers where `good` is 0, whatever the gradient is.

    `rate`, `eps` and `good` are Vars (1,); the first two with bias correction.
    """
    if backend.device() != "cpu":
        return _plain_adam(weight, first, second, gradient, rate, eps, good, settings)
    source = _ADAM % {
        "decay": float(settings.weight_decay),
        "beta1": float(settings.beta1),
        "rest1": 1.0 - settings.beta1,
        "beta2": float(settings.beta2),
        "rest2": 1.0 - settings.beta2,
        "block": BLOCK,
    }
    given = [weight, first, second, gradient, rate, eps, good]
    shapes, kinds = [weight.shape] * 3, ["float32"] * 3
    updated = backend.jittor().code(shapes, kinds, given, cpu_header=_HEADER, cpu_src=source)
    return updated[0], updated[1], updated[2]


def _plain_adam(
    weight: Any, first: Any, second: Any, gradient: Any, rate: Any, eps: Any, good: Any, settings: Adam
) -> tuple[Any, Any, Any]:
    jt = backend.jittor()
    if settings.weight_decay:
        gradient = gradient + settings.weight_decay * weight
    one = settings.beta1 * first + (1 - settings.beta1) * gradient
    two = settings.beta2 * second + (1 - settings.beta2) * gradient.sqr()
    new = weight - rate * one / (jt.sqrt(two) + eps)
    # Chosen and not multiplied by 0 or 1: NaN * 0 is NaN.
    return jt.ternary(good, new, weight), jt.ternary(good, one, first), jt.ternary(good, two, second)
