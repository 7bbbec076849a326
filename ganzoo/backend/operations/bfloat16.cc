#include "bfloat16.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__) && __GNUC__ >= 10
#include <immintrin.h>

#define GANZOO_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

namespace ganzoo {

const bool has_conversions = true;

static const int64_t PARALLEL_THRESHOLD = 65536;  // fewest elements for which waking threads is worthwhile
static const int64_t UNCACHED_THRESHOLD = 1 << 18;  // fewest elements of weights for which stores bypass the caches
static const int64_t PIXELS = 64;                 // per task
static const int64_t FEW_TAPS = 4;  // most taps for which gathering each is faster than transposing 16

static inline __mmask16 first_lanes(int64_t count) {
    return count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1;
}

// Transposes 16x16 numbers.
GANZOO_AVX512 static inline void transpose(__m512 r[16]) {
    __m512 t[16];
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        __m512d a = _mm512_castps_pd(t[4 * i]), b = _mm512_castps_pd(t[4 * i + 1]);
        __m512d c = _mm512_castps_pd(t[4 * i + 2]), d = _mm512_castps_pd(t[4 * i + 3]);
        r[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        r[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        r[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        r[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    }
}

GANZOO_AVX512 void round(const float* from, uint16_t* to, int64_t count) {
    #pragma omp parallel for if(count > PARALLEL_THRESHOLD)
    for (int64_t i = 0; i < count; i += 16) {
        const __mmask16 lanes = first_lanes(count - i);
        _mm256_mask_storeu_epi16(to + i, lanes, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, from + i)));
    }
}

GANZOO_AVX512 void pack_pixels(const float* from, uint16_t* to, const PixelLayout& layout) {
    const int64_t channels = layout.channels, pixels = layout.pixels, tasks = (pixels + PIXELS - 1) / PIXELS;
    #pragma omp parallel for collapse(2) if(layout.images * channels * pixels > PARALLEL_THRESHOLD)
    for (int64_t image = 0; image < layout.images; image++)
        for (int64_t task = 0; task < tasks; task++) {
            const float* x = from + image * channels * pixels;
            uint16_t* y = to + image * layout.image_size;
            const int64_t end = pixels < (task + 1) * PIXELS ? pixels : (task + 1) * PIXELS;
            for (int64_t c = 0; c < channels; c += 32)
                for (int64_t p = task * PIXELS; p < end; p += 16) {
                    __m512 low[16], high[16];
                    const __mmask16 read = first_lanes(end - p);
                    for (int i = 0; i < 32; i++)
                        _mm_prefetch((const char*)(x + (c + 32 + i) * pixels + p), _MM_HINT_T0);
                    for (int i = 0; i < 16; i++) {
                        const float* at = x + (c + i) * pixels + p;
                        low[i] = _mm512_maskz_loadu_ps(c + i < channels ? read : 0, at);
                        high[i] = _mm512_maskz_loadu_ps(c + 16 + i < channels ? read : 0, at + 16 * pixels);
                    }
                    transpose(low);
                    transpose(high);
                    const int64_t width = channels - c;
                    const __mmask32 written = width >= 32 ? 0xffffffffu : (1u << width) - 1;
                    for (int i = 0; i < 16 && p + i < end; i++)
                        _mm512_mask_storeu_epi16(y + layout.offsets[p + i] + c, written,
                                                 (__m512i)_mm512_cvtne2ps_pbh(high[i], low[i]));
                }
        }
}

GANZOO_AVX512 void unpack_pixels(const float* from, float* to, const PixelLayout& layout) {
    const int64_t channels = layout.channels, pixels = layout.pixels, tasks = (pixels + PIXELS - 1) / PIXELS;
    // Cached stores would be slow here, because strides of large powers of two map many lines to one set of a cache.
    const bool uncached = channels % 16 == 0 && pixels % 16 == 0 && pixels >= 1024 && (uintptr_t)to % 64 == 0;
    #pragma omp parallel for collapse(2) if(layout.images * channels * pixels > PARALLEL_THRESHOLD)
    for (int64_t image = 0; image < layout.images; image++)
        for (int64_t task = 0; task < tasks; task++) {
            const float* x = from + image * layout.image_size;
            float* y = to + image * channels * pixels;
            const int64_t end = pixels < (task + 1) * PIXELS ? pixels : (task + 1) * PIXELS;
            for (int64_t c = 0; c < channels; c += 16)
                for (int64_t p = task * PIXELS; p < end; p += 16) {
                    __m512 rows[16];
                    const __mmask16 read = first_lanes(channels - c), written = first_lanes(end - p);
                    for (int i = 0; i < 16; i++)
                        rows[i] = p + i < end ? _mm512_maskz_loadu_ps(read, x + layout.offsets[p + i] + c)
                                              : _mm512_setzero_ps();
                    transpose(rows);
                    for (int i = 0; i < 16 && c + i < channels; i++) {
                        float* at = y + (c + i) * pixels + p;
                        if (uncached)
                            _mm512_stream_ps(at, rows[i]);
                        else
                            _mm512_mask_storeu_ps(at, written, rows[i]);
                    }
                }
        }
}

// Widens three numbers to four: the sum of two copies that are shifted by 0 and 1.
GANZOO_AVX512 static inline void widen(const __m512* from, int step, __m512* to, int to_step) {
    to[0] = from[0];
    to[to_step] = _mm512_add_ps(from[0], from[step]);
    to[2 * to_step] = _mm512_add_ps(from[step], from[2 * step]);
    to[3 * to_step] = from[2 * step];
}

// The adjoint of `widen`.
GANZOO_AVX512 static inline void narrow(const __m512* from, int step, __m512* to, int to_step) {
    for (int i = 0; i < 3; i++) to[i * to_step] = _mm512_add_ps(from[i * step], from[(i + 1) * step]);
}

// Returns the index of a phase's tap in 4x4 weights, which `doubling` rotates by half a turn.
static inline int tap_index(Kernels kernels, int phase, int tap) {
    const int row = tap / 2 * 2 + phase / 2, column = tap % 2 * 2 + phase % 2;
    return kernels == doubling ? 15 - (row * 4 + column) : row * 4 + column;
}

// Computes the four taps of each of the four phases from 3x3 or 4x4 weights.
GANZOO_AVX512 static inline void divide(const __m512* weights, Kernels kernels, __m512 phases[16]) {
    __m512 rows[12], wide[16];
    if (kernels != split) {
        for (int row = 0; row < 3; row++) widen(weights + 3 * row, 1, rows + 4 * row, 1);
        for (int column = 0; column < 4; column++) widen(rows + column, 4, wide + column, 4);
    }
    const __m512 scale = _mm512_set1_ps(kernels == halving ? 0.25f : 1.0f);  // halving takes the mean of four
    for (int i = 0; i < 16; i++)
        phases[i] = _mm512_mul_ps((kernels == split ? weights : wide)[tap_index(kernels, i / 4, i % 4)], scale);
}

// The adjoint of `divide`.
GANZOO_AVX512 static inline void unite(const __m512 phases[16], Kernels kernels, __m512* weights) {
    __m512 rows[12], wide[16];
    const __m512 scale = _mm512_set1_ps(kernels == halving ? 0.25f : 1.0f);
    for (int i = 0; i < 16; i++)
        (kernels == split ? weights : wide)[tap_index(kernels, i / 4, i % 4)] = _mm512_mul_ps(phases[i], scale);
    if (kernels == split) return;
    for (int column = 0; column < 4; column++) narrow(wide + column, 4, rows + column, 4);
    for (int row = 0; row < 3; row++) narrow(rows + 4 * row, 1, weights + 3 * row, 1);
}

// Rounds 16 pairs of numbers to bfloat16 and interleaves them.
GANZOO_AVX512 static inline __m512 round_pairs(__m512 even, __m512 odd) {
    const __m512i places = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                            21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(places, (__m512i)_mm512_cvtne2ps_pbh(odd, even)));
}

// A column of a block of weights: up to 16 rows, each with up to 16 taps side by side.
struct Column {
    const float* start;
    int64_t row_stride, rows, taps;
    int64_t next;  // elements to the same column of the next block

