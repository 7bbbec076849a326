#include "few_channels.h"

#include <algorithm>
#include <type_traits>

#include "lanes.h"

namespace ganzoo {

static const int64_t MAX_FEW = 4;    // of these channels, sums fit into the registers
static const int64_t MIN_MANY = 16;  // oneDNN does not pad so many channels
static const int64_t ROWS = 16;      // of an image, computed at once, so that they stay in the caches
static const int64_t TAPS = 9;
static const int64_t MIN_PARALLEL_PRODUCTS = 4000000;  // fewest products for which waking threads is worthwhile
#ifdef __AVX512F__
static const int64_t WIDTH = 16;  // numbers in a register
#else
static const int64_t WIDTH = 8;
#endif
typedef LanesOf<WIDTH>::type Lanes;

// oneDNN pads images of few channels, such as RGB, to 8 or 16, and rearranges the others. Here, the arrays stay as they
// are. Sums for neighbouring pixels are kept in `chunk` registers per channel while products are added to them.
//
// One of x and y has few channels, the other has many. In all three directions, the weight of channels f and m and of a
// tap belongs to the pairs of a pixel p of f and the pixel p + tap of m. If x has few channels, taps point the other
// way, so the kernels are rotated.
class FewChannels {
   public:
    explicit FewChannels(const Geometry& g)
        : y_is_few(g.out_channels <= MAX_FEW), few(y_is_few ? g.out_channels : g.in_channels),
          many(y_is_few ? g.in_channels : g.out_channels), images(g.batch), height(g.in_height), width(g.in_width),
          few_stride(y_is_few == (g.w_format[0] == 'o') ? many * TAPS : TAPS),
          many_stride(y_is_few == (g.w_format[0] == 'o') ? TAPS : few * TAPS) {}

    void run(Direction direction, const float* first, const float* second, float* result) const {
        if (direction == backward_weights)
            to_weights(y_is_few ? second : first, y_is_few ? first : second, result);
        else if (direction == forward)
            y_is_few ? to_few(first, second, result) : to_many(first, second, result);
        else
            y_is_few ? to_many(second, first, result) : to_few(second, first, result);
    }

   private:
    // Computes the images of few channels from those of many.
    void to_few(const float* from, const float* w, float* to) const {
        with_sizes([=](auto few_channels, auto chunk) {
            for_blocks([=](int64_t image, int64_t first, int64_t rows) {
                constexpr int64_t F = decltype(few_channels)::value, C = decltype(chunk)::value;
                float* padded = numbers((rows + 2) * (width + 2));
                float* result = to + (image * few * height + first) * width;
                for (int64_t m = 0; m < many; m++) {
                    pad(from + (image * many + m) * height * width, first, rows, padded);
                    add_to_few<F, C>(padded, w + m * many_stride, rows, m > 0, result);
                }
            });
        });
    }

    // Computes the images of many channels from those of few.
    void to_many(const float* from, const float* w, float* to) const {
        with_sizes([=](auto few_channels, auto chunk) {
            for_blocks([=](int64_t image, int64_t first, int64_t rows) {
                constexpr int64_t F = decltype(few_channels)::value, C = decltype(chunk)::value;
                const int64_t size = (rows + 2) * (width + 2);
                float* padded = numbers(F * size);
                for (int64_t f = 0; f < F; f++)
                    pad(from + (image * F + f) * height * width, first, rows, padded + f * size);
                for (int64_t m = 0; m < many; m++)
                    sum_few<F, C>(padded, w + m * many_stride, rows,
                                  to + ((image * many + m) * height + first) * width);
            });
        });
    }

    // Computes the gradients of the weights.
    void to_weights(const float* from_few, const float* from_many, float* w) const {
        with_few([=](auto few_channels) {
            constexpr int64_t F = decltype(few_channels)::value;
            #pragma omp parallel for if(is_large())
            for (int64_t m = 0; m < many; m++) {
                float* padded = numbers((ROWS + 2) * (width + 2));
                float sums[F * TAPS] = {};
                for (int64_t image = 0; image < images; image++)
                    for (int64_t first = 0; first < height; first += ROWS) {
                        const int64_t rows = std::min(ROWS, height - first);
                        pad(from_many + (image * many + m) * height * width, first, rows, padded);
                        add_products<F>(from_few + (image * F * height + first) * width, padded, rows, sums);
                    }
                for (int64_t f = 0; f < F; f++)
                    for (int64_t tap = 0; tap < TAPS; tap++)
                        w[f * few_stride + m * many_stride + place(tap, !y_is_few)] = sums[f * TAPS + tap];
            }
        });
    }

    bool is_large() const { return TAPS * few * many * images * height * width >= MIN_PARALLEL_PRODUCTS; }
    static int64_t place(int64_t tap, bool rotated) { return rotated ? TAPS - 1 - tap : tap; }

    // Calls work(F) with the number of few channels as an integral constant.
    template <class Work>
    void with_few(Work work) const {
        switch (few) {
            case 1: return work(std::integral_constant<int64_t, 1>());
            case 2: return work(std::integral_constant<int64_t, 2>());
            case 3: return work(std::integral_constant<int64_t, 3>());
            default: return work(std::integral_constant<int64_t, MAX_FEW>());
        }
    }

