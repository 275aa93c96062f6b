#include "mcomp/calibrate/metrics.hpp"

#include <cmath>
#include <limits>

#include "calibrate/labelled_rows.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

constexpr int most_bins = 1 << 20;

Status check_bins(int bins) {
  if (bins >= 1 && bins <= most_bins) return {};
  return Error(ErrorCode::invalid_argument, "bins", fmt::format("1 .. {} are possible, {} are asked", most_bins, bins),
               "take 15, as most papers do");
}

/// What the metrics add up, one entry a row.
struct RowScores {
  explicit RowScores(std::size_t rows) : confidence(rows), nll(rows), brier(rows), correct(rows) {}
  std::vector<double> confidence, nll, brier;
  std::vector<std::uint8_t> correct;

  /// From weights of the classes that are probabilities but for their sum, and the NLL of the label.
  void set(std::size_t row, const double* weights, std::size_t classes, std::size_t label, double label_nll) {
    double sum = 0, squares = 0;
    std::size_t predicted = 0;
    for (std::size_t j = 0; j < classes; ++j) {
      sum += weights[j];
      squares += weights[j] * weights[j];
      if (weights[j] > weights[predicted]) predicted = j;
    }
    confidence[row] = weights[predicted] / sum;
    correct[row] = predicted == label;
    nll[row] = label_nll;
    brier[row] = squares / (sum * sum) - 2 * weights[label] / sum + 1;
  }
};

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

Result<CalibrationMetrics> summarize(const RowScores& scores, int bins) {
  CalibrationMetrics metrics;
  MCOMP_TRY(reliability, reliability_bins(scores.confidence, scores.correct, bins));
  metrics.bins = std::move(reliability);
  metrics.count = static_cast<std::int64_t>(scores.correct.size());
  const auto right = std::count(scores.correct.begin(), scores.correct.end(), 1);
  metrics.accuracy = static_cast<double>(right) / static_cast<double>(metrics.count);
  metrics.confidence = mean(scores.confidence);
  metrics.nll = mean(scores.nll);
  metrics.brier = mean(scores.brier);
  metrics.ece = expected_calibration_error(metrics.bins);
  metrics.mce = maximum_calibration_error(metrics.bins);
  return metrics;
}

template <class T>
Result<CalibrationMetrics> measure_logits_of(const TensorView& logits, const TensorView& labels, double temperature,
                                             const MetricOptions& options) {
  MCOMP_TRY(data, detail::read_labelled_rows<T>(logits, labels, options.executor));
  RowScores scores(data.rows);
  detail::for_each_row_block(options.executor, data.rows, [&](std::size_t, std::size_t first, std::size_t last) {
    std::vector<double> weights(data.classes);
    for (std::size_t i = first; i < last; ++i) {
      detail::exponentials_at(temperature, data.row(i), data.classes, data.range[i].maximum, weights.data());
      double sum = 0;
      for (const double weight : weights) sum += weight;
      // Through the logit where there is one: the weight of a label far below the maximum has lost its digits.
      const double scaled_gap = data.gap[i] / temperature;
      const double log_weight =
          std::isfinite(scaled_gap) && temperature > 0 ? scaled_gap : std::log(weights[data.label[i]]);
      scores.set(i, weights.data(), data.classes, data.label[i], std::log(sum) - log_weight);
    }
  });
  return summarize(scores, options.bins);
}

/// Whether a row is non-negative (so not NaN) with sum 1 within 0.001; copies it.
template <class T> bool read_probabilities(std::span<const T> row, std::vector<double>& out) {
  double sum = 0;
  bool valid = true;
  for (std::size_t j = 0; j < row.size(); ++j) {
    out[j] = static_cast<double>(row[j]);
    valid = valid && out[j] >= 0;
    sum += out[j];
  }
  return valid && std::abs(sum - 1) <= 1e-3;
}

