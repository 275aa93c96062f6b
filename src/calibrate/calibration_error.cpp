#include "calibrate/calibration_error.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "calibrate/labelled_rows.hpp"
#include "calibrate/probability_rows.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace detail {

namespace {

struct Row {
  double confidence = 0;
  std::uint32_t index = 0;
  std::uint32_t correct = 0;
};

/// By confidence, equal ones in the given order: five stable passes over 13 bits of the number, most of the time of a
/// comparing sort saved. Confidences are not negative, so that their bits order as they do.
std::vector<Row> sorted(std::span<const double> confidences, std::span<const std::uint8_t> correct) {
  std::vector<Row> rows(confidences.size()), other(confidences.size());
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = {confidences[i] + 0.0, static_cast<std::uint32_t>(i), correct[i] != 0};
  if (rows.size() < 2048) {
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.confidence < b.confidence; });
    return rows;
  }
  constexpr unsigned digits = 13, passes = 5; // 65 bits
  constexpr std::size_t buckets = std::size_t{1} << digits;
  std::vector<std::size_t> start(buckets);
  for (unsigned pass = 0; pass < passes; ++pass) {
    const auto digit = [shift = pass * digits](const Row& row) {
      return static_cast<std::size_t>(std::bit_cast<std::uint64_t>(row.confidence) >> shift) & (buckets - 1);
    };
    std::fill(start.begin(), start.end(), 0);
    for (const Row& row : rows) ++start[digit(row)];
    if (start[digit(rows[0])] == rows.size()) continue; // all the same
    std::size_t sum = 0;
    for (std::size_t& bucket : start) sum += std::exchange(bucket, sum);
    for (const Row& row : rows) other[start[digit(row)]++] = row;
    rows.swap(other);
  }
  return rows;
}

} // namespace

SortedConfidences::SortedConfidences(std::span<const double> confidences, std::span<const std::uint8_t> correct) {
  confidence_.reserve(confidences.size()), sum_.reserve(confidences.size() + 1), right_.reserve(confidences.size() + 1);
  double sum = 0, right = 0;
  for (const Row& row : sorted(confidences, correct)) {
    confidence_.push_back(row.confidence);
    sum_.push_back(sum += row.confidence);
    right_.push_back(right += row.correct);
  }
}

ReliabilityBin SortedConfidences::between(std::size_t begin, std::size_t end) const {
  const double count = static_cast<double>(end - begin);
  return {.lower = confidence_[begin],
          .upper = confidence_[end - 1],
          .count = static_cast<std::int64_t>(end - begin),
          .confidence = (sum_[end] - sum_[begin]) / count,
          .accuracy = (right_[end] - right_[begin]) / count};
}

std::vector<ReliabilityBin> SortedConfidences::equal_mass(std::size_t bins) const {
  std::vector<ReliabilityBin> result;
  for (std::size_t b = 0, begin = 0; b < bins; ++b) {
    const std::size_t end = ((b + 1) * size() + bins - 1) / bins; // the first i with floor(i M / n) > b
    if (end > begin) result.push_back(between(begin, end));
    begin = end;
  }
  return result;
}

std::vector<ReliabilityBin> SortedConfidences::equal_width(std::size_t bins) const {
  std::vector<ReliabilityBin> result;
  const double M = static_cast<double>(bins);
  auto begin = confidence_.begin();
  for (std::size_t b = 0; b < bins && begin != confidence_.end(); ++b) {
    const auto in_bin = [&](double p) { return std::ceil(M * p) - 1 <= static_cast<double>(b); };
    const auto end = b + 1 == bins ? confidence_.end() : std::partition_point(begin, confidence_.end(), in_bin);
    if (end != begin)
      result.push_back(between(static_cast<std::size_t>(begin - confidence_.begin()),
                               static_cast<std::size_t>(end - confidence_.begin())));
    begin = end;
  }
  return result;
}

std::vector<ReliabilityBin> SortedConfidences::sweep(bool mass) const {
  std::vector<ReliabilityBin> best;
  // More bins than rows change nothing with equal mass; with equal width a limit is needed.
  for (std::size_t bins = 1; bins <= std::max<std::size_t>(size(), 1); ++bins) {
    std::vector<ReliabilityBin> next = mass ? equal_mass(bins) : equal_width(bins);
    for (std::size_t b = 1; b < next.size(); ++b)
      if (next[b].accuracy < next[b - 1].accuracy) return best;
    best = std::move(next);
  }
  return best;
}

double SortedConfidences::ks() const {
  double largest = 0;
  for (std::size_t i = 1; i <= size(); ++i)
    if (i == size() || confidence_[i] != confidence_[i - 1]) largest = std::max(largest, std::abs(right_[i] - sum_[i]));
  return size() == 0 ? 0 : largest / static_cast<double>(size());
}

double error_of(std::span<const ReliabilityBin> bins, double norm, bool debiased) {
  if (norm == 1) return expected_calibration_error(bins);
  if (std::isinf(norm)) return maximum_calibration_error(bins);
  double sum = 0, count = 0;
  for (const ReliabilityBin& bin : bins) {
    count += static_cast<double>(bin.count);
    if (bin.count == 0 || (debiased && bin.count == 1)) continue;
    double term = std::pow(std::abs(bin.accuracy - bin.confidence), norm);
    if (debiased) term -= bin.accuracy * (1 - bin.accuracy) / static_cast<double>(bin.count - 1);
    sum += static_cast<double>(bin.count) * term;
  }
  return count == 0 ? 0 : std::pow(std::max(0., sum / count), 1 / norm);
}

