// Conversions between float32 arrays and the blocked bfloat16 layouts of oneDNN's AMX kernels. The results equal those
// of oneDNN's reorders, which take as long as the convolutions, and a hundred times as long for padded channels.
#pragma once

#include <cstdint>
#include <vector>

namespace ganzoo {

extern const bool has_conversions;  // whether they could be compiled, which requires x86-64 and GCC 10 or newer

void round(const float* from, uint16_t* to, int64_t count);  // float32 to bfloat16

// The layout of images. Our arrays are (N, C, P), with P pixels; in oneDNN's arrays the channels of a pixel lie side by
// side. Offsets are in elements from the start of an image.
struct PixelLayout {
    int64_t images, channels, pixels, image_size;
    std::vector<int64_t> offsets;  // of the first channel of each pixel
};

void pack_pixels(const float* from, uint16_t* to, const PixelLayout& layout);  // float32 to bfloat16
void unpack_pixels(const float* from, float* to, const PixelLayout& layout);   // float32 to float32

// How the kernels for oneDNN are made from the weights. All but `same` are for convolutions in four phases
// (see conversions.h), each of which has 2x2 weights of its own. `split` distributes 4x4 weights among the phases. The
// others first widen 3x3 weights to 4x4, by adding four copies that are shifted by 0 or 1 pixel along each axis:
// `halving` takes a quarter of the sum, `doubling` rotates it by half a turn.
enum Kernels { same, split, halving, doubling };

// The layout of weights. Output o, input i and tap t of a float32 array are at
// o * output_stride + i * input_stride + t.
struct WeightLayout {
    int64_t outputs, inputs, output_stride, input_stride, taps;
    Kernels kernels;
    int64_t phase_size;  // elements from the start of a phase to the start of the next

    int64_t phase_taps() const { return kernels == same ? taps : 4; }
};

// Float32 to bfloat16, in blocks of 16 rows and 32 columns with pairs of columns innermost, padded with zeros. Rows are
// outputs and columns are inputs, or the other way round with `backward`.
void pack_weights(const float* from, uint16_t* to, const WeightLayout& layout, bool backward);

// Float32 to float32, from blocks of 16 outputs and 16 inputs, the outputs innermost. The adjoint of pack_weights.
void unpack_weights(const float* from, float* to, const WeightLayout& layout);

}  // namespace ganzoo
