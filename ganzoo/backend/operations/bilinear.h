// Convolutions with fewer multiplications, from sums of pixels and of weights: see `Algorithm`.
#pragma once

#include <cstdint>
#include <vector>

namespace ganzoo {

const int64_t KERNEL = 9;  // weights of a pair of channels

// Matrices of the same shape, one after the other. If rows or matrices began at multiples of large powers of two, they
// would share a few sets of the caches, and products would take up to 1.7 times as long.
struct Matrices {
    float* start;
    int64_t rows, columns;

    // Numbers from the start of a row to the start of the next: of long rows, an odd multiple of 16.
    static int64_t stride(int64_t columns) { return columns < 64 ? columns : ((columns + 15) / 16 | 1) * 16; }
    static int64_t size(int64_t rows, int64_t columns) { return rows * stride(columns) + 16; }
    int64_t stride() const { return stride(columns); }
    float* operator[](int index) const { return start + index * size(rows, columns); }
};

// The tiles of some images of a batch.
struct Tiles {
    int64_t images, height, width;

    int64_t count() const { return images * height * width; }
};

// Where 3x3 kernels are: the one of a row and a column of a matrix is at row * row_stride + column * column_stride.
// They are multiplied by `scale`, and rotated by half a turn if `rotated` is true.
struct Kernels3x3 {
    int64_t row_stride, column_stride;
    bool rotated;
    float scale;
};

// An algorithm computes images y from images x and weights w. Each product is one of a sum of pixels of a tile of x and
// a sum of weights, and is added to a sum of pixels of y. For all channels and tiles at once, it is a product of the
// matrices (channels of y, channels of x) and (channels of x, tiles). As all of this is linear in x and in w, gradients
// and second derivatives need the same sums.
//
// `spread` functions compute the sums of an array, `gather` functions are their adjoints; `gather_y` gives y. What a
// `gather` function writes begins with the first of `from.rows` channels, in images that have `channels` channels.
struct Algorithm {
    int x_sums, y_sums, w_sums;
    std::vector<int> x_of, y_of, w_of;  // by product
    void (*spread_x)(const float* images, const Matrices& to, const Tiles& tiles);
    void (*gather_x)(const Matrices& from, float* images, int64_t channels, const Tiles& tiles);
    void (*spread_y)(const float* images, const Matrices& to, const Tiles& tiles);
    void (*gather_y)(const Matrices& from, float* images, int64_t channels, const Tiles& tiles);
    void (*spread_w)(const float* w, const Matrices& to, const Kernels3x3& kernels);
    void (*gather_w)(const Matrices& from, float* w, const Kernels3x3& kernels, bool accumulate);
};

struct Problem {
    enum { x, y, w } result;
    int64_t batch, x_channels, y_channels, x_pixels, y_pixels;  // pixels of a channel
    int64_t tile_rows, tile_columns;
    bool y_is_outer;  // whether the outer dimension of the weights in memory stands for the channels of y
    bool rotated;
    float scale;
};

// Computes one of the arrays from the other two. Throws std::runtime_error if oneDNN can't compute a product.
void compute(const Algorithm& algorithm, const Problem& problem, const float* x, const float* y, const float* w,
             float* result);

}  // namespace ganzoo
