#pragma once

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::stats::detail {

/// Demands a confidence level strictly between 0 and 1. Error: invalid_argument.
[[nodiscard]] Status check_level(double level, const char* name = "level");

} // namespace mcomp::inline v0::stats::detail
