#pragma once
#include "op.h"

namespace jittor {

// Takes n float32 arrays a, then n float32 arrays b of the same sizes; returns n new arrays a + weight * (b - a).
struct LerpOp : Op {
    vector<Var*> arrays, updated;
    float64 weight;

    // @attrs(multiple_outputs)
    LerpOp(vector<Var*>&& arrays, float64 weight);

    const char* name() const override { return "lerp"; }
    void run() override;
};

}  // namespace jittor
