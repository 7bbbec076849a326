#pragma once
#include "op.h"

namespace jittor {

// n float32 arrays a and n others b of the same sizes, in this order: a + share * (b - a), n new arrays.
struct AverageOp : Op {
    vector<Var*> arrays, updated;
    float64 share;

    // @attrs(multiple_outputs)
    AverageOp(vector<Var*>&& arrays, float64 share);

    const char* name() const override { return "average"; }
    void run() override;
};

}  // namespace jittor
