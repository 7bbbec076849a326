#include "doubling.h"

#include <vector>

#include "bfloat16.h"
#include "bilinear.h"
#include "tiles.h"

namespace ganzoo {

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

// Along one axis: the products P0, P1, P2, Q0 and Q1; x0, x1 and x0 + x1; w2, w0 + w1, w0 + w1 + w2 and w1.
static const int PRODUCTS = 5, PIXELS = 3, WEIGHTS = 4;
static const int PIXELS_OF[PRODUCTS] = {0, 1, 2, 0, 1}, WEIGHTS_OF[PRODUCTS] = {0, 1, 2, 3, 3};

template <int64_t W>
static void spread_small_row(const float* top, const Matrices& to, int64_t at, int64_t tiles) {
    const int64_t width = W ? W : tiles;
    const float* bottom = top + 2 * width;
    float* both = numbers(2 * width);
    fill(both, 2 * width, [=](int64_t i) { return top[i] + bottom[i]; });
    const float* lines[PIXELS] = {top, bottom, both};
    for (int kind = 0; kind < PIXELS; kind++) {
        const float* line = lines[kind];
        float *x0 = to[PIXELS * kind] + at, *x1 = to[PIXELS * kind + 1] + at, *sum = to[PIXELS * kind + 2] + at;
        #pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            x0[i] = line[2 * i];
            x1[i] = line[2 * i + 1];
            sum[i] = line[2 * i] + line[2 * i + 1];
        }
    }
}

static void spread_small(const float* x, const Matrices& to, const Tiles& tiles) {
    with_width(tiles.width, [=](auto constant) {
        for_rows(to.rows, tiles, [=](int64_t channel, int64_t image, int64_t row) {
            const float* top = x + ((image * to.rows + channel) * tiles.height + row) * 4 * tiles.width;
            const int64_t at = channel * to.stride() + (image * tiles.height + row) * tiles.width;
            spread_small_row<decltype(constant)::value>(top, to, at, tiles.width);
        });
    });
}

template <int64_t W>
static void gather_small_row(const Matrices& from, int64_t at, float* top, int64_t tiles) {
    const int64_t width = W ? W : tiles;
    for (int kind = 0; kind < 2; kind++) {
        const float *x0 = from[PIXELS * kind] + at, *x1 = from[PIXELS * kind + 1] + at;
        const float *sum = from[PIXELS * kind + 2] + at, *all = from[2 * PIXELS + 2] + at;
        const float *both0 = from[2 * PIXELS] + at, *both1 = from[2 * PIXELS + 1] + at;
        float* line = top + kind * 2 * width;
        #pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            line[2 * i] = x0[i] + both0[i] + sum[i] + all[i];
            line[2 * i + 1] = x1[i] + both1[i] + sum[i] + all[i];
        }
    }
}

static void gather_small(const Matrices& from, float* x, int64_t channels, const Tiles& tiles) {
    with_width(tiles.width, [=](auto constant) {
        for (int64_t channel = 0; channel < from.rows; channel++)
            for (int64_t row = 0; row < tiles.images * tiles.height; row++) {
                const int64_t image = row / tiles.height;
                float* top = x + ((image * (channels - 1) + channel) * tiles.height + row) * 4 * tiles.width;
                const int64_t at = channel * from.stride() + row * tiles.width;
                gather_small_row<decltype(constant)::value>(from, at, top, tiles.width);
            }
    });
}

