#include "dropout_mask_op.h"

#include <cmath>

#include "blocks.h"
#include "init.h"
#include "var.h"

namespace jittor {

DropoutMaskOp::DropoutMaskOp(NanoVector shape, float64 p) : p(p) {
    ASSERT(p >= 0 && p < 1) << "needs a probability below 1, got" << p;
    flags.set(NodeFlags::_cpu);
    mask = create_output(shape, ns_float32);
}

// Philox2x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3): each counter gives a
// random number, whatever was drawn before, so that threads share the work and the compiler vectorises it.
static inline uint32_t philox(uint32_t low, uint32_t high, uint32_t key) {
    #pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        const uint64_t product = uint64_t(0xD256D193) * low;
        low = uint32_t(product >> 32) ^ key ^ high;
        high = uint32_t(product);
        key += 0x9E3779B9;
    }
    return low;
}

void DropoutMaskOp::run() {
    auto& generator = *get_random_engine();
    const uint32_t key = generator(), stream = generator();
    const uint32_t dropped = std::ldexp(p, 32);
    const float scale = 1 / (1 - p);
    float* result = mask->ptr<float32>();
    ganzoo::in_blocks({mask->num}, [=](int, int64_t begin, int64_t end) {
        // Captured variables would be read again after each write.
        float* to = result;
        const uint32_t own_key = key, own_stream = stream, limit = dropped;
        const float kept = scale;
        #pragma omp simd
        for (int64_t i = begin; i < end; i++) {
            const uint32_t number = philox(uint32_t(i), own_stream ^ uint32_t(i >> 32), own_key);
            to[i] = number < limit ? 0.0f : kept;
        }
    });
}

}  // namespace jittor
