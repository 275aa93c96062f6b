#include "mcomp/calibrate/calibration_window.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "calibrate/labelled_rows.hpp"
#include "calibrate/row_kernels.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

std::string to_string(const WindowMetrics& metrics) {
  return fmt::format("{} rows: accuracy {:.2f}%, confidence {:.2f}%, NLL {:.4f}, Brier {:.4f}, ECE {:.4f}",
                     metrics.count, 100 * metrics.accuracy, 100 * metrics.confidence, metrics.nll, metrics.brier,
                     metrics.ece);
}

void CalibrationWindow::Sums::add(const Row& row, std::int64_t sign) noexcept {
  const double s = static_cast<double>(sign);
  Cell& cell = cells[row.bin];
  cell.count += sign;
  cell.correct += sign * row.correct;
  // What is left of an empty bin is rounding.
  cell.confidence = cell.count == 0 ? 0 : cell.confidence + s * row.confidence;
  brier += s * row.brier;
  if (std::isinf(row.nll))
    infinite += sign;
  else
    nll += s * row.nll;
}

CalibrationWindow::CalibrationWindow(std::int64_t capacity, int bins)
    : rows_(static_cast<std::size_t>(std::max<std::int64_t>(capacity, 1))) {
  const auto cells = static_cast<std::size_t>(std::clamp(bins, 1, 1 << 20));
  old_.cells.resize(cells), fresh_.cells.resize(cells);
}

void CalibrationWindow::clear() noexcept {
  next_ = count_ = 0;
  for (Sums* sums : {&old_, &fresh_}) {
    std::fill(sums->cells.begin(), sums->cells.end(), Cell{});
    sums->nll = sums->brier = 0;
    sums->infinite = 0;
  }
}

Status CalibrationWindow::add(double confidence, bool correct, double nll, double brier) {
  if (!(confidence >= 0 && confidence <= 1 + 1e-12 && nll >= -1e-12 && brier >= -1e-12 && brier <= 2 + 1e-12))
    return Error(ErrorCode::invalid_value, "confidence",
                 fmt::format("confidence {}, NLL {}, Brier {}: out of range", confidence, nll, brier),
                 "pass a confidence within [0, 1], and scores that are not negative");
  const double M = static_cast<double>(old_.cells.size());
  const Row row{.nll = nll,
                .brier = brier,
                .confidence = confidence,
                .bin = static_cast<std::uint32_t>(std::clamp(std::ceil(M * confidence) - 1, 0., M - 1)),
                .correct = correct};
  if (next_ == rows_.size()) {
    next_ = 0;
    old_.cells.swap(fresh_.cells);
    old_.nll = fresh_.nll, old_.brier = fresh_.brier, old_.infinite = fresh_.infinite;
    // Of the lap before nothing is left, whatever rounding says. Bins are a constant, so this stays O(1).
    std::fill(fresh_.cells.begin(), fresh_.cells.end(), Cell{});
    fresh_.nll = fresh_.brier = 0;
    fresh_.infinite = 0;
  }
  if (count_ == rows_.size())
    old_.add(rows_[next_], -1);
  else
    ++count_;
  fresh_.add(row, 1);
  rows_[next_++] = row;
  return {};
}

Status CalibrationWindow::add(std::span<const float> logits, std::int64_t label, double temperature) {
  if (logits.empty())
    return Error(ErrorCode::invalid_shape, "logits", "there are no classes", "pass the logits of one row");
  if (label < 0 || label >= static_cast<std::int64_t>(logits.size()))
    return Error(ErrorCode::invalid_value, "label", fmt::format("{} is outside 0 .. {}", label, logits.size() - 1),
                 "number the classes from 0");
  if (!(temperature > 0 && std::isfinite(temperature)))
    return Error(ErrorCode::invalid_argument, "temperature", fmt::format("it is {}", temperature),
                 "pass one that is positive and finite");
  const auto& kernels = detail::row_kernels<float>();
  const detail::RowRange range = kernels.range(logits.data(), logits.size());
  if (!range.valid) return detail::invalid_row("logits", 0);
  // In blocks, since there is no room for a row of any length.
  constexpr std::size_t block = 256;
  double e[block], sum = 0, squares = 0;
  for (std::size_t at = 0; at < logits.size(); at += block) {
    const auto weights =
        kernels.weights(logits.data() + at, std::min(block, logits.size() - at), range.maximum, 1 / temperature, e);
    sum += weights.sum, squares += weights.squares;
  }
  const auto k = static_cast<std::size_t>(label);
  const double scaled = (static_cast<double>(logits[k]) - range.maximum) / temperature;
  const bool right = scaled == 0 && !kernels.contains(logits.data(), k, logits[k]);
  return add(1 / sum, right, std::max(0., std::log(sum) - scaled),
             std::max(0., squares / (sum * sum) - 2 * std::exp(scaled) / sum + 1));
}

WindowMetrics CalibrationWindow::metrics() const noexcept {
  WindowMetrics metrics{.count = static_cast<std::int64_t>(count_)};
  if (count_ == 0) return metrics;
  const double n = static_cast<double>(count_);
  for (std::size_t b = 0; b < old_.cells.size(); ++b) {
    const double count = static_cast<double>(old_.cells[b].count + fresh_.cells[b].count);
    const double confidence = old_.cells[b].confidence + fresh_.cells[b].confidence;
    const double correct = static_cast<double>(old_.cells[b].correct + fresh_.cells[b].correct);
    metrics.accuracy += correct / n;
    metrics.confidence += confidence / n;
    if (count == 0) continue;
    metrics.ece += std::abs(correct - confidence) / n;
    metrics.mce = std::max(metrics.mce, std::abs(correct - confidence) / count);
  }
  metrics.brier = (old_.brier + fresh_.brier) / n;
  metrics.nll =
      old_.infinite + fresh_.infinite > 0 ? std::numeric_limits<double>::infinity() : (old_.nll + fresh_.nll) / n;
  return metrics;
}

std::vector<ReliabilityBin> CalibrationWindow::bins() const {
  std::vector<ReliabilityBin> result;
  const double M = static_cast<double>(old_.cells.size());
  for (std::size_t b = 0; b < old_.cells.size(); ++b) {
    const std::int64_t count = old_.cells[b].count + fresh_.cells[b].count;
    const double n = static_cast<double>(std::max<std::int64_t>(count, 1));
    result.push_back({.lower = static_cast<double>(b) / M,
                      .upper = static_cast<double>(b + 1) / M,
                      .count = count,
                      .confidence = (old_.cells[b].confidence + fresh_.cells[b].confidence) / n,
                      .accuracy = static_cast<double>(old_.cells[b].correct + fresh_.cells[b].correct) / n});
  }
  return result;
}

} // namespace mcomp::inline v0::calibrate
