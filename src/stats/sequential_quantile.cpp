#include "mcomp/stats/sequential_quantile.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "stats/interval.hpp"
#include "stats/quantile_mixture.hpp"

namespace mcomp::inline v0::stats {

namespace {

Status check_sample(std::span<const double> values, const char* name) {
  if (values.empty())
    return Error(ErrorCode::insufficient_data, name, "no observations, so no quantile", "observe at least one");
  for (std::size_t i = 0; i < values.size(); ++i)
    if (std::isnan(values[i]))
      return Error(ErrorCode::invalid_value, name, fmt::format("observation {} is NaN", i),
                   "leave out what was not measured");
  return {};
}

Status check_sorted(std::span<const double> values, const char* name) {
  const auto end = std::is_sorted_until(values.begin(), values.end());
  if (end == values.end()) return {};
  return Error(ErrorCode::invalid_value, name,
               fmt::format("observation {} is smaller than the one before it", end - values.begin()),
               "sort it, or call quantile_ab_test");
}

Result<detail::QuantileMixture> make_mixture(double probability, const SequentialQuantileOptions& options) {
  MCOMP_CHECK(detail::check_level(probability, "probability"));
  MCOMP_CHECK(detail::check_level(options.level));
  return detail::QuantileMixture::create(probability, options.planned_count, 1 - options.level);
}

std::vector<double> sorted(std::span<const double> values) {
  std::vector<double> copy(values.begin(), values.end());
  std::sort(copy.begin(), copy.end());
  return copy;
}

} // namespace

Result<SequentialQuantileTest> quantile_ab_test_sorted(std::span<const double> baseline,
                                                       std::span<const double> candidate, double probability,
                                                       const SequentialQuantileOptions& options) {
  MCOMP_TRY(mixture, make_mixture(probability, options));
  MCOMP_CHECK(check_sample(baseline, "baseline"));
  MCOMP_CHECK(check_sample(candidate, "candidate"));
  MCOMP_CHECK(check_sorted(baseline, "baseline"));
  MCOMP_CHECK(check_sorted(candidate, "candidate"));
  const detail::ArmEvidence arms[2] = {{mixture, static_cast<double>(baseline.size())},
                                       {mixture, static_cast<double>(candidate.size())}};
  // Between neighbouring observations of either stream nothing changes, and at an observation the share below x may be
  // counted with or without it: so only observations are asked. Each stream's evidence rises away from its own
  // quantile, so those outside both quantiles need no asking.
  const std::span<const double> samples[2] = {baseline, candidate};
  double low = 0, high = 0;
  for (const int arm : {0, 1}) {
    const auto n = samples[arm].size();
    const double position = arms[arm].favourite() * static_cast<double>(n);
    const auto at = [&](double rank) {
      return samples[arm][static_cast<std::size_t>(std::clamp(rank, 0.0, static_cast<double>(n - 1)))];
    };
    const double from = at(std::floor(position) - 1), to = at(std::ceil(position));
    low = arm == 0 ? from : std::min(low, from);
    high = arm == 0 ? to : std::max(high, to);
  }
  double least = 1e300;
  for (const int arm : {0, 1}) {
    const std::span<const double> own = samples[arm], other = samples[1 - arm];
    auto i = std::lower_bound(own.begin(), own.end(), low);
    auto below = std::lower_bound(other.begin(), other.end(), low), up_to = below;
    while (i != own.end() && *i <= high) {
      const double x = *i;
      const auto next = std::upper_bound(i, own.end(), x);
      while (below != other.end() && *below < x) ++below;
      up_to = std::max(up_to, below);
      while (up_to != other.end() && *up_to <= x) ++up_to;
      const double evidence =
          arms[arm](static_cast<double>(i - own.begin()), static_cast<double>(next - own.begin())) +
          arms[1 - arm](static_cast<double>(below - other.begin()), static_cast<double>(up_to - other.begin()));
      least = std::min(least, evidence);
      i = next;
    }
  }
  SequentialQuantileTest test;
  test.e_value = std::exp(std::min(least, 700.0));
  test.p_value = std::min(1.0, 1 / test.e_value);
  return test;
}

Result<SequentialQuantileTest> quantile_ab_test(std::span<const double> baseline, std::span<const double> candidate,
                                                double probability, const SequentialQuantileOptions& options) {
  MCOMP_CHECK(check_sample(baseline, "baseline"));
  MCOMP_CHECK(check_sample(candidate, "candidate"));
  return quantile_ab_test_sorted(sorted(baseline), sorted(candidate), probability, options);
}

Result<SequentialQuantileTest> quantile_ab_test(const QuantileSketch& baseline, const QuantileSketch& candidate,
                                                double probability, const SequentialQuantileOptions& options) {
  MCOMP_TRY(mixture, make_mixture(probability, options));
  if (!(baseline.options() == candidate.options()) || baseline.collapsed() || candidate.collapsed())
    return Error(ErrorCode::invalid_argument, "sketches", "both need the same options, and no joined bins",
                 "create both alike, with more bins");
  if (baseline.count() == 0 || candidate.count() == 0)
    return Error(ErrorCode::insufficient_data, "sketches", "no observations, so no quantile", "observe at least one");
  const detail::ArmEvidence arms[2] = {{mixture, static_cast<double>(baseline.count())},
                                       {mixture, static_cast<double>(candidate.count())}};
  const std::vector<SketchBin> bins[2] = {baseline.bins(), candidate.bins()};
  std::size_t at[2] = {};
  double below[2] = {}, least = 1e300;
  // Bins of both in the order of their borders; in each, the share at or below x lies between those at its ends.
  while (at[0] < bins[0].size() || at[1] < bins[1].size()) {
    double border = 0;
    bool found = false;
    for (const int arm : {0, 1})
      if (at[arm] < bins[arm].size() && (!found || bins[arm][at[arm]].upper < border)) {
        border = bins[arm][at[arm]].upper;
        found = true;
      }
    // Evidence falls towards the quantile of a stream and rises behind it: bins before both quantiles or behind both
    // have a better neighbour.
    double up_to[2];
    bool before = true, behind = true;
    for (const int arm : {0, 1}) {
      up_to[arm] = below[arm];
      if (at[arm] < bins[arm].size() && bins[arm][at[arm]].upper == border)
        up_to[arm] += static_cast<double>(bins[arm][at[arm]++].count);
      const double favourite =
          arms[arm].favourite() * static_cast<double>(arm == 0 ? baseline.count() : candidate.count());
      before &= up_to[arm] < favourite;
      behind &= below[arm] > favourite;
    }
    if (behind) break;
    if (!before) least = std::min(least, arms[0](below[0], up_to[0]) + arms[1](below[1], up_to[1]));
    std::copy(up_to, up_to + 2, below);
  }
  SequentialQuantileTest test;
  test.e_value = std::exp(std::min(least, 700.0));
  test.p_value = std::min(1.0, 1 / test.e_value);
  return test;
}

Result<QuantileEstimate> sequential_quantile(std::span<const double> values, double probability,
                                             const SequentialQuantileOptions& options) {
  MCOMP_TRY(mixture, make_mixture(probability, options));
  MCOMP_CHECK(check_sample(values, "values"));
  const std::vector<double> ordered = sorted(values);
  const std::size_t n = ordered.size();
  MCOMP_TRY(point, quantile(values, probability));
  QuantileEstimate estimate{
      .probability = probability, .value = point, .level = options.level, .count = static_cast<std::int64_t>(n)};
  const detail::ArmEvidence arm{mixture, static_cast<double>(n)};
  const double threshold = -std::log(1 - options.level), favourite = arm.favourite();
  // A value x with k observations below it and as many at or below it is refused where the evidence against k / n
  // reaches the threshold. The limits are the outermost observations that need not be refused.
  const auto refused = [&](std::size_t k) { return arm(static_cast<double>(k), static_cast<double>(k)) >= threshold; };
  const auto middle = static_cast<std::size_t>(favourite * static_cast<double>(n));
  if (refused(0)) { // the largest refused k below the favourite
    std::size_t yes = 0, no = middle;
    while (no > yes + 1) (refused(yes + (no - yes) / 2) ? yes : no) = yes + (no - yes) / 2;
    estimate.lower = ordered[yes];
  }
  if (refused(n)) { // the smallest above it
    std::size_t yes = n, no = std::min(middle + 1, n);
    while (yes > no + 1) (refused(no + (yes - no) / 2) ? yes : no) = no + (yes - no) / 2;
    estimate.upper = ordered[yes - 1];
  }
  return estimate;
}

} // namespace mcomp::inline v0::stats
