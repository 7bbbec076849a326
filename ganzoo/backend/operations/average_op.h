#pragma once
#include "op.h"

namespace jittor {

// Takes n float32 arrays a, then n float32 arrays b of the same sizes; returns n new arrays a + share * (b - a).
struct AverageOp : Op {
    vector<Var*> arrays, updated;
    float64 share;

    // @attrs(multiple_outputs)
    AverageOp(vector<Var*>&& arrays, float64 share);

    const char* name() const override { return "average"; }
    void run() override;
};

}  // namespace jittor
