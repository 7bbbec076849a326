#pragma once
#include "op.h"

namespace jittor {

// The product of two float32 matrices, each optionally transposed first. Its gradients are such products again.
struct OnednnMatmulOp : Op {
    Var* left, * right, * result;
    bool left_turned, right_turned;

    OnednnMatmulOp(Var* left, Var* right, bool left_turned=false, bool right_turned=false);

    const char* name() const override { return "onednn_matmul"; }
    void infer_shape() override;
    VarPtr grad(Var* out, Var* dout, Var* v, int v_index) override;
    DECLARE_jit_run;
};

}  // namespace jittor
