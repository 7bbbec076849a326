#pragma once
#include "op.h"

namespace jittor {

// Each feature map of float32 images (N, C, H, W) under a 3x3 filter that is the same turned and mirrored, zeros
// outside the image. By that symmetry the gradient is the same filter again.
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
