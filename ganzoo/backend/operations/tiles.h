// Helpers for the sums of pixels of bilinear.h.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "bilinear.h"
#include "lanes.h"

namespace ganzoo {

// Calls work(std::integral_constant<int64_t, W>()), where W is `width` if it is common and small, so that the compiler
// unrolls the loops over so few tiles, and otherwise 0.
template <class Work>
void with_width(int64_t width, Work work) {
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
void for_rows(int64_t channels, const Tiles& tiles, Work work) {
    #pragma omp parallel for collapse(2) if(channels * tiles.count() >= 4096)
    for (int64_t channel = 0; channel < channels; channel++)
        for (int64_t image = 0; image < tiles.images; image++)
            for (int64_t row = 0; row < tiles.height; row++) work(channel, image, row);
}

// Calls work(width, lines, at) for each row of tiles of 4x4 pixels. `lines` are the four lines of pixels of the row
// between the lines before and after it, which are zeros outside of an image; its sums begin at `at` in the matrices
// `to`; `width` is as in `with_width`.
template <class Work>
void for_lines(const float* images, const Matrices& to, const Tiles& tiles, Work work) {
    const std::vector<float> no_pixels(4 * tiles.width);
    const float* zeros = no_pixels.data();
    with_width(tiles.width, [=](auto width) {
        for_rows(to.rows, tiles, [=](int64_t channel, int64_t image, int64_t row) {
            const int64_t side = 4 * tiles.width;
            const float* first = images + ((image * to.rows + channel) * tiles.height + row) * 4 * side;
            const float* const lines[6] = {row > 0 ? first - side : zeros, first, first + side, first + 2 * side,
                                           first + 3 * side, row < tiles.height - 1 ? first + 4 * side : zeros};
            work(width, lines, channel * to.stride() + (image * tiles.height + row) * tiles.width);
        });
    });
}

// Fills an array with value(0), value(1) and so on.
template <class Value>
inline void fill(float* array, int64_t size, Value value) {
    #pragma omp simd
    for (int64_t i = 0; i < size; i++) array[i] = value(i);
}

// Calls work(i, lanes) for the numbers i, i + 1, ... that `lanes` holds, which together are 0 to `size` - 1. If N is
// not 0, `size` is a multiple of it.
template <int64_t N, class Work>
static inline void in_lanes(int64_t size, Work work) {
    constexpr int64_t step = N == 0 || N > 16 ? 16 : N;
    int64_t i = 0;
    for (; i + step <= size; i += step) work(i, typename LanesOf<step>::type{});
    for (; i < size; i++) work(i, LanesOf<1>::type{});
}

// A line of pixels in tiles of four, divided by their place in the tile. Before the fourth pixels and after the first
// ones, where a line begins and ends, are zeros. `memory` has 4 * tiles + 2 numbers. A line is read several times, and
// dividing it once saves most of the time.
template <int64_t W>
struct Phases {
    float *first, *second, *third, *fourth;

    Phases(const float* line, float* memory, int64_t tiles) {
        const int64_t width = W ? W : tiles;
        float *d = memory + 1, *a = d + width, *b = a + width + 1, *c = b + width;
        #pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            a[i] = line[4 * i];
            b[i] = line[4 * i + 1];
            c[i] = line[4 * i + 2];
            d[i] = line[4 * i + 3];
        }
        d[-1] = a[width] = 0;
        first = a, second = b, third = c, fourth = d;
    }
};

// Writes a line of pixels in tiles of four from the pixels at each place in the tile.
template <int64_t W>
static inline void interleave(const float* first, const float* second, const float* third, const float* fourth,
                              float* line, int64_t tiles) {
    const int64_t width = W ? W : tiles;
    #pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        line[4 * i] = first[i];
        line[4 * i + 1] = second[i];
        line[4 * i + 2] = third[i];
        line[4 * i + 3] = fourth[i];
    }
}

// The same weight of the kernels of 16 columns.
const int64_t LANES = 16;
typedef LanesOf<LANES>::type Weights;

