// Additions to CUDA 13's own cuda_runtime.h, for sources that were written for CUDA 12.
#pragma once

// CUDA 13 removed two members from cudaDeviceProp.
struct ganzoo_device_prop : cudaDeviceProp {
    int computeMode, clockRate;
};

static inline cudaError_t ganzoo_get_device_properties(ganzoo_device_prop* properties, int device) {
    cudaError_t error = cudaGetDeviceProperties(properties, device);
    if (!error) error = cudaDeviceGetAttribute(&properties->computeMode, cudaDevAttrComputeMode, device);
    if (!error) error = cudaDeviceGetAttribute(&properties->clockRate, cudaDevAttrClockRate, device);
    return error;
}

// Without a driver, CUDA 13 leaves the count unset, but Jittor uses it as the number of devices.
static inline cudaError_t ganzoo_get_device_count(int* count) {
    *count = 0;
    return cudaGetDeviceCount(count);
}

#undef cudaDeviceProp
#undef cudaGetDeviceProperties
#undef cudaGetDeviceCount
#define cudaDeviceProp ganzoo_device_prop
#define cudaGetDeviceProperties ganzoo_get_device_properties
#define cudaGetDeviceCount ganzoo_get_device_count
