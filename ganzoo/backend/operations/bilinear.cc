#include "bilinear.h"

#include <algorithm>
#include <stdexcept>

#include <dnnl.hpp>
#include <omp.h>

#include "temporary.h"

namespace ganzoo {

static const int64_t TILES = 512;  // about as many are computed at once, so that they stay in the caches
// The largest number of rows of a task, for the same reason. With AVX-512 it was measured before rows were padded.
#ifdef __AVX512F__
static const int64_t ROWS = 32;
#else
static const int64_t ROWS = 64;
#endif
static const int64_t GRADIENT_ROWS = 128;  // the same for gradients of weights
static const int64_t STEP = 8;             // rows of a task are a multiple of it

// Computes some images of a batch at once. Each task computes some rows of all matrix products, and adds the products
// up while they are in the caches. Rows are channels of y or x, and `inputs` is the number of the other channels.
class Computation {
   public:
    Computation(const Algorithm& algorithm, const Problem& problem)
        : algorithm(algorithm), problem(problem), to_weights(problem.result == Problem::w),
          threads(omp_get_max_threads()) {
        // Products for the gradients of weights are faster if they have more rows than columns.
        const bool more_y = problem.y_channels >= problem.x_channels;
        rows_are_y = problem.result == Problem::y || (to_weights && more_y);
        outputs = rows_are_y ? problem.y_channels : problem.x_channels;
        inputs = rows_are_y ? problem.x_channels : problem.y_channels;
        // The number of tasks is a multiple of the number of threads, unless rounding to STEP changes it.
        rows = divide(outputs, threads * divide(outputs, threads * (to_weights ? GRADIENT_ROWS : ROWS)));
        rows = divide(rows, STEP) * STEP;
        const int64_t most = std::max<int64_t>(1, TILES / (problem.tile_rows * problem.tile_columns));
        tiles = {std::min(problem.batch, most), problem.tile_rows, problem.tile_columns};
        const int64_t count = tiles.count();
        x_size = problem.result == Problem::x ? 0 : algorithm.x_sums * Matrices::size(problem.x_channels, count);
        y_size = problem.result == Problem::y ? 0 : algorithm.y_sums * Matrices::size(problem.y_channels, count);
        // The weights may be in memory the other way round.
        weights_size = algorithm.w_sums * std::max(Matrices::size(rows, inputs), Matrices::size(inputs, rows));
        const int result_sums = rows_are_y ? algorithm.y_sums : algorithm.x_sums;
        results_size = to_weights ? 0 : result_sums * Matrices::size(rows, count);
    }

    void run(const float* x, const float* y, const float* w, float* result) {
        const Temporary memory((x_size + y_size + threads * (weights_size + results_size)) * sizeof(float));
        float* start = (float*)memory.start;
        const int64_t x_image = problem.x_channels * problem.x_pixels, y_image = problem.y_channels * problem.y_pixels;
        const int64_t result_image = to_weights ? 0 : rows_are_y ? y_image : x_image, step = tiles.images;
        for (int64_t image = 0; image < problem.batch; image += step) {
            tiles.images = std::min(step, problem.batch - image);
            x_sums = {start, problem.x_channels, tiles.count()};
            y_sums = {start + x_size, problem.y_channels, tiles.count()};
            if (problem.result != Problem::x) algorithm.spread_x(x + image * x_image, x_sums, tiles);
            if (problem.result != Problem::y) algorithm.spread_y(y + image * y_image, y_sums, tiles);
            run_tasks(start + x_size + y_size, w, result + image * result_image, image > 0);
        }
    }

   private:
    // Rounds up.
    static int64_t divide(int64_t number, int64_t by) { return (number + by - 1) / by; }

