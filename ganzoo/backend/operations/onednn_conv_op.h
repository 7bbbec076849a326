#pragma once
#include "op.h"

namespace jittor {

// Computes one of the three arrays of a convolution from the other two, `left` and `right`, which are given in the order
// images x, weights w, outputs y. The result is linear in both, and its gradients are the other two computations, so
// gradients of any order are convolutions again.
struct OnednnConvOp : Op {
    Var* left, * right, * result;
    int direction, height, width, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, groups;
    string x_format, w_format, y_format;
    bool bfloat16;
    int widened;

    // `direction` is that of convolution.h: 0 computes y, 1 x and 2 w. `height` and `width` are those of the result if
    // it is x or w, and 0 if it is y. The gradients use the same `bfloat16` and `widened` (see Geometry).
    OnednnConvOp(Var* left, Var* right, int direction, int height, int width, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h=1, int dilation_w=1, int groups=1, string x_format="abcd", string w_format="oihw", string y_format="abcd", bool bfloat16=false, int widened=0);

    const char* name() const override { return "onednn_conv"; }
    void infer_shape() override;
    VarPtr grad(Var* out, Var* dout, Var* v, int v_index) override;
    DECLARE_jit_run;
};

}  // namespace jittor
