#pragma once

#include <cstdint>

#include "blocks.h"

namespace ganzoo {

// Multiplies those numbers of `source` by `slope` whose number in `signs` is not above 0. All arrays have `size` numbers.
inline void apply_slope(const float* signs, const float* source, float* result, int64_t size, float slope) {
    in_blocks({size}, [=](int, int64_t begin, int64_t end) {
        // Captured variables would be read again after each write, and a multiplication behind a branch is not
        // vectorised.
        const float *from = source, *sign = signs;
        float* to = result;
        const float factor = slope;
        #pragma omp simd
        for (int64_t i = begin; i < end; i++) {
            const float scaled = factor * from[i];
            to[i] = sign[i] > 0 ? from[i] : scaled;
        }
    });
}

}  // namespace ganzoo