BrierDecomposition decompose(std::span<const double> confidences, std::span<const std::uint8_t> correct,
                             std::span<const ReliabilityBin> bins) {
  BrierDecomposition result;
  if (confidences.empty()) return result;
  const double n = static_cast<double>(confidences.size());
  double right = 0, score = 0;
  for (std::size_t i = 0; i < confidences.size(); ++i) {
    const double y = correct[i] != 0;
    right += y;
    score += (confidences[i] - y) * (confidences[i] - y) / n;
  }
  const double accuracy = right / n;
  for (const ReliabilityBin& bin : bins) {
    const double weight = static_cast<double>(bin.count) / n, gap = bin.confidence - bin.accuracy;
    result.reliability += weight * gap * gap;
    result.resolution += weight * (bin.accuracy - accuracy) * (bin.accuracy - accuracy);
  }
  result.uncertainty = accuracy * (1 - accuracy);
  // (p - y)^2 within a bin is gap^2 + acc (1 - acc) + var p - 2 cov(p, y); what is not the first two is this.
  result.within_bin = score - (result.reliability - result.resolution + result.uncertainty);
  return result;
}

} // namespace detail

namespace {

Status check_confidences(std::span<const double> confidences, std::span<const std::uint8_t> correct) {
  if (confidences.size() != correct.size())
    return Error(
        ErrorCode::invalid_shape, "confidences",
        fmt::format("{} confidences and {} answers: the numbers must agree", confidences.size(), correct.size()),
        "pass both for the same predictions");
  for (std::size_t i = 0; i < confidences.size(); ++i)
    if (!(confidences[i] >= 0 && confidences[i] <= 1 + 1e-12))
      return Error(ErrorCode::invalid_value, "confidences",
                   fmt::format("confidence {} is {}, outside [0, 1]", i, confidences[i]), "pass probabilities");
  return {};
}

} // namespace

Result<double> calibration_error(std::span<const double> confidences, std::span<const std::uint8_t> correct,
                                 const ErrorOptions& options) {
  MCOMP_CHECK(detail::check_bins(options.bins));
  MCOMP_CHECK(check_confidences(confidences, correct));
  if (!(options.norm >= 1))
    return Error(ErrorCode::invalid_argument, "norm", fmt::format("it must be at least 1, it is {}", options.norm),
                 "take 1, 2 or infinity");
  if (options.debiased && options.norm != 2)
    return Error(ErrorCode::invalid_argument, "debiased", "the bias is known for the norm 2 alone", "set norm to 2");
  const auto bins = static_cast<std::size_t>(options.bins);
  if (options.binning == ErrorBinning::equal_width) {
    MCOMP_TRY(width, reliability_bins(confidences, correct, options.bins));
    return detail::error_of(width, options.norm, options.debiased);
  }
  const detail::SortedConfidences sorted(confidences, correct);
  const auto chosen = options.binning == ErrorBinning::equal_mass
                          ? sorted.equal_mass(bins)
                          : sorted.sweep(options.binning == ErrorBinning::sweep_mass);
  return detail::error_of(chosen, options.norm, options.debiased);
}

Result<double> ks_calibration_error(std::span<const double> confidences, std::span<const std::uint8_t> correct) {
  MCOMP_CHECK(check_confidences(confidences, correct));
  return detail::SortedConfidences(confidences, correct).ks();
}

Result<BrierDecomposition> brier_decomposition(std::span<const double> confidences,
                                               std::span<const std::uint8_t> correct, int bins) {
  MCOMP_TRY(width, reliability_bins(confidences, correct, bins));
  return detail::decompose(confidences, correct, width);
}

Result<double> classwise_calibration_error(const TensorView& probabilities, const TensorView& labels,
                                           const ClasswiseOptions& options) {
  MCOMP_CHECK(detail::check_bins(options.bins));
  if (!(options.threshold >= 0 && options.threshold < 1))
    return Error(ErrorCode::invalid_argument, "threshold",
                 fmt::format("it must lie within [0, 1), it is {}", options.threshold), "take 0 or 0.01");
  MCOMP_TRY(p, detail::read_probability_rows(probabilities));
  const auto rows = static_cast<std::size_t>(probabilities.size(0));
  const auto classes = static_cast<std::size_t>(probabilities.size(1));
  MCOMP_TRY(label, detail::read_labels(labels, rows, classes));
  std::vector<double> errors(classes);
  Executor& executor = options.executor ? *options.executor : serial_executor();
  executor.run(classes, [&](std::size_t k) {
    std::vector<double> scores;
    std::vector<std::uint8_t> is_label;
    for (std::size_t i = 0; i < rows; ++i) {
      const double score = p[i * classes + k];
      if (options.threshold > 0 && score <= options.threshold) continue;
      scores.push_back(score);
      is_label.push_back(label[i] == k);
    }
    errors[k] = calibration_error(scores, is_label,
                                  {.binning = options.equal_mass ? ErrorBinning::equal_mass : ErrorBinning::equal_width,
                                   .bins = options.bins})
                    .value();
  });
  double sum = 0;
  for (const double error : errors) sum += error / static_cast<double>(classes);
  return sum;
}

} // namespace mcomp::inline v0::calibrate
