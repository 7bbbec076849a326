#include "convolution.h"

#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <dnnl.hpp>

#include "executor.h"
#include "mem/allocator.h"

namespace ganzoo {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;

Counts counts;
Rule rule = {64, 8};

static const size_t MOST_PRIMITIVES = 512;
static const size_t ALIGNMENT = 64;  // bytes

bool Geometry::operator<(const Geometry& other) const { return std::memcmp(this, &other, sizeof(Geometry)) < 0; }

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

    // The same arrays in the layouts that oneDNN prefers.
    Arrays free() const {
        Arrays any = *this;
        for (memory::desc* each : {&any.x, &any.w, &any.y})
            *each = memory::desc(each->dims(), each->data_type(), memory::format_tag::any);
        return any;
    }
};

// A convolution with everything that can be prepared before the arrays exist: at most two reorders before it and one
// after it. Reordered arrays and oneDNN's scratch memory share a single block of temporary memory.
class CachedPrimitive {
   public:
    CachedPrimitive(const Geometry& geometry, algorithm kind, int64_t Counts::*counter, bool plain)
        : counter(counter) {
        Arrays user(geometry), computed = plain ? user : user.free();
        auto strides = numbers({geometry.stride_height, geometry.stride_width});
        auto dilation = numbers({geometry.dilation_height - 1, geometry.dilation_width - 1});
        auto padding = numbers({geometry.padding_height, geometry.padding_width});
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);

        dnnl::convolution_forward::desc forward(prop_kind::forward_training, kind, computed.x, computed.w, computed.y,
                                                strides, dilation, padding, padding);
        dnnl::convolution_forward::primitive_desc hint(forward, attributes, engine());
        if (geometry.wanted == outputs) {
            take(user.x, hint.src_desc(), DNNL_ARG_SRC, user.w, hint.weights_desc(), DNNL_ARG_WEIGHTS, user.y,
                 hint.dst_desc(), DNNL_ARG_DST, hint.scratchpad_desc());
            primitive = dnnl::convolution_forward(hint);
        } else if (geometry.wanted == images) {
            dnnl::convolution_backward_data::desc backward(kind, computed.x, computed.w, computed.y, strides, dilation,
                                                           padding, padding);
            dnnl::convolution_backward_data::primitive_desc made(backward, attributes, engine(), hint);
            take(user.w, made.weights_desc(), DNNL_ARG_WEIGHTS, user.y, made.diff_dst_desc(), DNNL_ARG_DIFF_DST,
                 user.x, made.diff_src_desc(), DNNL_ARG_DIFF_SRC, made.scratchpad_desc());
            primitive = dnnl::convolution_backward_data(made);
        } else {
            dnnl::convolution_backward_weights::desc backward(kind, computed.x, computed.w, computed.y, strides,
                                                              dilation, padding, padding);
            dnnl::convolution_backward_weights::primitive_desc made(backward, attributes, engine(), hint);
            take(user.x, made.src_desc(), DNNL_ARG_SRC, user.y, made.diff_dst_desc(), DNNL_ARG_DIFF_DST, user.w,
                 made.diff_weights_desc(), DNNL_ARG_DIFF_WEIGHTS, made.scratchpad_desc());
            primitive = dnnl::convolution_backward_weights(made);
        }
    }

    void run(const float* first, const float* second, float* result) const {
        dnnl::stream stream(engine());
        size_t allocation;
        // oneDNN's store instructions fault unless addresses are multiples of 64; Jittor's may be multiples of 32.
        char* memory_given = (char*)jittor::exe.temp_allocator->alloc(size + ALIGNMENT, allocation);
        char* temporary = memory_given + (ALIGNMENT - (uintptr_t)memory_given % ALIGNMENT) % ALIGNMENT;
        void* given[] = {const_cast<float*>(first), const_cast<float*>(second), result};
        std::unordered_map<int, memory> arguments;
        for (int index = 0; index < 3; index++) {
            const Array& array = arrays[index];
            void* at = array.reorder ? temporary + array.offset : given[index];
            memory ready(array.computed, engine(), at);
            if (array.reorder && index < 2)
                array.reorder.execute(stream, {{DNNL_ARG_FROM, memory(array.user, engine(), given[index])},
                                               {DNNL_ARG_TO, ready}});
            arguments.emplace(array.argument, ready);
        }
        arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(scratchpad, engine(), temporary + scratchpad_offset));
        primitive.execute(stream, arguments);
        const Array& last = arrays[2];
        if (last.reorder)
            last.reorder.execute(stream, {{DNNL_ARG_FROM, arguments.at(last.argument)},
                                          {DNNL_ARG_TO, memory(last.user, engine(), result)}});
        stream.wait();
        jittor::exe.temp_allocator->free(memory_given, size + ALIGNMENT, allocation);
        counts.*counter += 1;
    }

   private:
    struct Array {
        int argument;
        memory::desc user, computed;
        dnnl::reorder reorder;  // empty if no other layout is needed
        size_t offset;
    };

    static const dnnl::engine& engine() {
        static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
        return cpu;
    }

    size_t place(size_t bytes) {
        size_t at = size;
        size += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        return at;
    }

    void add(int index, int argument, const memory::desc& user, const memory::desc& computed) {
        Array& array = arrays[index];
        array.argument = argument;
        array.user = user;
        array.computed = computed;
        if (user == computed) return;
        bool back = index == 2;
        array.offset = place(computed.get_size());
        dnnl::reorder::primitive_desc made(engine(), back ? computed : user, engine(), back ? user : computed);
        array.reorder = dnnl::reorder(made);
    }

    void take(const memory::desc& first, const memory::desc& first_computed, int first_argument,
              const memory::desc& second, const memory::desc& second_computed, int second_argument,
              const memory::desc& result, const memory::desc& result_computed, int result_argument,
              const memory::desc& scratch) {
        add(0, first_argument, first, first_computed);
        add(1, second_argument, second, second_computed);
        add(2, result_argument, result, result_computed);
        scratchpad = scratch;
        scratchpad_offset = place(scratch.get_size());
    }

    int64_t Counts::*counter;
    Array arrays[3];
    memory::desc scratchpad;
    size_t scratchpad_offset = 0, size = 0;
    dnnl::primitive primitive;
};

