#pragma once

// Is the candidate good enough to replace the baseline? Criteria say what is demanded, evidence what was measured, and
// a verdict answers criterion by criterion. All three are plain values. A pass is always something the evidence shows:
// what was not measured, or not often enough, is "insufficient data" and never a pass.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/stats/interval.hpp"
#include "mcomp/stats/paired.hpp"
#include "mcomp/stats/quantile.hpp"

namespace mcomp::inline v0::evaluate {

/// What a candidate must fulfil. Only what is set is asked.
struct Criteria {
  /// Fraction of the examples by which accuracy may fall: 0.005 is half a per cent of them. Shown by non-inferiority:
  /// the upper limit of the loss (stats::tango_upper_limit) must lie below it.
  std::optional<double> max_accuracy_loss{};
  /// One-sided confidence of every limit: 0.95 is the limit of a two-sided 90% interval. Within [0.5, 1).
  double confidence = 0.95;
  /// Baseline latency by candidate latency, of the median request.
  std::optional<double> min_speedup{};
  /// 99th percentile of the candidate's latency, seconds.
  std::optional<double> max_latency_p99_seconds{};
  /// Candidate bytes by baseline bytes.
  std::optional<double> max_size_ratio{};
  /// Expected calibration error of the candidate less that of the baseline, both after confidence calibration, as a
  /// fraction. May be negative. Shown by an interval of the increase where the evidence has one; otherwise the two
  /// numbers are taken as they are.
  std::optional<double> max_ece_increase{};
  /// Candidate cost by baseline cost.
  std::optional<double> max_monthly_cost_ratio{};
  /// Candidate's peak memory by that of the baseline.
  std::optional<double> max_memory_ratio{};
  /// Mean loss of the candidate less that of the baseline (for classifiers NLL, nats). Shown by its interval.
  std::optional<double> max_loss_increase{};
  /// Fraction of the examples that the baseline gets right and the candidate wrong, whatever it wins elsewhere. Shown
  /// by the upper limit.
  std::optional<double> max_negative_flip_fraction{};

  /// The same as `max_accuracy_loss`, of every slice. That all slices keep the margin is shown by each of them; that
  /// one breaks it is only said at a confidence that holds for all slices together (Bonferroni), or where the slice has
  /// enough rows to show the margin and does not.
  std::optional<double> max_slice_accuracy_loss{};
  /// Margins of single slices, by name ("region=eu"), in place of `max_slice_accuracy_loss`: protected capabilities. A
  /// slice that was not measured is insufficient data.
  std::map<std::string, double> protected_slices{};
  /// The same as `max_ece_increase`, of every slice.
  std::optional<double> max_slice_ece_increase{};
  /// The same as `max_latency_p99_seconds`, of single slices (latency tiers), by name.
  std::map<std::string, double> slice_latency_p99_seconds{};
  /// Rows that a slice must have; with fewer it is insufficient data, whatever it says.
  std::optional<std::int64_t> min_slice_samples{};

  // Fairness, in every dimension that was measured: how much further apart groups may be than they were.
  std::optional<double> max_demographic_parity_increase{};
  std::optional<double> max_equalized_odds_increase{};
  /// Negative flips of the worst group by those of all rows; at least 1.
  std::optional<double> max_disparate_flip_ratio{};

  /// Pairs that the comparison of accuracy must have, whatever it says.
  std::optional<std::int64_t> min_samples{};

  friend bool operator==(const Criteria&, const Criteria&) = default;
};

/// A difference, candidate less baseline, with its interval where there is one.
struct Increase {
  double value = 0;
  std::optional<stats::Interval> interval{};

  friend bool operator==(const Increase&, const Increase&) = default;
};

/// What was measured on one slice, on the same rows for both models.
struct SliceEvidence {
  std::string name{}; ///< "region=eu"
  stats::PairedCounts accuracy{};
  std::int64_t changed = 0; ///< rows whose predicted class changed
  std::optional<double> baseline_ece{}, candidate_ece{};
  std::optional<Increase> ece_increase{};
  std::optional<double> baseline_loss{}, candidate_loss{}; ///< means
  std::optional<Increase> loss_increase{};
  std::optional<stats::LatencySummary> baseline_latency{}, candidate_latency{};

  friend bool operator==(const SliceEvidence&, const SliceEvidence&) = default;
};

/// How far apart groups are, before and after (evaluate/fairness.hpp).
struct FairnessEvidence {
  std::string dimension{};
  std::optional<double> baseline_demographic_parity{}, candidate_demographic_parity{}; ///< differences
  std::optional<double> baseline_equalized_odds{}, candidate_equalized_odds{};         ///< differences
  std::optional<Increase> demographic_parity_increase{}, equalized_odds_increase{};
  std::optional<double> disparate_flip_ratio{};
  std::optional<stats::Interval> disparate_flip_interval{};
  std::string worst_flip_group{};

  friend bool operator==(const FairnessEvidence&, const FairnessEvidence&) = default;
};

/// What was measured. Everything is optional; what is absent is not judged.
struct Evidence {
  std::optional<stats::PairedCounts> accuracy{};
  std::optional<stats::LatencySummary> baseline_latency{}, candidate_latency{};
  /// Median of baseline latency by candidate latency over requests that both served, from
  /// `stats::estimate_quantile(ratios, 0.5, level)`: tighter than two separate medians, and used in their place.
  std::optional<stats::QuantileEstimate> paired_speedup{};
  std::optional<std::int64_t> baseline_bytes{}, candidate_bytes{};
  std::optional<double> baseline_ece{}, candidate_ece{}; ///< on the same rows, after confidence calibration
  std::optional<Increase> ece_increase{};
  std::optional<double> baseline_monthly_cost{}, candidate_monthly_cost{}; ///< in one currency
  std::optional<std::int64_t> baseline_memory_bytes{}, candidate_memory_bytes{};
  std::optional<double> baseline_loss{}, candidate_loss{}; ///< means
  std::optional<Increase> loss_increase{};
  std::vector<SliceEvidence> slices{};
  std::vector<FairnessEvidence> fairness{};

