// Convolutions of float32 arrays by oneDNN: choice of the algorithm, and a cache of primitives.
#pragma once

#include <array>
#include <cstdint>

namespace ganzoo {

// Of the three arrays of a convolution, images x, weights w and outputs y, one is computed from the other two.
enum Direction { forward, backward_data, backward_weights };

struct Geometry {
    int direction;
    int batch, groups, in_channels, out_channels;
    int in_height, in_width, kernel_height, kernel_width, out_height, out_width;
    int stride_height, stride_width, padding_height, padding_width, dilation_height, dilation_width;
    int bfloat16;  // 1 if inputs are rounded to bfloat16 wherever that is faster; sums are in float32
    // If not 0, the weights in memory are 3x3 and are widened to 4x4, the kernel size given above. The value says how:
    // see Kernels in bfloat16.h. Widening needs stride 2 and padding 1, and outputs of even height and width or
    // `bfloat16` and at least 32 channels.
    int widened;
    // The order of the dimensions in memory: "abcd" stands for N, C, H, W of x and y, "oihw" for the outputs, inputs,
    // height and width of w.
    std::array<char, 4> x_format, w_format, y_format;

    bool operator<(const Geometry& other) const;

    // Whether images are in memory as (N, C, H, W), and kernels as rows of numbers.
    bool is_plain() const;
    // Whether kernels are 3x3, their stride and dilation are 1, and there is a single group.
    bool is_3x3() const;
    // Whether, in addition, the padding is 1 and the images x and y have the same sides.
    bool is_padded_3x3() const;
};

// The number of convolutions that each algorithm has computed. doubling.cc computes `doubled` ones, im2col.cc `im2col`
// ones, few_channels.cc `few_channels` ones. `plain` ones take the arrays as they are; the others convert them to the
// layouts that oneDNN prefers.
struct Counts {
    int64_t winograd, direct, plain, bfloat16, doubled, im2col, few_channels;
};
extern Counts counts;

// Minimum channels and image sides (pixels) for Winograd's algorithm. Tests use lower ones.
struct WinogradMinimum {
    int channels, pixels;
};
extern WinogradMinimum winograd_minimum;

// Computes `result` from the other two arrays, which are `first` and `second` in the order x, w, y. Throws
// std::runtime_error if oneDNN can't compute the convolution.
void convolve(const Geometry& geometry, const float* first, const float* second, float* result);

}  // namespace ganzoo
