#include "mcomp/evaluate/scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

/// The first of the largest numbers of every row.
template <class T> Result<std::vector<std::int32_t>> largest(const TensorView& rows, const std::string& subject) {
  MCOMP_TRY(values, rows.values<T>(subject));
  const auto classes = static_cast<std::size_t>(rows.size(1));
  std::vector<std::int32_t> classes_of_rows;
  classes_of_rows.reserve(static_cast<std::size_t>(rows.size(0)));
  for (std::size_t at = 0; at < values.size(); at += classes) {
    const auto row = values.subspan(at, classes);
    classes_of_rows.push_back(static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin()));
  }
  return classes_of_rows;
}

Result<RowScores> with_classes(calibrate::RowOutcomes outcomes, const TensorView& rows, const std::string& subject) {
  auto predicted = rows.dtype() == DType::f64 ? largest<double>(rows, subject) : largest<float>(rows, subject);
  if (!predicted) return predicted.error();
  return RowScores{.correct = std::move(outcomes.correct),
                   .loss = std::move(outcomes.nll),
                   .predicted = *std::move(predicted),
                   .confidence = std::move(outcomes.confidence)};
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
  if (!(temperature > 0) || !std::isfinite(temperature))
    return Error(ErrorCode::invalid_argument, "temperature",
                 fmt::format("a positive finite number is needed, it is {}", temperature), "fit it again");
  auto outcomes = calibrate::outcomes_of_logits(logits, labels, temperature, executor);
  if (!outcomes) return named(outcomes.error(), subject, "logits");
  return with_classes(*std::move(outcomes), logits, subject);
}

Result<RowScores> score_probabilities(const TensorView& probabilities, const TensorView& labels,
                                      const std::string& subject) {
  auto outcomes = calibrate::outcomes_of_probabilities(probabilities, labels);
  if (!outcomes) return named(outcomes.error(), subject, "probabilities");
  return with_classes(*std::move(outcomes), probabilities, subject);
}

} // namespace mcomp::inline v0::evaluate
