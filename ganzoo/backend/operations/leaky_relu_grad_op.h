#pragma once
#include "op.h"

namespace jittor {

// The gradient of a leaky ReLU with output y, for the upstream gradient x: x where y > 0, slope * x elsewhere.
struct LeakyReluGradOp : Op {
    Var* x, * y, * result;
    float64 slope;

    LeakyReluGradOp(Var* x, Var* y, float64 slope);

    const char* name() const override { return "leaky_relu_grad"; }
    void infer_shape() override;
    void run() override;
    VarPtr grad(Var* out, Var* dout, Var* v, int v_index) override;
};

}  // namespace jittor