    GANZOO_AVX512 __m512 row(int index) const {
        const float* taps_of_row = start + index * row_stride;
        // The rows are too many and too far apart for the processor to notice that it will need the next block.
        _mm_prefetch((const char*)(taps_of_row + next), _MM_HINT_T0);
        return _mm512_maskz_loadu_ps(index < rows ? first_lanes(taps) : 0, taps_of_row);
    }

    // Returns one tap of all rows.
    GANZOO_AVX512 __m512 tap(int index) const {
        const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i places = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)row_stride));
        return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), first_lanes(rows), places, start + index, 4);
    }
};

// Computes, for each tap, pairs of a number of `even` and one of `odd`, one pair per row.
GANZOO_AVX512 static inline void pair_columns(const Column& even, const Column& odd, __m512 pairs[16]) {
    if (even.taps <= FEW_TAPS) {
        for (int tap = 0; tap < even.taps; tap++) pairs[tap] = round_pairs(even.tap(tap), odd.tap(tap));
        return;
    }
    for (int i = 0; i < 16; i++) pairs[i] = round_pairs(even.row(i), odd.row(i));
    transpose(pairs);
}

// Computes such pairs for the four taps of each of the four phases.
GANZOO_AVX512 static inline void pair_phases(const Column& even, const Column& odd, Kernels kernels, __m512 pairs[16]) {
    __m512 weights[2][16], divided[2][16];
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 16; i++) weights[k][i] = (k ? odd : even).row(i);
        transpose(weights[k]);
        divide(weights[k], kernels, divided[k]);
    }
    for (int i = 0; i < 16; i++) pairs[i] = round_pairs(divided[0][i], divided[1][i]);
}

