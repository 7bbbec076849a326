#include "finite_op.h"

#include <cmath>

#include "var.h"

namespace jittor {

FiniteOp::FiniteOp(vector<Var*>&& given) : arrays(given) {
    for (Var* array : arrays) ASSERT(array->dtype() == ns_float32) << "inputs must be float32";
    flags.set(NodeFlags::_cpu);
    flags.set(NodeFlags::_manual_set_vnbb);
    create_output(NanoVector(1), ns_float32);
}

void FiniteOp::run() {
    bool all = true;
    for (Var* array : arrays)
        for (int64 i = 0; i < array->num; i++) all = all && std::isfinite(array->ptr<float32>()[i]);
    output(0)->ptr<float32>()[0] = all;
}

}  // namespace jittor