// Numbers of which only the first `count` are in memory. The compiler copies a fixed number of bytes by vector
// instructions, and any other number by slow ones.
inline Weights load(const float* from, int64_t count) {
    if (count == LANES) return load<Weights>(from);
    Weights lanes{};
    std::memcpy(&lanes, from, count * sizeof(float));
    return lanes;
}

inline void store(const Weights& lanes, int64_t count, float* to) {
    if (count == LANES) return store(lanes, to);
    std::memcpy(to, &lanes, count * sizeof(float));
}

inline int place_of(int tap, const Kernels3x3& kernels) { return kernels.rotated ? KERNEL - 1 - tap : tap; }

// Reads the kernels of `count` columns.
inline void read_kernels(const float* w, const Kernels3x3& kernels, int64_t count, Weights taps[KERNEL]) {
    for (int tap = 0; tap < KERNEL; tap++) taps[tap] = Weights{};
    for (int lane = 0; lane < count; lane++)
        for (int tap = 0; tap < KERNEL; tap++)
            taps[place_of(tap, kernels)][lane] = kernels.scale * w[lane * kernels.column_stride + tap];
}

// The adjoint of `read_kernels`. Adds to `w` if `accumulate` is true.
inline void write_kernels(const Weights taps[KERNEL], float* w, const Kernels3x3& kernels, int64_t count,
                          bool accumulate) {
    for (int lane = 0; lane < count; lane++)
        for (int tap = 0; tap < KERNEL; tap++) {
            float& weight = w[lane * kernels.column_stride + tap];
            const float part = kernels.scale * taps[place_of(tap, kernels)][lane];
            weight = accumulate ? weight + part : part;
        }
}

// Computes SUMS x SUMS sums of 3x3 weights. spread(w, step, sums, step of sums) computes SUMS sums of three weights. It
// must be a lambda: the compiler does not inline functions that are passed by pointer.
template <int SUMS, class Spread>
void spread_kernels(const float* w, const Matrices& to, const Kernels3x3& kernels, Spread spread) {
    for (int64_t row = 0; row < to.rows; row++)
        for (int64_t column = 0; column < to.columns; column += LANES) {
            const int64_t count = std::min(LANES, to.columns - column);
            Weights taps[KERNEL], lines[3 * SUMS], sums[SUMS * SUMS];
            const int64_t at = row * kernels.row_stride + column * kernels.column_stride;
            read_kernels(w + at, kernels, count, taps);
            for (int line = 0; line < 3; line++) spread(taps + 3 * line, 1, lines + SUMS * line, 1);
            for (int line = 0; line < SUMS; line++) spread(lines + line, SUMS, sums + line, SUMS);
            for (int sum = 0; sum < SUMS * SUMS; sum++)
                store(sums[sum], count, to[sum] + row * to.stride() + column);
        }
}

// The adjoint of `spread_kernels`. gather(sums, step of sums, w, step) is the adjoint of `spread`.
template <int SUMS, class Gather>
void gather_kernels(const Matrices& from, float* w, const Kernels3x3& kernels, bool accumulate, Gather gather) {
    for (int64_t row = 0; row < from.rows; row++)
        for (int64_t column = 0; column < from.columns; column += LANES) {
            const int64_t count = std::min(LANES, from.columns - column);
            Weights taps[KERNEL], lines[3 * SUMS], sums[SUMS * SUMS];
            for (int sum = 0; sum < SUMS * SUMS; sum++)
                sums[sum] = load(from[sum] + row * from.stride() + column, count);
            for (int line = 0; line < SUMS; line++) gather(sums + line, SUMS, lines + line, SUMS);
            for (int line = 0; line < 3; line++) gather(lines + SUMS * line, 1, taps + 3 * line, 1);
            const int64_t at = row * kernels.row_stride + column * kernels.column_stride;
            write_kernels(taps, w + at, kernels, count, accumulate);
        }
}

}  // namespace ganzoo