// Adds up the products of one column of the 5x5 for the pixels at height `row` of a tile. `stride` is the distance
// between the tile and the tile below it.
template <int64_t W>
static void sum_column(const Matrices& from, int column, int64_t at, int row, bool first, bool last, int64_t stride,
                       float* to, int64_t tiles) {
    const int64_t width = W ? W : tiles;
    const float *p0 = from[column] + at, *p1 = from[PRODUCTS + column] + at, *p2 = from[2 * PRODUCTS + column] + at;
    const float *q0 = from[3 * PRODUCTS + column] + at, *q1 = from[4 * PRODUCTS + column] + at;
    const float *p1_above = p1 - stride, *q1_above = q1 - stride, *p0_below = p0 + stride;
    if (row == 0 && first)
        fill(to, width, [=](int64_t i) { return p0[i] + q0[i]; });
    else if (row == 0)
        fill(to, width, [=](int64_t i) { return p0[i] + q0[i] + p1_above[i] - q1_above[i]; });
    else if (row == 1)
        fill(to, width, [=](int64_t i) { return p2[i] - p0[i] - p1[i]; });
    else if (row == 2)
        fill(to, width, [=](int64_t i) { return p2[i] - p0[i] - p1[i] + q1[i] - q0[i]; });
    else if (last)
        fill(to, width, [=](int64_t i) { return p1[i]; });
    else
        fill(to, width, [=](int64_t i) { return p1[i] + p0_below[i]; });
}

// Adds up the columns of the 5x5 products, which lie one after the other between zeros.
template <int64_t W>
static void sum_row(const float* columns, float* to, int64_t tiles) {
    const int64_t width = W ? W : tiles, step = width + 2;
    const float *p0 = columns, *p1 = p0 + step, *p2 = p1 + step, *q0 = p2 + step, *q1 = q0 + step;
    #pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        const float middle = p2[i] - p0[i] - p1[i];
        to[4 * i] = p0[i] + q0[i] + p1[i - 1] - q1[i - 1];
        to[4 * i + 1] = middle;
        to[4 * i + 2] = middle + q1[i] - q0[i];
        to[4 * i + 3] = p1[i] + p0[i + 1];
    }
}

static void gather_large(const Matrices& from, float* y, int64_t channels, const Tiles& tiles) {
    const int64_t width = tiles.width;
    std::vector<float> memory(PRODUCTS * (width + 2));
    float* columns = memory.data() + 1;
    with_width(width, [=](auto constant) {
        constexpr int64_t W = decltype(constant)::value;
        for (int64_t channel = 0; channel < from.rows; channel++)
            for (int64_t row = 0; row < tiles.images * tiles.height; row++) {
                const int64_t image = row / tiles.height, tile = row % tiles.height;
                const int64_t at = channel * from.stride() + row * width;
                float* to = y + ((image * (channels - 1) + channel) * tiles.height + row) * 16 * width;
                for (int part = 0; part < 4; part++) {
                    for (int column = 0; column < PRODUCTS; column++)
                        sum_column<W>(from, column, at, part, tile == 0, tile == tiles.height - 1, width,
                                      columns + column * (width + 2), width);
                    sum_row<W>(columns, to + part * 4 * width, width);
                }
            }
    });
}

// The adjoint of `sum_row`. `memory` has 4 * tiles + 2 numbers.
template <int64_t W>
static void spread_line(const float* line, float* memory, const Matrices& to, int row, int64_t at, int64_t tiles) {
    const int64_t width = W ? W : tiles;
    const Phases<W> pixels(line, memory, width);
    const float *a = pixels.first, *b = pixels.second, *c = pixels.third, *d = pixels.fourth;
    float *p0 = to[PRODUCTS * row] + at, *p1 = to[PRODUCTS * row + 1] + at, *p2 = to[PRODUCTS * row + 2] + at;
    float *q0 = to[PRODUCTS * row + 3] + at, *q1 = to[PRODUCTS * row + 4] + at;
    #pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        const float middle = b[i] + c[i];
        p0[i] = d[i - 1] + a[i] - middle;
        p1[i] = d[i] + a[i + 1] - middle;
        p2[i] = middle;
        q0[i] = a[i] - c[i];
        q1[i] = c[i] - a[i + 1];
    }
}

