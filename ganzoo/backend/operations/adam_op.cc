#include "adam_op.h"

#include <cmath>
#include <cstring>

#include "blocks.h"
#include "var.h"

namespace jittor {

AdamOp::AdamOp(Var* scalars, Var* finite, vector<Var*>&& given, float64 beta1, float64 beta2, float64 decay)
    : scalars(scalars), finite(finite), arrays(given), beta1(beta1), beta2(beta2), decay(decay) {
    ASSERT(arrays.size() % 4 == 0) << "expected weights, two moments and gradients, got" << arrays.size() << "arrays";
    ASSERT(scalars->num * 2 == (int64)arrays.size()) << "expected a learning rate and eps for each weight";
    flags.set(NodeFlags::_cpu);
    flags.set(NodeFlags::_manual_set_vnbb);
    const size_t n = arrays.size() / 4;
    for (size_t index = 0; index < arrays.size(); index++) {
        ASSERT(arrays[index]->dtype() == ns_float32 && arrays[index]->num == arrays[index % n]->num)
            << "weights, moments and gradients must be float32 and of equal size";
        if (index < 3 * n) updated.push_back(create_output(arrays[index]->shape, ns_float32));
    }
}

void AdamOp::run() {
    const size_t n = arrays.size() / 4;
    const bool skip = finite->ptr<float32>()[0] == 0;
    const float keep1 = beta1, keep2 = beta2, take1 = 1 - beta1, take2 = 1 - beta2, weight_decay = decay;
    std::vector<int64_t> sizes;
    for (size_t index = 0; index < n; index++) sizes.push_back(arrays[index]->num);
    ganzoo::in_blocks(sizes, [&](int index, int64_t from, int64_t to) {
        const float* old[4];
        float* made[3];
        for (int kind = 0; kind < 4; kind++) old[kind] = arrays[kind * n + index]->ptr<float32>();
        for (int kind = 0; kind < 3; kind++) made[kind] = updated[kind * n + index]->ptr<float32>();
        if (skip) {
            for (int kind = 0; kind < 3; kind++)
                std::memcpy(made[kind] + from, old[kind] + from, (to - from) * sizeof(float));
            return;
        }
        const float *w = old[0], *m = old[1], *v = old[2], *slope = old[3];
        float *new_w = made[0], *new_m = made[1], *new_v = made[2];
        const float rate = scalars->ptr<float32>()[2 * index], eps = scalars->ptr<float32>()[2 * index + 1];
        #pragma omp simd
        for (int64_t i = from; i < to; i++) {
            const float gradient = slope[i] + weight_decay * w[i];
            const float first = keep1 * m[i] + take1 * gradient;
            const float second = keep2 * v[i] + take2 * (gradient * gradient);
            new_w[i] = w[i] - rate * first / (std::sqrt(second) + eps);
            new_m[i] = first;
            new_v[i] = second;
        }
    });
}

}  // namespace jittor
