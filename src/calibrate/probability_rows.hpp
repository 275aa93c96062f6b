#pragma once

#include <vector>

#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate::detail {

/// Rows of a floating [rows, classes] as doubles, divided by their sums. Errors: those of check_rows; invalid_value for
/// NaN, a negative number, or a sum that is not 1 within 0.001.
[[nodiscard]] Result<std::vector<double>> read_probability_rows(const TensorView& probabilities);

} // namespace mcomp::inline v0::calibrate::detail
