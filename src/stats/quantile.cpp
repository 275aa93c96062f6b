#include "mcomp/stats/quantile.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"
#include "stats/interval.hpp"
#include "stats/quantile.hpp"

namespace mcomp::inline v0::stats {

namespace {

Result<std::vector<double>> sorted(std::span<const double> values, const char* subject) {
  if (values.empty())
    return Error(ErrorCode::insufficient_data, subject, "no observation, so no quantile", "observe at least one");
  for (std::size_t i = 0; i < values.size(); ++i)
    if (std::isnan(values[i]))
      return Error(ErrorCode::invalid_value, subject, fmt::format("observation {} is NaN", i),
                   "leave out what was not measured");
  std::vector<double> copy(values.begin(), values.end());
  std::sort(copy.begin(), copy.end());
  return copy;
}

double linear(const std::vector<double>& values, double p) {
  const double position = static_cast<double>(values.size() - 1) * p, below = std::floor(position);
  const auto i = static_cast<std::size_t>(below);
  const double fraction = position - below;
  // Without the test an infinite neighbour would turn a whole position into NaN.
  return fraction == 0 ? values[i] : values[i] + fraction * (values[i + 1] - values[i]);
}

QuantileEstimate estimate_sorted(const std::vector<double>& values, double p, double level) {
  const std::size_t n = values.size();
  const double tail = (1 - level) / 2;
  QuantileEstimate estimate{.probability = p,
                            .value = values[detail::nearest_rank(n, p) - 1],
                            .level = level,
                            .count = static_cast<std::int64_t>(n)};
  if (const std::size_t rank = detail::lower_rank(n, p, tail); rank > 0) estimate.lower = values[rank - 1];
  // Seen from the other end the upper limit is a lower one of the quantile 1 - p.
  if (const std::size_t rank = detail::lower_rank(n, 1 - p, tail); rank > 0) estimate.upper = values[n - rank];
  return estimate;
}

Status check_open_probability(double probability) {
  return detail::check_level(probability, "probability");
}

std::string name(const QuantileEstimate& estimate) {
  return fmt::format("p{:.6g}", 100 * estimate.probability);
}

/// Both limits with `print`, or why one is missing.
template <class Print> std::string limits(const QuantileEstimate& estimate, const Print& print) {
  std::string needs;
  if (!estimate.lower || !estimate.upper)
    if (const auto needed = observations_for_quantile_interval(estimate.probability, estimate.level))
      needs = fmt::format(": needs {} observations, has {}", *needed, estimate.count);
  return fmt::format("[{}, {}{}]", estimate.lower ? print(*estimate.lower) : "no lower limit",
                     estimate.upper ? print(*estimate.upper) : "no upper limit", needs);
}

} // namespace

std::size_t detail::nearest_rank(std::size_t n, double p) {
  const double exact = static_cast<double>(n) * p;
  const double rank = std::ceil(exact * (1 - 4 * std::numeric_limits<double>::epsilon()));
  return static_cast<std::size_t>(std::clamp(rank, 1.0, static_cast<double>(n)));
}

std::size_t detail::lower_rank(std::size_t n, double p, double tail) {
  std::size_t low = 0, high = n + 1; // low qualifies (P(B < 0) = 0), high is not asked
  while (high - low > 1) {
    const std::size_t rank = low + (high - low) / 2;
    const bool qualifies = binomial_cdf(static_cast<double>(rank) - 1, static_cast<double>(n), p) <= tail;
    (qualifies ? low : high) = rank;
  }
  return low;
}

Result<double> quantile(std::span<const double> values, double probability, QuantileRule rule) {
  if (!(probability >= 0 && probability <= 1))
    return Error(ErrorCode::invalid_argument, "probability",
                 fmt::format("it must lie within 0 .. 1, it is {}", probability), "pass a fraction such as 0.99");
  MCOMP_TRY(ordered, sorted(values, "values"));
  return rule == QuantileRule::linear ? linear(ordered, probability)
                                      : ordered[detail::nearest_rank(ordered.size(), probability) - 1];
}

Result<QuantileEstimate> estimate_quantile(std::span<const double> values, double probability, double level) {
  MCOMP_CHECK(check_open_probability(probability));
  MCOMP_CHECK(detail::check_level(level));
  MCOMP_TRY(ordered, sorted(values, "values"));
  return estimate_sorted(ordered, probability, level);
}

Result<std::int64_t> observations_for_quantile_interval(double probability, double level) {
  MCOMP_CHECK(check_open_probability(probability));
  MCOMP_CHECK(detail::check_level(level));
  const double extreme = std::max(probability, 1 - probability); // the limit on the side of the tail is the dear one
  const double n = std::ceil(std::log((1 - level) / 2) / std::log(extreme));
  if (!(n < 0x1p62))
    return Error(ErrorCode::invalid_argument, "probability",
                 fmt::format("no sample is large enough for the quantile {}", probability),
                 "ask for one nearer to 0.5");
  return static_cast<std::int64_t>(n);
}

Result<LatencySummary> summarize_latencies(std::span<const double> seconds, double level) {
  MCOMP_CHECK(detail::check_level(level));
  double sum = 0;
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    if (!(seconds[i] >= 0) || std::isinf(seconds[i]))
      return Error(ErrorCode::invalid_value, "latencies",
                   fmt::format("latency {} is {}, a time is finite and at least 0", i, seconds[i]),
                   "use a monotonic clock and leave out what was not measured");
    sum += seconds[i];
  }
  MCOMP_TRY(ordered, sorted(seconds, "latencies"));
  return LatencySummary{.count = static_cast<std::int64_t>(seconds.size()),
                        .mean = sum / static_cast<double>(seconds.size()),
                        .p50 = estimate_sorted(ordered, 0.50, level),
                        .p95 = estimate_sorted(ordered, 0.95, level),
                        .p99 = estimate_sorted(ordered, 0.99, level)};
}

std::string to_string(const QuantileEstimate& estimate) {
  const auto print = [](double value) { return fmt::format("{:.4g}", value); };
  return fmt::format("{} {} {}", name(estimate), print(estimate.value), limits(estimate, print));
}

std::string to_string(const LatencySummary& summary) {
  const double largest = std::max(summary.mean, summary.p99.value);
  const double unit = largest < 1e-3 ? 1e-6 : largest < 1 ? 1e-3 : 1;
  const char* unit_name = largest < 1e-3 ? "us" : largest < 1 ? "ms" : "s";
  const auto print = [&](double value) { return fmt::format("{:.4g}", value / unit); };
  std::string text = fmt::format("{} latencies, mean {} {}, {:.4g}% intervals", summary.count, print(summary.mean),
                                 unit_name, 100 * summary.p50.level);
  for (const QuantileEstimate* q : {&summary.p50, &summary.p95, &summary.p99})
    text += fmt::format("\n  {} {} {} {}", name(*q), print(q->value), unit_name, limits(*q, print));
  return text;
}

} // namespace mcomp::inline v0::stats
