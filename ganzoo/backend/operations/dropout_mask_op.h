#pragma once
#include "op.h"

namespace jittor {

// A float32 array whose elements are 0 with probability p, and 1 / (1 - p) otherwise. Its random numbers depend on the
// seed of Jittor's generator, not on the number of threads.
struct DropoutMaskOp : Op {
    Var* mask;
    float64 p;

    DropoutMaskOp(NanoVector shape, float64 p);

    const char* name() const override { return "dropout_mask"; }
    void run() override;
};

}  // namespace jittor
