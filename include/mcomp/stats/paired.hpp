#pragma once

// Is the candidate as accurate as the baseline? Both can run on the same examples, so the question is a paired one:
// only the examples on which exactly one of them is right carry information. Written as Tango (Statistics in Medicine
// 17, 1998) has it: b examples only the baseline gets right, c only the candidate, n in all; the loss of accuracy is
// delta = (b - c) / n, positive where the candidate is worse.

#include <cstdint>
#include <span>
#include <string>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/interval.hpp"

namespace mcomp::inline v0::stats {

/// How often two models were right and wrong on the same examples.
struct PairedCounts {
  std::int64_t both_right = 0;
  std::int64_t only_baseline_right = 0;  ///< b
  std::int64_t only_candidate_right = 0; ///< c
  std::int64_t both_wrong = 0;

  /// n. The functions below refuse negative counts and more than 2^53 pairs; so may this only be asked of sane counts.
  [[nodiscard]] std::int64_t pairs() const noexcept {
    return both_right + only_baseline_right + only_candidate_right + both_wrong;
  }
  /// Right answers by the number of pairs, NaN without pairs.
  [[nodiscard]] MCOMP_API double baseline_accuracy() const noexcept;
  [[nodiscard]] MCOMP_API double candidate_accuracy() const noexcept;
  /// (b - c) / n, NaN without pairs.
  [[nodiscard]] MCOMP_API double loss() const noexcept;

  /// Joins the counts of two sets of examples.
  MCOMP_API PairedCounts& operator+=(const PairedCounts& other) noexcept;
  friend bool operator==(const PairedCounts&, const PairedCounts&) = default;
};

/// "10000 pairs: baseline 93.39%, candidate 93.02%; 120 only baseline right, 83 only candidate right"
[[nodiscard]] MCOMP_API std::string to_string(const PairedCounts& counts);

/// Counts predicted classes against labels. Spans of length zero give zero counts. Error: invalid_shape where lengths
/// differ.
[[nodiscard]] MCOMP_API Result<PairedCounts> count_pairs(std::span<const std::int32_t> baseline,
                                                         std::span<const std::int32_t> candidate,
                                                         std::span<const std::int32_t> labels);
[[nodiscard]] MCOMP_API Result<PairedCounts> count_pairs(std::span<const std::int64_t> baseline,
                                                         std::span<const std::int64_t> candidate,
                                                         std::span<const std::int64_t> labels);

/// McNemar's test that both models are equally accurate (Psychometrika 12, 1947), in its four usual forms, two-sided.
/// Without discordant pairs the statistics are 0 and the p-values 1.
struct McNemar {
  double statistic = 0;           ///< (b - c)^2 / (b + c), chi-squared with one degree of freedom
  double p_value = 1;             ///< of `statistic`; for many discordant pairs
  double corrected_statistic = 0; ///< (|b - c| - 1)^2 / (b + c), 0 where |b - c| <= 1: Edwards' continuity correction
  double corrected_p_value = 1;
  double exact_p_value = 1; ///< binomial, twice the smaller tail: never too small, too large for few discordant pairs
  double mid_p_value = 1; ///< twice the smaller tail with half the weight of the outcome itself (Fagerland et al. 2013)
};

/// A large p-value does not say that the models are equal; that is what `tango_upper_limit` is for.
/// Errors: insufficient_data without pairs, invalid_argument for negative counts.
[[nodiscard]] MCOMP_API Result<McNemar> mcnemar(const PairedCounts& counts);

[[nodiscard]] MCOMP_API std::string to_string(const McNemar& test);

// Tango's score statistic and what follows from it. The loss `delta` is a fraction of the examples.
// Errors of all: insufficient_data without pairs; invalid_argument for negative counts, a level outside (0, 1), or a
// delta outside (-1, 1).

/// T(delta) = (b - c - n delta) / sqrt(n (2 q + delta (1 - delta))), with q the maximum likelihood estimate of P(only
/// candidate right) where the loss is delta. T(0)^2 is McNemar's statistic; 0 where both numerator and denominator are.
[[nodiscard]] MCOMP_API Result<double> tango_statistic(const PairedCounts& counts, double delta);

/// The losses that the score test does not reject at `level`, two-sided.
[[nodiscard]] MCOMP_API Result<Interval> tango_interval(const PairedCounts& counts, double level = 0.95);

/// The one-sided upper limit of the loss. The candidate is non-inferior at a margin where this lies below the margin.
/// It equals the upper end of `tango_interval` at level 2 confidence - 1.
[[nodiscard]] MCOMP_API Result<double> tango_upper_limit(const PairedCounts& counts, double confidence = 0.95);

/// What so many pairs with so much disagreement can show at best: the upper limit that these counts would have had with
/// the discordant pairs split evenly, that is, without any observed loss. Only a candidate observed to be *better*
/// passes a smaller margin; so a comparison that fails such a margin says "too few pairs", not "worse".
[[nodiscard]] MCOMP_API Result<double> smallest_resolvable_margin(const PairedCounts& counts, double confidence = 0.95);

} // namespace mcomp::inline v0::stats

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<stats::PairedCounts> = true;
template <> inline constexpr bool enable_format<stats::McNemar> = true;
} // namespace mcomp::inline v0
