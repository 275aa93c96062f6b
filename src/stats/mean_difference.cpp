#include "mcomp/stats/mean_difference.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/confidence_sequence.hpp"
#include "mcomp/stats/distributions.hpp"
#include "stats/interval.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Status check(const SampleMoments& moments, const char* name) {
  if (moments.count < 2)
    return Error(ErrorCode::insufficient_data, name,
                 fmt::format("a variance takes 2 values, there are {}", moments.count), "observe more");
  if (!std::isfinite(moments.mean) || !(moments.variance >= 0) || std::isinf(moments.variance))
    return Error(ErrorCode::invalid_value, name,
                 fmt::format("mean {} and variance {} must be finite, the variance not negative", moments.mean,
                             moments.variance),
                 "leave out what was not measured");
  return {};
}

/// Estimate and standard error, with the checks of both functions.
Result<MeanComparison> estimate(const SampleMoments& baseline, const SampleMoments& candidate,
                                const MeanComparisonOptions& options) {
  MCOMP_CHECK(detail::check_level(options.level));
  MCOMP_CHECK(check(baseline, "baseline"));
  MCOMP_CHECK(check(candidate, "candidate"));
  const double a = baseline.variance / static_cast<double>(baseline.count);
  const double b = candidate.variance / static_cast<double>(candidate.count);
  if (a == 0 && b == 0)
    return Error(ErrorCode::insufficient_data, "variance", "neither stream varies, so no error can be estimated",
                 "observe more, or compare counts with stats/paired.hpp");
  MeanComparison result{.estimate = candidate.mean - baseline.mean, .standard_error = std::sqrt(a + b)};
  if (options.relative) {
    if (baseline.mean == 0)
      return Error(ErrorCode::invalid_value, "baseline", "relative to a mean of 0 nothing can be said",
                   "compare absolute means");
    result.estimate /= baseline.mean;
    const double ratio = candidate.mean / baseline.mean;
    result.standard_error = std::sqrt(b + a * ratio * ratio) / std::abs(baseline.mean);
  }
  result.degrees_of_freedom =
      (a + b) * (a + b) /
      (a * a / static_cast<double>(baseline.count - 1) + b * b / static_cast<double>(candidate.count - 1));
  return result;
}

Interval around(double estimate, double radius, const MeanComparisonOptions& options) {
  return {options.alternative == Alternative::less ? -infinity : estimate - radius,
          options.alternative == Alternative::greater ? infinity : estimate + radius, options.level};
}

} // namespace

Result<SampleMoments> SampleMoments::from_sums(std::int64_t count, double sum, double sum_of_squares) {
  if (count < 2)
    return Error(ErrorCode::insufficient_data, "count", fmt::format("a variance takes 2 values, there are {}", count),
                 "observe more");
  const auto n = static_cast<double>(count);
  const double spread = sum_of_squares - sum * sum / n;
  // Rounding may leave a little less than nothing.
  if (!std::isfinite(sum) || !std::isfinite(sum_of_squares) || !(spread >= -1e-12 * sum_of_squares))
    return Error(ErrorCode::invalid_value, "sums",
                 fmt::format("{} values cannot have sum {} and sum of squares {}", count, sum, sum_of_squares),
                 "pass sums of the same values");
  return SampleMoments{count, sum / n, std::max(0.0, spread) / (n - 1)};
}

Result<SampleMoments> SampleMoments::from_successes(std::int64_t successes, std::int64_t trials) {
  MCOMP_CHECK(detail::check_counts(successes, trials));
  const double p = static_cast<double>(successes) / static_cast<double>(trials);
  return SampleMoments{trials, p, p * (1 - p)};
}

Result<MeanComparison> compare_means(const SampleMoments& baseline, const SampleMoments& candidate,
                                     const MeanComparisonOptions& options) {
  MCOMP_TRY(result, estimate(baseline, candidate, options));
  const bool two_sided = options.alternative == Alternative::two_sided;
  const double tail = two_sided ? (1 - options.level) / 2 : 1 - options.level;
  const double t = result.estimate / result.standard_error, v = result.degrees_of_freedom;
  result.interval = around(result.estimate, -student_t_quantile(tail, v) * result.standard_error, options);
  result.p_value = two_sided ? 2 * student_t_cdf(-std::abs(t), v)
                             : student_t_cdf(options.alternative == Alternative::greater ? -t : t, v);
  return result;
}

Result<MeanComparison> compare_means_sequentially(const SampleMoments& baseline, const SampleMoments& candidate,
                                                  double planned_observations, const MeanComparisonOptions& options) {
  MCOMP_TRY(result, estimate(baseline, candidate, options));
  const bool one_sided = options.alternative != Alternative::two_sided;
  if (!(planned_observations > 0 && std::isfinite(planned_observations)))
    return Error(ErrorCode::invalid_argument, "planned_observations",
                 fmt::format("it must be positive and finite, it is {}", planned_observations),
                 "pass how many observations are expected");
  if (one_sided && options.level <= 0.5)
    return Error(ErrorCode::invalid_argument, "level",
                 fmt::format("a one-sided sequence needs a level above 0.5, it is {}", options.level),
                 "pass a fraction such as 0.95");
  const double n = static_cast<double>(baseline.count) + static_cast<double>(candidate.count);
  const double rho2 = asymptotic_rho_squared(1 - options.level, planned_observations, one_sided);
  const double deviation = result.standard_error * std::sqrt(n);
  result.degrees_of_freedom = infinity;
  result.interval =
      around(result.estimate, deviation * asymptotic_radius(n, rho2, 1 - options.level, one_sided), options);
  result.p_value =
      std::min(1.0, std::exp(-asymptotic_log_e_value(result.estimate / deviation, n, rho2, options.alternative)));
  return result;
}

} // namespace mcomp::inline v0::stats
