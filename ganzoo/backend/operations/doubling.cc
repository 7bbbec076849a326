#include "doubling.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include <dnnl.hpp>
#include <omp.h>

#include "bfloat16.h"
#include "doubling_sums.h"
#include "executor.h"
#include "mem/allocator.h"

namespace ganzoo {

static const int64_t TILES = 512;  // about as many are computed at once, so that they stay in the caches
static const int64_t ROWS = 32;    // of a task, at most, for the same reason
static const int64_t GRADIENT_ROWS = 128;  // of a task that computes gradients of weights
static const int64_t STEP = 8;             // rows of a task are a multiple of it
static const size_t ALIGNMENT = 64;        // bytes

bool suits_doubling(const Geometry& g) {
    const auto x_and_y = std::string(g.x_format.data(), 4) + std::string(g.y_format.data(), 4);
    return g.widened && g.out_height % 2 == 0 && g.out_width % 2 == 0 && x_and_y == "abcdabcd";
}

// Memory that Jittor lends.
class Temporary {
   public:
    explicit Temporary(int64_t numbers) : size(numbers * sizeof(float) + ALIGNMENT) {
        given = (char*)jittor::exe.temp_allocator->alloc(size, allocation);
        start = (float*)(given + (ALIGNMENT - (uintptr_t)given % ALIGNMENT) % ALIGNMENT);
    }
    ~Temporary() { jittor::exe.temp_allocator->free(given, size, allocation); }
    Temporary(const Temporary&) = delete;

    float* start;

   private:
    size_t size, allocation;
    char* given;
};

// Computes the convolution for some images of a batch at once. Each task computes some rows of all matrix products, and
// adds the products up while they are in the caches.
class Doubling {
   public:
    Doubling(const Geometry& g)
        : direction(g.direction), small(g.out_channels), large(g.in_channels), halving(g.widened == Kernels::halving),
          outer_is_large(g.w_format[0] == 'i'), threads(omp_get_max_threads()) {
        const int64_t height = g.out_height / 2, width = g.out_width / 2;
        tiles = {std::min<int64_t>(g.batch, std::max<int64_t>(1, TILES / (height * width))), height, width};
        // Products for the gradients of weights are faster if they have more rows than columns.
        to_large = direction == backward_data || (direction == backward_weights && large >= small);
        outputs = to_large ? large : small;
        inputs = to_large ? small : large;
        const int64_t share = (outputs + threads * STEP - 1) / (threads * STEP) * STEP;
        rows = std::min(direction == backward_weights ? GRADIENT_ROWS : ROWS, share);
        const int64_t count = tiles.count();
        pixels_size = direction == forward ? 0 : PIXELS * PIXELS * Matrices::size(small, count);
        products_size = direction == backward_data ? 0 : PRODUCTS * PRODUCTS * Matrices::size(large, count);
        weights_size = WEIGHTS * WEIGHTS * Matrices::size(rows, inputs);
        const int results = direction == forward ? PIXELS * PIXELS : PRODUCTS * PRODUCTS;
        results_size = direction == backward_weights ? 0 : results * Matrices::size(rows, count);
    }

    void run(const Geometry& g, const float* first, const float* second, float* result) {
        const Temporary memory(pixels_size + products_size + threads * (weights_size + results_size));
        const int64_t small_image = small * g.out_height * g.out_width, large_image = large * g.in_height * g.in_width;
        const int64_t step = tiles.images;
        for (int64_t image = 0; image < g.batch; image += step) {
            tiles.images = std::min(step, g.batch - image);
            pixels = {memory.start, small, tiles.count()};
            products = {memory.start + pixels_size, large, tiles.count()};
            scratch = memory.start + pixels_size + products_size;
            const float* x = first + image * large_image;
            const float* y = second + image * small_image;
            if (direction != forward) spread_small(y, pixels, tiles);
            if (direction != backward_data) spread_large(x, products, tiles);
            if (direction == forward)
                run_tasks(second, result + image * small_image, false);
            else if (direction == backward_data)
                run_tasks(first, result + image * large_image, false);
            else
                run_tasks(nullptr, result, image > 0);
        }
    }

