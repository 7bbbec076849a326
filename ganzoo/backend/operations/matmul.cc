#include "matmul.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>

#include <dnnl.hpp>
#include <omp.h>

#include "bfloat16.h"
#include "temporary.h"

namespace ganzoo {

static const int64_t STEP = 16;  // oneDNN's block size; each thread's part is a multiple of it
static const int64_t PARALLEL_THRESHOLD = 4000000;  // fewest multiplications for which waking threads is worthwhile
static const int64_t MIN_SIDE = 32;  // smallest side of the factors for which converting them to bfloat16 saves time
static const size_t ALIGNMENT = 64;  // bytes

// Divides the longer side of the result among threads. oneDNN's own multithreading is slower, so oneDNN computes each
// part on one thread.
void multiply(const Product& p, const float* left, const float* right, float* result) {
    const int64_t left_width = p.transpose_left ? p.rows : p.inner;
    const int64_t right_width = p.transpose_right ? p.inner : p.columns;
    const bool by_rows = p.rows > p.columns;
    const int64_t side = by_rows ? p.rows : p.columns, threads = omp_get_max_threads();
    const int64_t most = p.rows * p.columns * p.inner >= PARALLEL_THRESHOLD ? threads : 1;
    const int64_t part = ((side + most - 1) / most + STEP - 1) / STEP * STEP, parts = (side + part - 1) / part;
    dnnl_status_t status = dnnl_success;
    omp_set_num_threads(parts);
    #pragma omp parallel for
    for (int64_t index = 0; index < parts; index++) {
        const int64_t from = index * part, size = std::min(part, side - from);
        const float* ours = by_rows ? left + from * (p.transpose_left ? 1 : left_width) : left;
        const float* theirs = by_rows ? right : right + from * (p.transpose_right ? right_width : 1);
        auto found = dnnl_sgemm(p.transpose_left ? 'T' : 'N', p.transpose_right ? 'T' : 'N', by_rows ? size : p.rows,
                                by_rows ? p.columns : size, p.inner, 1.0f, ours, left_width, theirs, right_width, 0.0f,
                                result + from * (by_rows ? p.columns : 1), p.columns);
        if (found != dnnl_success) status = found;
    }
    omp_set_num_threads(threads);
    if (status != dnnl_success) throw std::runtime_error("ganzoo: oneDNN can't compute a matrix product");
}

bool suits_amx(const Product& p) { return has_conversions && std::min({p.rows, p.columns, p.inner}) >= MIN_SIDE; }

using dnnl::memory;

static const dnnl::engine& engine() {
    static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
    return cpu;
}

static dnnl::matmul::primitive_desc describe(const Product& p) {
    using tag = memory::format_tag;
    const memory::desc left({p.rows, p.inner}, memory::data_type::bf16, p.transpose_left ? tag::ba : tag::ab);
    const memory::desc right({p.inner, p.columns}, memory::data_type::bf16, p.transpose_right ? tag::ba : tag::ab);
    const memory::desc result({p.rows, p.columns}, memory::data_type::f32, tag::ab);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return dnnl::matmul::primitive_desc({left, right, result}, attributes, engine());
}

void multiply_bfloat16(const Product& p, const float* left, const float* right, float* result) {
    using Key = std::tuple<int64_t, int64_t, int64_t, bool, bool>;
    struct Cached {
        dnnl::matmul::primitive_desc description;
        dnnl::matmul primitive;
    };
    static std::mutex lock;
    static std::map<Key, Cached> known;
    Cached cached;
    {
        std::lock_guard<std::mutex> guard(lock);
        const Key key{p.rows, p.columns, p.inner, p.transpose_left, p.transpose_right};
        auto found = known.find(key);
        if (found == known.end()) {
            const auto description = describe(p);
            found = known.emplace(key, Cached{description, dnnl::matmul(description)}).first;
        }
        cached = found->second;
    }
    const auto align = [](size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; };
    const size_t left_size = align(p.rows * p.inner * 2), right_size = align(p.inner * p.columns * 2);
    const Temporary lent(left_size + right_size + cached.description.scratchpad_desc().get_size());
    char* temporary = lent.start;
    round(left, (uint16_t*)temporary, p.rows * p.inner);
    round(right, (uint16_t*)(temporary + left_size), p.inner * p.columns);
    dnnl::stream stream(engine());
    cached.primitive.execute(
        stream, {{DNNL_ARG_SRC, memory(cached.description.src_desc(), engine(), temporary)},
                 {DNNL_ARG_WEIGHTS, memory(cached.description.weights_desc(), engine(), temporary + left_size)},
                 {DNNL_ARG_DST, memory(cached.description.dst_desc(), engine(), result)},
                 {DNNL_ARG_SCRATCHPAD, memory(cached.description.scratchpad_desc(), engine(),
                                              temporary + left_size + right_size)}});
    stream.wait();
}

}  // namespace ganzoo
