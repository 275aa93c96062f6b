#pragma once

// Latency objectives and comparisons: does p99 stay below its limit, is the candidate faster, and in which stage.
//
//     auto answer = mcomp::stats::tail_objective({.late = 12, .queries = 5000, .percentile = 0.99}).value();
//     if (answer.verdict == mcomp::stats::TailVerdict::met) ...
//
// Queries count as independent. Bursts and queries of one user are not: compare what stats/bootstrap.hpp gives for
// clusters of users.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/stats/interval.hpp"
#include "mcomp/stats/quantile.hpp"
#include "mcomp/stats/sketch.hpp"

namespace mcomp::inline v0::stats {

enum class TailVerdict {
  met,               ///< the percentile is below the limit, at the confidence asked for
  missed,            ///< it is above it, at the same confidence
  insufficient_data, ///< neither can be said yet: never a pass
};
[[nodiscard]] MCOMP_API std::string to_string(TailVerdict verdict);

/// "`percentile` of all queries are within the limit", and what was seen.
struct TailObjective {
  std::int64_t late = 0;    ///< queries over the limit
  std::int64_t queries = 0; ///< in all
  double percentile = 0.99;
  double confidence = 0.99;
};

struct TailAnswer {
  TailVerdict verdict = TailVerdict::insufficient_data;
  double late_fraction = 0;
  std::int64_t queries_needed = 0; ///< least number with which so many late ones would still meet the objective
  friend bool operator==(const TailAnswer&, const TailAnswer&) = default;
};

/// MLPerf Inference's early stopping rule (Reddi et al., ISCA 2020, and the rules of MLPerf Inference): met once
/// P(Binomial(queries, 1 - percentile) <= late) <= 1 - confidence. Decide the number of queries beforehand, or use
/// SequentialProportion to look all the time. Errors: invalid_argument for counts that cannot be or exceed 2^53, or a
/// percentile or confidence outside (0, 1).
[[nodiscard]] MCOMP_API Result<TailAnswer> tail_objective(const TailObjective& objective);

/// The least n with I(percentile; n - late, late + 1) <= 1 - confidence. Errors as above.
[[nodiscard]] MCOMP_API Result<std::int64_t> tail_queries_needed(std::int64_t late, double percentile,
                                                                 double confidence = 0.99);

/// MLPerf's number of queries for a tail latency: z^2 p (1 - p) / margin^2, to the nearest, with z the normal quantile
/// at (1 + confidence) / 2; then up to a multiple (MLPerf: 8192). margin 0 stands for MLPerf's (1 - p) / 20. Errors:
/// invalid_argument for fractions outside (0, 1), a multiple below 1, or more than 2^53 queries.
[[nodiscard]] MCOMP_API Result<std::int64_t> tail_sample_size(double percentile, double confidence = 0.99,
                                                              double margin = 0, std::int64_t multiple = 1);

/// The same quantile of two independent samples.
struct QuantileComparison {
  QuantileEstimate baseline{}, candidate{}; ///< each at the square root of the level, so that both hold at `level`
  std::optional<Interval> difference{};     ///< candidate - baseline; absent where a sample is too small
  std::optional<Interval> ratio{};          ///< candidate / baseline; absent also where a limit is not positive
  double level = 0;
  friend bool operator==(const QuantileComparison&, const QuantileComparison&) = default;
};
/// "p99: 0.0131 -> 0.0102, difference [-0.0051, -0.0012], ratio [0.67, 0.9] (95%)"
[[nodiscard]] MCOMP_API std::string to_string(const QuantileComparison& comparison);

/// By order statistics, without assumptions on the distributions; covers with at least its level. Errors as of
/// `estimate_quantile`.
[[nodiscard]] MCOMP_API Result<QuantileComparison> compare_quantiles(std::span<const double> baseline,
                                                                     std::span<const double> candidate,
                                                                     double probability, double level = 0.95);
/// From sketches, whose relative accuracy the limits allow for.
[[nodiscard]] MCOMP_API Result<QuantileComparison> compare_quantiles(const QuantileSketch& baseline,
                                                                     const QuantileSketch& candidate,
                                                                     double probability, double level = 0.95);

/// Latencies end to end and by stage (queue, preprocessing, model, postprocessing, or what the caller names), in
/// seconds: a sketch each. A plain value; `add` allocates nothing.
class MCOMP_API StageLatencies {
 public:
  /// Errors: invalid_argument for no stage, an empty name or one that is there twice, or options of a sketch that
  /// cannot be; `negative_values` is taken as false.
  [[nodiscard]] static Result<StageLatencies> create(std::vector<std::string> stages = {"queue", "preprocessing",
                                                                                        "model", "postprocessing"},
                                                     const SketchOptions& options = {});

  /// One request: seconds of each stage in the order of `stages()`, and end to end. Nothing is counted unless all are
  /// finite and at least 0. Errors: invalid_shape, invalid_value.
  [[nodiscard]] Status add(std::span<const double> seconds, double end_to_end);
  /// The same where the stages follow one another without gaps: end to end is their sum.
  [[nodiscard]] Status add(std::span<const double> seconds);

  /// Error: invalid_argument where stages or options differ.
  [[nodiscard]] Status merge(const StageLatencies& other);

  [[nodiscard]] const std::vector<std::string>& stages() const noexcept { return stages_; }
  [[nodiscard]] std::int64_t count() const noexcept { return end_to_end_.count(); }
  [[nodiscard]] const QuantileSketch& end_to_end() const noexcept { return end_to_end_; }
  /// Error: not_found.
  [[nodiscard]] Result<const QuantileSketch*> stage(const std::string& name) const;
  /// The part of the mean end-to-end latency that a stage takes; NaN before the first request. Error: not_found.
  [[nodiscard]] Result<double> share(const std::string& name) const;

  friend bool operator==(const StageLatencies&, const StageLatencies&) = default;

 private:
  StageLatencies(std::vector<std::string> stages, const QuantileSketch& empty);
  std::vector<std::string> stages_;
  std::vector<QuantileSketch> sketches_;
  QuantileSketch end_to_end_;
};

/// A line for the whole and one for each stage: mean, share, p50, p95, p99.
[[nodiscard]] MCOMP_API std::string to_string(const StageLatencies& latencies);

} // namespace mcomp::inline v0::stats

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<stats::TailVerdict> = true;
template <> inline constexpr bool enable_format<stats::QuantileComparison> = true;
template <> inline constexpr bool enable_format<stats::StageLatencies> = true;
} // namespace mcomp::inline v0
