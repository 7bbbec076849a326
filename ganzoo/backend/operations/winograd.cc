#include "winograd.h"

#include <vector>

#include "bilinear.h"
#include "tiles.h"

namespace ganzoo {

// F(4x4, 3x3) of Lavin and Gray 2015 (arXiv:1509.09308, section 4.3): along one axis, a tile of four outputs is
// computed from six inputs by six products instead of twelve. Two-dimensional tiles take 36 products instead of 144.
static const int PRODUCTS = 6;

// Computes the six sums of a tile's inputs, a to f.
template <class Number>
static inline void spread_inputs(Number a, Number b, Number c, Number d, Number e, Number f, Number sums[PRODUCTS]) {
    sums[0] = 4 * a - 5 * c + e;
    sums[1] = d + e - 4 * (b + c);
    sums[2] = e - d + 4 * (b - c);
    sums[3] = e - c + 2 * (d - b);
    sums[4] = e - c - 2 * (d - b);
    sums[5] = 4 * b - 5 * d + f;
}

// Computes the four outputs of a tile.
template <class Number>
static inline void gather_outputs(const Number m[PRODUCTS], Number outputs[4]) {
    const Number even = m[1] + m[2], odd = m[1] - m[2], far_even = m[3] + m[4], far_odd = m[3] - m[4];
    outputs[0] = m[0] + even + far_even;
    outputs[1] = odd + 2 * far_odd;
    outputs[2] = even + 4 * far_even;
    outputs[3] = odd + 8 * far_odd + m[5];
}

// The adjoint of `gather_outputs`.
template <class Number>
static inline void spread_outputs(Number a, Number b, Number c, Number d, Number sums[PRODUCTS]) {
    const Number even = a + c, odd = b + d, far_even = a + 4 * c, far_odd = 2 * b + 8 * d;
    sums[0] = a;
    sums[1] = even + odd;
    sums[2] = even - odd;
    sums[3] = far_even + far_odd;
    sums[4] = far_even - far_odd;
    sums[5] = d;
}

// Computes the sums of a row of tiles: see `for_lines`.
template <int64_t W>
static void spread_x_row(const float* const rows[6], const Matrices& to, int64_t at, int64_t tiles) {
    const int64_t width = W ? W : tiles, side = 4 * width;
    const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3], *e = rows[4], *f = rows[5];
    float *lines = numbers((PRODUCTS + 1) * side + 2), *memory = lines + PRODUCTS * side;
    in_lanes<4 * W>(side, [=](int64_t i, auto lanes) {
        using Lanes = decltype(lanes);
        Lanes sums[PRODUCTS];
        spread_inputs(load<Lanes>(a + i), load<Lanes>(b + i), load<Lanes>(c + i), load<Lanes>(d + i),
                      load<Lanes>(e + i), load<Lanes>(f + i), sums);
        for (int sum = 0; sum < PRODUCTS; sum++) store(sums[sum], lines + sum * side + i);
    });
    for (int line = 0; line < PRODUCTS; line++) {
        const Phases<W> pixels(lines + line * side, memory, width);
        const float *first = pixels.first, *second = pixels.second, *third = pixels.third, *fourth = pixels.fourth;
        float* start = to[PRODUCTS * line] + at;
        const int64_t step = to[1] - to[0];
        in_lanes<W>(width, [=](int64_t i, auto lanes) {
            using Lanes = decltype(lanes);
            Lanes sums[PRODUCTS];
            spread_inputs(load<Lanes>(fourth + i - 1), load<Lanes>(first + i), load<Lanes>(second + i),
                          load<Lanes>(third + i), load<Lanes>(fourth + i), load<Lanes>(first + i + 1), sums);
            for (int sum = 0; sum < PRODUCTS; sum++) store(sums[sum], start + sum * step + i);
        });
    }
}

static void spread_x(const float* images, const Matrices& to, const Tiles& tiles) {
    for_lines(images, to, tiles, [=](auto width, const float* const lines[6], int64_t at) {
        spread_x_row<decltype(width)::value>(lines, to, at, tiles.width);
    });
}

// Computes a row of tiles, `first` and three more rows of pixels, from their products. `memory` has
// 4 * (PRODUCTS + 1) * tiles numbers.
template <int64_t W>
static void gather_y_row(const Matrices& from, int64_t at, float* first, float* memory, int64_t tiles) {
    const int64_t width = W ? W : tiles, step = from[1] - from[0];
    for (int column = 0; column < PRODUCTS; column++) {
        const float* start = from[column] + at;
        float* lines = memory + column * width;
        in_lanes<W>(width, [=](int64_t i, auto lanes) {
            decltype(lanes) products[PRODUCTS], outputs[4];
            for (int row = 0; row < PRODUCTS; row++)
                products[row] = load<decltype(lanes)>(start + row * PRODUCTS * step + i);
            gather_outputs(products, outputs);
            for (int row = 0; row < 4; row++) store(outputs[row], lines + row * PRODUCTS * width + i);
        });
    }
    float* phases = memory + 4 * PRODUCTS * width;
    for (int row = 0; row < 4; row++) {
        const float* line = memory + row * PRODUCTS * width;
        in_lanes<W>(width, [=](int64_t i, auto lanes) {
            decltype(lanes) products[PRODUCTS], outputs[4];
            for (int column = 0; column < PRODUCTS; column++)
                products[column] = load<decltype(lanes)>(line + column * width + i);
            gather_outputs(products, outputs);
            for (int column = 0; column < 4; column++) store(outputs[column], phases + column * width + i);
        });
        interleave<W>(phases, phases + width, phases + 2 * width, phases + 3 * width, first + row * 4 * width, width);
    }
}