// A fixed rule instead of timing, so that results are reproducible.
static bool suits_winograd(const Geometry& g) {
    return g.kernel_height == 3 && g.kernel_width == 3 && g.stride_height == 1 && g.stride_width == 1 &&
           g.dilation_height == 1 && g.dilation_width == 1 && g.groups == 1 && g.in_channels >= rule.channels &&
           g.out_channels >= rule.channels && g.in_height >= rule.pixels && g.in_width >= rule.pixels;
}

static bool is_product(const Geometry& g) {
    return g.kernel_height == 1 && g.kernel_width == 1 && g.stride_height == 1 && g.stride_width == 1 &&
           g.groups == 1;
}

static std::shared_ptr<CachedPrimitive> prepare(const Geometry& geometry) {
    struct Choice {
        bool suits, plain;
        algorithm kind;
        int64_t Counts::*counter;
    };
    const Choice choices[] = {
        {suits_winograd(geometry), false, algorithm::convolution_winograd, &Counts::winograd},
        {is_product(geometry), true, algorithm::convolution_direct, &Counts::plain},
        {true, false, algorithm::convolution_direct, &Counts::direct},
        {true, false, algorithm::convolution_auto, &Counts::direct},
        {true, true, algorithm::convolution_direct, &Counts::plain},
    };
    std::string reason;
    for (const Choice& choice : choices) {
        if (!choice.suits) continue;
        try {
            return std::make_shared<CachedPrimitive>(geometry, choice.kind, choice.counter, choice.plain);
        } catch (const dnnl::error& error) {
            reason = error.what();
        }
    }
    throw std::runtime_error("ganzoo: oneDNN can't compute a convolution: " + reason);
}

void convolve(const Geometry& geometry, const float* first, const float* second, float* result) {
    static std::mutex lock;
    static std::map<Geometry, std::shared_ptr<CachedPrimitive>> known;
    std::shared_ptr<CachedPrimitive> prepared;
    {
        std::lock_guard<std::mutex> guard(lock);
        auto found = known.find(geometry);
        if (found != known.end()) prepared = found->second;
    }
    if (!prepared) {
        prepared = prepare(geometry);
        std::lock_guard<std::mutex> guard(lock);
        if (known.size() >= MOST_PRIMITIVES) known.clear();
        known[geometry] = prepared;
    }
    prepared->run(first, second, result);
}

}  // namespace ganzoo
