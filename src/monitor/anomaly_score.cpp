#include "mcomp/monitor/anomaly_score.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::monitor {

namespace {

constexpr std::int32_t outside = -1; ///< of a row that lies in no window

std::int64_t size_of(const ScoredSeries& series) {
  return static_cast<std::int64_t>(series.scores.size());
}

/// The window of each row, or `outside`.
std::vector<std::int32_t> windows_of_rows(std::int64_t rows, std::span<const RowWindow> windows) {
  std::vector<std::int32_t> result(static_cast<std::size_t>(rows), outside);
  for (std::size_t k = 0; k < windows.size(); ++k)
    for (std::int64_t i = windows[k].first; i <= windows[k].last; ++i)
      result[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(k);
  return result;
}

Status check_scores(const ScoredSeries& series) {
  for (std::size_t i = 0; i < series.scores.size(); ++i)
    if (std::isnan(series.scores[i]))
      return Error(ErrorCode::invalid_value, series.name + ": scores", fmt::format("that of row {} is NaN", i),
                   "pass a number for every row");
  return {};
}

Result<std::vector<double>> weights_of(const ScoredSeries& series, const ScoreProfile& profile) {
  MCOMP_CHECK(check_scores(series));
  auto weights = anomaly_row_weights(size_of(series), series.windows, profile);
  if (!weights)
    return Error(weights.error().code(), series.name + ": " + weights.error().subject(), weights.error().rule(),
                 weights.error().remedy());
  return weights;
}

/// Windows that reach beyond probation: only those can be found or missed.
std::int64_t countable_windows(const ScoredSeries& series) {
  const std::int64_t begin = probation_rows(size_of(series));
  return std::count_if(series.windows.begin(), series.windows.end(),
                       [&](const RowWindow& window) { return window.last >= begin; });
}

double normalize(double raw, std::span<const ScoredSeries> series, const ScoreProfile& profile) {
  std::int64_t countable = 0, all = 0;
  for (const ScoredSeries& one : series) {
    countable += countable_windows(one);
    all += static_cast<std::int64_t>(one.windows.size());
  }
  const double null = -profile.false_negative * static_cast<double>(countable);
  const double perfect = profile.true_positive * static_cast<double>(all);
  return all == 0 ? std::numeric_limits<double>::quiet_NaN() : 100 * (raw - null) / (perfect - null);
}

SeriesScore score_series(const ScoredSeries& series, std::span<const double> weights, double threshold,
                         const ScoreProfile& profile) {
  const std::int64_t rows = size_of(series);
  const auto windows = windows_of_rows(rows, series.windows);
  std::vector<double> best(series.windows.size(), -std::numeric_limits<double>::infinity());
  SeriesScore result{.name = series.name, .windows = countable_windows(series)};
  for (std::int64_t row = probation_rows(rows); row < rows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const bool detected = series.scores[i] >= threshold, inside = windows[i] != outside;
    if (!detected) {
      ++(inside ? result.counts.false_negative : result.counts.true_negative);
    } else if (inside) {
      ++result.counts.true_positive;
      double& value = best[static_cast<std::size_t>(windows[i])];
      value = std::max(value, weights[i]);
    } else {
      ++result.counts.false_positive;
      result.score += weights[i];
    }
  }
  for (std::size_t k = 0; k < best.size(); ++k) {
    if (series.windows[k].last < probation_rows(rows)) continue;
    result.score += std::max(best[k], -profile.false_negative);
    if (std::isfinite(best[k])) ++result.windows_found;
  }
  return result;
}

/// A row past probation, as the sweep meets it.
struct SweepRow {
  double score = 0, weight = 0;
  std::int64_t window = outside; ///< counted through all series
};

} // namespace

std::int64_t probation_rows(std::int64_t rows) noexcept {
  constexpr std::int64_t most_rows = 5000; // of which 15% are the 750
  return std::clamp(rows, std::int64_t{0}, most_rows) * 15 / 100;
}

double anomaly_sigmoid(double x) noexcept {
  return x > 3 ? -1 : 2 / (1 + std::exp(5 * x)) - 1;
}

Result<std::vector<double>> anomaly_row_weights(std::int64_t rows, std::span<const RowWindow> windows,
                                                const ScoreProfile& profile) {
  if (rows < 0)
    return Error(ErrorCode::invalid_argument, "rows", "their number is negative", "pass the length of the series");
  for (const double weight : {profile.true_positive, profile.false_positive, profile.false_negative})
    if (!std::isfinite(weight) || weight < 0)
      return Error(ErrorCode::invalid_argument, "profile " + profile.name, fmt::format("a weight is {}", weight),
                   "pass weights of 0 or more");
  std::int64_t next = 0;
  for (const RowWindow& window : windows) {
    if (window.first < next || window.last < window.first || window.last >= rows)
      return Error(ErrorCode::invalid_argument, "windows",
                   fmt::format("rows {} to {} overlap the window before, are out of order or leave the {} rows",
                               window.first, window.last, rows),
                   "pass windows in order, first row <= last row");
    next = window.last + 1;
  }
  std::vector<double> weights(static_cast<std::size_t>(rows), -profile.false_positive);
  for (std::size_t k = 0; k < windows.size(); ++k) {
    const auto [first, last] = windows[k];
    const auto width = static_cast<double>(last - first + 1);
    for (std::int64_t i = first; i <= last; ++i)
      weights[static_cast<std::size_t>(i)] =
          profile.true_positive * anomaly_sigmoid(-static_cast<double>(last - i + 1) / width) / anomaly_sigmoid(-1);
    const std::int64_t end = k + 1 < windows.size() ? windows[k + 1].first : rows;
    for (std::int64_t i = last + 1; i < end; ++i) // a window of one row: x is infinite, which is far behind it
      weights[static_cast<std::size_t>(i)] =
          profile.false_positive * anomaly_sigmoid(static_cast<double>(i - last) / (width - 1));
  }
  return weights;
}

Result<AnomalyScore> anomaly_score_at(std::span<const ScoredSeries> series, double threshold,
                                      const ScoreProfile& profile) {
  if (std::isnan(threshold)) return Error(ErrorCode::invalid_argument, "threshold", "it is NaN", "pass a number");
  AnomalyScore result{.threshold = threshold};
  for (const ScoredSeries& one : series) {
    MCOMP_TRY(weights, weights_of(one, profile));
    result.series.push_back(score_series(one, weights, threshold, profile));
    const SeriesScore& score = result.series.back();
    result.raw += score.score;
    result.totals += score.counts;
    result.windows += score.windows;
    result.windows_found += score.windows_found;
  }
  result.normalized = normalize(result.raw, series, profile);
  return result;
}

Result<ThresholdSweep> sweep_thresholds(std::span<const ScoredSeries> series, const ScoreProfile& profile) {
  std::vector<SweepRow> order;
  std::int64_t first_window = 0, countable = 0;
  DetectionCounts counts;
  for (const ScoredSeries& one : series) {
    MCOMP_TRY(weights, weights_of(one, profile));
    const std::int64_t rows = size_of(one);
    const auto windows = windows_of_rows(rows, one.windows);
    for (auto i = static_cast<std::size_t>(probation_rows(rows)); i < one.scores.size(); ++i) {
      const bool inside = windows[i] != outside;
      order.push_back({one.scores[i], weights[i], inside ? first_window + windows[i] : outside});
      ++(inside ? counts.false_negative : counts.true_negative);
    }
    first_window += static_cast<std::int64_t>(one.windows.size());
    countable += countable_windows(one);
  }
  std::stable_sort(order.begin(), order.end(), [](const SweepRow& a, const SweepRow& b) { return a.score > b.score; });

  std::vector<double> best(static_cast<std::size_t>(first_window), -profile.false_negative);
  double raw = -profile.false_negative * static_cast<double>(countable);
  constexpr double nothing = 1.1; // the benchmark's name for a threshold above every score
  const double above = order.empty() || order[0].score < nothing ? nothing : std::numeric_limits<double>::infinity();
  ThresholdSweep sweep{.points = {{above, raw, counts}}};
  for (std::size_t i = 0; i < order.size();) {
    const double threshold = order[i].score;
    for (; i < order.size() && order[i].score == threshold; ++i) {
      const SweepRow& row = order[i];
      if (row.window == outside) {
        ++counts.false_positive;
        --counts.true_negative;
        raw += row.weight;
        continue;
      }
      ++counts.true_positive;
      --counts.false_negative;
      double& value = best[static_cast<std::size_t>(row.window)];
      if (row.weight <= value) continue;
      raw += row.weight - value;
      value = row.weight;
    }
    sweep.points.push_back({threshold, raw, counts});
    if (raw > sweep.points[sweep.best].raw) sweep.best = sweep.points.size() - 1;
  }
  return sweep;
}

Result<AnomalyScore> best_anomaly_score(std::span<const ScoredSeries> series, const ScoreProfile& profile) {
  MCOMP_TRY(sweep, sweep_thresholds(series, profile));
  return anomaly_score_at(series, sweep.points[sweep.best].threshold, profile);
}

std::string to_string(const AnomalyScore& score) {
  return fmt::format("normalized {:.2f} at threshold {:.4g}: {} of {} windows found, {} false positives in {} rows",
                     score.normalized, score.threshold, score.windows_found, score.windows, score.totals.false_positive,
                     score.totals.false_positive + score.totals.true_negative);
}

} // namespace mcomp::inline v0::monitor
