#include "mcomp/monitor/label_free.hpp"

#include <algorithm>
#include <cmath>

#include "core/json_schema.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"

namespace mcomp::inline v0::monitor {

namespace {

constexpr double unit = 1e-6; // of the sums of a series

Status check(const LabelFreeOptions& options) {
  if (options.calibration_rows < 0)
    return Error(ErrorCode::invalid_argument, "calibration_rows", fmt::format("{}", options.calibration_rows),
                 "pass how many labelled rows the calibrator was fitted on, or 0");
  if (!(options.level > 0 && options.level < 1))
    return Error(ErrorCode::invalid_argument, "level", fmt::format("{} is not within (0, 1)", options.level),
                 "pass for example 0.95");
  return {};
}

/// From the mean of p and that of p (1 - p).
AccuracyEstimate estimate(double mean, double variance, std::int64_t count, const LabelFreeOptions& options) {
  double of_mean = variance / static_cast<double>(count);
  if (options.calibration_rows > 0) of_mean += variance / static_cast<double>(options.calibration_rows);
  const double reach = stats::normal_quantile(0.5 + options.level / 2) * std::sqrt(of_mean);
  AccuracyEstimate result;
  result.accuracy = mean;
  result.interval = {std::max(mean - reach, 0.0), std::min(mean + reach, 1.0), options.level};
  result.count = count;
  result.calibration_rows = options.calibration_rows;
  return result;
}

Error none() {
  return Error(ErrorCode::insufficient_data, "confidences", "there are none", "record the confidence of each answer");
}

} // namespace

Result<AccuracyEstimate> estimate_accuracy(std::span<const double> confidences, const LabelFreeOptions& options) {
  MCOMP_CHECK(check(options));
  if (confidences.empty()) return none();
  double sum = 0, variance = 0;
  for (const double p : confidences) {
    if (!(p >= 0 && p <= 1))
      return Error(ErrorCode::invalid_value, "confidences", fmt::format("{} is not within [0, 1]", p),
                   "pass calibrated probabilities");
    sum += p;
    variance += p * (1 - p);
  }
  const auto n = static_cast<double>(confidences.size());
  return estimate(std::min(sum / n, 1.0), variance / n, static_cast<std::int64_t>(confidences.size()), options);
}

Result<AccuracyEstimate> estimate_accuracy(const SeriesSnapshot& series, const LabelFreeOptions& options) {
  MCOMP_CHECK(check(options));
  if (series.confident <= 0) return none();
  const auto n = static_cast<double>(series.confident);
  return estimate(std::min(unit * static_cast<double>(series.confidence) / n, 1.0),
                  unit * static_cast<double>(series.confidence_variance) / n, series.confident, options);
}

Result<std::vector<AccuracyEstimate>> estimate_accuracy_by(const ServiceSnapshot& snapshot, std::string_view dimension,
                                                           const LabelFreeOptions& options) {
  MCOMP_CHECK(check(options));
  MCOMP_TRY(slices, snapshot.by(dimension));
  std::vector<AccuracyEstimate> result;
  for (const SeriesSnapshot& slice : slices) {
    if (slice.confident <= 0) continue;
    MCOMP_TRY(one, estimate_accuracy(slice, options));
    const auto named = std::find_if(slice.labels.begin(), slice.labels.end(), [](const auto& l) { return !l.empty(); });
    one.slice = fmt::format("{}={}", dimension, named == slice.labels.end() ? "" : *named);
    result.push_back(std::move(one));
  }
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.accuracy < b.accuracy; });
  return result;
}

std::string to_string(const AccuracyEstimate& e) {
  return fmt::format("{}accuracy {:.4f} {} of {} requests without labels, {}{}", e.slice.empty() ? "" : e.slice + ": ",
                     e.accuracy, e.interval, e.count, e.assumption,
                     e.calibration_rows > 0 ? fmt::format(" ({} rows)", e.calibration_rows) : std::string());
}

std::string to_json(const AccuracyEstimate& e) {
  return mcomp::detail::dumped({{"schema", "mcomp-accuracy-estimate-1"},
                                {"accuracy", e.accuracy},
                                {"lower", e.interval.lower},
                                {"upper", e.interval.upper},
                                {"level", e.interval.level},
                                {"count", e.count},
                                {"calibration_rows", e.calibration_rows},
                                {"slice", e.slice},
                                {"assumption", e.assumption}});
}

} // namespace mcomp::inline v0::monitor
