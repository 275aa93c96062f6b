#include "mcomp/stats/paired.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"
#include "stats/interval.hpp"
#include "stats/tango.hpp"

namespace mcomp::inline v0::stats {

namespace {

constexpr std::int64_t most_pairs = std::int64_t{1} << 53; // all counts are then exact as double

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(part) / static_cast<double>(whole);
}

Status check_counts(const PairedCounts& counts) {
  std::int64_t room = most_pairs;
  for (const std::int64_t count :
       {counts.both_right, counts.only_baseline_right, counts.only_candidate_right, counts.both_wrong}) {
    if (count < 0 || count > room)
      return Error(ErrorCode::invalid_argument, "paired counts",
                   fmt::format("counts must be at least 0 and 2^53 in all, one is {}", count),
                   "pass counts of examples");
    room -= count;
  }
  if (room == most_pairs)
    return Error(ErrorCode::insufficient_data, "paired counts", "no pairs, so nothing to compare",
                 "run both models on the same examples");
  return {};
}

template <class Label>
Result<PairedCounts> count(std::span<const Label> baseline, std::span<const Label> candidate,
                           std::span<const Label> labels) {
  if (baseline.size() != labels.size() || candidate.size() != labels.size())
    return Error(ErrorCode::invalid_shape, "predictions",
                 fmt::format("{} labels, {} baseline and {} candidate predictions: the numbers must agree",
                             labels.size(), baseline.size(), candidate.size()),
                 "pass one prediction of each model for every label");
  std::int64_t table[2][2] = {};
  for (std::size_t i = 0; i < labels.size(); ++i) ++table[baseline[i] == labels[i]][candidate[i] == labels[i]];
  return PairedCounts{.both_right = table[1][1],
                      .only_baseline_right = table[1][0],
                      .only_candidate_right = table[0][1],
                      .both_wrong = table[0][0]};
}

detail::Tango letters(const PairedCounts& counts) {
  return {static_cast<double>(counts.only_baseline_right), static_cast<double>(counts.only_candidate_right),
          static_cast<double>(counts.pairs())};
}

/// The one-sided limit at a confidence below one half lies on the other side of the estimate.
double limit(const detail::Tango& tango, double confidence) {
  const double z = normal_quantile(confidence);
  return z >= 0 ? tango.upper_limit(z) : tango.lower_limit(-z);
}

} // namespace

double PairedCounts::baseline_accuracy() const noexcept {
  return ratio(both_right + only_baseline_right, pairs());
}
double PairedCounts::candidate_accuracy() const noexcept {
  return ratio(both_right + only_candidate_right, pairs());
}
double PairedCounts::loss() const noexcept {
  return ratio(only_baseline_right - only_candidate_right, pairs());
}

PairedCounts& PairedCounts::operator+=(const PairedCounts& other) noexcept {
  both_right += other.both_right;
  only_baseline_right += other.only_baseline_right;
  only_candidate_right += other.only_candidate_right;
  both_wrong += other.both_wrong;
  return *this;
}

std::string to_string(const PairedCounts& counts) {
  if (counts.pairs() == 0) return "0 pairs";
  return fmt::format("{} pairs: baseline {:.2f}%, candidate {:.2f}%; {} only baseline right, {} only candidate right",
                     counts.pairs(), 100 * counts.baseline_accuracy(), 100 * counts.candidate_accuracy(),
                     counts.only_baseline_right, counts.only_candidate_right);
}

Result<PairedCounts> count_pairs(std::span<const std::int32_t> baseline, std::span<const std::int32_t> candidate,
                                 std::span<const std::int32_t> labels) {
  return count(baseline, candidate, labels);
}
Result<PairedCounts> count_pairs(std::span<const std::int64_t> baseline, std::span<const std::int64_t> candidate,
                                 std::span<const std::int64_t> labels) {
  return count(baseline, candidate, labels);
}

Result<McNemar> mcnemar(const PairedCounts& counts) {
  MCOMP_CHECK(check_counts(counts));
  const auto [b, c, n] = letters(counts);
  McNemar test;
  if (b + c == 0) return test;
  const double difference = std::abs(b - c), corrected = std::max(0.0, difference - 1), smaller = std::min(b, c);
  test.statistic = difference * difference / (b + c);
  test.p_value = chi_squared_tail(test.statistic);
  test.corrected_statistic = corrected * corrected / (b + c);
  test.corrected_p_value = chi_squared_tail(test.corrected_statistic);
  const double twice_tail = 2 * binomial_cdf(smaller, b + c, 0.5);
  test.exact_p_value = std::min(1.0, twice_tail);
  test.mid_p_value = b == c ? 1 : twice_tail - binomial_probability(smaller, b + c, 0.5);
  return test;
}

std::string to_string(const McNemar& test) {
  return fmt::format(
      "McNemar: chi-squared {:.4g} (p {:.4g}), corrected {:.4g} (p {:.4g}), exact p {:.4g}, mid-p {:.4g}",
      test.statistic, test.p_value, test.corrected_statistic, test.corrected_p_value, test.exact_p_value,
      test.mid_p_value);
}

Result<double> tango_statistic(const PairedCounts& counts, double delta) {
  MCOMP_CHECK(check_counts(counts));
  if (!(delta > -1 && delta < 1))
    return Error(ErrorCode::invalid_argument, "delta", fmt::format("a loss lies within (-1, 1), it is {}", delta),
                 "pass a fraction of the examples");
  return letters(counts).statistic(delta);
}

Result<Interval> tango_interval(const PairedCounts& counts, double level) {
  MCOMP_CHECK(check_counts(counts));
  MCOMP_CHECK(detail::check_level(level));
  const detail::Tango tango = letters(counts);
  const double z = -normal_quantile((1 - level) / 2);
  return Interval{tango.lower_limit(z), tango.upper_limit(z), level};
}

Result<double> tango_upper_limit(const PairedCounts& counts, double confidence) {
  MCOMP_CHECK(check_counts(counts));
  MCOMP_CHECK(detail::check_level(confidence, "confidence"));
  return limit(letters(counts), confidence);
}

Result<double> smallest_resolvable_margin(const PairedCounts& counts, double confidence) {
  MCOMP_CHECK(check_counts(counts));
  MCOMP_CHECK(detail::check_level(confidence, "confidence"));
  const auto [b, c, n] = letters(counts);
  return limit({0.5 * (b + c), 0.5 * (b + c), n}, confidence);
}

} // namespace mcomp::inline v0::stats
