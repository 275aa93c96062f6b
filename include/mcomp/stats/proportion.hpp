#pragma once

#include <cstdint>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::stats {

// Intervals for one proportion, such as the accuracy of one model on one set of examples. To compare two models on the
// same examples use stats/paired.hpp: the difference of two such intervals throws away the pairing.
// Errors of both: insufficient_data for no trials, invalid_argument for counts or a level that cannot be.

/// Wilson's score interval (JASA 22, 1927): near its level on average, also for few trials; the default for reports.
[[nodiscard]] MCOMP_API Result<Interval> wilson_interval(std::int64_t successes, std::int64_t trials,
                                                         double level = 0.95);

/// Clopper and Pearson's interval (Biometrika 26, 1934): covers with at least its level for every proportion, and is
/// wider for it; for guarantees.
[[nodiscard]] MCOMP_API Result<Interval> clopper_pearson_interval(std::int64_t successes, std::int64_t trials,
                                                                  double level = 0.95);

} // namespace mcomp::inline v0::stats
