#include "symmetric_filter_op.h"

#include <vector>

#include "ops/op_register.h"
#include "var.h"

// Jittor compiles this file a second time, with JIT defined, for jit_run.

namespace jittor {

#ifndef JIT

SymmetricFilterOp::SymmetricFilterOp(Var* x, float64 centre, float64 side, float64 corner)
    : x(x), centre(centre), side(side), corner(corner) {
    ASSERT(x->dtype() == ns_float32) << "filtered images must be float32";
    result = create_output(nullptr, ns_float32);
    flags.set(NodeFlags::_manual_set_vnbb);  // the gradient needs neither the input nor the result
}

void SymmetricFilterOp::infer_shape() {
    ASSERTop(x->shape.size(),==,4);
    result->set_shape(x->shape);
}

VarPtr SymmetricFilterOp::grad(Var* out, Var* dout, Var* v, int v_index) {
    static auto make = get_op_info("symmetric_filter").get_constructor<VarPtr, Var*, float64, float64, float64>();
    return make(dout, centre, side, corner);
}

// All instances run the same code, but Jittor's key of compiled code must not be empty.
void SymmetricFilterOp::jit_prepare(JK& jk) { jk << "«T:float32"; }

#else  // JIT
#ifdef JIT_cpu

struct Filter {
    float centre, side, corner;

    // Computes a row of `width` numbers from three rows, with zero padding on both sides.
    void row(const float* above, const float* here, const float* below, float* result, int64 width) const {
        auto at = [&](int64 i, float left, float right, float left_corners, float right_corners) {
            result[i] = centre * here[i] + side * (above[i] + below[i] + left + right)
                      + corner * (left_corners + right_corners);
        };
        if (width == 1) return at(0, 0, 0, 0, 0);
        at(0, 0, here[1], 0, above[1] + below[1]);
        for (int64 i = 1; i < width - 1; i++)
            result[i] = centre * here[i] + side * (above[i] + below[i] + here[i - 1] + here[i + 1])
                      + corner * (above[i - 1] + below[i - 1] + above[i + 1] + below[i + 1]);
        int64 last = width - 1;
        at(last, here[last - 1], 0, above[last - 1] + below[last - 1], 0);
    }
};

void SymmetricFilterOp::jit_run() {
    const Filter filter = {(float)centre, (float)side, (float)corner};
    const int64 height = x->shape[2], width = x->shape[3], maps = (int64)x->shape[0] * x->shape[1];
    const float* from = x->ptr<float32>();
    float* to = result->ptr<float32>();
    const std::vector<float> zeros(width);
    #pragma omp parallel for if(maps * height * width > 32768)
    for (int64 map = 0; map < maps; map++) {
        const float* __restrict__ image = from + map * height * width;
        float* __restrict__ filtered = to + map * height * width;
        for (int64 y = 0; y < height; y++) {
            const float* here = image + y * width;
            filter.row(y ? here - width : zeros.data(), here, y + 1 < height ? here + width : zeros.data(),
                       filtered + y * width, width);
        }
    }
}

#endif  // JIT_cpu
#endif  // JIT

}  // namespace jittor
