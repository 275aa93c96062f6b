#include "mcomp/stats/paired_mean.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"
#include "mcomp/stats/mean_difference.hpp"
#include "mcomp/stats/proportion.hpp"
#include "stats/interval.hpp"

namespace mcomp::inline v0::stats {

namespace {

Status check_pairs(std::span<const double> baseline, std::span<const double> candidate, std::size_t least,
                   const char* name) {
  if (baseline.size() != candidate.size())
    return Error(ErrorCode::invalid_shape, name,
                 fmt::format("{} values of the baseline, {} of the other: the numbers must agree", baseline.size(),
                             candidate.size()),
                 "pass both on the same inputs");
  if (baseline.size() < least)
    return Error(ErrorCode::insufficient_data, name,
                 fmt::format("it takes {} pairs, there are {}", least, baseline.size()),
                 "run both models on more inputs");
  for (std::size_t i = 0; i < baseline.size(); ++i)
    if (!std::isfinite(baseline[i]) || !std::isfinite(candidate[i]))
      return Error(ErrorCode::invalid_value, name,
                   fmt::format("pair {} is {} and {}, both must be finite", i, baseline[i], candidate[i]),
                   "leave out inputs without a result, and count them");
  return {};
}

/// Means, and sums of squares and products about them, of y and its covariate x.
struct Moments {
  double n = 0, mean_x = 0, mean_y = 0, xx = 0, xy = 0, yy = 0;

  Moments(std::span<const double> x, std::span<const double> y) : n(static_cast<double>(x.size())) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      mean_x += x[i];
      mean_y += y[i];
    }
    mean_x /= n;
    mean_y /= n;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double a = x[i] - mean_x, b = y[i] - mean_y;
      xx += a * a;
      xy += a * b;
      yy += b * b;
    }
  }
  /// Sum of squares of y - theta x.
  [[nodiscard]] double residual(double theta) const { return std::max(0.0, yy - 2 * theta * xy + theta * theta * xx); }
};

double reduction(double adjusted, double plain) {
  return plain > 0 ? 1 - adjusted / plain : 0;
}

Status check_confidence(double confidence) {
  if (confidence >= 0.5 && confidence < 1) return {};
  return Error(ErrorCode::invalid_argument, "confidence",
               fmt::format("it must lie within 0.5 .. 1, it is {}", confidence), "pass a fraction such as 0.95");
}

void decide(NonInferiorityAnswer& answer) {
  if (answer.upper_limit < answer.margin)
    answer.verdict = NonInferiority::non_inferior;
  else if (answer.lower_limit > answer.margin)
    answer.verdict = NonInferiority::inferior;
}

} // namespace

Result<PairedMean> paired_mean(std::span<const double> baseline, std::span<const double> candidate, double level) {
  MCOMP_CHECK(detail::check_level(level));
  MCOMP_CHECK(check_pairs(baseline, candidate, 2, "pairs"));
  PairedMean result{.pairs = static_cast<std::int64_t>(baseline.size())};
  const auto n = static_cast<double>(baseline.size());
  double largest = 0;
  for (std::size_t i = 0; i < baseline.size(); ++i) {
    result.mean += candidate[i] - baseline[i];
    largest = std::max({largest, std::abs(baseline[i]), std::abs(candidate[i])});
  }
  result.mean /= n;
  // Differences within the rounding of what they are differences of are equal.
  const double rounding = 4 * std::numeric_limits<double>::epsilon() * largest;
  double squares = 0;
  result.constant = true;
  for (std::size_t i = 0; i < baseline.size(); ++i) {
    const double deviation = candidate[i] - baseline[i] - result.mean;
    squares += deviation * deviation;
    result.constant &= std::abs(deviation) <= rounding;
  }
  result.standard_error = result.constant ? 0 : std::sqrt(squares / (n * (n - 1)));
  const Moments moments(baseline, candidate);
  if (moments.xx > 0 && moments.yy > 0) result.correlation = moments.xy / std::sqrt(moments.xx * moments.yy);
  const double radius = -student_t_quantile((1 - level) / 2, n - 1) * result.standard_error;
  result.interval = {result.mean - radius, result.mean + radius, level};
  if (result.standard_error > 0)
    result.p_value = 2 * student_t_cdf(-std::abs(result.mean) / result.standard_error, n - 1);
  return result;
}

