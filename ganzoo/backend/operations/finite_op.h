#pragma once
#include "op.h"

namespace jittor {

// 1 if all numbers of several small float32 arrays are finite, else 0, as an array (1,).
struct FiniteOp : Op {
    vector<Var*> arrays;

    FiniteOp(vector<Var*>&& arrays);

    const char* name() const override { return "finite"; }
    void run() override;
};

}  // namespace jittor
