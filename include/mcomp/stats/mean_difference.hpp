#pragma once

// Means of two independent streams compared from their sums alone: Welch's test for the difference or for the relative
// lift, and the asymptotic confidence sequence for the same, which may be looked at any time.
//
//     auto lift = mcomp::stats::compare_means(baseline, candidate, {.relative = true}).value();
//     fmt::print("{:+.1f}% {}\n", 100 * lift.estimate, lift.interval);

#include <cstdint>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/alternative.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::stats {

/// Count, mean and variance (with n - 1) of one stream.
struct SampleMoments {
  std::int64_t count = 0;
  double mean = 0;
  double variance = 0;

  /// From the sums of values and squares. Errors: insufficient_data for fewer than 2 values, invalid_value for sums
  /// that are not finite or belong to no values.
  [[nodiscard]] static MCOMP_API Result<SampleMoments> from_sums(std::int64_t count, double sum, double sum_of_squares);
  /// Of a proportion: variance p (1 - p). Errors: insufficient_data for no trials, invalid_argument for counts that
  /// cannot be.
  [[nodiscard]] static MCOMP_API Result<SampleMoments> from_successes(std::int64_t successes, std::int64_t trials);
  friend bool operator==(const SampleMoments&, const SampleMoments&) = default;
};

struct MeanComparisonOptions {
  double level = 0.95;
  bool relative = false; ///< (candidate - baseline) / baseline, its variance by the delta method
  Alternative alternative = Alternative::two_sided;
};

/// Candidate minus baseline.
struct MeanComparison {
  double estimate = 0;
  double standard_error = 0;
  double degrees_of_freedom = 0; ///< Welch and Satterthwaite; infinite for the sequence
  Interval interval{};           ///< the end that a one-sided alternative does not look at is infinite
  double p_value = 1;            ///< that there is no difference
  friend bool operator==(const MeanComparison&, const MeanComparison&) = default;
};

/// Fixed-sample: for one look. Errors: invalid_argument for a level outside (0, 1); insufficient_data where a stream
/// has fewer than 2 values or both have no variance; invalid_value for moments that cannot be, or, for a relative
/// difference, a baseline mean of 0.
[[nodiscard]] MCOMP_API Result<MeanComparison>
compare_means(const SampleMoments& baseline, const SampleMoments& candidate, const MeanComparisonOptions& options = {});

/// At any time: `planned_observations`, of both streams, is where the interval is narrowest. The p-value is that of
/// this look; EProcess keeps the smallest. Errors as above; invalid_argument for a planned number that is not positive,
/// or a one-sided level of 0.5 or less.
[[nodiscard]] MCOMP_API Result<MeanComparison> compare_means_sequentially(const SampleMoments& baseline,
                                                                          const SampleMoments& candidate,
                                                                          double planned_observations,
                                                                          const MeanComparisonOptions& options = {});

} // namespace mcomp::inline v0::stats