    // Calls work(F, C) with integral constants: F as above, and how many registers of pixels side by side are computed
    // at once.
    template <class Work>
    void with_sizes(Work work) const {
        with_few([=](auto few_channels) {
            if (width % (4 * WIDTH) == 0) return work(few_channels, std::integral_constant<int64_t, 4>());
            if (width % (2 * WIDTH) == 0) return work(few_channels, std::integral_constant<int64_t, 2>());
            work(few_channels, std::integral_constant<int64_t, 1>());
        });
    }

    // Calls work(image, first row, number of rows) for blocks of rows on all threads.
    template <class Work>
    void for_blocks(Work work) const {
        #pragma omp parallel for collapse(2) if(is_large())
        for (int64_t image = 0; image < images; image++)
            for (int64_t first = 0; first < height; first += ROWS)
                work(image, first, std::min(ROWS, height - first));
    }

    // Copies rows with the rows before and after them. Pixels outside of the image are zeros.
    void pad(const float* channel, int64_t first, int64_t rows, float* to) const {
        for (int64_t row = first - 1; row <= first + rows; row++, to += width + 2) {
            if (row < 0 || row >= height) {
                std::fill_n(to, width + 2, 0.0f);
                continue;
            }
            to[0] = to[width + 1] = 0;
            std::copy_n(channel + row * width, width, to + 1);
        }
    }

    // Adds the products of one of the many channels to rows of the F channels, or begins their sums.
    template <int64_t F, int64_t C>
    void add_to_few(const float* padded, const float* w, int64_t rows, bool begun, float* to) const {
        float taps[TAPS][F];
        for (int64_t f = 0; f < F; f++)
            for (int64_t tap = 0; tap < TAPS; tap++) taps[place(tap, !y_is_few)][f] = w[f * few_stride + tap];
        for (int64_t row = 0; row < rows; row++)
            for (int64_t column = 0; column < width; column += C * WIDTH) {
                float* result = to + row * width + column;
                Lanes sums[F][C] = {};
                if (begun)
                    for (int64_t f = 0; f < F; f++)
                        for (int64_t c = 0; c < C; c++)
                            sums[f][c] = load<Lanes>(result + f * height * width + c * WIDTH);
                for (int64_t tap = 0; tap < TAPS; tap++) {
                    const float* pixels = padded + (row + tap / 3) * (width + 2) + column + tap % 3;
                    for (int64_t c = 0; c < C; c++) {
                        const Lanes lanes = load<Lanes>(pixels + c * WIDTH);
                        for (int64_t f = 0; f < F; f++) sums[f][c] += taps[tap][f] * lanes;
                    }
                }
                for (int64_t f = 0; f < F; f++)
                    for (int64_t c = 0; c < C; c++) store(sums[f][c], result + f * height * width + c * WIDTH);
            }
    }

    // Computes rows of one of the many channels from the F channels.
    template <int64_t F, int64_t C>
    void sum_few(const float* padded, const float* w, int64_t rows, float* to) const {
        float taps[F][TAPS];
        for (int64_t f = 0; f < F; f++)
            for (int64_t tap = 0; tap < TAPS; tap++) taps[f][place(tap, y_is_few)] = w[f * few_stride + tap];
        for (int64_t row = 0; row < rows; row++)
            for (int64_t column = 0; column < width; column += C * WIDTH) {
                Lanes sums[C] = {};
                for (int64_t f = 0; f < F; f++)
                    for (int64_t tap = 0; tap < TAPS; tap++) {
                        const float* pixels =
                            padded + (f * (rows + 2) + row + tap / 3) * (width + 2) + column + tap % 3;
                        for (int64_t c = 0; c < C; c++) sums[c] += taps[f][tap] * load<Lanes>(pixels + c * WIDTH);
                    }
                for (int64_t c = 0; c < C; c++) store(sums[c], to + row * width + column + c * WIDTH);
            }
    }

    // Adds the products of rows of the F channels and of one of the many channels to `sums`, by channel and tap.
    template <int64_t F>
    void add_products(const float* few_rows, const float* padded, int64_t rows, float* sums) const {
        for (int64_t line = 0; line < 3; line++) {
            Lanes totals[F][3] = {};
            for (int64_t row = 0; row < rows; row++)
                for (int64_t column = 0; column < width; column += WIDTH) {
                    const float* pixels = padded + (row + line) * (width + 2) + column;
                    const Lanes left = load<Lanes>(pixels), middle = load<Lanes>(pixels + 1);
                    const Lanes right = load<Lanes>(pixels + 2);
                    for (int64_t f = 0; f < F; f++) {
                        const Lanes lanes = load<Lanes>(few_rows + (f * height + row) * width + column);
                        totals[f][0] += lanes * left;
                        totals[f][1] += lanes * middle;
                        totals[f][2] += lanes * right;
                    }
                }
            for (int64_t f = 0; f < F; f++)
                for (int64_t tap = 0; tap < 3; tap++)
                    for (int64_t lane = 0; lane < WIDTH; lane++)
                        sums[f * TAPS + 3 * line + tap] += totals[f][tap][lane];
        }
    }

    const bool y_is_few;
    const int64_t few, many, images, height, width;
    const int64_t few_stride, many_stride;  // of the weights
};

bool suits_few_channels(const Geometry& g) {
    return g.is_padded_3x3() && g.is_plain() && g.in_width % WIDTH == 0 &&
           std::min(g.in_channels, g.out_channels) <= MAX_FEW && std::max(g.in_channels, g.out_channels) >= MIN_MANY;
}

void convolve_few_channels(const Geometry& g, const float* first, const float* second, float* result) {
    FewChannels(g).run((Direction)g.direction, first, second, result);
}

}  // namespace ganzoo
