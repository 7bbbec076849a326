// 3x3 convolutions in float32 of images that are doubled before, or halved after.
#pragma once

#include "convolution.h"

namespace ganzoo {

// Whether `convolve_doubled` can compute this convolution: a `widened` one whose smaller images have even sides.
bool suits_doubling(const Geometry& geometry);

// Like `convolve`.
void convolve_doubled(const Geometry& geometry, const float* first, const float* second, float* result);

}  // namespace ganzoo