std::string to_string(const PairedMean& difference) {
  return fmt::format("{} pairs: mean difference {:.4g} {}, p {:.3g}{}", difference.pairs, difference.mean,
                     difference.interval, difference.p_value, difference.constant ? ", all differences equal" : "");
}

Result<CupedEstimate> cuped_mean(std::span<const double> baseline, std::span<const double> candidate,
                                 const CupedMeanOptions& options) {
  MCOMP_CHECK(detail::check_level(options.level));
  MCOMP_CHECK(check_pairs(baseline, candidate, 3, "pairs"));
  if (!std::isfinite(options.baseline_mean))
    return Error(ErrorCode::invalid_argument, "baseline_mean",
                 fmt::format("it must be finite, it is {}", options.baseline_mean), "pass the mean over all inputs");
  if (options.baseline_count != 0 && options.baseline_count < static_cast<std::int64_t>(baseline.size()))
    return Error(
        ErrorCode::invalid_argument, "baseline_count",
        fmt::format("a mean of {} inputs knows less than the {} at hand", options.baseline_count, baseline.size()),
        "pass a mean over more inputs, or use paired_mean");
  const Moments m(baseline, candidate);
  CupedEstimate result;
  result.theta = m.xx > 0 ? m.xy / m.xx : 0;
  result.unadjusted = m.mean_y;
  result.estimate = m.mean_y - result.theta * (m.mean_x - options.baseline_mean);
  // What is left of y, and the part of the covariate's mean that is an estimate itself.
  double variance = m.residual(result.theta) / ((m.n - 2) * m.n);
  if (options.baseline_count > 0)
    variance += result.theta * result.theta * m.xx / ((m.n - 1) * static_cast<double>(options.baseline_count));
  result.standard_error = std::sqrt(variance);
  result.variance_reduction = reduction(variance, m.yy / ((m.n - 1) * m.n));
  const double radius = -student_t_quantile((1 - options.level) / 2, m.n - 2) * result.standard_error;
  result.interval = {result.estimate - radius, result.estimate + radius, options.level};
  return result;
}

Result<CupedEstimate> cuped_difference(const CupedArm& baseline, const CupedArm& candidate, double level) {
  MCOMP_CHECK(detail::check_level(level));
  MCOMP_CHECK(check_pairs(baseline.covariate, baseline.outcomes, 3, "baseline"));
  MCOMP_CHECK(check_pairs(candidate.covariate, candidate.outcomes, 3, "candidate"));
  const Moments a(baseline.covariate, baseline.outcomes), b(candidate.covariate, candidate.outcomes);
  CupedEstimate result;
  result.theta = a.xx + b.xx > 0 ? (a.xy + b.xy) / (a.xx + b.xx) : 0;
  result.unadjusted = b.mean_y - a.mean_y;
  result.estimate = result.unadjusted - result.theta * (b.mean_x - a.mean_x);
  const double of_a = a.residual(result.theta) / ((a.n - 1) * a.n), of_b = b.residual(result.theta) / ((b.n - 1) * b.n);
  const double variance = of_a + of_b;
  result.standard_error = std::sqrt(variance);
  result.variance_reduction = reduction(variance, a.yy / ((a.n - 1) * a.n) + b.yy / ((b.n - 1) * b.n));
  double radius = 0;
  if (variance > 0) {
    const double freedom = variance * variance / (of_a * of_a / (a.n - 1) + of_b * of_b / (b.n - 1));
    radius = -student_t_quantile((1 - level) / 2, freedom) * result.standard_error;
  }
  result.interval = {result.estimate - radius, result.estimate + radius, level};
  return result;
}

