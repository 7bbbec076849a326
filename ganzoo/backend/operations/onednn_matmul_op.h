#pragma once
#include "op.h"

namespace jittor {

// The product of two float32 matrices, each optionally transposed first. With `bfloat16`, factors are rounded where
// that is faster. The gradients are products of the same kind and precision.
struct OnednnMatmulOp : Op {
    Var* left, * right, * result;
    bool transpose_left, transpose_right, bfloat16;

    OnednnMatmulOp(Var* left, Var* right, bool transpose_left=false, bool transpose_right=false, bool bfloat16=false);

    const char* name() const override { return "onednn_matmul"; }
    void infer_shape() override;
    VarPtr grad(Var* out, Var* dout, Var* v, int v_index) override;
    DECLARE_jit_run;
};

}  // namespace jittor
