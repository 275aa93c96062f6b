#pragma once

// Fairness of one model over groups, and of a compression over groups. Metrics by group as Fairlearn's MetricFrame has
// them (Bird et al. 2020), demographic parity and equalized odds (Hardt, Price and Srebro, NeurIPS 2016), the
// generalized entropy index (Speicher et al., KDD 2018), disparate flips and compression-identified exemplars (Hooker
// et al., "Characterising Bias in Compressed Models", 2020).
//
//     auto frame = evaluate::metric_frame({{"accuracy", right}}, region).value();
//     auto parity = evaluate::group_fairness(labels, predicted, region, 1).value();
//     fmt::print("{}\n{}\n", frame, parity);

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mcomp/evaluate/scores.hpp"
#include "mcomp/evaluate/slices.hpp"
#include "mcomp/stats/interval.hpp"
#include "mcomp/stats/paired.hpp"

namespace mcomp::inline v0::evaluate {

/// A number of any set of rows; NaN where those rows have none (no positive labels, for instance).
using RowMetric = std::function<double(std::span<const std::int64_t> rows)>;

struct GroupMetrics {
  std::string group{};
  std::int64_t rows = 0;
  std::vector<double> values{}; ///< one a metric; NaN for a group without rows

  friend bool operator==(const GroupMetrics&, const GroupMetrics&) = default;
};

/// What the numbers of groups are set against.
enum class Against {
  each_other, ///< largest and smallest group
  overall,    ///< the group farthest from all rows together
};

/// Metrics of all rows and of every group. Groups whose number is NaN take no part in differences and ratios.
struct MetricFrame {
  std::string dimension{};
  std::vector<std::string> metrics{};
  std::vector<double> overall{};
  std::vector<GroupMetrics> groups{};

