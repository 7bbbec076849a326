#include "convolution.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <dnnl.hpp>

#include "bfloat16.h"
#include "conversions.h"
#include "doubling.h"
#include "few_channels.h"
#include "im2col.h"
#include "temporary.h"
#include "winograd.h"

namespace ganzoo {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;

Counts counts;
WinogradMinimum winograd_minimum = {64, 8};

static const size_t MAX_PRIMITIVES = 512;
static const int FEW_TILES = 128;
static const size_t ALIGNMENT = 64;  // bytes

bool Geometry::operator<(const Geometry& other) const { return std::memcmp(this, &other, sizeof(Geometry)) < 0; }

bool Geometry::is_plain() const {
    return std::string(x_format.data(), 4) == "abcd" && std::string(y_format.data(), 4) == "abcd" &&
           w_format[2] == 'h' && w_format[3] == 'w';
}

bool Geometry::is_3x3() const {
    return kernel_height == 3 && kernel_width == 3 && stride_height == 1 && stride_width == 1 &&
           dilation_height == 1 && dilation_width == 1 && groups == 1;
}

bool Geometry::is_padded_3x3() const {
    return is_3x3() && padding_height == 1 && padding_width == 1 && in_height == out_height && in_width == out_width;
}

static memory::dims numbers(std::initializer_list<int> values) { return memory::dims(values.begin(), values.end()); }

// Returns the memory layout of an array of shape `logical`, whose dimensions are named by the letters of `names` and
// stored in the order of `format`.
static memory::desc layout(const memory::dims& logical, const char* names, const std::array<char, 4>& format) {
    memory::dims strides(4);
    int64_t stride = 1;
    for (int at = 3; at >= 0; at--) {
        int dimension = std::strchr(names, format[at]) - names;
        strides[dimension] = stride;
        stride *= logical[dimension];
    }
    return memory::desc(logical, memory::data_type::f32, strides);
}

static memory::desc grouped(const memory::desc& weights, int groups) {
    auto sizes = weights.dims();
    return weights.reshape({groups, sizes[0] / groups, sizes[1], sizes[2], sizes[3]});
}

struct Arrays {
    memory::desc x, w, y;

    explicit Arrays(const Geometry& g)
        : x(layout(numbers({g.batch, g.in_channels, g.in_height, g.in_width}), "abcd", g.x_format)),
          w(layout(numbers({g.out_channels, g.in_channels / g.groups, g.kernel_height, g.kernel_width}), "oihw",
                   g.w_format)),
          y(layout(numbers({g.batch, g.out_channels, g.out_height, g.out_width}), "abcd", g.y_format)) {
        if (g.groups > 1) w = grouped(w, g.groups);
    }

