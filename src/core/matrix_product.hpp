#pragma once

#include <cstdint>

#include "mcomp/core/executor.hpp"

// The one product that Gram matrices, Cholesky factors and error feedback need, as fast as the processor allows: Eigen
// is compiled for the oldest instruction set that the library supports, this chooses at run time.

namespace mcomp::inline v0::detail {

/// C += sign * A^T B, all row-major f32: A is [depth, rows], B is [depth, columns], C is [rows, columns].
struct TransposedProduct {
  std::int64_t rows = 0, columns = 0, depth = 0;
  const float* a = nullptr;
  std::int64_t a_stride = 0; ///< elements from one row of A to the next
  const float* b = nullptr;
  std::int64_t b_stride = 0;
  float* c = nullptr;
  std::int64_t c_stride = 0;
  float sign = 1;
};

/// In the calling thread. The sum of an element runs over `depth` in parts of a constant length, so that it does not
/// depend on how C is cut into calls.
void add_product(const TransposedProduct& product);

/// The lower triangle of C += sign * A^T A, cut into tiles that run side by side. A is [depth, n], C is [n, n]. Above
/// the diagonal C holds no defined values afterwards.
void add_self_product(std::int64_t n, std::int64_t depth, const float* a, std::int64_t a_stride, float* c,
                      std::int64_t c_stride, float sign, Executor& executor);

} // namespace mcomp::inline v0::detail