    void run_tasks(float* scratch, const float* w, float* result, bool accumulate) const {
        dnnl_status_t status = dnnl_success;
        #pragma omp parallel for schedule(dynamic)
        for (int64_t from = 0; from < outputs; from += rows) {
            float* own = scratch + omp_get_thread_num() * (weights_size + results_size);
            const int64_t count = std::min(rows, outputs - from);
            const auto found = to_weights ? sum_weights(own, from, count, result, accumulate)
                                          : sum_images(own, from, count, w, result);
            if (found != dnnl_success) status = found;
        }
        if (status != dnnl_success) throw std::runtime_error("ganzoo: oneDNN can't compute a matrix product");
    }

    // Whether the outer dimension of the weights in memory stands for the channels of the rows.
    bool rows_are_outer() const { return rows_are_y == problem.y_is_outer; }

    // Computes `count` channels of images, from channel `from` on.
    dnnl_status_t sum_images(float* own, int64_t from, int64_t count, const float* w, float* result) const {
        const bool outer = rows_are_outer();
        const Matrices weights{own, outer ? count : inputs, outer ? inputs : count};
        const Matrices sums{own + weights_size, count, tiles.count()}, &others = rows_are_y ? x_sums : y_sums;
        const Kernels3x3 kernels{KERNEL * (outer ? inputs : outputs), KERNEL, problem.rotated, problem.scale};
        algorithm.spread_w(w + from * (outer ? kernels.row_stride : KERNEL), weights, kernels);
        const auto &sum_of = rows_are_y ? algorithm.y_of : algorithm.x_of;
        const auto &other_of = rows_are_y ? algorithm.x_of : algorithm.y_of;
        std::vector<bool> begun(rows_are_y ? algorithm.y_sums : algorithm.x_sums);
        for (size_t product = 0; product < sum_of.size(); product++) {
            const int sum = sum_of[product];
            const auto found = dnnl_sgemm(outer ? 'N' : 'T', 'N', count, sums.columns, inputs, 1.0f,
                                          weights[algorithm.w_of[product]], weights.stride(), others[other_of[product]],
                                          sums.stride(), begun[sum], sums[sum], sums.stride());
            if (found != dnnl_success) return found;
            begun[sum] = true;
        }
        if (rows_are_y)
            algorithm.gather_y(sums, result + from * problem.y_pixels, outputs, tiles);
        else
            algorithm.gather_x(sums, result + from * problem.x_pixels, outputs, tiles);
        return dnnl_success;
    }

    // Computes the gradients of the weights of `count` channels, from channel `from` on.
    dnnl_status_t sum_weights(float* own, int64_t from, int64_t count, float* result, bool accumulate) const {
        const Matrices sums{own, count, inputs};
        const int64_t columns = tiles.count(), stride = x_sums.stride();
        std::vector<bool> begun(algorithm.w_sums);
        for (size_t product = 0; product < algorithm.w_of.size(); product++) {
            const int sum = algorithm.w_of[product];
            const float *left = y_sums[algorithm.y_of[product]], *right = x_sums[algorithm.x_of[product]];
            if (!rows_are_y) std::swap(left, right);
            const auto found = dnnl_sgemm('N', 'T', count, inputs, columns, 1.0f, left + from * stride, stride, right,
                                          stride, begun[sum], sums[sum], sums.stride());
            if (found != dnnl_success) return found;
            begun[sum] = true;
        }
        const bool outer = rows_are_outer();
        const int64_t outer_stride = KERNEL * (outer ? inputs : outputs);
        const Kernels3x3 kernels{outer ? outer_stride : KERNEL, outer ? KERNEL : outer_stride, problem.rotated,
                                 problem.scale};
        algorithm.gather_w(sums, result + from * kernels.row_stride, kernels, accumulate);
        return dnnl_success;
    }

    const Algorithm& algorithm;
    const Problem& problem;
    bool to_weights, rows_are_y;
    int64_t threads, outputs, inputs, rows;
    Tiles tiles;
    int64_t x_size, y_size, weights_size, results_size;  // in numbers
    Matrices x_sums, y_sums;
};

void compute(const Algorithm& algorithm, const Problem& problem, const float* x, const float* y, const float* w,
             float* result) {
    Computation(algorithm, problem).run(x, y, w, result);
}

}  // namespace ganzoo
