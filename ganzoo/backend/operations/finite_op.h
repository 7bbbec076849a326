#pragma once
#include "op.h"

namespace jittor {

// Whether all elements of several small float32 arrays are finite, as an array (1,) that is 1 or 0.
struct FiniteOp : Op {
    vector<Var*> arrays;

    FiniteOp(vector<Var*>&& arrays);

    const char* name() const override { return "finite"; }
    void run() override;
};

}  // namespace jittor