template <class T>
Result<CalibrationMetrics> measure_probabilities_of(const TensorView& probabilities, const TensorView& labels,
                                                    const MetricOptions& options) {
  MCOMP_TRY(values, probabilities.values<T>("probabilities"));
  const auto rows = static_cast<std::size_t>(probabilities.size(0));
  const auto classes = static_cast<std::size_t>(probabilities.size(1));
  MCOMP_TRY(label, detail::read_labels(labels, rows, classes));
  RowScores scores(rows);
  std::vector<std::uint8_t> valid(rows);
  detail::for_each_row_block(options.executor, rows, [&](std::size_t, std::size_t first, std::size_t last) {
    std::vector<double> weights(classes);
    for (std::size_t i = first; i < last; ++i) {
      valid[i] = read_probabilities(values.subspan(i * classes, classes), weights);
      if (!valid[i]) continue;
      double sum = 0;
      for (const double weight : weights) sum += weight;
      scores.set(i, weights.data(), classes, label[i], std::log(sum) - std::log(weights[label[i]]));
    }
  });
  for (std::size_t i = 0; i < rows; ++i)
    if (!valid[i])
      return Error(ErrorCode::invalid_value, "probabilities",
                   fmt::format("row {} has a number that is NaN or negative, or its sum is not 1 within 0.001", i),
                   "pass probabilities, or logits to measure_logits");
  return summarize(scores, options.bins);
}

} // namespace

Result<std::vector<ReliabilityBin>> reliability_bins(std::span<const double> confidences,
                                                     std::span<const std::uint8_t> correct, int bins) {
  MCOMP_CHECK(check_bins(bins));
  if (confidences.size() != correct.size())
    return Error(
        ErrorCode::invalid_shape, "confidences",
        fmt::format("{} confidences and {} answers: the numbers must agree", confidences.size(), correct.size()),
        "pass both for the same predictions");
  std::vector<ReliabilityBin> result(static_cast<std::size_t>(bins));
  const double M = bins;
  for (std::size_t b = 0; b < result.size(); ++b) {
    result[b].lower = static_cast<double>(b) / M;
    result[b].upper = static_cast<double>(b + 1) / M;
  }
  for (std::size_t i = 0; i < confidences.size(); ++i) {
    const double p = confidences[i];
    // A normalized largest probability may exceed 1 by rounding.
    if (!(p >= 0 && p <= 1 + 1e-12))
      return Error(ErrorCode::invalid_value, "confidences", fmt::format("confidence {} is {}, outside [0, 1]", i, p),
                   "pass probabilities");
    ReliabilityBin& bin = result[static_cast<std::size_t>(std::clamp(std::ceil(M * p) - 1, 0.0, M - 1))];
    ++bin.count;
    bin.confidence += p;
    bin.accuracy += correct[i] != 0;
  }
  for (ReliabilityBin& bin : result) {
    const double count = static_cast<double>(std::max<std::int64_t>(bin.count, 1));
    bin.confidence /= count;
    bin.accuracy /= count;
  }
  return result;
}

double expected_calibration_error(std::span<const ReliabilityBin> bins) noexcept {
  double sum = 0, count = 0;
  for (const ReliabilityBin& bin : bins) {
    sum += static_cast<double>(bin.count) * std::abs(bin.accuracy - bin.confidence);
    count += static_cast<double>(bin.count);
  }
  return count > 0 ? sum / count : 0;
}

double maximum_calibration_error(std::span<const ReliabilityBin> bins) noexcept {
  double largest = 0;
  for (const ReliabilityBin& bin : bins)
    if (bin.count > 0) largest = std::max(largest, std::abs(bin.accuracy - bin.confidence));
  return largest;
}

std::string to_string(const CalibrationMetrics& m) {
  return fmt::format("{} rows: accuracy {:.2f}%, confidence {:.2f}%, NLL {:.4f}, Brier {:.4f}, ECE {:.4f}, MCE {:.4f} "
                     "({} bins)",
                     m.count, 100 * m.accuracy, 100 * m.confidence, m.nll, m.brier, m.ece, m.mce, m.bins.size());
}

Result<CalibrationMetrics> measure_logits(const TensorView& logits, const TensorView& labels, double temperature,
                                          const MetricOptions& options) {
  MCOMP_CHECK(check_bins(options.bins));
  MCOMP_CHECK(detail::check_temperature(temperature));
  MCOMP_CHECK(detail::check_rows(logits, "logits"));
  return logits.dtype() == DType::f32 ? measure_logits_of<float>(logits, labels, temperature, options)
                                      : measure_logits_of<double>(logits, labels, temperature, options);
}

Result<CalibrationMetrics> measure_probabilities(const TensorView& probabilities, const TensorView& labels,
                                                 const MetricOptions& options) {
  MCOMP_CHECK(check_bins(options.bins));
  MCOMP_CHECK(detail::check_rows(probabilities, "probabilities"));
  return probabilities.dtype() == DType::f32 ? measure_probabilities_of<float>(probabilities, labels, options)
                                             : measure_probabilities_of<double>(probabilities, labels, options);
}

} // namespace mcomp::inline v0::calibrate