constexpr int64_t BLOCK = 16 * 32;  // numbers per tap in a block of 16 rows and 32 columns

GANZOO_AVX512 void pack_weights(const float* from, uint16_t* to, const WeightLayout& layout, bool backward) {
    const int64_t rows = backward ? layout.inputs : layout.outputs, columns = backward ? layout.outputs : layout.inputs;
    const int64_t row_stride = backward ? layout.input_stride : layout.output_stride;
    const int64_t column_stride = backward ? layout.output_stride : layout.input_stride;
    const int64_t row_blocks = (rows + 15) / 16, column_blocks = (columns + 31) / 32;
    const int64_t taps = layout.taps;
    // The outer loop is over outputs, `backward` or not, because most weights lie in memory that way.
    const int64_t outer = backward ? column_blocks : row_blocks, inner = backward ? row_blocks : column_blocks;
    const int64_t next = backward ? 16 * row_stride : 32 * column_stride;
    #pragma omp parallel for collapse(2) if(rows * columns * taps > PARALLEL_THRESHOLD)
    for (int64_t i = 0; i < outer; i++)
        for (int64_t j = 0; j < inner; j++) {
            const int64_t row = backward ? j : i, column = backward ? i : j;
            uint16_t* y = to + (i * inner + j) * layout.phase_taps() * BLOCK;
            for (int64_t pair = 0; pair < 16; pair++, y += 32) {
                const int64_t at = column * 32 + 2 * pair, height = rows - row * 16;
                const float* x = from + row * 16 * row_stride + at * column_stride;
                Column even{x, row_stride, at < columns ? height : 0, taps, next};
                Column odd{x + column_stride, row_stride, at + 1 < columns ? height : 0, taps, next};
                __m512 pairs[16];
                if (layout.kernels != same) {
                    pair_phases(even, odd, layout.kernels, pairs);
                    for (int k = 0; k < 16; k++)
                        _mm512_storeu_ps(y + k / 4 * layout.phase_size + k % 4 * BLOCK, pairs[k]);
                    continue;
                }
                for (int64_t tap = 0; tap < taps; tap += 16) {
                    pair_columns(even, odd, pairs);
                    const int64_t count = std::min<int64_t>(16, taps - tap);
                    for (int64_t k = 0; k < count; k++) _mm512_storeu_ps(y + (tap + k) * BLOCK, pairs[k]);
                    for (Column* each : {&even, &odd}) each->start += 16, each->taps -= 16;
                }
            }
        }
}

