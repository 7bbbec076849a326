// A cache of weights that have been converted to bfloat16: several convolutions of a step use the same ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>

#include "conversions.h"

namespace ganzoo {

using Buffer = std::shared_ptr<char>;  // aligned to 64 bytes

// The `weights_id` given to `convolve`, and what determines how the weights are converted.
using WeightsKey = std::tuple<int64_t, char, int, bool>;

// Returns converted weights of `size` bytes, and converts them if they are not in the cache.
Buffer packed_weights(const WeightsKey& key, size_t size, const Conversion& conversion, const float* weights);

}  // namespace ganzoo
