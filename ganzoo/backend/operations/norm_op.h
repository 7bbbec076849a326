#pragma once
#include "op.h"

namespace jittor {

// The Euclidean norm of all elements of several float32 arrays, as an array (1,).
struct NormOp : Op {
    vector<Var*> arrays;

    NormOp(vector<Var*>&& arrays);

    const char* name() const override { return "norm"; }
    void run() override;
};

}  // namespace jittor
