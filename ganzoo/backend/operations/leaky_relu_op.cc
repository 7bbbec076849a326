#include "leaky_relu_op.h"

#include "ops/op_register.h"
#include "slopes.h"
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
    const float* numbers = x->ptr<float32>();
    ganzoo::apply_slope(numbers, numbers, y->ptr<float32>(), x->num, slope);
}

}  // namespace jittor