static void gather_y(const Matrices& from, float* images, int64_t channels, const Tiles& tiles) {
    const int64_t width = tiles.width;
    std::vector<float> memory(4 * (PRODUCTS + 1) * width);
    float* lines = memory.data();
    with_width(width, [=](auto constant) {
        for (int64_t channel = 0; channel < from.rows; channel++)
            for (int64_t row = 0; row < tiles.images * tiles.height; row++) {
                const int64_t image = row / tiles.height;
                float* first = images + ((image * (channels - 1) + channel) * tiles.height + row) * 16 * width;
                const int64_t at = channel * from.stride() + row * width;
                gather_y_row<decltype(constant)::value>(from, at, first, lines, width);
            }
    });
}

// The adjoint of `gather_y_row`.
template <int64_t W>
static void spread_y_row(const float* first, const Matrices& to, int64_t at, int64_t tiles) {
    const int64_t width = W ? W : tiles, side = 4 * width, step = to[1] - to[0];
    const float *second = first + side, *third = second + side, *fourth = third + side;
    float *lines = numbers((PRODUCTS + 1) * side + 2), *memory = lines + PRODUCTS * side;
    in_lanes<4 * W>(side, [=](int64_t i, auto lanes) {
        using Lanes = decltype(lanes);
        Lanes sums[PRODUCTS];
        spread_outputs(load<Lanes>(first + i), load<Lanes>(second + i), load<Lanes>(third + i), load<Lanes>(fourth + i),
                       sums);
        for (int sum = 0; sum < PRODUCTS; sum++) store(sums[sum], lines + sum * side + i);
    });
    for (int line = 0; line < PRODUCTS; line++) {
        const Phases<W> pixels(lines + line * side, memory, width);
        const float *a = pixels.first, *b = pixels.second, *c = pixels.third, *d = pixels.fourth;
        float* start = to[PRODUCTS * line] + at;
        in_lanes<W>(width, [=](int64_t i, auto lanes) {
            using Lanes = decltype(lanes);
            Lanes sums[PRODUCTS];
            spread_outputs(load<Lanes>(a + i), load<Lanes>(b + i), load<Lanes>(c + i), load<Lanes>(d + i), sums);
            for (int sum = 0; sum < PRODUCTS; sum++) store(sums[sum], start + sum * step + i);
        });
    }
}

static void spread_y(const float* images, const Matrices& to, const Tiles& tiles) {
    for_lines(images, to, tiles, [=](auto width, const float* const lines[6], int64_t at) {
        spread_y_row<decltype(width)::value>(lines[1], to, at, tiles.width);
    });
}

static const auto spread_taps = [](const Weights* w, int step, Weights* sums, int sum_step) {
    const Weights ends = w[0] + w[2 * step], far = w[0] / 24 + w[2 * step] / 6;
    sums[0] = w[0] / 4;
    sums[sum_step] = (ends + w[step]) / -6;
    sums[2 * sum_step] = (ends - w[step]) / -6;
    sums[3 * sum_step] = far + w[step] / 12;
    sums[4 * sum_step] = far - w[step] / 12;
    sums[5 * sum_step] = w[2 * step];
};

// The adjoint of `spread_taps`.
static const auto gather_taps = [](const Weights* sums, int sum_step, Weights* w, int step) {
    const Weights near = (sums[sum_step] + sums[2 * sum_step]) / -6, far = sums[3 * sum_step] + sums[4 * sum_step];
    w[0] = sums[0] / 4 + near + far / 24;
    w[step] = (sums[2 * sum_step] - sums[sum_step]) / 6 + (sums[3 * sum_step] - sums[4 * sum_step]) / 12;
    w[2 * step] = near + far / 6 + sums[5 * sum_step];
};

static void spread_weights(const float* w, const Matrices& to, const Kernels3x3& kernels) {
    spread_kernels<PRODUCTS>(w, to, kernels, spread_taps);
}

static void gather_weights(const Matrices& from, float* w, const Kernels3x3& kernels, bool accumulate) {
    gather_kernels<PRODUCTS>(from, w, kernels, accumulate, gather_taps);
}

static Algorithm make_winograd() {
    const int count = PRODUCTS * PRODUCTS;
    std::vector<int> each(count);
    for (int product = 0; product < count; product++) each[product] = product;
    return {count,    count,   count,    each,     each,           each,
            spread_x, nullptr, spread_y, gather_y, spread_weights, gather_weights};
}

bool suits_winograd_tiles(const Geometry& g) {
    return g.is_padded_3x3() && g.is_plain() && g.in_height % 4 == 0 && g.in_width % 4 == 0;
}

void convolve_winograd(const Geometry& g, const float* first, const float* second, float* result) {
    static const Algorithm winograd = make_winograd();
    // The gradient of x is the convolution of the gradient of y with kernels that are rotated.
    const bool backward = g.direction == backward_data;
    Problem problem{};
    problem.result = g.direction == backward_weights ? Problem::w : Problem::y;
    problem.batch = g.batch;
    problem.x_channels = backward ? g.out_channels : g.in_channels;
    problem.y_channels = backward ? g.in_channels : g.out_channels;
    problem.x_pixels = problem.y_pixels = g.in_height * g.in_width;
    problem.tile_rows = g.in_height / 4;
    problem.tile_columns = g.in_width / 4;
    problem.y_is_outer = (g.w_format[0] == 'o') != backward;
    problem.rotated = backward;
    problem.scale = 1;
    const float *x = backward ? second : first, *w = backward ? first : second;
    compute(winograd, problem, x, second, w, result);
}

}  // namespace ganzoo
