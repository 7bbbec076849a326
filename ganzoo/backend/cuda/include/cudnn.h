// What follows cuDNN 9's own cudnn.h, for sources that were written for cuDNN 8.
#pragma once
#ifdef __cplusplus

// Convolutions of 16-bit numbers are summed up in float32: Jittor asks for sums of 16 bits, which lose the small
// numbers of float16 and which cuDNN does not have for bfloat16.
static inline cudnnStatus_t ganzoo_set_convolution(cudnnConvolutionDescriptor_t descriptor, int length,
                                                   const int* padding, const int* stride, const int* dilation,
                                                   cudnnConvolutionMode_t mode, cudnnDataType_t sums) {
    if (sums == CUDNN_DATA_HALF || sums == CUDNN_DATA_BFLOAT16) sums = CUDNN_DATA_FLOAT;
    return cudnnSetConvolutionNdDescriptor(descriptor, length, padding, stride, dilation, mode, sums);
}
#define cudnnSetConvolutionNdDescriptor ganzoo_set_convolution

// cuDNN 9 took these away, and no GAN here is recurrent: a recurrent network says that it is not supported.
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