// The adjoint of `sum_row` and `sum_column` for a row of tiles: see `for_lines`.
template <int64_t W>
static void spread_large_row(const float* const lines[6], const Matrices& to, int64_t at, int64_t tiles) {
    const int64_t width = W ? W : tiles, side = 4 * width;
    const float *before = lines[0], *first = lines[1], *second = lines[2], *third = lines[3], *fourth = lines[4];
    const float* after = lines[5];
    float *line = numbers(2 * side + 2), *memory = line + side;
    for (int kind = 0; kind < PRODUCTS; kind++) {
        if (kind == 0)
            fill(line, side, [=](int64_t i) { return before[i] + first[i] - second[i] - third[i]; });
        else if (kind == 1)
            fill(line, side, [=](int64_t i) { return fourth[i] + after[i] - second[i] - third[i]; });
        else if (kind == 2)
            fill(line, side, [=](int64_t i) { return second[i] + third[i]; });
        else if (kind == 3)
            fill(line, side, [=](int64_t i) { return first[i] - third[i]; });
        else
            fill(line, side, [=](int64_t i) { return third[i] - after[i]; });
        spread_line<W>(line, memory, to, kind, at, width);
    }
}

static void spread_large(const float* y, const Matrices& to, const Tiles& tiles) {
    for_lines(y, to, tiles, [=](auto width, const float* const lines[6], int64_t at) {
        spread_large_row<decltype(width)::value>(lines, to, at, tiles.width);
    });
}

// w0, w1, w2 -> w2, w0 + w1, w0 + w1 + w2, w1
static const auto spread_taps = [](const Weights* w, int step, Weights* sums, int sum_step) {
    sums[0] = w[2 * step];
    sums[sum_step] = w[0] + w[step];
    sums[2 * sum_step] = sums[sum_step] + w[2 * step];
    sums[3 * sum_step] = w[step];
};

// The adjoint of `spread_taps`.
static const auto gather_taps = [](const Weights* sums, int sum_step, Weights* w, int step) {
    w[0] = sums[sum_step] + sums[2 * sum_step];
    w[step] = w[0] + sums[3 * sum_step];
    w[2 * step] = sums[0] + sums[2 * sum_step];
};

static void spread_weights(const float* w, const Matrices& to, const Kernels3x3& kernels) {
    spread_kernels<WEIGHTS>(w, to, kernels, spread_taps);
}

static void gather_weights(const Matrices& from, float* w, const Kernels3x3& kernels, bool accumulate) {
    gather_kernels<WEIGHTS>(from, w, kernels, accumulate, gather_taps);
}

static Algorithm make_doubling() {
    Algorithm made{PIXELS * PIXELS, PRODUCTS * PRODUCTS, WEIGHTS * WEIGHTS, {}, {}, {}, spread_small, gather_small,
                   spread_large, gather_large, spread_weights, gather_weights};
    for (int row = 0; row < PRODUCTS; row++)
        for (int column = 0; column < PRODUCTS; column++) {
            made.x_of.push_back(PIXELS * PIXELS_OF[row] + PIXELS_OF[column]);
            made.y_of.push_back(PRODUCTS * row + column);
            made.w_of.push_back(WEIGHTS * WEIGHTS_OF[row] + WEIGHTS_OF[column]);
        }
    return made;
}

bool suits_doubling(const Geometry& g) {
    return g.widened && g.out_height % 2 == 0 && g.out_width % 2 == 0 && g.is_plain();
}

void convolve_doubled(const Geometry& g, const float* first, const float* second, float* result) {
    static const Algorithm doubling = make_doubling();
    // The smaller images, the outputs of the convolution of stride 2, are the x of the algorithm. Halving is the
    // adjoint of doubling: it takes the average, and kernels that are rotated.
    const bool halves = g.widened == halving;
    Problem problem{};
    problem.result = g.direction == forward ? Problem::x : g.direction == backward_data ? Problem::y : Problem::w;
    problem.batch = g.batch;
    problem.x_channels = g.out_channels;
    problem.y_channels = g.in_channels;
    problem.x_pixels = g.out_height * g.out_width;
    problem.y_pixels = g.in_height * g.in_width;
    problem.tile_rows = g.out_height / 2;
    problem.tile_columns = g.out_width / 2;
    problem.y_is_outer = g.w_format[0] == 'i';
    problem.rotated = halves;
    problem.scale = halves ? 0.25f : 1.0f;
    const float* w = g.direction == forward ? second : first;
    compute(doubling, problem, second, first, w, result);
}

}  // namespace ganzoo