    // The same arrays in the layouts that oneDNN prefers. With `bfloat16`, the two inputs of `direction` are bfloat16
    // and its result is float32.
    Arrays free(bool bfloat16, Direction direction) const {
        Arrays any = *this;
        for (auto each : {std::make_pair(&any.y, forward), {&any.x, backward_data}, {&any.w, backward_weights}}) {
            const auto type = bfloat16 && each.second != direction ? memory::data_type::bf16 : memory::data_type::f32;
            *each.first = memory::desc(each.first->dims(), type, memory::format_tag::any);
        }
        return any;
    }
};

// A way to compute a convolution.
struct Method {
    bool suits;
    algorithm kind;
    int64_t Counts::*counter;
    bool plain = false;     // use the arrays as they are, not in the layouts that oneDNN prefers
    bool bfloat16 = false;
    bool phases = false;    // as the sum of four 2x2 convolutions of stride 1: see in_phase in conversions.h
};

static const dnnl::engine& engine() {
    static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
    return cpu;
}

// A primitive and what it computes with: two inputs and the result, in this order, and scratch memory.
struct Primitive {
    dnnl::primitive primitive;
    std::array<Role, 3> roles;
    std::array<int, 3> arguments;
    std::array<memory::desc, 3> layouts;
    memory::desc scratchpad;
    std::string implementation;
};

// If `accumulate` is true, the primitive adds its outputs to those already in the array.
static Primitive make_primitive(const Geometry& g, const Method& method, bool accumulate) {
    const auto direction = (Direction)g.direction;
    const Arrays user(g), computed = method.plain ? user : user.free(method.bfloat16, direction);
    const Arrays hinted = direction == forward || method.plain ? computed : user.free(method.bfloat16, (Direction)-1);
    const auto strides = numbers({g.stride_height, g.stride_width});
    const auto dilation = numbers({g.dilation_height - 1, g.dilation_width - 1});
    const auto start = numbers({g.padding_height, g.padding_width});
    const auto end = method.phases ? numbers({1 - g.padding_height, 1 - g.padding_width}) : start;
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (accumulate) {
        dnnl::post_ops sum;
        sum.append_sum();
        attributes.set_post_ops(sum);
    }
    dnnl::convolution_forward::primitive_desc ahead(
        {prop_kind::forward_training, method.kind, hinted.x, hinted.w, hinted.y, strides, dilation, start, end},
        attributes, engine());
    if (direction == forward)
        return {dnnl::convolution_forward(ahead),
                {images, weights, outputs},
                {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                {ahead.src_desc(), ahead.weights_desc(), ahead.dst_desc()},
                ahead.scratchpad_desc(),
                ahead.impl_info_str()};
    if (direction == backward_data) {
        dnnl::convolution_backward_data::primitive_desc made(
            {method.kind, computed.x, computed.w, computed.y, strides, dilation, start, end}, attributes, engine(),
            ahead);
        return {dnnl::convolution_backward_data(made),
                {weights, outputs, images},
                {DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC},
                {made.weights_desc(), made.diff_dst_desc(), made.diff_src_desc()},
                made.scratchpad_desc(),
                made.impl_info_str()};
    }
    dnnl::convolution_backward_weights::primitive_desc made(
        {method.kind, computed.x, computed.w, computed.y, strides, dilation, start, end}, attributes, engine(), ahead);
    return {dnnl::convolution_backward_weights(made),
            {images, outputs, weights},
            {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS},
            {made.src_desc(), made.diff_dst_desc(), made.diff_weights_desc()},
            made.scratchpad_desc(),
            made.impl_info_str()};
}

// A convolution with everything that can be prepared before the arrays exist: at most two conversions before it and one
// after it. Converted arrays and oneDNN's scratch memory share a single block of temporary memory.
class CachedConvolution {
   public:
    CachedConvolution(const Geometry& geometry, const Method& method) : counter(method.counter) {
        for (int phase = 0; phase < (method.phases ? 4 : 1); phase++) {
            const Geometry g = method.phases ? in_phase(geometry, phase) : geometry;
            primitives.push_back(make_primitive(g, method, phase > 0 && geometry.direction == forward));
            const Primitive& latest = primitives.back();
            // oneDNN is only faster in bfloat16 where it uses AMX. All phases must have the layouts of the first phase.
            if ((method.bfloat16 && latest.implementation.find("amx") == std::string::npos) ||
                latest.layouts != primitives[0].layouts)
                throw dnnl::error(dnnl_unimplemented, "unsuitable");
        }
        const Arrays user(geometry);
        for (int index = 0; index < 3; index++) add(index, user, geometry, method);
        size_t scratchpad_size = 0;
        for (const Primitive& each : primitives)
            scratchpad_size = std::max(scratchpad_size, each.scratchpad.get_size());
        scratchpad_offset = place(scratchpad_size);
    }

    void run(const float* first, const float* second, float* result) const {
        dnnl::stream stream(engine());
        const Temporary lent(size);
        char* temporary = lent.start;
        char* given[] = {(char*)first, (char*)second, (char*)result};
        char* computed[3];
        for (int index = 0; index < 3; index++) {
            const Array& array = arrays[index];
            computed[index] = array.conversion ? temporary + array.offset : given[index];
            if (array.conversion && index < 2) array.conversion(given[index], computed[index]);
        }
        for (size_t phase = 0; phase < primitives.size(); phase++) {
            const Primitive& each = primitives[phase];
            std::unordered_map<int, memory> arguments;
            for (int index = 0; index < 3; index++)
                arguments.emplace(each.arguments[index], memory(each.layouts[index], engine(),
                                                                computed[index] + phase * arrays[index].phase_size));
            arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(each.scratchpad, engine(), temporary + scratchpad_offset));
            each.primitive.execute(stream, arguments);
        }
        stream.wait();
        if (arrays[2].conversion) arrays[2].conversion(computed[2], result);
        counts.*counter += 1;
    }

   private:
    // One of the three arrays, which is converted to another layout if `conversion` is not empty. `phase_size` is the
    // number of bytes of a phase, or 0 if all phases share the array.
    struct Array {
        Conversion conversion;
        size_t offset, phase_size;
    };

    static size_t aligned(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

    size_t place(size_t bytes) {
        size_t at = size;
        size += aligned(bytes);
        return at;
    }

    void add(int index, const Arrays& user, const Geometry& geometry, const Method& method) {
        const Role role = primitives[0].roles[index];
        const memory::desc& layout = primitives[0].layouts[index];
        const memory::desc& plain = role == images ? user.x : role == weights ? user.w : user.y;
        const bool in_phases = method.phases && role != outputs;
        Array& array = arrays[index];
        array.phase_size = in_phases ? aligned(layout.get_size()) : 0;
        if (method.bfloat16) array.conversion = find_conversion(geometry, role, layout, array.phase_size);
        if (in_phases && !array.conversion) throw dnnl::error(dnnl_unimplemented, "no conversion");
        if (!array.conversion && plain != layout)
            array.conversion = index == 2 ? reorder(layout, plain) : reorder(plain, layout);
        if (array.conversion) array.offset = place(layout.get_size() + 3 * array.phase_size);
    }

    static Conversion reorder(const memory::desc& source, const memory::desc& target) {
        const dnnl::reorder primitive(dnnl::reorder::primitive_desc(engine(), source, engine(), target));
        return [=](const void* from, void* to) {
            dnnl::stream stream(engine());
            primitive.execute(stream, {{DNNL_ARG_FROM, memory(source, engine(), const_cast<void*>(from))},
                                       {DNNL_ARG_TO, memory(target, engine(), to)}});
            stream.wait();
        };
    }

    int64_t Counts::*counter;
    std::vector<Primitive> primitives;  // one per phase
    Array arrays[3] = {};               // two inputs and the result
    size_t scratchpad_offset = 0, size = 0;
};

// A fixed rule decides, not timing, so that results are reproducible.
static bool suits_winograd(const Geometry& g) {
    return g.is_3x3() && std::min(g.in_channels, g.out_channels) >= winograd_minimum.channels &&
           std::min(g.in_height, g.in_width) >= winograd_minimum.pixels;
}

// oneDNN has Winograd's algorithm only for processors with AVX-512. There, ours is faster for few tiles and as fast for
// many, but slower for gradients of weights.
static bool prefers_tiles(const Geometry& g) {
    static const bool onednn_has_winograd =
        (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
    const bool few_tiles = g.batch * g.in_height * g.in_width <= 16 * FEW_TILES;
    return suits_winograd(g) && suits_winograd_tiles(g) &&
           (!onednn_has_winograd || (few_tiles && g.direction != backward_weights));
}

static bool is_product(const Geometry& g) {
    return g.kernel_height == 1 && g.kernel_width == 1 && g.stride_height == 1 && g.stride_width == 1 &&
           g.groups == 1;
}

// oneDNN 2.2's AMX kernels compute wrong gradients of weights that are dilated or larger than the images, and layers
// such as toRGB gain nothing.
static bool suits_amx(const Geometry& g) {
    const int few = std::min(g.in_channels, g.out_channels), many = std::max(g.in_channels, g.out_channels);
    return g.bfloat16 && has_conversions && g.groups == 1 && g.dilation_height == 1 && g.dilation_width == 1 &&
           g.in_height >= g.kernel_height && g.in_width >= g.kernel_width && many >= 16 &&
           (few >= 16 || g.kernel_height > 1);
}

static std::shared_ptr<CachedConvolution> prepare(const Geometry& geometry) {
    const bool amx = suits_amx(geometry);
    const Method methods[] = {
        {amx && has_phases(geometry), algorithm::convolution_direct, &Counts::bfloat16, false, true, true},
        {amx, algorithm::convolution_direct, &Counts::bfloat16, false, true},
        {suits_winograd(geometry), algorithm::convolution_winograd, &Counts::winograd},
        {is_product(geometry), algorithm::convolution_direct, &Counts::plain, true},
        {true, algorithm::convolution_direct, &Counts::direct},
        {true, algorithm::convolution_auto, &Counts::direct},
        {true, algorithm::convolution_direct, &Counts::plain, true},
    };
    std::string reason;
    for (const Method& method : methods) {
        // 3x3 weights that are widened to 4x4 can only be used in phases.
        if (!method.suits || (geometry.widened && !method.phases)) continue;
        try {
            return std::make_shared<CachedConvolution>(geometry, method);
        } catch (const dnnl::error& error) {
            reason = error.what();
        }
    }
    throw std::runtime_error("ganzoo: oneDNN can't compute a convolution: " + reason);
}

void convolve(const Geometry& geometry, const float* first, const float* second, float* result) {
    // These need no primitives, so there is nothing to cache.
    struct {
        bool suits;
        void (*compute)(const Geometry&, const float*, const float*, float*);
        int64_t Counts::*counter;
    } const algorithms[] = {
        {suits_im2col(geometry), convolve_im2col, &Counts::im2col},
        {suits_few_channels(geometry), convolve_few_channels, &Counts::few_channels},
        {suits_doubling(geometry), convolve_doubled, &Counts::doubled},
        {prefers_tiles(geometry), convolve_winograd, &Counts::winograd},
    };
    for (const auto& each : algorithms) {
        if (!each.suits || suits_amx(geometry)) continue;
        each.compute(geometry, first, second, result);
        counts.*each.counter += 1;
        return;
    }
    static std::mutex lock;
    static std::map<Geometry, std::shared_ptr<CachedConvolution>> known;
    std::shared_ptr<CachedConvolution> prepared;
    {
        std::lock_guard<std::mutex> guard(lock);
        auto found = known.find(geometry);
        if (found != known.end()) prepared = found->second;
    }
    if (!prepared) {
        prepared = prepare(geometry);
        std::lock_guard<std::mutex> guard(lock);
        if (known.size() >= MAX_PRIMITIVES) known.clear();
        known[geometry] = prepared;
    }
    prepared->run(first, second, result);
}

}  // namespace ganzoo
