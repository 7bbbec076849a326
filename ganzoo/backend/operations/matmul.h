// Products of float32 matrices by oneDNN.
#pragma once

#include <cstdint>

namespace ganzoo {

// The product of a matrix (rows, inner) and a matrix (inner, columns). The flags say which is stored transposed.
struct Product {
    int64_t rows, columns, inner;
    bool transpose_left, transpose_right;
};

// Computes a product in float32. Throws std::runtime_error if oneDNN can't.
void multiply(const Product& product, const float* left, const float* right, float* result);

// Whether a product is faster if its factors are rounded to bfloat16, on a processor with AMX.
bool suits_amx(const Product& product);

// Computes a product of factors that are rounded to bfloat16, with sums in float32. Raises std::runtime_error too.
void multiply_bfloat16(const Product& product, const float* left, const float* right, float* result);

}  // namespace ganzoo
