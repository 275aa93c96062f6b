#pragma once

#include <cstdint>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::stats::detail {

/// Demands a confidence level strictly between 0 and 1. Error: invalid_argument.
[[nodiscard]] Status check_level(double level, const char* name = "level");

/// Demands successes within 0 .. trials, and from 1 to 2^53 trials, so that both are exact as doubles. Errors:
/// invalid_argument, insufficient_data.
[[nodiscard]] Status check_counts(std::int64_t successes, std::int64_t trials);

} // namespace mcomp::inline v0::stats::detail
