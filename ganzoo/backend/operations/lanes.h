// Neighbouring numbers that a processor computes with at once, and memory for a thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace ganzoo {

// N neighbouring numbers. The compiler does not vectorise loops over arrays of numbers, but computes with these as with
// single ones.
template <int64_t N>
struct LanesOf {
    typedef float type __attribute__((vector_size(N * sizeof(float))));
};

template <class Lanes>
static inline Lanes load(const float* from) {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof(Lanes));
    return lanes;
}

template <class Lanes>
static inline void store(const Lanes& lanes, float* to) {
    std::memcpy(to, &lanes, sizeof(Lanes));
}

// Returns memory for so many numbers, until the next call on this thread.
inline float* numbers(int64_t count) {
    static thread_local std::vector<float> memory;
    if ((int64_t)memory.size() < count) memory.resize(count);
    return memory.data();
}

}  // namespace ganzoo
