// Helpers for the sums of pixels of bilinear.h.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "bilinear.h"

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

// Fills an array with value(0), value(1) and so on.
template <class Value>
inline void fill(float* array, int64_t size, Value value) {
    #pragma omp simd
    for (int64_t i = 0; i < size; i++) array[i] = value(i);
}

// Returns memory for so many numbers, until the next call on this thread.
inline float* numbers(int64_t count) {
    static thread_local std::vector<float> memory;
    if ((int64_t)memory.size() < count) memory.resize(count);
    return memory.data();
}

// The same weight of the kernels of 16 columns.
const int64_t LANES = 16;
typedef float Weights __attribute__((vector_size(LANES * sizeof(float))));

// Reads the kernels of `count` columns.
inline void read_kernels(const float* w, const Kernels3x3& kernels, int64_t count, Weights taps[KERNEL]) {
    for (int tap = 0; tap < KERNEL; tap++) taps[tap] = Weights{};
    for (int lane = 0; lane < count; lane++)
        for (int tap = 0; tap < KERNEL; tap++)
            taps[kernels.rotated ? KERNEL - 1 - tap : tap][lane] = kernels.scale * w[lane * kernels.column_stride + tap];
}

// The adjoint of `read_kernels`. Adds to `w` if `accumulate` is true.
inline void write_kernels(const Weights taps[KERNEL], float* w, const Kernels3x3& kernels, int64_t count,
                          bool accumulate) {
    for (int lane = 0; lane < count; lane++)
        for (int tap = 0; tap < KERNEL; tap++) {
            float& weight = w[lane * kernels.column_stride + tap];
            const float part = kernels.scale * taps[kernels.rotated ? KERNEL - 1 - tap : tap][lane];
            weight = accumulate ? weight + part : part;
        }
}

// Computes SUMS x SUMS sums of 3x3 weights. spread(w, step, sums, step of sums) computes SUMS sums of three weights.
template <int SUMS, class Spread>
void spread_kernels(const float* w, const Matrices& to, const Kernels3x3& kernels, Spread spread) {
    for (int64_t row = 0; row < to.rows; row++)
        for (int64_t column = 0; column < to.columns; column += LANES) {
            const int64_t count = std::min(LANES, to.columns - column);
            Weights taps[KERNEL], lines[3 * SUMS], sums[SUMS * SUMS];
            read_kernels(w + row * kernels.row_stride + column * kernels.column_stride, kernels, count, taps);
            for (int line = 0; line < 3; line++) spread(taps + 3 * line, 1, lines + SUMS * line, 1);
            for (int line = 0; line < SUMS; line++) spread(lines + line, SUMS, sums + line, SUMS);
            for (int sum = 0; sum < SUMS * SUMS; sum++)
                std::memcpy(to[sum] + row * to.columns + column, &sums[sum], count * sizeof(float));
        }
}

// The adjoint of `spread_kernels`. gather(sums, step of sums, w, step) is the adjoint of `spread`.
template <int SUMS, class Gather>
void gather_kernels(const Matrices& from, float* w, const Kernels3x3& kernels, bool accumulate, Gather gather) {
    for (int64_t row = 0; row < from.rows; row++)
        for (int64_t column = 0; column < from.columns; column += LANES) {
            const int64_t count = std::min(LANES, from.columns - column);
            Weights taps[KERNEL], lines[3 * SUMS], sums[SUMS * SUMS] = {};
            for (int sum = 0; sum < SUMS * SUMS; sum++)
                std::memcpy(&sums[sum], from[sum] + row * from.columns + column, count * sizeof(float));
            for (int line = 0; line < SUMS; line++) gather(sums + line, SUMS, lines + line, SUMS);
            for (int line = 0; line < 3; line++) gather(lines + SUMS * line, 1, taps + 3 * line, 1);
            write_kernels(taps, w + row * kernels.row_stride + column * kernels.column_stride, kernels, count, accumulate);
        }
}

}  // namespace ganzoo
