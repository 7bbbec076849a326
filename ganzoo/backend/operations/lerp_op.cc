#include "lerp_op.h"

#include "blocks.h"
#include "var.h"

namespace jittor {

LerpOp::LerpOp(vector<Var*>&& given, float64 weight) : arrays(given), weight(weight) {
    ASSERT(arrays.size() % 2 == 0) << "expected an even number of arrays, got" << arrays.size();
    flags.set(NodeFlags::_cpu);
    flags.set(NodeFlags::_manual_set_vnbb);
    const size_t n = arrays.size() / 2;
    for (size_t index = 0; index < n; index++) {
        ASSERT(arrays[index]->dtype() == ns_float32 && arrays[n + index]->dtype() == ns_float32 &&
               arrays[index]->num == arrays[n + index]->num)
            << "the two arrays of a pair must be float32 and of equal size";
        updated.push_back(create_output(arrays[index]->shape, ns_float32));
    }
}

void LerpOp::run() {
    const size_t n = updated.size();
    const float factor = weight;
    std::vector<int64_t> sizes;
    for (Var* array : updated) sizes.push_back(array->num);
    ganzoo::in_blocks(sizes, [&](int index, int64_t from, int64_t to) {
        const float* a = arrays[index]->ptr<float32>();
        const float* b = arrays[n + index]->ptr<float32>();
        float* made = updated[index]->ptr<float32>();
        #pragma omp simd
        for (int64_t i = from; i < to; i++) made[i] = a[i] + factor * (b[i] - a[i]);
    });
}

}  // namespace jittor
