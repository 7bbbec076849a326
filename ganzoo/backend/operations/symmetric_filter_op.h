#pragma once
#include "op.h"

namespace jittor {

// Filters each feature map of float32 images (N, C, H, W) with a 3x3 kernel that is symmetric under rotation and
// reflection, with zero padding. By this symmetry the gradient is the same filter.
struct SymmetricFilterOp : Op {
    Var* x, * result;
    float64 centre, side, corner;

    SymmetricFilterOp(Var* x, float64 centre, float64 side, float64 corner);

    const char* name() const override { return "symmetric_filter"; }
    void infer_shape() override;
    VarPtr grad(Var* out, Var* dout, Var* v, int v_index) override;
    DECLARE_jit_run;
};

}  // namespace jittor
