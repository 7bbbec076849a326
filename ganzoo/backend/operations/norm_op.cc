#include "norm_op.h"

#include <cmath>

#include "blocks.h"
#include "var.h"

namespace jittor {

NormOp::NormOp(vector<Var*>&& given) : arrays(given) {
    for (Var* array : arrays) ASSERT(array->dtype() == ns_float32) << "norms need float32";
    flags.set(NodeFlags::_cpu);
    flags.set(NodeFlags::_manual_set_vnbb);
    create_output(NanoVector(1), ns_float32);
}

void NormOp::run() {
    std::vector<int64_t> sizes, before;  // before: number of blocks of the preceding arrays
    int64_t blocks = 0;
    for (Var* array : arrays) {
        sizes.push_back(array->num);
        before.push_back(blocks);
        blocks += (array->num + ganzoo::BLOCK - 1) / ganzoo::BLOCK;
    }
    std::vector<float> sums(blocks);
    ganzoo::in_blocks(sizes, [&](int index, int64_t from, int64_t to) {
        const float* array = arrays[index]->ptr<float32>();
        float sum = 0;
        #pragma omp simd reduction(+:sum)
        for (int64_t i = from; i < to; i++) sum += array[i] * array[i];
        sums[before[index] + from / ganzoo::BLOCK] = sum;
    });
    double total = 0;
    for (float sum : sums) total += sum;
    output(0)->ptr<float32>()[0] = std::sqrt(total);
}

}  // namespace jittor
