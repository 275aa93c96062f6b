#pragma once

// Quantiles of a sample with intervals that assume nothing about the distribution but that the observations are
// independent: the ranks between which a quantile lies follow the binomial distribution (David and Nagaraja, Order
// Statistics, section 7.1). Measurements in bursts or of one user are not independent; their intervals are too short.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::stats {

/// How a quantile is read off n sorted observations (numbers of Hyndman and Fan, The American Statistician 50, 1996).
enum class QuantileRule {
  nearest_rank, ///< type 1: the observation of rank ceil(n p); always an observed value
  linear,       ///< type 7: linear between observations at rank 1 + (n - 1) p; NumPy's default
};

/// The `probability` quantile. Errors: insufficient_data for none, invalid_value for a NaN, invalid_argument for a
/// probability outside [0, 1].
[[nodiscard]] MCOMP_API Result<double> quantile(std::span<const double> values, double probability,
                                                QuantileRule rule = QuantileRule::nearest_rank);

/// A quantile and where it surely lies. A limit is absent where the sample is too small for one.
struct QuantileEstimate {
  double probability = 0;
  double value = 0;              ///< by nearest rank
  std::optional<double> lower{}; ///< the largest observation that is below the quantile with confidence (1 + level) / 2
  std::optional<double> upper{}; ///< the smallest that is above it
  double level = 0;              ///< of both sides together
  std::int64_t count = 0;

  friend bool operator==(const QuantileEstimate&, const QuantileEstimate&) = default;
};

/// "p99 0.0131 [0.0127, no upper limit: needs 368 observations, has 100]"
[[nodiscard]] MCOMP_API std::string to_string(const QuantileEstimate& estimate);

/// Errors: insufficient_data for no observation, invalid_value for a NaN, invalid_argument for a probability or level
/// outside (0, 1).
[[nodiscard]] MCOMP_API Result<QuantileEstimate> estimate_quantile(std::span<const double> values, double probability,
                                                                   double level = 0.95);

/// The smallest sample that has both limits: p^n and (1 - p)^n at most (1 - level) / 2. Error: invalid_argument.
[[nodiscard]] MCOMP_API Result<std::int64_t> observations_for_quantile_interval(double probability,
                                                                                double level = 0.95);

/// Latencies of one model on one machine, in seconds.
struct LatencySummary {
  std::int64_t count = 0;
  double mean = 0;
  QuantileEstimate p50{}, p95{}, p99{};

  friend bool operator==(const LatencySummary&, const LatencySummary&) = default;
};

/// One line for the count and the mean and one for each quantile, in a fitting unit.
[[nodiscard]] MCOMP_API std::string to_string(const LatencySummary& summary);

/// Errors: insufficient_data for none, invalid_value for a latency that is negative, NaN or infinite,
/// invalid_argument for a level outside (0, 1).
[[nodiscard]] MCOMP_API Result<LatencySummary> summarize_latencies(std::span<const double> seconds,
                                                                   double level = 0.95);

} // namespace mcomp::inline v0::stats

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<stats::QuantileEstimate> = true;
template <> inline constexpr bool enable_format<stats::LatencySummary> = true;
} // namespace mcomp::inline v0
