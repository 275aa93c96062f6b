#include "mcomp/stats/multiple_testing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "stats/interval.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Status check_p_values(std::span<const double> values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(values[i] >= 0 && values[i] <= 1))
      return Error(ErrorCode::invalid_value, "p_values",
                   fmt::format("a p-value lies within 0 .. 1, number {} is {}", i, values[i]),
                   "leave out tests that gave none");
  return {};
}

Status check_e_values(std::span<const double> values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(values[i] >= 0))
      return Error(ErrorCode::invalid_value, "e_values",
                   fmt::format("an e-value is at least 0, number {} is {}", i, values[i]),
                   "leave out tests that gave none");
  return {};
}

/// Positions of the values from the smallest up.
std::vector<std::size_t> ascending(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] != values[b] ? values[a] < values[b] : a < b; });
  return order;
}

/// Step-up: adjusted_(k) = min over j >= k of factor n / j p_(j).
std::vector<double> step_up(std::span<const double> p_values, double factor) {
  const auto order = ascending(p_values);
  const auto n = static_cast<double>(p_values.size());
  std::vector<double> adjusted(p_values.size());
  double least = 1;
  for (std::size_t k = order.size(); k > 0; --k) {
    least = std::min(least, factor * n / static_cast<double>(k) * p_values[order[k - 1]]);
    adjusted[order[k - 1]] = least;
  }
  return adjusted;
}

} // namespace

Result<std::vector<double>> adjust_p_values(std::span<const double> p_values, Correction correction) {
  MCOMP_CHECK(check_p_values(p_values));
  const auto n = static_cast<double>(p_values.size());
  std::vector<double> adjusted(p_values.size());
  switch (correction) {
  case Correction::bonferroni:
    for (std::size_t i = 0; i < p_values.size(); ++i) adjusted[i] = std::min(1.0, n * p_values[i]);
    break;
  case Correction::holm: { // step-down: max over j <= k of (n - j + 1) p_(j)
    double most = 0, left = n;
    for (const std::size_t i : ascending(p_values)) {
      most = std::max(most, std::min(1.0, left * p_values[i]));
      adjusted[i] = most;
      --left;
    }
    break;
  }
  case Correction::benjamini_hochberg:
    return step_up(p_values, 1);
  case Correction::benjamini_yekutieli: {
    double harmonic = 0;
    for (double k = n; k >= 1; --k) harmonic += 1 / k;
    return step_up(p_values, harmonic);
  }
  }
  return adjusted;
}

Result<std::vector<double>> adjust_e_values(std::span<const double> e_values) {
  MCOMP_CHECK(check_e_values(e_values));
  std::vector<double> inverse(e_values.size());
  for (std::size_t i = 0; i < e_values.size(); ++i) inverse[i] = 1 / e_values[i]; // 0 gives infinity
  return step_up(inverse, 1);
}

Result<std::vector<bool>> e_benjamini_hochberg(std::span<const double> e_values, double alpha) {
  MCOMP_CHECK(detail::check_level(alpha, "alpha"));
  MCOMP_TRY(adjusted, adjust_e_values(e_values));
  std::vector<bool> rejected(adjusted.size());
  for (std::size_t i = 0; i < adjusted.size(); ++i) rejected[i] = adjusted[i] <= alpha;
  return rejected;
}

Result<double> mean_e_value(std::span<const double> e_values) {
  MCOMP_CHECK(check_e_values(e_values));
  if (e_values.empty()) return 1.0;
  return std::accumulate(e_values.begin(), e_values.end(), 0.0) / static_cast<double>(e_values.size());
}

Result<double> mean_e_value(std::span<const double> e_values, std::span<const double> weights) {
  MCOMP_CHECK(check_e_values(e_values));
  if (weights.size() != e_values.size())
    return Error(ErrorCode::invalid_shape, "weights",
                 fmt::format("{} e-values, {} weights", e_values.size(), weights.size()), "pass one for each");
  if (e_values.empty()) return 1.0;
  double sum = 0, mean = 0;
  bool positive = true;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    positive &= weights[i] >= 0;
    sum += weights[i];
    if (weights[i] > 0) mean += weights[i] * e_values[i];
  }
  if (!positive || !(std::abs(sum - 1) <= 1e-9))
    return Error(ErrorCode::invalid_argument, "weights",
                 fmt::format("they must not be negative and add up to 1, here {}", sum), "divide them by their sum");
  return mean;
}

Result<double> product_e_value(std::span<const double> e_values) {
  MCOMP_CHECK(check_e_values(e_values));
  double product = 1;
  bool ruined = false;
  for (const double e : e_values) {
    ruined |= e == 0; // whatever comes else, infinity included
    product *= e;
  }
  return ruined ? 0 : product;
}

double p_value_of_e_value(double e_value) noexcept {
  if (!(e_value >= 0)) return nan;
  return e_value > 1 ? 1 / e_value : 1;
}

double e_value_of_p_value(double p_value, double kappa) noexcept {
  if (!(p_value >= 0 && p_value <= 1 && kappa > 0 && kappa < 1)) return nan;
  return kappa * std::pow(p_value, kappa - 1);
}

} // namespace mcomp::inline v0::stats
