#include "mcomp/evaluate/scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/calibrate/softmax.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

/// Columns of rows that are known to be distributions.
template <class T, class Label>
RowScores columns(std::span<const T> probabilities, std::span<const Label> labels, std::size_t classes) {
  RowScores scores;
  scores.correct.reserve(labels.size());
  scores.loss.reserve(labels.size());
  scores.predicted.reserve(labels.size());
  scores.confidence.reserve(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto row = probabilities.subspan(i * classes, classes);
    const auto top = std::max_element(row.begin(), row.end());
    const auto predicted = static_cast<std::int32_t>(top - row.begin());
    double sum = 0;
    for (const T p : row) sum += static_cast<double>(p);
    scores.predicted.push_back(predicted);
    scores.correct.push_back(static_cast<std::int64_t>(labels[i]) == predicted ? 1 : 0);
    scores.confidence.push_back(std::min(1.0, static_cast<double>(*top) / sum));
    scores.loss.push_back(
        std::max(0.0, -std::log(static_cast<double>(row[static_cast<std::size_t>(labels[i])]) / sum)));
  }
  return scores;
}

template <class T> Result<RowScores> columns_of(const TensorView& probabilities, const TensorView& labels) {
  MCOMP_TRY(p, probabilities.values<T>("probabilities"));
  const auto classes = static_cast<std::size_t>(probabilities.size(1));
  if (labels.dtype() == DType::int64) {
    MCOMP_TRY(y, labels.values<std::int64_t>("labels"));
    return columns(p, y, classes);
  }
  MCOMP_TRY(y, labels.values<std::int32_t>("labels"));
  return columns(p, y, classes);
}

/// log p(label) of logits, without the detour over a probability that may be too small for its type.
template <class T, class Label>
RowScores logit_columns(std::span<const T> logits, std::span<const Label> labels, std::size_t classes,
                        double temperature) {
  RowScores scores;
  const std::size_t rows = labels.size();
  scores.correct.reserve(rows);
  scores.loss.reserve(rows);
  scores.predicted.reserve(rows);
  scores.confidence.reserve(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto row = logits.subspan(i * classes, classes);
    const auto top = std::max_element(row.begin(), row.end());
    const auto largest = static_cast<double>(*top);
    double sum = 0;
    for (const T z : row) sum += std::exp((static_cast<double>(z) - largest) / temperature);
    const auto predicted = static_cast<std::int32_t>(top - row.begin());
    scores.predicted.push_back(predicted);
    scores.correct.push_back(static_cast<std::int64_t>(labels[i]) == predicted ? 1 : 0);
    scores.confidence.push_back(1 / sum);
    const double gap = (static_cast<double>(row[static_cast<std::size_t>(labels[i])]) - largest) / temperature;
    scores.loss.push_back(std::max(0.0, std::log(sum) - gap));
  }
  return scores;
}

template <class T>
Result<RowScores> logit_columns_of(const TensorView& logits, const TensorView& labels, double temperature) {
  MCOMP_TRY(z, logits.values<T>("logits"));
  const auto classes = static_cast<std::size_t>(logits.size(1));
  if (labels.dtype() == DType::int64) {
    MCOMP_TRY(y, labels.values<std::int64_t>("labels"));
    return logit_columns(z, y, classes, temperature);
  }
  MCOMP_TRY(y, labels.values<std::int32_t>("labels"));
  return logit_columns(z, y, classes, temperature);
}

Error named(const Error& error, const std::string& subject, const char* own) {
  return error.subject() == own ? Error(error.code(), subject, error.rule(), error.remedy()) : error;
}

} // namespace

double RowScores::accuracy() const noexcept {
  if (correct.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto right = std::count_if(correct.begin(), correct.end(), [](std::uint8_t c) { return c != 0; });
  return static_cast<double>(right) / static_cast<double>(correct.size());
}

Status check(const RowScores& scores, const char* subject) {
  const std::size_t rows = scores.correct.size();
  if (rows == 0) return Error(ErrorCode::insufficient_data, subject, "there are no rows", "score at least one");
  const auto fits = [&](std::size_t size, bool optional) { return size == rows || (optional && size == 0); };
  if (!fits(scores.loss.size(), false) || !fits(scores.predicted.size(), true) || !fits(scores.confidence.size(), true))
    return Error(ErrorCode::invalid_shape, subject,
                 fmt::format("columns of {} correct, {} losses, {} predictions, {} confidences", rows,
                             scores.loss.size(), scores.predicted.size(), scores.confidence.size()),
                 "give every column one entry a row");
  for (std::size_t i = 0; i < rows; ++i)
    if (std::isnan(scores.loss[i]))
      return Error(ErrorCode::invalid_value, subject, fmt::format("row {} has a loss that is NaN", i),
                   "score it again");
  for (std::size_t i = 0; i < scores.confidence.size(); ++i)
    if (!(scores.confidence[i] >= 0 && scores.confidence[i] <= 1))
      return Error(ErrorCode::invalid_value, subject,
                   fmt::format("row {} has confidence {}, outside [0, 1]", i, scores.confidence[i]),
                   "give the probability of the predicted class");
  return {};
}

Result<RowScores> score_logits(const TensorView& logits, const TensorView& labels, double temperature,
                               const std::string& subject, Executor* executor) {
  // Its checks are those that are needed here, and its numbers cost one pass.
  if (const auto valid = calibrate::measure_logits(logits, labels, temperature, {.executor = executor}); !valid)
    return named(valid.error(), subject, "logits");
  if (!(temperature > 0) || !std::isfinite(temperature))
    return Error(ErrorCode::invalid_argument, "temperature",
                 fmt::format("a positive finite number is needed, it is {}", temperature), "fit it again");
  return logits.dtype() == DType::f64 ? logit_columns_of<double>(logits, labels, temperature)
                                      : logit_columns_of<float>(logits, labels, temperature);
}

Result<RowScores> score_probabilities(const TensorView& probabilities, const TensorView& labels,
                                      const std::string& subject) {
  if (const auto valid = calibrate::measure_probabilities(probabilities, labels); !valid)
    return named(valid.error(), subject, "probabilities");
  return probabilities.dtype() == DType::f64 ? columns_of<double>(probabilities, labels)
                                             : columns_of<float>(probabilities, labels);
}

} // namespace mcomp::inline v0::evaluate
