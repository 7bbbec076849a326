#include "leaky_relu_grad_op.h"

#include "ops/op_register.h"
#include "slopes.h"
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
    ganzoo::apply_slope(y->ptr<float32>(), x->ptr<float32>(), result->ptr<float32>(), x->num, slope);
}

}  // namespace jittor
