#pragma once
#include "op.h"

namespace jittor {

// The larger of x and slope * x, for float32 arrays of any shape and a slope from 0 to 1.
struct LeakyReluOp : Op {
    Var* x, * y;
    float64 slope;

    LeakyReluOp(Var* x, float64 slope);

    const char* name() const override { return "leaky_relu"; }
    void infer_shape() override;
    void run() override;
    VarPtr grad(Var* out, Var* dout, Var* v, int v_index) override;
};

}  // namespace jittor