  friend bool operator==(const Evidence&, const Evidence&) = default;
};

enum class Outcome {
  pass,
  fail,
  insufficient_data, ///< the evidence is missing, or too small to say either
};

/// "pass", "fail", "insufficient_data".
[[nodiscard]] MCOMP_API std::string to_string(Outcome outcome);

struct Measurement {
  std::string name{}; ///< with the unit where there is one: "upper_limit_seconds"
  double value = 0;

  friend bool operator==(const Measurement&, const Measurement&) = default;
};

/// The answer to one criterion.
struct Check {
  std::string name{}; ///< of the member of `Criteria`; of slices and dimensions "max_slice_accuracy_loss[region=eu]"
  Outcome outcome = Outcome::insufficient_data;
  std::string sentence{}; ///< what was found, for people
  std::vector<Measurement> numbers{};

  /// The number of that name, or nothing.
  [[nodiscard]] MCOMP_API std::optional<double> number(std::string_view measurement) const;
  friend bool operator==(const Check&, const Check&) = default;
};

/// All answers, in the order of the members of `Criteria`. One fail makes a fail; without one, one lack of data makes
/// insufficient_data.
struct Verdict {
  Outcome outcome = Outcome::insufficient_data;
  std::vector<Check> checks{};

  [[nodiscard]] bool passed() const noexcept { return outcome == Outcome::pass; }
  /// The check of that criterion, or null.
  [[nodiscard]] MCOMP_API const Check* find(std::string_view name) const;
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

/// The outcome, then a line for every check.
[[nodiscard]] MCOMP_API std::string to_string(const Verdict& verdict);
[[nodiscard]] MCOMP_API std::string to_string(const Check& check);
/// The criteria that are set, on one line.
[[nodiscard]] MCOMP_API std::string to_string(const Criteria& criteria);

/// Judges evidence by criteria.
///
/// - max_accuracy_loss passes where the upper limit of the loss lies below the margin, and fails where the lower limit
///   lies above it. Between the two it fails if so many pairs could have shown the margin
///   (stats::smallest_resolvable_margin), and is insufficient if they could not.
/// - min_speedup and max_latency_p99_seconds pass where the limit of their interval keeps the criterion, fail where the
///   other limit breaks it, and fail too where the estimate itself breaks it and the interval is complete; otherwise
///   more requests could show either. Without paired measurements the speedup is the ratio of medians, and its limits
///   are the least and greatest ratio of the two intervals, for which the chances of error add up (conservative).
/// - Increases (ECE, loss, fairness) are decided by their intervals in the same way. ECE and fairness without an
/// interval
///   are compared as they are.
/// - An interval that promises less than `confidence` is insufficient.
/// - max_size_ratio, max_memory_ratio and max_monthly_cost_ratio compare the numbers as they are; equal passes.
/// - Criteria of slices and of fairness have one check for every slice or dimension, and one that says "not measured"
///   where there are none.
///
/// Errors: invalid_argument for criteria without any demand or with one that cannot be; invalid_value for evidence that
/// cannot be (negative counts, NaN, sizes or baseline costs that are not positive, limits out of order).
[[nodiscard]] MCOMP_API Result<Verdict> judge(const Criteria& criteria, const Evidence& evidence);

/// Whether a slice lost accuracy at all, as one test of many.
struct SliceLoss {
  std::string name{};
  double loss = 0;    ///< observed
  double p_value = 1; ///< exact, one-sided: of so many discordant pairs or more against the candidate by chance
  double adjusted_p_value = 1; ///< of all slices together (Benjamini-Yekutieli: slices overlap)
};

/// Slices with an adjusted p-value of at most `level`, the smallest first: where a compression does harm, whatever the
/// margins allow. Among those listed, on average at most the share `level` lost nothing. A slice that is absent is not
/// shown to be unharmed. Errors: invalid_argument for the level, invalid_value for counts that cannot be.
[[nodiscard]] MCOMP_API Result<std::vector<SliceLoss>> harmed_slices(const Evidence& evidence, double level = 0.05);

/// Checks the numbers of criteria alone, as `judge` does. Error: invalid_argument.
[[nodiscard]] MCOMP_API Status check(const Criteria& criteria);

/// Reads an object with the members of `Criteria` as keys. Errors: corrupt for what is no such object (an unknown key
/// among it), invalid_argument as `check`; both name `subject`.
[[nodiscard]] MCOMP_API Result<Criteria> criteria_from_json(std::string_view json, std::string subject);
/// What `criteria_from_json` reads back to an equal value.
[[nodiscard]] MCOMP_API std::string to_json(const Criteria& criteria);
/// {"outcome": ..., "checks": [{"name", "outcome", "sentence", "numbers": {...}}]}
[[nodiscard]] MCOMP_API std::string to_json(const Verdict& verdict);

} // namespace mcomp::inline v0::evaluate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<evaluate::Outcome> = true;
template <> inline constexpr bool enable_format<evaluate::Check> = true;
template <> inline constexpr bool enable_format<evaluate::Verdict> = true;
template <> inline constexpr bool enable_format<evaluate::Criteria> = true;
} // namespace mcomp::inline v0
