// Convolutions of few pixels in float32, as products of matrices.
#pragma once

#include "convolution.h"

namespace ganzoo {

// Whether `convolve_im2col` can compute this convolution, and faster than other algorithms.
bool suits_im2col(const Geometry& geometry);

// Like `convolve`.
void convolve_im2col(const Geometry& geometry, const float* first, const float* second, float* result);

}  // namespace ganzoo
