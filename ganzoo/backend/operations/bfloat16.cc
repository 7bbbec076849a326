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
GANZOO_AVX512 static inline void store_pairs(uint16_t* to, __m512 even, __m512 odd) {
    const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even));
    const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd));
    _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

constexpr int64_t BLOCK = 16 * 32;  // numbers per tap in a block of 16 rows and 32 columns

GANZOO_AVX512 void pack_weights(const float* from, uint16_t* to, const WeightLayout& layout, bool backward) {
    const int64_t rows = backward ? layout.inputs : layout.outputs, columns = backward ? layout.outputs : layout.inputs;
    const int64_t row_stride = backward ? layout.input_stride : layout.output_stride;
    const int64_t column_stride = backward ? layout.output_stride : layout.input_stride;
    const int64_t row_blocks = (rows + 15) / 16, column_blocks = (columns + 31) / 32;
    const int64_t taps = layout.taps;
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i index = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)row_stride));
    // The outer loop is over outputs, `backward` or not, because most weights lie in memory that way.
    const int64_t outer = backward ? column_blocks : row_blocks, inner = backward ? row_blocks : column_blocks;
    #pragma omp parallel for collapse(2) if(rows * columns * taps > PARALLEL_THRESHOLD)
    for (int64_t i = 0; i < outer; i++)
        for (int64_t j = 0; j < inner; j++) {
            const int64_t row = backward ? j : i, column = backward ? i : j, block = i * inner + j;
            uint16_t* y = to + block * layout.phase_taps() * BLOCK;
            const __mmask16 lanes = first_lanes(rows - row * 16);
            for (int64_t pair = 0; pair < 16; pair++) {
                const int64_t at = column * 32 + 2 * pair;
                const float* x = from + row * 16 * row_stride + at * column_stride;
                const __mmask16 even_lanes = at < columns ? lanes : 0, odd_lanes = at + 1 < columns ? lanes : 0;
                auto even = [&](int tap) GANZOO_AVX512 {
                    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), even_lanes, index, x + tap, 4);
                };
                auto odd = [&](int tap) GANZOO_AVX512 {
                    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), odd_lanes, index, x + column_stride + tap, 4);
                };
                if (layout.kernels == same) {
                    for (int64_t tap = 0; tap < taps; tap++)
                        store_pairs(y + tap * BLOCK + pair * 32, even(tap), odd(tap));
                    continue;
                }
                __m512 weights[2][16], divided[2][16];
                for (int64_t tap = 0; tap < taps; tap++) weights[0][tap] = even(tap), weights[1][tap] = odd(tap);
                for (int k = 0; k < 2; k++) divide(weights[k], layout.kernels, divided[k]);
                for (int k = 0; k < 16; k++) {
                    uint16_t* phase = y + k / 4 * layout.phase_size;
                    store_pairs(phase + k % 4 * BLOCK + pair * 32, divided[0][k], divided[1][k]);
                }
            }
        }
}

GANZOO_AVX512 void unpack_weights(const float* from, float* to, const WeightLayout& layout) {
    const int64_t taps = layout.taps;
    const int64_t output_blocks = (layout.outputs + 15) / 16, input_blocks = (layout.inputs + 15) / 16;
    const bool inputs_inside = layout.input_stride < layout.output_stride;
    const int64_t outer_stride = inputs_inside ? layout.output_stride : layout.input_stride;
    // Large arrays do not fit into caches, so stores bypass them.
    const bool uncached = layout.outputs % 16 == 0 && layout.inputs % 16 == 0 && (uintptr_t)to % 64 == 0 &&
                          layout.outputs * layout.inputs * taps >= UNCACHED_THRESHOLD;
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i index = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)taps));
    #pragma omp parallel for collapse(2) if(layout.outputs * layout.inputs * taps > PARALLEL_THRESHOLD)
    for (int64_t output = 0; output < output_blocks; output++)
        for (int64_t input = 0; input < input_blocks; input++) {
            const int64_t outputs = std::min<int64_t>(16, layout.outputs - output * 16);
            const int64_t inputs = std::min<int64_t>(16, layout.inputs - input * 16);
            // In the buffer, as in `to`, the dimension with the shorter stride is innermost, so that runs are long.
            static thread_local std::vector<float> buffer;
            buffer.resize(256 * taps);
            const float* x = from + (output * input_blocks + input) * layout.phase_taps() * 256;
            static thread_local std::vector<float> united;
            if (layout.kernels != same) {
                united.resize(256 * taps);
                for (int i = 0; i < 16; i++) {
                    __m512 divided[16], weights[16];
                    for (int k = 0; k < 16; k++)
                        divided[k] = _mm512_loadu_ps(x + k / 4 * layout.phase_size + k % 4 * 256 + i * 16);
                    unite(divided, layout.kernels, weights);
                    for (int64_t tap = 0; tap < taps; tap++)
                        _mm512_storeu_ps(united.data() + tap * 256 + i * 16, weights[tap]);
                }
                x = united.data();
            }
            for (int64_t tap = 0; tap < taps; tap++) {
                __m512 block[16];
                for (int i = 0; i < 16; i++) block[i] = _mm512_loadu_ps(x + tap * 256 + i * 16);
                if (inputs_inside) transpose(block);
                for (int i = 0; i < 16; i++)
                    _mm512_i32scatter_ps(buffer.data() + i * 16 * taps + tap, index, block[i], 4);
            }
            float* y = to + output * 16 * layout.output_stride + input * 16 * layout.input_stride;
            const int64_t runs = inputs_inside ? outputs : inputs, length = (inputs_inside ? inputs : outputs) * taps;
            for (int64_t i = 0; i < runs; i++) {
                const float* run = buffer.data() + i * 16 * taps;
                if (!uncached) {
                    std::memcpy(y + i * outer_stride, run, length * sizeof(float));
                    continue;
                }
                for (int64_t k = 0; k < length; k += 16)
                    _mm512_stream_ps(y + i * outer_stride + k, _mm512_loadu_ps(run + k));
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
