// Additions to CUDA 13's own cub/cub.cuh: names that were removed from CUB, defined by their replacements.
#pragma once
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>

#include <cuda/std/functional>

CUB_NAMESPACE_BEGIN

template <typename Value, typename Offset = ptrdiff_t>
using CountingInputIterator = thrust::counting_iterator<Value>;

template <typename Value, typename Function, typename Input, typename Offset = ptrdiff_t>
struct TransformInputIterator : thrust::transform_iterator<Function, Input, Value, Value> {
    using parent = thrust::transform_iterator<Function, Input, Value, Value>;
    __host__ __device__ TransformInputIterator(Input input, Function function) : parent(input, function) {}
};

struct Max {
    template <typename A, typename B>
    __host__ __device__ auto operator()(const A& a, const B& b) const {
        return b > a ? b : a;
    }
};

struct Min {
    template <typename A, typename B>
    __host__ __device__ auto operator()(const A& a, const B& b) const {
        return b < a ? b : a;
    }
};

struct Sum {
    template <typename A, typename B>
    __host__ __device__ auto operator()(const A& a, const B& b) const {
        return a + b;
    }
};

__device__ __forceinline__ unsigned int LaneId() {
    unsigned int lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}

CUB_NAMESPACE_END
