// Tests our cudnn.h with a fake cuDNN of a few functions. The fake finds two algorithms for each convolution: the first
// with the default math type, the second with tensor cores. Its first search for a convolution times both too slow, as
// a search that has to load kernels does.
#include <cstddef>
#include <cstdio>
#include <initializer_list>

enum cudnnStatus_t { CUDNN_STATUS_SUCCESS = 0, CUDNN_STATUS_NOT_SUPPORTED = 3000 };
enum cudnnDataType_t { CUDNN_DATA_FLOAT = 0, CUDNN_DATA_HALF = 2, CUDNN_DATA_BFLOAT16 = 9 };
enum cudnnConvolutionMode_t { CUDNN_CONVOLUTION, CUDNN_CROSS_CORRELATION };
enum cudnnMathType_t { CUDNN_DEFAULT_MATH, CUDNN_TENSOR_OP_MATH, CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION };
struct Handle;
struct Convolution {
    cudnnMathType_t math;
    cudnnDataType_t sum_type;
};
struct Found {
    cudnnStatus_t status;
    cudnnMathType_t mathType;
    float time;
};
typedef Handle* cudnnHandle_t;
typedef Convolution* cudnnConvolutionDescriptor_t;

static cudnnStatus_t cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t it, int, const int*, const int*,
                                                     const int*, cudnnConvolutionMode_t, cudnnDataType_t sum_type) {
    it->math = CUDNN_DEFAULT_MATH, it->sum_type = sum_type;
    return CUDNN_STATUS_SUCCESS;
}
static cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t it, cudnnMathType_t math) {
    it->math = math;
    return CUDNN_STATUS_SUCCESS;
}
static cudnnStatus_t cudnnGetConvolutionMathType(cudnnConvolutionDescriptor_t it, cudnnMathType_t* math) {
    *math = it->math;
    return CUDNN_STATUS_SUCCESS;
}
#define FAKE_SEARCH(name)                                                                                              \
    static cudnnStatus_t name(cudnnHandle_t, int, const void*, int, const void*, cudnnConvolutionDescriptor_t,   \
                              int, void*, int, int* count, Found* found, void*, size_t) {                        \
        static int searches = 0;                                                                                 \
        float time = searches++ % 2 ? 1 : 100;                                                                   \
        *count = 2;                                                                                              \
        for (int i = 0; i < 2; i++) found[i] = {CUDNN_STATUS_SUCCESS, cudnnMathType_t(i), time};                 \
        return CUDNN_STATUS_SUCCESS;                                                                             \
    }
FAKE_SEARCH(cudnnFindConvolutionForwardAlgorithmEx)
FAKE_SEARCH(cudnnFindConvolutionBackwardDataAlgorithmEx)
FAKE_SEARCH(cudnnFindConvolutionBackwardFilterAlgorithmEx)

#include "cudnn.h"

// The math type of the algorithm that Jittor would use, the first that was not rejected; 100 more if it was timed while
// its kernels were loaded.
#define TAKEN(name)                                                                             \
    [&] {                                                                                       \
        Found found[2];                                                                         \
        int count, none = 0;                                                                    \
        name(nullptr, 0, &none, 0, &none, &convolution, 0, &none, 2, &count, found, nullptr, 0);       \
        Found taken = found[found[0].status == CUDNN_STATUS_SUCCESS ? 0 : 1];                   \
        return int(taken.mathType) + (taken.time > 1 ? 100 : 0);                                \
    }()

int main() {
    for (auto type : {CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16}) {
        Convolution convolution;
        cudnnSetConvolutionNdDescriptor(&convolution, 2, nullptr, nullptr, nullptr, CUDNN_CROSS_CORRELATION, type);
        printf("%d %d %d %d %d\n", convolution.sum_type, convolution.math, TAKEN(cudnnFindConvolutionForwardAlgorithmEx),
               TAKEN(cudnnFindConvolutionBackwardDataAlgorithmEx), TAKEN(cudnnFindConvolutionBackwardFilterAlgorithmEx));
        cudnnSetConvolutionMathType(&convolution, CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION);
        printf("%d\n", convolution.math);
    }
}
