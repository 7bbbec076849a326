#include "leaky_relu_grad_op.h"

#include "blocks.h"
#include "ops/op_register.h"
#include "var.h"

namespace jittor {

LeakyReluGradOp::LeakyReluGradOp(Var* x, Var* y, float64 slope) : x(x), y(y), slope(slope) {
    flags.set(NodeFlags::_cpu);
    flags.set(NodeFlags::_manual_set_vnbb);
    result = create_output(nullptr, ns_float32);
    y->flags.set(NodeFlags::_needed_by_backward);
}

void LeakyReluGradOp::infer_shape() {
    ASSERT(x->num == y->num) << "expected a gradient of shape" << y->shape << "and got" << x->shape;
    result->set_shape(x->shape);
}

// Returns the gradient with respect to x. The gradient with respect to y is zero wherever it exists.
VarPtr LeakyReluGradOp::grad(Var* out, Var* dout, Var* v, int v_index) {
    static auto make = get_op_info("leaky_relu_grad").get_constructor<VarPtr, Var*, Var*, float64>();
    return v_index == 0 ? make(dout, y, slope) : nullptr;
}

void LeakyReluGradOp::run() {
    const float* from = x->ptr<float32>();
    const float* sign = y->ptr<float32>();
    float* to = result->ptr<float32>();
    const float factor = slope;
    ganzoo::in_blocks({x->num}, [=](int, int64_t begin, int64_t end) {
        const float *source = from, *signs = sign;  // captured variables would be read again after each write
        float* target = to;
        const float below = factor;
        #pragma omp simd
        for (int64_t i = begin; i < end; i++) {
            const float scaled = below * source[i];
            target[i] = signs[i] > 0 ? source[i] : scaled;
        }
    });
}

}  // namespace jittor
