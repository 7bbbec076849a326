// Convolutions from or to few channels in float32.
#pragma once

#include "convolution.h"

namespace ganzoo {

// Whether `convolve_few_channels` can compute this convolution: a 3x3 one of stride 1 and padding 1, from or to at most
// 4 channels, with at least 16 on the other side. Rows of the images must fill registers.
bool suits_few_channels(const Geometry& geometry);

// Like `convolve`.
void convolve_few_channels(const Geometry& geometry, const float* first, const float* second, float* result);

}  // namespace ganzoo
