// A cuDNN that finds an algorithm for every convolution, and computes nothing.
#include <cudnn.h>
#include <string.h>
#define IMPLEMENTED(type, name, arguments) __attribute__((visibility("default"))) type name arguments
#define CALL(name, arguments) IMPLEMENTED(cudnnStatus_t, name, arguments)

IMPLEMENTED(const char*, cudnnGetErrorString, (cudnnStatus_t status)) { return "stand-in"; }

// Of cuDNN's rules, this one matters to Jittor: 16-bit numbers must be summed in float32.
CALL(cudnnSetConvolutionNdDescriptor,
     (cudnnConvolutionDescriptor_t descriptor, int length, const int* padding, const int* stride, const int* dilation,
      cudnnConvolutionMode_t mode, cudnnDataType_t sums)) {
    return sums == CUDNN_DATA_FLOAT ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}

#define ALGORITHMS(kind, ...)                                                                                     \
    CALL(cudnnFindConvolution##kind##AlgorithmEx, (__VA_ARGS__, const int wanted, int* found,                      \
         cudnnConvolution##kind##AlgoPerf_t* results, void* space, size_t size)) {                                \
        memset(results, 0, sizeof *results);                                                                      \
        return *found = 1, CUDNN_STATUS_SUCCESS;                                                                  \
    }
typedef cudnnConvolutionFwdAlgoPerf_t cudnnConvolutionForwardAlgoPerf_t;
typedef cudnnConvolutionBwdDataAlgoPerf_t cudnnConvolutionBackwardDataAlgoPerf_t;
typedef cudnnConvolutionBwdFilterAlgoPerf_t cudnnConvolutionBackwardFilterAlgoPerf_t;
ALGORITHMS(Forward, cudnnHandle_t handle, const cudnnTensorDescriptor_t a, const void* x,
           const cudnnFilterDescriptor_t b, const void* w, const cudnnConvolutionDescriptor_t c,
           const cudnnTensorDescriptor_t d, void* y)
ALGORITHMS(BackwardData, cudnnHandle_t handle, const cudnnFilterDescriptor_t a, const void* w,
           const cudnnTensorDescriptor_t b, const void* y, const cudnnConvolutionDescriptor_t c,
           const cudnnTensorDescriptor_t d, void* x)
ALGORITHMS(BackwardFilter, cudnnHandle_t handle, const cudnnTensorDescriptor_t a, const void* x,
           const cudnnTensorDescriptor_t b, const void* y, const cudnnConvolutionDescriptor_t c,
           const cudnnFilterDescriptor_t d, void* w)

CALL(cudnnGetConvolutionForwardWorkspaceSize,
     (cudnnHandle_t handle, const cudnnTensorDescriptor_t a, const cudnnFilterDescriptor_t b,
      const cudnnConvolutionDescriptor_t c, const cudnnTensorDescriptor_t d, cudnnConvolutionFwdAlgo_t algorithm,
      size_t* size)) {
    return *size = 0, CUDNN_STATUS_SUCCESS;
}
CALL(cudnnGetConvolutionBackwardDataWorkspaceSize,
     (cudnnHandle_t handle, const cudnnFilterDescriptor_t a, const cudnnTensorDescriptor_t b,
      const cudnnConvolutionDescriptor_t c, const cudnnTensorDescriptor_t d,
      cudnnConvolutionBwdDataAlgo_t algorithm, size_t* size)) {
    return *size = 0, CUDNN_STATUS_SUCCESS;
}
CALL(cudnnGetConvolutionBackwardFilterWorkspaceSize,
     (cudnnHandle_t handle, const cudnnTensorDescriptor_t a, const cudnnTensorDescriptor_t b,
      const cudnnConvolutionDescriptor_t c, const cudnnFilterDescriptor_t d,
      cudnnConvolutionBwdFilterAlgo_t algorithm, size_t* size)) {
    return *size = 0, CUDNN_STATUS_SUCCESS;
}
