#pragma once

// How good is a detector of anomalies on series whose anomalies are known as windows of rows? The rules are those of
// the Numenta anomaly benchmark (Lavin and Ahmad, ICMLA 2015; scoring of NAB 1.1): an early detection in a window earns
// the most, a further one in it nothing, a detection outside costs more the further it lies behind a window, a window
// without any costs most. One threshold serves all series.
//
//     const std::vector<mcomp::monitor::ScoredSeries> series = {{"orders", {{4000, 4400}}, scores}};
//     auto best = mcomp::monitor::best_anomaly_score(series).value();   // at the threshold that suits these series
//     best std::cout << to_string(best);                                     // "normalized 71.3 at threshold 0.5: ..."
//
// What it rewards are early detections in broad windows: an anchor against regressions, and no proof of merit. The
// counts of rows and windows stand beside the score. Rows are numbered from 0.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::monitor {

/// Rows of one labelled anomaly, both ends included.
struct RowWindow {
  std::int64_t first = 0, last = 0;
  friend bool operator==(const RowWindow&, const RowWindow&) = default;
};

/// What a detection is worth. The defaults are the benchmark's standard profile.
struct ScoreProfile {
  std::string name = "standard";
  double true_positive = 1;     ///< gain of a window that is found at its first row
  double false_positive = 0.11; ///< largest cost of a row that is detected outside all windows
  double false_negative = 1;    ///< cost of a window without a detection

  [[nodiscard]] static ScoreProfile standard() { return {}; }
  [[nodiscard]] static ScoreProfile reward_low_false_positives() { return {"reward_low_FP_rate", 1, 0.22, 1}; }
  [[nodiscard]] static ScoreProfile reward_low_false_negatives() { return {"reward_low_FN_rate", 1, 0.11, 2}; }
};

/// What a detector said about one series, and where its anomalies are.
struct ScoredSeries {
  std::string name{};
  std::vector<RowWindow> windows{}; ///< in order, without overlap
  std::span<const double> scores{}; ///< of every row; a row at or above the threshold is detected
};

/// Counts of rows past probation.
struct DetectionCounts {
  std::int64_t true_positive = 0, false_negative = 0, false_positive = 0, true_negative = 0;
  DetectionCounts& operator+=(const DetectionCounts& other) noexcept {
    true_positive += other.true_positive;
    false_negative += other.false_negative;
    false_positive += other.false_positive;
    true_negative += other.true_negative;
    return *this;
  }
  friend bool operator==(const DetectionCounts&, const DetectionCounts&) = default;
};

struct SeriesScore {
  std::string name{};
  double score = 0;
  DetectionCounts counts{};
  std::int64_t windows = 0;       ///< with rows past probation
  std::int64_t windows_found = 0; ///< with a detection
};

struct AnomalyScore {
  double threshold = 0;
  double raw = 0; ///< sum over the series
  /// 100 where every window is found at its first row and nothing else, 0 where nothing is detected; may be negative,
  /// NaN without windows.
  double normalized = 0;
  DetectionCounts totals{};
  std::int64_t windows = 0, windows_found = 0;
  std::vector<SeriesScore> series{};
};

/// One candidate of a sweep: all rows with a score of at least `threshold` are detected.
struct SweepPoint {
  double threshold = 0, raw = 0;
  DetectionCounts counts{};
};

struct ThresholdSweep {
  std::vector<SweepPoint> points{}; ///< by falling threshold; the first, above every score, detects nothing
  std::size_t best = 0;             ///< of the greatest raw score, the highest threshold among equals
};

/// The first rows of a series, in which a detector may learn and nothing counts: 15%, at most 750.
[[nodiscard]] MCOMP_WORKFLOW_API std::int64_t probation_rows(std::int64_t rows) noexcept;

/// s(x) = 2 / (1 + exp(5 x)) - 1, and -1 for x > 3: from 1 far before the end of a window (x = 0) to -1 far behind it.
[[nodiscard]] MCOMP_WORKFLOW_API double anomaly_sigmoid(double x) noexcept;

/// What a detection at each row is worth (probation aside): within a window of width w that ends at R,
/// true_positive s(-(R - i + 1) / w) / s(-1); behind one, false_positive s((i - R) / (w - 1)), by the nearest window
/// before; -false_positive before the first. Error: invalid_argument for windows that overlap, are not in order or
/// leave the rows, and for weights of a profile that are negative or not finite.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<double>>
anomaly_row_weights(std::int64_t rows, std::span<const RowWindow> windows, const ScoreProfile& profile = {});

/// The score at one threshold. O(rows). Errors: as above, invalid_value for a score that is NaN, invalid_argument for a
/// threshold that is NaN.
[[nodiscard]] MCOMP_WORKFLOW_API Result<AnomalyScore>
anomaly_score_at(std::span<const ScoredSeries> series, double threshold, const ScoreProfile& profile = {});

/// Every threshold that makes a difference: one point above all scores, at 1.1 or more, and one at each score that
/// occurs past probation. O(rows log rows). Errors: as above.
[[nodiscard]] MCOMP_WORKFLOW_API Result<ThresholdSweep> sweep_thresholds(std::span<const ScoredSeries> series,
                                                                         const ScoreProfile& profile = {});

/// The score at the best threshold of the sweep. The labels chose it: on other series it will do somewhat worse.
[[nodiscard]] MCOMP_WORKFLOW_API Result<AnomalyScore> best_anomaly_score(std::span<const ScoredSeries> series,
                                                                         const ScoreProfile& profile = {});

/// "normalized 69.34 at threshold 0.5422: 79 of 96 windows found, 130 false positives in 256845 rows"
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const AnomalyScore& score);

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::AnomalyScore> = true;
}
