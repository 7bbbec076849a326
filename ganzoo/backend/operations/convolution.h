// Convolutions of float32 arrays by oneDNN: which algorithm, and the primitives that were made for it.
#pragma once

#include <array>
#include <cstdint>

namespace ganzoo {

// Of the three arrays of a convolution, images x, weights w and outputs y, one is computed from the other two.
enum Wanted { outputs, images, weights };

struct Geometry {
    int wanted;
    int batch, groups, in_channels, out_channels;
    int in_height, in_width, kernel_height, kernel_width, out_height, out_width;
    int stride_height, stride_width, padding_height, padding_width, dilation_height, dilation_width;
    // Where each dimension of an array stands: x and y as "abcd" for N, C, H, W; w as "oihw".
    std::array<char, 4> x_format, w_format, y_format;

    bool operator<(const Geometry& other) const;
};

// How many convolutions each algorithm has computed.
struct Counts {
    int64_t winograd, direct, plain;
};
extern Counts counts;

// Bounds of the rule for Winograd's algorithm, which tests lower.
struct Rule {
    int channels, pixels;
};
extern Rule rule;

// Compute `result` from the other two arrays in the order x, w, y. std::runtime_error where oneDNN can't.
void convolve(const Geometry& geometry, const float* first, const float* second, float* result);

}  // namespace ganzoo
