#include "onednn_matmul_op.h"

#include <algorithm>

#include <dnnl.hpp>
#include <omp.h>

#include "ops/op_register.h"
#include "var.h"

// Jittor compiles this file a second time, with JIT defined, for jit_run.

namespace jittor {

#ifndef JIT

OnednnMatmulOp::OnednnMatmulOp(Var* left, Var* right, bool transpose_left, bool transpose_right)
    : left(left), right(right), transpose_left(transpose_left), transpose_right(transpose_right) {
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
    static auto make = get_op_info("onednn_matmul").get_constructor<VarPtr, Var*, Var*, bool, bool>();
    if (v_index == 0)
        return transpose_left ? make(right, dout, transpose_right, true) : make(dout, right, false, !transpose_right);
    return transpose_right ? make(dout, left, true, transpose_left) : make(left, dout, !transpose_left, false);
}

// All instances run the same code, but the key must not be empty.
void OnednnMatmulOp::jit_prepare(JK& jk) { jk << "«T:float32"; }

#else  // JIT
#ifdef JIT_cpu

static const int64 STEP = 16;  // oneDNN's block size; each thread's part is a multiple of it
static const int64 PARALLEL_THRESHOLD = 16000000;  // fewest multiplications for which waking threads is worthwhile

// Divides the longer side of the result among threads. oneDNN's own multithreading is worse, by half for a batch of 64
// images, so oneDNN computes each part on one thread.
void OnednnMatmulOp::jit_run() {
    const int64 rows = result->shape[0], columns = result->shape[1], inner = left->shape[!transpose_left];
    const int64 left_width = left->shape[1], right_width = right->shape[1];
    const float* a = left->ptr<float32>();
    const float* b = right->ptr<float32>();
    float* c = result->ptr<float32>();
    const bool by_rows = rows > columns;
    const int64 side = by_rows ? rows : columns, threads = omp_get_max_threads();
    const int64 most = rows * columns * inner >= PARALLEL_THRESHOLD ? threads : 1;
    const int64 part = ((side + most - 1) / most + STEP - 1) / STEP * STEP, parts = (side + part - 1) / part;
    dnnl_status_t status = dnnl_success;
    omp_set_num_threads(parts);
    #pragma omp parallel for
    for (int64 index = 0; index < parts; index++) {
        const int64 from = index * part, size = std::min(part, side - from);
        const float* ours = by_rows ? a + from * (transpose_left ? 1 : left_width) : a;
        const float* theirs = by_rows ? b : b + from * (transpose_right ? right_width : 1);
        auto found = dnnl_sgemm(transpose_left ? 'T' : 'N', transpose_right ? 'T' : 'N', by_rows ? size : rows,
                                by_rows ? columns : size, inner, 1.0f, ours, left_width, theirs, right_width, 0.0f,
                                c + from * (by_rows ? columns : 1), columns);
        if (found != dnnl_success) status = found;
    }
    omp_set_num_threads(threads);
    CHECK(status == dnnl_success) << "oneDNN can't compute a matrix product:" << status;
}

#endif  // JIT_cpu
#endif  // JIT

}  // namespace jittor