// Reads a column of a block of 16 inputs: up to 16 taps of 16 outputs, from `tap` on. `x` is its first phase and tap.
GANZOO_AVX512 static inline void load_taps(const float* x, const WeightLayout& layout, int64_t tap, __m512 taps[16]) {
    if (layout.kernels == same) {
        for (int64_t k = 0; k < 16; k++)
            taps[k] = tap + k < layout.taps ? _mm512_loadu_ps(x + (tap + k) * 256) : _mm512_setzero_ps();
        return;
    }
    __m512 phases[16];
    for (int k = 0; k < 16; k++) phases[k] = _mm512_loadu_ps(x + k / 4 * layout.phase_size + k % 4 * 256);
    for (int64_t k = layout.taps; k < 16; k++) taps[k] = _mm512_setzero_ps();
    unite(phases, layout.kernels, taps);
}

GANZOO_AVX512 void unpack_weights(const float* from, float* to, const WeightLayout& layout) {
    const int64_t taps = layout.taps;
    const int64_t output_blocks = (layout.outputs + 15) / 16, input_blocks = (layout.inputs + 15) / 16;
    const bool inputs_inside = layout.input_stride < layout.output_stride;
    const int64_t outer_stride = inputs_inside ? layout.output_stride : layout.input_stride;
    // In the buffer, as in `to`, the dimension with the shorter stride is innermost, so that runs are long.
    const int64_t output_step = inputs_inside ? 16 * taps : taps, input_step = inputs_inside ? taps : 16 * taps;
    // Large arrays do not fit into caches, so stores bypass them.
    const bool uncached = layout.outputs % 16 == 0 && layout.inputs % 16 == 0 && (uintptr_t)to % 64 == 0 &&
                          layout.outputs * layout.inputs * taps >= UNCACHED_THRESHOLD;
    #pragma omp parallel for collapse(2) if(layout.outputs * layout.inputs * taps > PARALLEL_THRESHOLD)
    for (int64_t output = 0; output < output_blocks; output++)
        for (int64_t input = 0; input < input_blocks; input++) {
            const int64_t outputs = std::min<int64_t>(16, layout.outputs - output * 16);
            const int64_t inputs = std::min<int64_t>(16, layout.inputs - input * 16);
            static thread_local std::vector<float> buffer;
            buffer.resize(256 * taps);
            float* runs = buffer.data();
            const float* x = from + (output * input_blocks + input) * layout.phase_taps() * 256;
            for (int64_t i = 0; i < inputs; i++)
                for (int64_t tap = 0; tap < taps; tap += 16) {
                    __m512 weights[16];
                    load_taps(x + i * 16, layout, tap, weights);
                    transpose(weights);
                    for (int k = 0; k < 16; k++)
                        _mm512_mask_storeu_ps(runs + k * output_step + i * input_step + tap, first_lanes(taps - tap),
                                              weights[k]);
                }
            float* y = to + output * 16 * layout.output_stride + input * 16 * layout.input_stride;
            const int64_t count = inputs_inside ? outputs : inputs, length = (inputs_inside ? inputs : outputs) * taps;
            for (int64_t i = 0; i < count; i++, runs += 16 * taps) {
                if (!uncached) {
                    std::memcpy(y + i * outer_stride, runs, length * sizeof(float));
                    continue;
                }
                for (int64_t k = 0; k < length; k += 16)
                    _mm512_stream_ps(y + i * outer_stride + k, _mm512_loadu_ps(runs + k));
            }
        }
}

}  // namespace ganzoo

#else

namespace ganzoo {

const bool has_conversions = false;
void round(const float*, uint16_t*, int64_t) {}
void pack_pixels(const float*, uint16_t*, const PixelLayout&) {}
void unpack_pixels(const float*, float*, const PixelLayout&) {}
void pack_weights(const float*, uint16_t*, const WeightLayout&, bool) {}
void unpack_weights(const float*, float*, const WeightLayout&) {}

}  // namespace ganzoo

#endif
