#include "onednn_matmul_op.h"

#include "matmul.h"
#include "ops/op_register.h"
#include "var.h"

// Jittor compiles this file a second time, with JIT defined, for jit_run.

namespace jittor {

#ifndef JIT

OnednnMatmulOp::OnednnMatmulOp(Var* left, Var* right, bool transpose_left, bool transpose_right, bool bfloat16)
    : left(left), right(right), transpose_left(transpose_left), transpose_right(transpose_right), bfloat16(bfloat16) {
    ASSERT(left->dtype() == ns_float32 && right->dtype() == ns_float32) << "matrix products need float32";
    result = create_output(nullptr, ns_float32);
    flags.set(NodeFlags::_manual_set_vnbb);
    if (!right->is_stop_grad()) left->flags.set(NodeFlags::_needed_by_backward);
    if (!left->is_stop_grad()) right->flags.set(NodeFlags::_needed_by_backward);
}

void OnednnMatmulOp::infer_shape() {
    ASSERTop(left->shape.size(),==,2);
    ASSERTop(right->shape.size(),==,2);
    ASSERTop(left->shape[!transpose_left],==,right->shape[transpose_right]);
    result->set_shape(NanoVector(left->shape[transpose_left], right->shape[!transpose_right]));
}

VarPtr OnednnMatmulOp::grad(Var* out, Var* dout, Var* v, int v_index) {
    static auto make = get_op_info("onednn_matmul").get_constructor<VarPtr, Var*, Var*, bool, bool, bool>();
    if (v_index == 0)
        return transpose_left ? make(right, dout, transpose_right, true, bfloat16)
                              : make(dout, right, false, !transpose_right, bfloat16);
    return transpose_right ? make(dout, left, true, transpose_left, bfloat16)
                           : make(left, dout, !transpose_left, false, bfloat16);
}

// All instances run the same code, but Jittor's key of compiled code must not be empty.
void OnednnMatmulOp::jit_prepare(JK& jk) { jk << "«T:float32"; }

#else  // JIT
#ifdef JIT_cpu

void OnednnMatmulOp::jit_run() {
    const ganzoo::Product product{result->shape[0], result->shape[1], left->shape[!transpose_left], transpose_left,
                                  transpose_right};
    const auto multiply = bfloat16 && ganzoo::suits_amx(product) ? ganzoo::multiply_bfloat16 : ganzoo::multiply;
    multiply(product, left->ptr<float32>(), right->ptr<float32>(), result->ptr<float32>());
}

#endif  // JIT_cpu
#endif  // JIT

}  // namespace jittor
