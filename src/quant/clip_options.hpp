#pragma once

#include "mcomp/quant/clip.hpp"

namespace mcomp::inline v0::quant::detail {

/// Error: invalid_argument.
[[nodiscard]] Status check_clip(const ClipOptions& clip);
/// Importances as f32, divided by the largest. Errors: invalid_shape, invalid_value.
[[nodiscard]] Result<std::vector<float>> check_importance(const std::vector<double>& importance, std::int64_t columns);

} // namespace mcomp::inline v0::quant::detail
