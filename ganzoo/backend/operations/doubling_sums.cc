#include "doubling_sums.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

namespace ganzoo {

// Calls work(std::integral_constant<int64_t, W>()), where W is `width` if it is common and small, so that the compiler
// unrolls the loops over so few tiles, and otherwise 0.
template <class Work>
static void with_width(int64_t width, Work work) {
    switch (width) {
        case 1: return work(std::integral_constant<int64_t, 1>());
        case 2: return work(std::integral_constant<int64_t, 2>());
        case 4: return work(std::integral_constant<int64_t, 4>());
        case 8: return work(std::integral_constant<int64_t, 8>());
        default: return work(std::integral_constant<int64_t, 0>());
    }
}

// Calls work(channel, image, row of tiles) on all threads.
template <class Work>
static void for_rows(int64_t channels, const Tiles& tiles, Work work) {
    #pragma omp parallel for collapse(2) if(channels * tiles.count() >= 4096)
    for (int64_t channel = 0; channel < channels; channel++)
        for (int64_t image = 0; image < tiles.images; image++)
            for (int64_t row = 0; row < tiles.height; row++) work(channel, image, row);
}

// Fills an array with value(0), value(1) and so on.
template <class Value>
static inline void fill(float* array, int64_t size, Value value) {
    #pragma omp simd
    for (int64_t i = 0; i < size; i++) array[i] = value(i);
}

// Returns memory for so many numbers, until the next call on this thread.
static float* numbers(int64_t count) {
    static thread_local std::vector<float> memory;
    if ((int64_t)memory.size() < count) memory.resize(count);
    return memory.data();
}

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

void spread_small(const float* x, const Matrices& to, const Tiles& tiles) {
    with_width(tiles.width, [=](auto constant) {
        for_rows(to.rows, tiles, [=](int64_t channel, int64_t image, int64_t row) {
            const float* top = x + ((image * to.rows + channel) * tiles.height + row) * 4 * tiles.width;
            const int64_t at = channel * to.columns + (image * tiles.height + row) * tiles.width;
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

void gather_small(const Matrices& from, float* x, int64_t channels, const Tiles& tiles) {
    with_width(tiles.width, [=](auto constant) {
        for (int64_t channel = 0; channel < from.rows; channel++)
            for (int64_t row = 0; row < tiles.images * tiles.height; row++) {
                const int64_t image = row / tiles.height;
                float* top = x + ((image * (channels - 1) + channel) * tiles.height + row) * 4 * tiles.width;
                const int64_t at = channel * from.columns + row * tiles.width;
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

void gather_large(const Matrices& from, float* y, int64_t channels, const Tiles& tiles) {
    const int64_t width = tiles.width;
    std::vector<float> memory(PRODUCTS * (width + 2));
    float* columns = memory.data() + 1;
    with_width(width, [=](auto constant) {
        constexpr int64_t W = decltype(constant)::value;
        for (int64_t channel = 0; channel < from.rows; channel++)
            for (int64_t row = 0; row < tiles.images * tiles.height; row++) {
                const int64_t image = row / tiles.height, tile = row % tiles.height;
                const int64_t at = channel * from.columns + row * width;
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

// The adjoint of `sum_row`. `phases` is memory for 4 * (tiles + 1) + 1 numbers.
template <int64_t W>
static void spread_line(const float* line, float* phases, const Matrices& to, int row, int64_t at, int64_t tiles) {
    const int64_t width = W ? W : tiles;
    // The pixels at the same place in each tile, between zeros. Reading them once saves most of the time.
    float *d3 = phases + 1, *d0 = d3 + width, *d1 = d0 + width + 1, *d2 = d1 + width;
    #pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        d0[i] = line[4 * i];
        d1[i] = line[4 * i + 1];
        d2[i] = line[4 * i + 2];
        d3[i] = line[4 * i + 3];
    }
    d3[-1] = d0[width] = 0;
    float *p0 = to[PRODUCTS * row] + at, *p1 = to[PRODUCTS * row + 1] + at, *p2 = to[PRODUCTS * row + 2] + at;
    float *q0 = to[PRODUCTS * row + 3] + at, *q1 = to[PRODUCTS * row + 4] + at;
    #pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        const float middle = d1[i] + d2[i];
        p0[i] = d3[i - 1] + d0[i] - middle;
        p1[i] = d3[i] + d0[i + 1] - middle;
        p2[i] = middle;
        q0[i] = d0[i] - d2[i];
        q1[i] = d2[i] - d0[i + 1];
    }
}

// The adjoint of `sum_row` and `sum_column` for a row of tiles, whose pixels begin at `first`, between the lines
// `before` and `after`.
template <int64_t W>
static void spread_large_row(const float* before, const float* first, const float* after, const Matrices& to,
                             int64_t at, int64_t tiles) {
    const int64_t width = W ? W : tiles, side = 4 * width;
    const float *second = first + side, *third = second + side, *fourth = third + side;
    float *line = numbers(2 * side + 5), *phases = line + side;
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
        spread_line<W>(line, phases, to, kind, at, width);
    }
}

void spread_large(const float* y, const Matrices& to, const Tiles& tiles) {
    const std::vector<float> no_pixels(4 * tiles.width);
    const float* zeros = no_pixels.data();
    with_width(tiles.width, [=](auto constant) {
        for_rows(to.rows, tiles, [=](int64_t channel, int64_t image, int64_t row) {
            const int64_t side = 4 * tiles.width;
            const float* first = y + ((image * to.rows + channel) * tiles.height + row) * 4 * side;
            const float* before = row > 0 ? first - side : zeros;
            const float* after = row < tiles.height - 1 ? first + 4 * side : zeros;
            const int64_t at = channel * to.columns + (image * tiles.height + row) * tiles.width;
            spread_large_row<decltype(constant)::value>(before, first, after, to, at, tiles.width);
        });
    });
}

// The same weight of the kernels of 16 columns.
const int64_t LANES = 16;
typedef float Weights __attribute__((vector_size(LANES * sizeof(float))));

// w0, w1, w2 -> w2, w0 + w1, w0 + w1 + w2, w1
static inline void spread_taps(const Weights* w, int step, Weights* sums, int sum_step) {
    sums[0] = w[2 * step];
    sums[sum_step] = w[0] + w[step];
    sums[2 * sum_step] = sums[sum_step] + w[2 * step];
    sums[3 * sum_step] = w[step];
}

// The adjoint of `spread_taps`.
static inline void gather_taps(const Weights* sums, int sum_step, Weights* w, int step) {
    w[0] = sums[sum_step] + sums[2 * sum_step];
    w[step] = w[0] + sums[3 * sum_step];
    w[2 * step] = sums[0] + sums[2 * sum_step];
}

void spread_weights(const float* w, const Matrices& to, int64_t row_stride, bool halving) {
    const float scale = halving ? 0.25f : 1.0f;
    for (int64_t row = 0; row < to.rows; row++)
        for (int64_t column = 0; column < to.columns; column += LANES) {
            const int64_t count = std::min(LANES, to.columns - column);
            const float* kernels = w + row * row_stride + column * KERNEL;
            Weights taps[KERNEL] = {}, lines[3 * WEIGHTS], sums[WEIGHTS * WEIGHTS];
            for (int lane = 0; lane < count; lane++)
                for (int tap = 0; tap < KERNEL; tap++)
                    taps[halving ? KERNEL - 1 - tap : tap][lane] = scale * kernels[lane * KERNEL + tap];
            for (int line = 0; line < 3; line++) spread_taps(taps + 3 * line, 1, lines + WEIGHTS * line, 1);
            for (int line = 0; line < WEIGHTS; line++) spread_taps(lines + line, WEIGHTS, sums + line, WEIGHTS);
            for (int sum = 0; sum < WEIGHTS * WEIGHTS; sum++)
                std::memcpy(to[sum] + row * to.columns + column, &sums[sum], count * sizeof(float));
        }
}

void gather_weights(const Matrices& from, float* w, int64_t row_stride, int64_t column_stride, bool halving,
                    bool accumulate) {
    const float scale = halving ? 0.25f : 1.0f;
    for (int64_t row = 0; row < from.rows; row++)
        for (int64_t column = 0; column < from.columns; column += LANES) {
            const int64_t count = std::min(LANES, from.columns - column);
            float* kernels = w + row * row_stride + column * column_stride;
            Weights taps[KERNEL], lines[3 * WEIGHTS], sums[WEIGHTS * WEIGHTS] = {};
            for (int sum = 0; sum < WEIGHTS * WEIGHTS; sum++)
                std::memcpy(&sums[sum], from[sum] + row * from.columns + column, count * sizeof(float));
            for (int line = 0; line < WEIGHTS; line++) gather_taps(sums + line, WEIGHTS, lines + line, WEIGHTS);
            for (int line = 0; line < 3; line++) gather_taps(lines + WEIGHTS * line, 1, taps + 3 * line, 1);
            for (int lane = 0; lane < count; lane++)
                for (int tap = 0; tap < KERNEL; tap++) {
                    float& gradient = kernels[lane * column_stride + tap];
                    const float part = scale * taps[halving ? KERNEL - 1 - tap : tap][lane];
                    gradient = accumulate ? gradient + part : part;
                }
        }
}

}  // namespace ganzoo
