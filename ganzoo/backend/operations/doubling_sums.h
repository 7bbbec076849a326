// Sums of pixels and of weights before the matrix products of doubling.cc, and sums of products after them.
//
// Doubling repeats each pixel as 2x2 pixels. Along one axis, a 3-tap filter w after doubling pixels x gives
//
//     f[e] = (w0 + w1) x[e-1] + w2 x[e]             the pixel before the border between x[e-1] and x[e]
//     g[e] = w0 x[e-1] + (w1 + w2) x[e]             the pixel after it
//
// and g[e] = f[e] + w1 (x[e] - x[e-1]). For a tile of two pixels, f is a product of two polynomials with two
// coefficients each, which takes three multiplications (Karatsuba), and w1 x0 and w1 x1 take two:
//
//     P0 = w2 x0    P1 = (w0 + w1) x1    P2 = (w0 + w1 + w2) (x0 + x1)    Q0 = w1 x0    Q1 = w1 x1
//     f = P0, P2 - P0 - P1, P1           g = f + (Q0, Q1 - Q0, -Q1)
//
// In two dimensions, 25 products give what 4 pixels add to the 36 pixels around them. Convolving the doubled image
// takes 144 multiplications, and 64 if the weights for the same pixel are added up first. As in Winograd's algorithm
// (Lavin and Gray 2015, arXiv:1509.09308), each product is a matrix product over the channels, with as many columns as
// there are tiles.
//
// Halving is the adjoint of doubling, so its convolutions and all gradients use the same products.
#pragma once

#include <cstdint>

namespace ganzoo {

// Along one axis: the products P0, P1, P2, Q0 and Q1; x0, x1 and x0 + x1; w2, w0 + w1, w0 + w1 + w2 and w1.
const int PRODUCTS = 5, PIXELS = 3, WEIGHTS = 4;
const int PIXELS_OF[PRODUCTS] = {0, 1, 2, 0, 1}, WEIGHTS_OF[PRODUCTS] = {0, 1, 2, 3, 3};
const int64_t KERNEL = 9;  // weights of a channel

// Matrices of the same shape, one after the other.
struct Matrices {
    float* start;
    int64_t rows, columns;

    // Space between the matrices keeps them in different sets of the caches.
    static int64_t size(int64_t rows, int64_t columns) { return rows * columns + 16; }
    float* operator[](int index) const { return start + index * size(rows, columns); }
};

// Some images of a batch, and the tiles of 2x2 pixels of the smaller images.
struct Tiles {
    int64_t images, height, width;

    int64_t count() const { return images * height * width; }
};

// Computes the sums of pixels that are multiplied: (channels, tiles) for each of 3x3 sums.
void spread_small(const float* x, const Matrices& to, const Tiles& tiles);

// The adjoint of `spread_small`, for `from.rows` of the channels: `x` begins with the first of them.
void gather_small(const Matrices& from, float* x, int64_t channels, const Tiles& tiles);

// Adds the 5x5 products of each tile up to the pixels of the larger images, for `from.rows` of the channels: `y` begins
// with the first of them.
void gather_large(const Matrices& from, float* y, int64_t channels, const Tiles& tiles);

// The adjoint of `gather_large`: (channels, tiles) for each of 5x5 products.
void spread_large(const float* y, const Matrices& to, const Tiles& tiles);

// Computes the sums of weights that are multiplied: (rows, columns) for each of 4x4 sums. The kernel of a row and a
// column is at row * row_stride + column * KERNEL. Halving averages, and rotates the kernels by half a turn, as an
// adjoint does.
void spread_weights(const float* w, const Matrices& to, int64_t row_stride, bool halving);

// The adjoint of `spread_weights`, with any distance between columns. Adds to `w` if `accumulate` is true.
void gather_weights(const Matrices& from, float* w, int64_t row_stride, int64_t column_stride, bool halving,
                    bool accumulate);

}  // namespace ganzoo
