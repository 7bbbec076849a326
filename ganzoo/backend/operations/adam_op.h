#pragma once
#include "op.h"

namespace jittor {

// Adam's update of n float32 arrays (Kingma & Ba 2015, algorithm 1). Takes 4 n arrays: weights, first moments, second
// moments and gradients, in this order. `scalars` (n, 2) holds the learning rate and eps of each weight, both with bias
// correction. If `finite` (1,) is 0, nothing changes, whatever the gradients are. Returns 3 n new arrays.
struct AdamOp : Op {
    Var* scalars, * finite;
    vector<Var*> arrays, updated;
    float64 beta1, beta2, decay;

    // @attrs(multiple_outputs)
    AdamOp(Var* scalars, Var* finite, vector<Var*>&& arrays, float64 beta1, float64 beta2, float64 decay);

    const char* name() const override { return "adam"; }
    void run() override;
};

}  // namespace jittor
