// Conversions between float32 arrays and the layouts that oneDNN's AMX convolutions choose.
#pragma once

#include <functional>

#include <dnnl.hpp>

#include "convolution.h"

namespace ganzoo {

enum Role { images, weights, outputs };

using Conversion = std::function<void(const void*, void*)>;

// Whether a convolution can be computed in phases: see in_phase.
bool has_phases(const Geometry& geometry);

// A 4x4 convolution of stride 2 is the sum of four 2x2 convolutions of stride 1, one for each phase of the padded
// images. A phase has the pixels of every other row and column. Returns the convolution for `phase`, 0 to 3.
Geometry in_phase(Geometry geometry, int phase);

// Returns the conversion of an array of a convolution to `layout`, one of oneDNN's, or, if its type is float32, from
// it. The result is empty if there is no such conversion. If `phase_size` is not 0, the array in that layout has four
// phases of that many bytes each.
Conversion find_conversion(const Geometry& geometry, Role role, const dnnl::memory::desc& layout, size_t phase_size);

}  // namespace ganzoo
