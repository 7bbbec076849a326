// Additions to the real curand.h.
#pragma once

// Training seeds the generator at every step. After each seed, the default generator, XORWOW, recomputes the states of
// all its threads before it draws; Philox, which is as good, has no states to compute.
#define CURAND_RNG_PSEUDO_DEFAULT CURAND_RNG_PSEUDO_PHILOX4_32_10
