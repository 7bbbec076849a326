// Winograd's algorithm in float32 for 3x3 convolutions of stride 1 and padding 1.
#pragma once

#include "convolution.h"

namespace ganzoo {

// Whether `convolve_winograd` can compute this convolution: its images need sides that are multiples of 4.
bool suits_winograd_tiles(const Geometry& geometry);

// Like `convolve`.
void convolve_winograd(const Geometry& geometry, const float* first, const float* second, float* result);

}  // namespace ganzoo
