#pragma once

#include <cmath>
#include <span>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::quant::detail {

/// Weights of squared errors, one a column; an empty span where the view has no elements.
/// Errors: invalid_dtype, invalid_shape, invalid_value (NaN, infinity, negative).
[[nodiscard]] inline Result<std::span<const float>> importance_values(const TensorView& importance,
                                                                      std::int64_t columns) {
  if (importance.elements() == 0) return std::span<const float>{};
  MCOMP_TRY(values, importance.values<float>("importance"));
  if (importance.elements() != columns)
    return Error(ErrorCode::invalid_shape, "importance",
                 fmt::format("{} numbers for rows of {} weights", importance.elements(), columns),
                 "pass one number a column of the weight");
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(values[i] >= 0) || !std::isfinite(values[i]))
      return Error(ErrorCode::invalid_value, "importance", fmt::format("element {} is {}", i, values[i]),
                   "pass finite numbers that are not negative");
  return values;
}

} // namespace mcomp::inline v0::quant::detail
