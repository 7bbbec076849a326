#include "conversions.h"


#include "bfloat16.h"

namespace ganzoo {

using dnnl::memory;

bool has_phases(const Geometry& g) {
    return g.kernel_height == 4 && g.kernel_width == 4 && g.stride_height == 2 && g.stride_width == 2 &&
           g.padding_height == 1 && g.padding_width == 1 && g.in_height % 2 == 0 && g.in_width % 2 == 0;
}

Geometry in_phase(Geometry g, int phase) {
    g.in_height /= 2;
    g.in_width /= 2;
    g.kernel_height = g.kernel_width = 2;
    g.stride_height = g.stride_width = 1;
    // Row 0 of the padded images is padding. Phases 0 and 1 have the even rows, so only they begin with padding;
    // likewise phases 0 and 2, which have the even columns.
    g.padding_height = 1 - phase / 2;
    g.padding_width = 1 - phase % 2;
    return g;
}

static PixelLayout pixel_layout(int64_t images, int64_t channels, int64_t pixels) {
    PixelLayout layout{images, channels, pixels, channels * pixels, {}};
    for (int64_t pixel = 0; pixel < pixels; pixel++) layout.offsets.push_back(pixel * channels);
    return layout;
}

// `phase_size` is in elements.
static PixelLayout phase_layout(const Geometry& g, int64_t phase_size) {
    const int64_t pixels = g.in_height * g.in_width;
    PixelLayout layout{g.batch, g.in_channels, pixels, g.in_channels * pixels / 4, {}};
    for (int64_t row = 0; row < g.in_height; row++)
        for (int64_t column = 0; column < g.in_width; column++) {
            const int64_t phase = (row + 1) % 2 * 2 + (column + 1) % 2;
            const int64_t pixel = row / 2 * (g.in_width / 2) + column / 2;
            layout.offsets.push_back(phase * phase_size + pixel * g.in_channels);
        }
    return layout;
}

static Conversion pixel_conversion(PixelLayout layout, const memory::desc& onednn_layout) {
    const auto nhwc = memory::desc(onednn_layout.dims(), onednn_layout.data_type(), memory::format_tag::nhwc);
    if (onednn_layout != nhwc) return nullptr;
    if (onednn_layout.data_type() == memory::data_type::bf16)
        return [layout](const void* from, void* to) { pack_pixels((const float*)from, (uint16_t*)to, layout); };
    return [layout](const void* from, void* to) { unpack_pixels((const float*)from, (float*)to, layout); };
}

static Conversion weight_conversion(const WeightLayout& layout, const memory::desc& onednn_layout) {
    using tag = memory::format_tag;
    auto is = [&](memory::data_type type, tag format) {
        return onednn_layout == memory::desc(onednn_layout.dims(), type, format);
    };
    for (bool backward : {false, true})
        if (is(memory::data_type::bf16, backward ? tag::OIhw16o16i2o : tag::OIhw16i16o2i))
            return [=](const void* from, void* to) {
                pack_weights((const float*)from, (uint16_t*)to, layout, backward);
            };
    if (is(memory::data_type::f32, tag::OIhw16i16o))
        return [=](const void* from, void* to) { unpack_weights((const float*)from, (float*)to, layout); };
    return nullptr;
}

static WeightLayout weight_layout(const Geometry& g, int64_t phase_size) {
    const int64_t taps = g.widened ? 9 : g.kernel_height * g.kernel_width;
    const Kernels kernels = !phase_size ? same : g.widened ? (Kernels)g.widened : split;
    const bool outputs_outside = g.w_format[0] == 'o';
    const int64_t output_stride = outputs_outside ? taps * g.in_channels : taps;
    const int64_t input_stride = outputs_outside ? taps : taps * g.out_channels;
    return {g.out_channels, g.in_channels, output_stride, input_stride, taps, kernels, phase_size};
}

Conversion find_conversion(const Geometry& g, Role role, const memory::desc& onednn_layout, size_t phase_size) {
    if (!g.is_plain()) return nullptr;
    const int64_t elements = phase_size / (onednn_layout.data_type() == memory::data_type::bf16 ? 2 : 4);
    if (role == weights) return weight_conversion(weight_layout(g, elements), onednn_layout);
    if (role == outputs)
        return pixel_conversion(pixel_layout(g.batch, g.out_channels, g.out_height * g.out_width), onednn_layout);
    if (elements) return pixel_conversion(phase_layout(g, elements), onednn_layout);
    return pixel_conversion(pixel_layout(g.batch, g.in_channels, g.in_height * g.in_width), onednn_layout);
}

}  // namespace ganzoo