   private:
    void run_tasks(const float* weights, float* result, bool accumulate) {
        dnnl_status_t status = dnnl_success;
        #pragma omp parallel for schedule(dynamic)
        for (int64_t from = 0; from < outputs; from += rows) {
            float* own = scratch + omp_get_thread_num() * (weights_size + results_size);
            const int64_t count = std::min(rows, outputs - from);
            dnnl_status_t found;
            if (direction == backward_weights)
                found = sum_weights(own, from, count, result, accumulate);
            else
                found = sum_images(own, from, count, weights, result);
            if (found != dnnl_success) status = found;
        }
        if (status != dnnl_success) throw std::runtime_error("ganzoo: oneDNN can't compute a matrix product");
    }

    // Computes `count` output channels of images, from channel `from` on.
    dnnl_status_t sum_images(float* own, int64_t from, int64_t count, const float* weights, float* result) const {
        const bool is_outer = to_large == outer_is_large;
        const Matrices w{own, is_outer ? count : inputs, is_outer ? inputs : count};
        const Matrices sums{own + weights_size, count, tiles.count()};
        const int64_t row_stride = KERNEL * (is_outer ? inputs : outputs);
        spread_weights(weights + from * (is_outer ? row_stride : KERNEL), w, row_stride, halving);
        bool begun[PIXELS * PIXELS] = {};
        for (int product = 0; product < PRODUCTS * PRODUCTS; product++) {
            const int pixel = pixel_of(product);
            const float* right = to_large ? pixels[pixel] : products[product];
            float* sum = sums[to_large ? product : pixel];
            const auto found = dnnl_sgemm(is_outer ? 'N' : 'T', 'N', count, sums.columns, inputs, 1.0f,
                                          w[weight_of(product)], w.columns, right, sums.columns,
                                          !to_large && begun[pixel], sum, sums.columns);
            if (found != dnnl_success) return found;
            begun[pixel] = true;
        }
        const int64_t area = 4 * tiles.height * tiles.width;
        if (to_large)
            gather_large(sums, result + from * 4 * area, large, tiles);
        else
            gather_small(sums, result + from * area, small, tiles);
        return dnnl_success;
    }

    // Computes the gradients of weights for `count` channels, from channel `from` on, of the images with more channels.
    dnnl_status_t sum_weights(float* own, int64_t from, int64_t count, float* result, bool accumulate) const {
        const Matrices sums{own, count, inputs};
        const int64_t columns = tiles.count();
        bool begun[WEIGHTS * WEIGHTS] = {};
        for (int product = 0; product < PRODUCTS * PRODUCTS; product++) {
            const int weight = weight_of(product);
            const float *left = products[product], *right = pixels[pixel_of(product)];
            if (!to_large) std::swap(left, right);
            const auto found = dnnl_sgemm('N', 'T', count, inputs, columns, 1.0f, left + from * columns, columns, right,
                                          columns, begun[weight], sums[weight], inputs);
            if (found != dnnl_success) return found;
            begun[weight] = true;
        }
        const bool is_outer = to_large == outer_is_large;
        const int64_t outer_stride = KERNEL * (is_outer ? inputs : outputs);
        const int64_t row_stride = is_outer ? outer_stride : KERNEL, column_stride = is_outer ? KERNEL : outer_stride;
        gather_weights(sums, result + from * row_stride, row_stride, column_stride, halving, accumulate);
        return dnnl_success;
    }

    static int pixel_of(int product) {
        return PIXELS * PIXELS_OF[product / PRODUCTS] + PIXELS_OF[product % PRODUCTS];
    }

    static int weight_of(int product) {
        return WEIGHTS * WEIGHTS_OF[product / PRODUCTS] + WEIGHTS_OF[product % PRODUCTS];
    }

    int direction;
    int64_t small, large;  // channels of the small and the large images
    bool halving;
    bool outer_is_large;  // the outer dimension of the weights in memory
    bool to_large;        // the channels that are divided into tasks, `outputs`; the others are `inputs`
    int64_t threads, outputs, inputs, rows;
    Tiles tiles;
    int64_t pixels_size, products_size, weights_size, results_size;  // in numbers
    Matrices pixels, products;
    float* scratch;
};

void convolve_doubled(const Geometry& geometry, const float* first, const float* second, float* result) {
    Doubling(geometry).run(geometry, first, second, result);
}

}  // namespace ganzoo
