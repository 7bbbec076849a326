#include "leaky_relu_op.h"

#include "blocks.h"
#include "ops/op_register.h"
#include "var.h"

namespace jittor {

LeakyReluOp::LeakyReluOp(Var* x, float64 slope) : x(x), slope(slope) {
    ASSERT(x->dtype() == ns_float32 && slope >= 0 && slope <= 1)
        << "needs float32 and a slope from 0 to 1, got" << slope;
    flags.set(NodeFlags::_cpu);
    flags.set(NodeFlags::_manual_set_vnbb);
    y = create_output(nullptr, ns_float32);
    y->flags.set(NodeFlags::_needed_by_backward);
}

void LeakyReluOp::infer_shape() { y->set_shape(x->shape); }

VarPtr LeakyReluOp::grad(Var* out, Var* dout, Var* v, int v_index) {
    static auto make = get_op_info("leaky_relu_grad").get_constructor<VarPtr, Var*, Var*, float64>();
    return make(dout, out, slope);
}

void LeakyReluOp::run() {
    const float* from = x->ptr<float32>();
    float* to = y->ptr<float32>();
    const float factor = slope;
    ganzoo::in_blocks({x->num}, [=](int, int64_t begin, int64_t end) {
        const float* source = from;  // a captured variable would be read again after each write
        float* target = to;
        const float below = factor;
        #pragma omp simd
        for (int64_t i = begin; i < end; i++) {
            const float scaled = below * source[i];  // multiplied in any case, so that no branch prevents vectorising
            target[i] = source[i] > 0 ? source[i] : scaled;
        }
    });
}

}  // namespace jittor