std::string to_string(const CupedEstimate& estimate) {
  return fmt::format("{:.4g} {}, variance less by {:.3g}% with theta {:.3g} ({:.4g} without)", estimate.estimate,
                     estimate.interval, 100 * estimate.variance_reduction, estimate.theta, estimate.unadjusted);
}

Result<NegativeFlips> negative_flips(const PairedCounts& counts, double level) {
  MCOMP_CHECK(mcnemar(counts)); // checks the counts
  NegativeFlips flips{
      .flips = counts.only_baseline_right, .positive_flips = counts.only_candidate_right, .pairs = counts.pairs()};
  MCOMP_TRY(interval, clopper_pearson_interval(flips.flips, flips.pairs, level));
  flips.interval = interval;
  flips.rate = static_cast<double>(flips.flips) / static_cast<double>(flips.pairs);
  return flips;
}

std::string to_string(const NegativeFlips& flips) {
  return fmt::format("{} negative flips of {} pairs, rate {:.4g} {}; {} positive flips", flips.flips, flips.pairs,
                     flips.rate, flips.interval, flips.positive_flips);
}

std::string to_string(NonInferiority verdict) {
  switch (verdict) {
  case NonInferiority::non_inferior:
    return "non-inferior";
  case NonInferiority::inferior:
    return "inferior";
  case NonInferiority::insufficient_data:
    return "insufficient data";
  }
  return "unknown";
}

Result<NonInferiorityAnswer> non_inferiority(const PairedCounts& counts, double margin, double confidence) {
  MCOMP_CHECK(check_confidence(confidence));
  MCOMP_CHECK(detail::check_level(margin, "margin"));
  MCOMP_TRY(upper, tango_upper_limit(counts, confidence));
  MCOMP_TRY(resolvable, smallest_resolvable_margin(counts, confidence));
  PairedCounts exchanged = counts;
  std::swap(exchanged.only_baseline_right, exchanged.only_candidate_right);
  MCOMP_TRY(mirrored, tango_upper_limit(exchanged, confidence));
  NonInferiorityAnswer answer{.loss = counts.loss(),
                              .margin = margin,
                              .upper_limit = upper,
                              .lower_limit = -mirrored,
                              .resolvable_margin = resolvable,
                              .confidence = confidence};
  decide(answer);
  return answer;
}

Result<NonInferiorityAnswer> non_inferiority(const PairedMean& difference, double margin, double confidence,
                                             std::int64_t least_pairs) {
  MCOMP_CHECK(check_confidence(confidence));
  if (!(margin > 0 && std::isfinite(margin)))
    return Error(ErrorCode::invalid_argument, "margin", fmt::format("it must be positive and finite, it is {}", margin),
                 "pass the largest loss that does not matter");
  if (difference.pairs < 2)
    return Error(ErrorCode::invalid_argument, "difference", fmt::format("it has {} pairs", difference.pairs),
                 "pass what paired_mean gave");
  const double radius =
      student_t_quantile(confidence, static_cast<double>(difference.pairs - 1)) * difference.standard_error;
  NonInferiorityAnswer answer{.loss = difference.mean,
                              .margin = margin,
                              .upper_limit = difference.mean + radius,
                              .lower_limit = difference.mean - radius,
                              .resolvable_margin = radius,
                              .confidence = confidence};
  if (difference.pairs >= least_pairs && !(difference.constant && difference.mean != 0)) decide(answer);
  return answer;
}

std::string to_string(const NonInferiorityAnswer& answer) {
  std::string text = fmt::format("{}: loss {:.4g}, at most {:.4g} ({:.4g}%), margin {:.4g}", answer.verdict,
                                 answer.loss, answer.upper_limit, 100 * answer.confidence, answer.margin);
  if (answer.verdict == NonInferiority::insufficient_data)
    text += fmt::format("; these data resolve a margin of {:.4g}", answer.resolvable_margin);
  return text;
}

} // namespace mcomp::inline v0::stats
