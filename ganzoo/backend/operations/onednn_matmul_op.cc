#include "onednn_matmul_op.h"

#include <dnnl.hpp>

#include "ops/op_register.h"
#include "var.h"

// Jittor compiles this file once more, with JIT defined, for what runs.

namespace jittor {

#ifndef JIT

OnednnMatmulOp::OnednnMatmulOp(Var* left, Var* right, bool left_turned, bool right_turned)
    : left(left), right(right), left_turned(left_turned), right_turned(right_turned) {
    ASSERT(left->dtype() == ns_float32 && right->dtype() == ns_float32) << "matrix products are of float32";
    result = create_output(nullptr, ns_float32);
    flags.set(NodeFlags::_manual_set_vnbb);
    if (!right->is_stop_grad()) left->flags.set(NodeFlags::_needed_by_backward);
    if (!left->is_stop_grad()) right->flags.set(NodeFlags::_needed_by_backward);
}

void OnednnMatmulOp::infer_shape() {
    ASSERTop(left->shape.size(),==,2);
    ASSERTop(right->shape.size(),==,2);
    ASSERTop(left->shape[!left_turned],==,right->shape[right_turned]);
    result->set_shape(NanoVector(left->shape[left_turned], right->shape[!right_turned]));
}

VarPtr OnednnMatmulOp::grad(Var* out, Var* dout, Var* v, int v_index) {
    static auto make = get_op_info("onednn_matmul").get_constructor<VarPtr, Var*, Var*, bool, bool>();
    if (v_index == 0)
        return left_turned ? make(right, dout, right_turned, true) : make(dout, right, false, !right_turned);
    return right_turned ? make(dout, left, true, left_turned) : make(left, dout, !left_turned, false);
}

// The same code for all: the key only must not be empty.
void OnednnMatmulOp::jit_prepare(JK& jk) { jk << "«T:float32"; }

#else  // JIT
#ifdef JIT_cpu

void OnednnMatmulOp::jit_run() {
    auto rows = result->shape[0], columns = result->shape[1], inner = left->shape[!left_turned];
    auto status = dnnl_sgemm(left_turned ? 'T' : 'N', right_turned ? 'T' : 'N', rows, columns, inner, 1.0f,
                             left->ptr<float32>(), left->shape[1], right->ptr<float32>(), right->shape[1], 0.0f,
                             result->ptr<float32>(), columns);
    CHECK(status == dnnl_success) << "oneDNN can't compute a matrix product:" << status;
}

#endif  // JIT_cpu
#endif  // JIT

}  // namespace jittor