  /// Largest difference; NaN where fewer than one group (each_other: two) have a number.
  [[nodiscard]] MCOMP_API double difference(std::size_t metric, Against against = Against::each_other) const noexcept;
  /// Smallest ratio of the smaller to the larger number, within 0 .. 1 for numbers that are not negative; 1 where both
  /// are 0.
  [[nodiscard]] MCOMP_API double ratio(std::size_t metric, Against against = Against::each_other) const noexcept;
  [[nodiscard]] MCOMP_API double smallest(std::size_t metric) const noexcept;
  [[nodiscard]] MCOMP_API double largest(std::size_t metric) const noexcept;
  /// Mean over groups, every group counting the same.
  [[nodiscard]] MCOMP_API double group_mean(std::size_t metric) const noexcept;
};

/// A table: groups by metrics.
[[nodiscard]] MCOMP_API std::string to_string(const MetricFrame& frame);

/// Errors: invalid_argument without metrics; those of `check` of the slicing. Control features: pass
/// `intersect(control, group)`, or `within` for one frame for each group of a control.
[[nodiscard]] MCOMP_API Result<MetricFrame> metric_frame(const std::vector<std::pair<std::string, RowMetric>>& metrics,
                                                         const Slicing& slicing);

/// A frame for every group of `control`, of its rows alone. Errors: as above.
[[nodiscard]] MCOMP_API Result<std::vector<std::pair<std::string, MetricFrame>>>
metric_frames_within(const Slicing& control, const std::vector<std::pair<std::string, RowMetric>>& metrics,
                     const Slicing& slicing);

/// Rates of one class against all others in one group; NaN where nothing can be counted.
struct GroupRates {
  std::string group{};
  std::int64_t rows = 0, positives = 0, predicted = 0; ///< all, labelled and predicted as the class
  double selection_rate = 0;                           ///< P(predicted)
  double true_positive_rate = 0;                       ///< P(predicted | labelled)
  double false_positive_rate = 0;                      ///< P(predicted | not labelled)
  double precision = 0;                                ///< P(labelled | predicted)
};

/// Groups set against each other: largest difference and smallest ratio of two groups.
struct GroupFairness {
  std::string dimension{};
  std::int32_t positive_class = 1;
  std::vector<GroupRates> groups{};
  double demographic_parity_difference = 0, demographic_parity_ratio = 1; ///< of selection rates
  double equalized_odds_difference = 0, equalized_odds_ratio = 1;       ///< the worse of true and false positive rates
  double equal_opportunity_difference = 0, equal_opportunity_ratio = 1; ///< of true positive rates
  double predictive_parity_difference = 0, predictive_parity_ratio = 1; ///< of precisions
};

[[nodiscard]] MCOMP_API std::string to_string(const GroupFairness& fairness);

/// Labels and predictions are classes; one of them is the positive one.
/// Errors: invalid_shape where lengths differ; insufficient_data without rows; those of `check` of the slicing.
[[nodiscard]] MCOMP_API Result<GroupFairness> group_fairness(std::span<const std::int32_t> labels,
                                                             std::span<const std::int32_t> predicted,
                                                             const Slicing& slicing, std::int32_t positive_class = 1);

/// The class whose rates differ most, for tasks of several classes: demographic parity and equalized odds each take
/// their own worst class; the others come from the class of the worst equalized odds.
[[nodiscard]] MCOMP_API Result<GroupFairness> worst_class_fairness(std::span<const std::int32_t> labels,
                                                                   std::span<const std::int32_t> predicted,
                                                                   const Slicing& slicing, std::int32_t classes);

/// Generalized entropy of benefits b_i >= 0: mean((b/mu)^alpha - 1) / (alpha (alpha - 1)); alpha 1 is the Theil index,
/// alpha 0 the mean log deviation. 0 where all are equal. Errors: insufficient_data without benefits; invalid_value for
/// NaN, infinite or negative ones, or all zero; invalid_argument for alpha that is NaN or infinite.
[[nodiscard]] MCOMP_API Result<double> generalized_entropy(std::span<const double> benefits, double alpha = 2);
/// Benefits of binary decisions: 1 + predicted - label.
[[nodiscard]] MCOMP_API Result<double> generalized_entropy_of_decisions(std::span<const std::int32_t> labels,
                                                                        std::span<const std::int32_t> predicted,
                                                                        std::int32_t positive_class = 1,
                                                                        double alpha = 2);

/// What a compression did to one group, on the same rows.
struct GroupDelta {
  std::string group{};
  stats::PairedCounts accuracy{};
  std::int64_t changed = 0;              ///< rows whose predicted class changed (churn); 0 where classes are unknown
  double negative_flip_rate = 0;         ///< right before, wrong after, by all rows; NaN without rows
  std::optional<stats::Interval> loss{}; ///< Tango's interval; none without rows
};

struct CompressionFairness {
  std::string dimension{};
  GroupDelta overall{};
  std::vector<GroupDelta> groups{};
  /// Largest negative flip rate of a group by that of all rows: 1 where a compression hurts all alike. 1 where nothing
  /// flipped.
  double disparate_flip_ratio = 1;
  std::string worst_group{}; ///< whose rate that is; empty where nothing flipped
};

[[nodiscard]] MCOMP_API std::string to_string(const CompressionFairness& fairness);

/// @param min_rows groups of fewer rows are listed and not taken for the ratio: a rate of three rows says nothing
/// Errors: those of `check` of the scores and the slicing; invalid_shape where rows differ; invalid_argument for the
/// level.
[[nodiscard]] MCOMP_API Result<CompressionFairness>
compression_fairness(const RowScores& baseline, const RowScores& candidate, const Slicing& slicing,
                     std::int64_t min_rows = 30, double level = 0.95);

/// Rows on which models of two families disagree: the most frequent class of several baselines (trainings, seeds)
/// against that of several candidates (recipes with other seeds, bootstrap calibrations). Few of either find fewer.
struct CompressionExemplar {
  std::int64_t row = 0;
  std::int32_t baseline_class = 0, candidate_class = 0;
  double baseline_share = 0, candidate_share = 0; ///< of the models that chose it

  friend bool operator==(const CompressionExemplar&, const CompressionExemplar&) = default;
};

/// Of equally frequent classes the smallest counts. Exemplars with the largest product of shares come first, then in
/// order of rows. Errors: invalid_argument without models on either side; invalid_shape where rows differ.
[[nodiscard]] MCOMP_API Result<std::vector<CompressionExemplar>>
compression_exemplars(const std::vector<std::vector<std::int32_t>>& baselines,
                      const std::vector<std::vector<std::int32_t>>& candidates);

} // namespace mcomp::inline v0::evaluate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<evaluate::MetricFrame> = true;
template <> inline constexpr bool enable_format<evaluate::GroupFairness> = true;
template <> inline constexpr bool enable_format<evaluate::CompressionFairness> = true;
} // namespace mcomp::inline v0
