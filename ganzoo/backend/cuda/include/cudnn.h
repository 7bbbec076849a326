// Additions to cuDNN 9's own cudnn.h, for sources that were written for cuDNN 8.
#pragma once
#ifdef __cplusplus

// Makes 16-bit convolutions accumulate in float32: Jittor requests accumulation in 16 bits, which loses small numbers
// in float16 and is not supported by cuDNN for bfloat16. Also makes them use tensor cores for the output and both
// gradients: Jittor requests tensor cores for the output only.
static inline cudnnStatus_t ganzoo_set_convolution(cudnnConvolutionDescriptor_t descriptor, int length,
                                                   const int* padding, const int* stride, const int* dilation,
                                                   cudnnConvolutionMode_t mode, cudnnDataType_t sums) {
    const bool halves = sums == CUDNN_DATA_HALF || sums == CUDNN_DATA_BFLOAT16;
    if (halves) sums = CUDNN_DATA_FLOAT;
    cudnnStatus_t status = cudnnSetConvolutionNdDescriptor(descriptor, length, padding, stride, dilation, mode, sums);
    if (halves && status == CUDNN_STATUS_SUCCESS) status = cudnnSetConvolutionMathType(descriptor, CUDNN_TENSOR_OP_MATH);
    return status;
}

// "Allow conversion" would also round float32 to float16.
static inline cudnnStatus_t ganzoo_set_math(cudnnConvolutionDescriptor_t descriptor, cudnnMathType_t math) {
    if (math == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION) math = CUDNN_TENSOR_OP_MATH;
    return cudnnSetConvolutionMathType(descriptor, math);
}

// Jittor takes the first algorithm found and runs it with the descriptor's math type, even if the algorithm was timed
// with another math type and does not support this one. So if an algorithm with this math type was found, those with
// other math types are rejected.
template <class Found>
static inline void ganzoo_refuse_other_math(cudnnConvolutionDescriptor_t descriptor, int count, Found* found) {
    cudnnMathType_t math;
    if (cudnnGetConvolutionMathType(descriptor, &math) != CUDNN_STATUS_SUCCESS) return;
    bool any = false;
    for (int i = 0; i < count; i++) any |= found[i].status == CUDNN_STATUS_SUCCESS && found[i].mathType == math;
    for (int i = 0; any && i < count; i++)
        if (found[i].mathType != math) found[i].status = CUDNN_STATUS_NOT_SUPPORTED;
}

// cuDNN runs each algorithm once. The first time, that includes loading the algorithm's kernels, which can take longer
// than the convolution and decide the choice: in StyleGAN at 32 px, an H100 reached 43 to 66 TFLOP/s, and in convolutions
// alone 150 to 350. So the search is done twice, and the second one counts.
#define GANZOO_FIND(name)                                                                                           \
    template <class A, class B, class C, class Found>                                                               \
    static inline cudnnStatus_t ganzoo_##name(cudnnHandle_t handle, A a, const void* a_data, B b, const void* b_data, \
                                              cudnnConvolutionDescriptor_t convolution, C c, void* c_data, int most, \
                                              int* count, Found* found, void* workspace, size_t size) {             \
        cudnnStatus_t status = CUDNN_STATUS_SUCCESS;                                                                \
        for (int search = 0; search < 2 && status == CUDNN_STATUS_SUCCESS; search++)                                \
            status = name(handle, a, a_data, b, b_data, convolution, c, c_data, most, count, found, workspace, size); \
        if (status == CUDNN_STATUS_SUCCESS) ganzoo_refuse_other_math(convolution, *count, found);                   \
        return status;                                                                                              \
    }
GANZOO_FIND(cudnnFindConvolutionForwardAlgorithmEx)
GANZOO_FIND(cudnnFindConvolutionBackwardDataAlgorithmEx)
GANZOO_FIND(cudnnFindConvolutionBackwardFilterAlgorithmEx)
#undef GANZOO_FIND
#define cudnnSetConvolutionNdDescriptor ganzoo_set_convolution
#define cudnnSetConvolutionMathType ganzoo_set_math
#define cudnnFindConvolutionForwardAlgorithmEx ganzoo_cudnnFindConvolutionForwardAlgorithmEx
#define cudnnFindConvolutionBackwardDataAlgorithmEx ganzoo_cudnnFindConvolutionBackwardDataAlgorithmEx
#define cudnnFindConvolutionBackwardFilterAlgorithmEx ganzoo_cudnnFindConvolutionBackwardFilterAlgorithmEx

// cuDNN 9 removed these functions. No GAN here is recurrent: for a recurrent network they return NOT_SUPPORTED.
#define GANZOO_GONE(name)                              \
    template <typename... Arguments>                   \
    static inline cudnnStatus_t name(Arguments&&...) { \
        return CUDNN_STATUS_NOT_SUPPORTED;             \
    }
GANZOO_GONE(cudnnSetRNNDescriptor_v6)
GANZOO_GONE(cudnnGetRNNParamsSize)
GANZOO_GONE(cudnnGetRNNWorkspaceSize)
GANZOO_GONE(cudnnGetRNNTrainingReserveSize)
GANZOO_GONE(cudnnGetRNNLinLayerMatrixParams)
GANZOO_GONE(cudnnGetRNNLinLayerBiasParams)
GANZOO_GONE(cudnnRNNForwardTraining)
GANZOO_GONE(cudnnRNNForwardInference)
GANZOO_GONE(cudnnRNNBackwardData)
GANZOO_GONE(cudnnRNNBackwardWeights)
#undef GANZOO_GONE

#endif
