// What follows the real curand.h.
#pragma once

// Training seeds the generator at every step. The default one, XORWOW, then computes the states of all its threads anew
// before it draws; Philox, which is as good, has none to compute.
#define CURAND_RNG_PSEUDO_DEFAULT CURAND_RNG_PSEUDO_PHILOX4_32_10
