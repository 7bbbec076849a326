#include "im2col.h"

#include <algorithm>
#include <vector>

#include "bfloat16.h"
#include "matmul.h"
#include "temporary.h"

namespace ganzoo {

// Most pixels of the outer images for which a product of matrices is faster. Other algorithms need fewer products, but
// convert the weights first, which takes longer.
static const int64_t MAX_PIXELS = 256, MAX_PIXELS_WIDENED = 128;
static const int64_t MIN_WEIGHTS = 1 << 17;

// A pixel of the inner images and one of the outer images that a tap of the kernels connects.
struct Connection {
    int inner, outer;
};

static bool y_is_outer(const Geometry& g) { return g.w_format[0] == 'o'; }

static int64_t outer_pixels(const Geometry& g) {
    return y_is_outer(g) ? g.out_height * g.out_width : g.in_height * g.in_width;
}

// The weights in memory are a matrix (outer channels, inner channels * taps). The outer images, a matrix (outer
// channels, pixels), are its product with the columns, a matrix (inner channels * taps, pixels): for each pixel of the
// outer images and each tap, the pixel of the inner images that the tap multiplies.
class Im2col {
   public:
    explicit Im2col(const Geometry& g)
        : g(g), taps(g.widened ? 9 : g.kernel_height * g.kernel_width), scale(g.widened == halving ? 0.25f : 1.0f),
          y_outer(y_is_outer(g)), inner_channels(y_outer ? g.in_channels : g.out_channels),
          outer_channels(y_outer ? g.out_channels : g.in_channels), images_outer(outer_pixels(g)),
          images_inner(y_outer ? g.in_height * g.in_width : g.out_height * g.out_width),
          pixels(g.batch * images_outer), connections(taps) {
        const int columns = g.widened ? 3 : g.kernel_width;
        for (int tap = 0; tap < taps; tap++) connect(tap, tap / columns, tap % columns);
    }

    void run(const float* first, const float* second, float* result) const {
        const int64_t size = inner_channels * taps;
        const Temporary memory((size + outer_channels) * pixels * sizeof(float));
        float *columns = (float*)memory.start, *outer = columns + size * pixels;
        const float* w = g.direction == forward ? second : first;
        if (g.direction == backward_weights) {
            spread(y_outer ? first : second, columns);
            read_outer(y_outer ? second : first, outer);
            multiply({outer_channels, size, pixels, false, true}, outer, columns, result);
        } else if ((g.direction == forward) == y_outer) {
            spread(g.direction == forward ? first : second, columns);
            multiply({outer_channels, pixels, size, false, false}, w, columns, outer);
            write_outer(outer, result);
        } else {
            read_outer(g.direction == forward ? first : second, outer);
            multiply({size, pixels, outer_channels, true, false}, w, outer, columns);
            gather(columns, result);
        }
    }

   private:
    // Weights that are widened are added to four pixels of x, and `doubling` rotates them: see Kernels in bfloat16.h.
    void connect(int tap, int tap_row, int tap_column) {
        const int copies = g.widened ? 2 : 1;
        const bool rotated = g.widened == doubling;
        for (int y = 0; y < g.out_height * g.out_width; y++)
            for (int copy = 0; copy < copies * copies; copy++) {
                const int down = tap_row * g.dilation_height + copy / copies;
                const int across = tap_column * g.dilation_width + copy % copies;
                const int row = y / g.out_width * g.stride_height - g.padding_height + (rotated ? 3 - down : down);
                const int column = y % g.out_width * g.stride_width - g.padding_width + (rotated ? 3 - across : across);
                if (row < 0 || row >= g.in_height || column < 0 || column >= g.in_width) continue;
                const int x = row * g.in_width + column;
                connections[tap].push_back(y_outer ? Connection{x, y} : Connection{y, x});
            }
    }

    // Copies the inner images to the columns.
    void spread(const float* images, float* columns) const {
        #pragma omp parallel for
        for (int64_t channel = 0; channel < inner_channels; channel++) {
            float* row = columns + channel * taps * pixels;
            std::fill_n(row, taps * pixels, 0.0f);
            for (int64_t tap = 0; tap < taps; tap++)
                for (int64_t image = 0; image < g.batch; image++, row += images_outer) {
                    const float* from = images + (image * inner_channels + channel) * images_inner;
                    for (const Connection& each : connections[tap]) row[each.outer] += scale * from[each.inner];
                }
        }
    }

    // The adjoint of `spread`.
    void gather(const float* columns, float* images) const {
        #pragma omp parallel for
        for (int64_t channel = 0; channel < inner_channels; channel++) {
            const float* row = columns + channel * taps * pixels;
            for (int64_t image = 0; image < g.batch; image++)
                std::fill_n(images + (image * inner_channels + channel) * images_inner, images_inner, 0.0f);
            for (int64_t tap = 0; tap < taps; tap++)
                for (int64_t image = 0; image < g.batch; image++, row += images_outer) {
                    float* to = images + (image * inner_channels + channel) * images_inner;
                    for (const Connection& each : connections[tap]) to[each.inner] += scale * row[each.outer];
                }
        }
    }

    void read_outer(const float* images, float* matrix) const {
        for (int64_t image = 0; image < g.batch; image++)
            for (int64_t channel = 0; channel < outer_channels; channel++, images += images_outer)
                std::copy_n(images, images_outer, matrix + channel * pixels + image * images_outer);
    }

    void write_outer(const float* matrix, float* images) const {
        for (int64_t image = 0; image < g.batch; image++)
            for (int64_t channel = 0; channel < outer_channels; channel++, images += images_outer)
                std::copy_n(matrix + channel * pixels + image * images_outer, images_outer, images);
    }

    const Geometry& g;
    const int taps;
    const float scale;
    const bool y_outer;
    const int64_t inner_channels, outer_channels, images_outer, images_inner, pixels;
    std::vector<std::vector<Connection>> connections;  // by tap
};

bool suits_im2col(const Geometry& g) {
    const int64_t taps = g.widened ? 9 : g.kernel_height * g.kernel_width;
    return g.is_plain() && g.groups == 1 && taps > 1 && taps * g.in_channels * g.out_channels >= MIN_WEIGHTS &&
           g.batch * outer_pixels(g) <= (g.widened ? MAX_PIXELS_WIDENED : MAX_PIXELS);
}

void convolve_im2col(const Geometry& g, const float* first, const float* second, float* result) {
    Im2col(g).run(first, second, result);
}

}  // namespace ganzoo
