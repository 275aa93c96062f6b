#pragma once

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/scheme.hpp"

namespace mcomp::inline v0::quant::detail {

/// A weight as the f32 matrix [out, the rest] that algorithms work on; holds a copy where the source is not f32 or not
/// contiguous.
struct WeightMatrix {
  Tensor copy;
  const float* data = nullptr;
  std::int64_t rows = 0, columns = 0;

  [[nodiscard]] const float* row(std::int64_t r) const noexcept { return data + r * columns; }
};

/// Errors: invalid_dtype, invalid_shape (no first axis or no elements), invalid_value (NaN, infinity).
[[nodiscard]] inline Result<WeightMatrix> weight_matrix(const TensorView& weight) {
  if (!is_floating(weight.dtype()))
    return Error(ErrorCode::invalid_dtype, "weight", fmt::format("elements are {}", weight.dtype()),
                 "pass f32, f16, bf16 or f64");
  if (weight.rank() == 0 || weight.elements() == 0)
    return Error(ErrorCode::invalid_shape, "weight", fmt::format("shape {} has no channels to scale", weight.shape()),
                 "pass a tensor [out, ...] with elements");
  WeightMatrix matrix;
  matrix.data = static_cast<const float*>(weight.data());
  if (weight.dtype() != DType::f32 || !weight.contiguous()) {
    MCOMP_TRY(copy, to_f32(weight, "weight"));
    matrix.copy = std::move(copy);
    matrix.data = static_cast<const float*>(matrix.copy.data());
  }
  const bool finite =
      std::all_of(matrix.data, matrix.data + weight.elements(), [](float x) { return std::isfinite(x); });
  if (!finite) return require_finite(weight, "weight").error();
  matrix.rows = weight.size(0);
  matrix.columns = weight.elements() / matrix.rows;
  return matrix;
}

} // namespace mcomp::inline v0::quant::detail
