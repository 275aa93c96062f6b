#include "mcomp/calibrate/metrics.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "calibrate/calibration_error.hpp"
#include "calibrate/labelled_rows.hpp"
#include "calibrate/probability_rows.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

std::size_t padded_size(std::size_t classes) {
  constexpr std::size_t block = detail::single_precision_block;
  return (classes + block - 1) / block * block;
}

/// Sums for the error of every class by bins of equal width, over some of the rows.
class ClasswiseSums {
 public:
  ClasswiseSums(std::size_t classes, int bins)
      : bins_(static_cast<std::size_t>(bins)), total_(classes), above_(classes) {}

  /// `weights` are probabilities times `sum`. Most lie in the first bin, whose share is what all others leave of the
  /// total; so only those above its border are looked at one by one.
  void add(const double* weights, double sum, std::size_t label) {
    count(weights, sum, label, kernel_(weights, total_.size(), 1 / sum, sum / border(), total_.data(), above_.data()));
  }
  /// The same of weights [padded_size(classes)] in single precision; every so many rows `flush` is needed, which adds
  /// to double precision.
  void add(const float* weights, double sum, std::size_t label) {
    const std::size_t padded = padded_size(total_.size());
    single_total_.resize(padded);
    count(weights, sum, label,
          single_kernel_(weights, padded, static_cast<float>(1 / sum), static_cast<float>(sum / border()),
                         single_total_.data(), above_.data()));
    if (++unflushed_ == 32) flush();
  }
  void flush() {
    if (single_total_.empty()) return;
    for (std::size_t k = 0; k < total_.size(); ++k) total_[k] += static_cast<double>(single_total_[k]);
    std::fill(single_total_.begin(), single_total_.end(), 0.F);
    unflushed_ = 0;
  }

  /// Both flushed. Settles both.
  void join(ClasswiseSums& other) {
    settle();
    other.settle();
    for (std::size_t k = 0; k < total_.size(); ++k) total_[k] += other.total_[k];
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      cells_[i].confidence += other.cells_[i].confidence;
      cells_[i].events += other.cells_[i].events;
    }
  }

  [[nodiscard]] double error(std::size_t rows) {
    settle();
    double sum = 0;
    for (std::size_t k = 0; k < total_.size(); ++k) {
      double first = total_[k];
      for (std::size_t b = 1; b < bins_; ++b) {
        const Cell& cell = cells_[k * bins_ + b];
        first -= cell.confidence;
        sum += std::abs(cell.events - cell.confidence);
      }
      sum += std::abs(cells_[k * bins_].events - first);
    }
    return sum / static_cast<double>(rows) / static_cast<double>(total_.size());
  }

 private:
  struct Cell {
    double confidence = 0, events = 0;
  };
  /// A little more than M: what lies near a border is looked at too, and counts exactly.
  [[nodiscard]] double border() const { return static_cast<double>(bins_) * (1 + 1e-6); }
  template <class E> void count(const E* weights, double sum, std::size_t label, std::size_t found) {
    for (std::size_t i = 0; i < found; ++i) {
      const double p = static_cast<double>(weights[above_[i]]) / sum;
      const std::size_t b = bin(p);
      if (b != 0) pending_.push_back({above_[i] * bins_ + b, p});
    }
    pending_.push_back({label * bins_ + bin(static_cast<double>(weights[label]) / sum), -1});
    if (pending_.size() + bins_ > most_pending) settle();
  }
  void settle() {
    cells_.resize(total_.size() * bins_);
    for (const auto& [cell, p] : pending_)
      if (p < 0)
        ++cells_[cell].events;
      else
        cells_[cell].confidence += p;
    pending_.clear();
  }
  [[nodiscard]] std::size_t bin(double p) const {
    const double M = static_cast<double>(bins_);
    return static_cast<std::size_t>(std::clamp(std::ceil(M * p) - 1, 0.0, M - 1));
  }

  /// What goes to a cell: a probability, or -1 for an event. Many cells do not fit into a cache beside the logits that
  /// stream through it, so they are visited once for many rows.
  struct Pending {
    std::size_t cell = 0;
    double confidence = 0;
  };
  static constexpr std::size_t most_pending = 1 << 14;

  std::size_t bins_;
  std::vector<double> total_;
  std::vector<Cell> cells_{};
  std::vector<Pending> pending_{};
  std::vector<std::uint32_t> above_;
  std::vector<float> single_total_{};
  int unflushed_ = 0;
  detail::AddProbabilities<double> kernel_ = detail::row_kernels<double>().add_probabilities;
  detail::AddProbabilities<float> single_kernel_ = detail::row_kernels<float>().add_probabilities;
};

Status check_cells(std::int64_t classes, int bins, bool classwise) {
  constexpr std::int64_t most_cells = std::int64_t{1} << 22;
  if (!classwise || classes <= most_cells / bins) return {};
  return Error(ErrorCode::invalid_argument, "bins",
               fmt::format("the errors of {} classes in {} bins each are asked, {} bins in all are possible", classes,
                           bins, most_cells),
               "take fewer bins, or set classwise to false");
}

/// What the pass over the rows leaves.
struct Pass {
  RowOutcomes rows{};
  double classwise_ece = 0;
};

/// Runs `visit(first, last, outcomes, sums)` over a number of parts that only the number of rows decides; `sums` is
/// null where errors of every class are not asked for. `visit` returns the first row that is invalid, or `last`.
template <class Visit>
Pass pass_over(std::size_t rows, std::size_t classes, int bins, bool classwise, Executor* executor,
               std::size_t& first_invalid, const Visit& visit) {
  constexpr std::size_t most_parts = 16, least_rows = 512;
  // Every part has its own cells, so of many there are fewer.
  const bool many_cells = classwise && classes * static_cast<std::size_t>(bins) > (std::size_t{1} << 18);
  const std::size_t parts = std::clamp<std::size_t>(rows / least_rows, 1, many_cells ? 4 : most_parts);
  Pass pass;
  pass.rows.confidence.resize(rows), pass.rows.nll.resize(rows), pass.rows.brier.resize(rows);
  pass.rows.correct.resize(rows);
  std::vector<ClasswiseSums> sums(classwise ? parts : 0, ClasswiseSums(classes, bins));
  std::vector<std::size_t> invalid(parts, rows);
  (executor ? *executor : serial_executor()).run(parts, [&](std::size_t part) {
    const std::size_t first = rows * part / parts, last = rows * (part + 1) / parts;
    const std::size_t stopped = visit(first, last, pass.rows, classwise ? &sums[part] : nullptr);
    if (stopped < last) invalid[part] = stopped;
  });
  first_invalid = *std::min_element(invalid.begin(), invalid.end());
  for (std::size_t part = 1; part < sums.size(); ++part) sums[0].join(sums[part]);
  if (classwise && first_invalid == rows) pass.classwise_ece = sums[0].error(rows);
  return pass;
}

/// From weights of the classes that are probabilities but for their sum.
void set_row(RowOutcomes& rows, std::size_t i, std::span<const double> weights, std::size_t label, double label_nll) {
  double sum = 0, squares = 0;
  std::size_t predicted = 0;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    sum += weights[j];
    squares += weights[j] * weights[j];
    if (weights[j] > weights[predicted]) predicted = j;
  }
  rows.confidence[i] = weights[predicted] / sum;
  rows.correct[i] = predicted == label;
  rows.nll[i] = label_nll;
  rows.brier[i] = squares / (sum * sum) - 2 * weights[label] / sum + 1;
}

double sum_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

/// Scores of a row whose largest weight is 1. Through the logits, since the weight of a label far below has lost its
/// digits.
void set_row(RowOutcomes& rows, std::size_t i, const detail::RowWeights& weights, double scaled_gap,
             double label_weight, bool correct) {
  rows.confidence[i] = 1 / weights.sum;
  rows.correct[i] = correct;
  rows.nll[i] = std::log(weights.sum) - scaled_gap;
  rows.brier[i] = weights.squares / (weights.sum * weights.sum) - 2 * label_weight / weights.sum + 1;
}

template <class T> struct LogitRows {
  std::span<const T> values{};
  std::vector<std::size_t> label{};
  std::size_t classes = 0;
  double temperature = 1;

  [[nodiscard]] const T* row(std::size_t i) const { return values.data() + i * classes; }
};

/// One row in double precision; false where it is invalid.
template <class T>
bool score_row(const LogitRows<T>& data, std::size_t i, std::span<double> weights, RowOutcomes& out,
               ClasswiseSums* sums) {
  const detail::RowKernels<T>& kernels = detail::row_kernels<T>();
  const T* const row = data.row(i);
  const std::size_t label = data.label[i];
  const detail::RowRange range = kernels.range(row, data.classes);
  if (!range.valid) return false;
  const double gap = static_cast<double>(row[label]) - range.maximum, scale = 1 / data.temperature;
  double sum = 0;
  if (scale > 0 && std::isfinite(scale)) {
    const detail::RowWeights w = kernels.weights(row, data.classes, range.maximum, scale, weights.data());
    sum = w.sum;
    set_row(out, i, w, gap * scale, weights[label], gap == 0 && !kernels.contains(row, label, row[label]));
  } else { // the limits of the temperature
    detail::exponentials_at(data.temperature, row, data.classes, range.maximum, weights.data());
    sum = sum_of(weights);
    set_row(out, i, weights, label, std::log(sum) - std::log(weights[label]));
  }
  if (sums) sums->add(weights.data(), sum, label);
  return true;
}

/// Rows of many classes in single precision; those that need more care in double.
std::size_t score_single(const LogitRows<float>& data, std::size_t first, std::size_t last, RowOutcomes& out,
                         ClasswiseSums* sums) {
  const detail::SinglePrecisionKernels& kernels = detail::row_kernels<float>().single;
  const auto contains = detail::row_kernels<float>().contains;
  const double scale = 1 / data.temperature;
  std::vector<float> weights(padded_size(data.classes));
  std::vector<double> weights_in_double(data.classes);
  for (std::size_t i = first; i < last; ++i) {
    const float* const row = data.row(i);
    const std::size_t label = data.label[i];
    float maximum = 0;
    if (!kernels.maximum(row, data.classes, maximum)) {
      if (!score_row(data, i, weights_in_double, out, sums)) return i;
      continue;
    }
    const detail::RowWeights w = kernels.weights(row, data.classes, maximum, static_cast<float>(scale), weights.data());
    const double gap = static_cast<double>(row[label]) - static_cast<double>(maximum);
    set_row(out, i, w, gap * scale, static_cast<double>(weights[label]), gap == 0 && !contains(row, label, maximum));
    if (sums) sums->add(weights.data(), w.sum, label);
  }
  if (sums) sums->flush();
  return last;
}

constexpr std::size_t many_classes = 64;

template <class T>
Result<Pass> pass_over_logits(const TensorView& logits, const TensorView& labels, double temperature, int bins,
                              bool classwise, Executor* executor) {
  MCOMP_TRY(values, logits.values<T>("logits"));
  const auto rows = static_cast<std::size_t>(logits.size(0)), classes = static_cast<std::size_t>(logits.size(1));
  MCOMP_TRY(label, detail::read_labels(labels, rows, classes));
  const LogitRows<T> data{values, std::move(label), classes, temperature};
  // Within the range of single precision, with room.
  const bool single = classes >= many_classes && temperature > 1e-30 && temperature < 1e30;
  std::size_t invalid = rows;
  Pass pass = pass_over(rows, classes, bins, classwise, executor, invalid,
                        [&](std::size_t first, std::size_t last, RowOutcomes& out, ClasswiseSums* sums) {
                          if constexpr (std::is_same_v<T, float>)
                            if (single) return score_single(data, first, last, out, sums);
                          std::vector<double> weights(classes);
                          for (std::size_t i = first; i < last; ++i)
                            if (!score_row(data, i, weights, out, sums)) return i;
                          return last;
                        });
  if (invalid < rows) return detail::invalid_row("logits", invalid);
  return pass;
}

/// Whether a row is non-negative (so not NaN) with sum 1 within 0.001; copies it.
template <class T> bool read_probabilities(std::span<const T> row, std::span<double> out, double& sum) {
  sum = 0;
  bool valid = true;
  for (std::size_t j = 0; j < row.size(); ++j) {
    out[j] = static_cast<double>(row[j]);
    valid = valid && out[j] >= 0;
    sum += out[j];
  }
  return valid && std::abs(sum - 1) <= 1e-3;
}

Error invalid_probabilities(std::size_t row) {
  return Error(ErrorCode::invalid_value, "probabilities",
               fmt::format("row {} has a number that is NaN or negative, or its sum is not 1 within 0.001", row),
               "pass probabilities, or logits to measure_logits");
}

template <class T>
Result<Pass> pass_over_probabilities(const TensorView& probabilities, const TensorView& labels, int bins,
                                     bool classwise, Executor* executor) {
  MCOMP_TRY(values, probabilities.values<T>("probabilities"));
  const auto rows = static_cast<std::size_t>(probabilities.size(0));
  const auto classes = static_cast<std::size_t>(probabilities.size(1));
  MCOMP_TRY(label, detail::read_labels(labels, rows, classes));
  std::size_t invalid = rows;
  Pass pass = pass_over(rows, classes, bins, classwise, executor, invalid,
                        [&](std::size_t first, std::size_t last, RowOutcomes& out, ClasswiseSums* sums) {
                          std::vector<double> weights(classes);
                          for (std::size_t i = first; i < last; ++i) {
                            double sum = 0;
                            if (!read_probabilities(values.subspan(i * classes, classes), weights, sum)) return i;
                            set_row(out, i, weights, label[i], std::log(sum) - std::log(weights[label[i]]));
                            if (sums) sums->add(weights.data(), sum, label[i]);
                          }
                          return last;
                        });
  if (invalid < rows) return invalid_probabilities(invalid);
  return pass;
}

Result<CalibrationMetrics> summarize(const Pass& pass, int bins) {
  MCOMP_TRY(metrics, metrics_of(pass.rows, bins));
  metrics.classwise_ece = pass.classwise_ece;
  return std::move(metrics);
}

Result<Pass> pass_of_logits(const TensorView& logits, const TensorView& labels, double temperature, int bins,
                            bool classwise, Executor* executor) {
  MCOMP_CHECK(detail::check_bins(bins));
  MCOMP_CHECK(detail::check_temperature(temperature));
  MCOMP_CHECK(detail::check_rows(logits, "logits"));
  MCOMP_CHECK(check_cells(logits.size(1), bins, classwise));
  return logits.dtype() == DType::f32
             ? pass_over_logits<float>(logits, labels, temperature, bins, classwise, executor)
             : pass_over_logits<double>(logits, labels, temperature, bins, classwise, executor);
}

Result<Pass> pass_of_probabilities(const TensorView& probabilities, const TensorView& labels, int bins, bool classwise,
                                   Executor* executor) {
  MCOMP_CHECK(detail::check_bins(bins));
  MCOMP_CHECK(detail::check_rows(probabilities, "probabilities"));
  MCOMP_CHECK(check_cells(probabilities.size(1), bins, classwise));
  return probabilities.dtype() == DType::f32
             ? pass_over_probabilities<float>(probabilities, labels, bins, classwise, executor)
             : pass_over_probabilities<double>(probabilities, labels, bins, classwise, executor);
}

/// Metrics of each slice by `measure(rows, labels)` on a copy of its rows.
template <class Measure>
Result<std::vector<CalibrationMetrics>> by_slice(const TensorView& rows, const char* subject, const TensorView& labels,
                                                 std::span<const std::int32_t> slices, std::int32_t groups, int bins,
                                                 const Measure& measure) {
  MCOMP_CHECK(detail::check_bins(bins));
  MCOMP_CHECK(detail::check_rows(rows, subject));
  MCOMP_TRY(label, detail::read_labels(labels, static_cast<std::size_t>(rows.size(0)),
                                       static_cast<std::size_t>(rows.size(1))));
  if (static_cast<std::int64_t>(slices.size()) != rows.size(0))
    return Error(ErrorCode::invalid_shape, "slices", fmt::format("{} numbers for {} rows", slices.size(), rows.size(0)),
                 "pass one for each row");
  if (groups < 0)
    return Error(ErrorCode::invalid_argument, "groups", fmt::format("{} slices are asked", groups), "pass at least 0");
  std::vector<std::vector<std::size_t>> members(static_cast<std::size_t>(groups));
  for (std::size_t i = 0; i < slices.size(); ++i)
    if (slices[i] >= 0 && slices[i] < groups) members[static_cast<std::size_t>(slices[i])].push_back(i);
  const auto bytes = static_cast<std::size_t>(rows.size(1)) * static_cast<std::size_t>(bit_width(rows.dtype()) / 8);
  std::vector<CalibrationMetrics> result;
  for (const std::vector<std::size_t>& which : members) {
    if (which.empty()) {
      MCOMP_TRY(empty, reliability_bins({}, {}, bins));
      result.push_back({.bins = std::move(empty)});
      continue;
    }
    MCOMP_TRY(part, Tensor::uninitialized(rows.dtype(), {static_cast<std::int64_t>(which.size()), rows.size(1)}));
    std::vector<std::int64_t> part_labels;
    auto* to = static_cast<std::byte*>(part.data());
    for (const std::size_t i : which) {
      std::memcpy(to, static_cast<const std::byte*>(rows.data()) + i * bytes, bytes);
      to += bytes;
      part_labels.push_back(static_cast<std::int64_t>(label[i]));
    }
    MCOMP_TRY(label_tensor, Tensor::from(part_labels, {static_cast<std::int64_t>(which.size())}));
    MCOMP_TRY(metrics, measure(part, label_tensor));
    result.push_back(std::move(metrics));
  }
  return result;
}

} // namespace

Result<std::vector<ReliabilityBin>> reliability_bins(std::span<const double> confidences,
                                                     std::span<const std::uint8_t> correct, int bins) {
  MCOMP_CHECK(detail::check_bins(bins));
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

Result<CalibrationMetrics> metrics_of(const RowOutcomes& rows, int bins) {
  MCOMP_CHECK(detail::check_bins(bins));
  if (rows.nll.size() != rows.size() || rows.brier.size() != rows.size())
    return Error(ErrorCode::invalid_shape, "rows", "the lists of outcomes differ in length",
                 "pass what outcomes_of_logits gives");
  MCOMP_TRY(reliability, reliability_bins(rows.confidence, rows.correct, bins));
  CalibrationMetrics metrics;
  metrics.bins = std::move(reliability);
  metrics.count = static_cast<std::int64_t>(rows.size());
  if (metrics.count == 0) return metrics;
  const double n = static_cast<double>(metrics.count);
  metrics.accuracy = static_cast<double>(std::count_if(rows.correct.begin(), rows.correct.end(),
                                                       [](std::uint8_t right) { return right != 0; })) /
                     n;
  metrics.confidence = sum_of(rows.confidence) / n;
  metrics.nll = sum_of(rows.nll) / n;
  metrics.brier = sum_of(rows.brier) / n;
  metrics.ece = expected_calibration_error(metrics.bins);
  metrics.mce = maximum_calibration_error(metrics.bins);
  metrics.rms = detail::error_of(metrics.bins, 2, false);
  metrics.ece_debiased = detail::error_of(metrics.bins, 2, true);
  int occupied = 0;
  for (const ReliabilityBin& bin : metrics.bins)
    if (bin.count > 0) metrics.ace += std::abs(bin.accuracy - bin.confidence), ++occupied;
  metrics.ace /= occupied;
  metrics.top_label = detail::decompose(rows.confidence, rows.correct, metrics.bins);

  const detail::SortedConfidences sorted(rows.confidence, rows.correct);
  const std::vector<ReliabilityBin> mass = sorted.equal_mass(static_cast<std::size_t>(bins)),
                                    sweep = sorted.sweep(true);
  metrics.ece_mass = expected_calibration_error(mass);
  metrics.mce_mass = maximum_calibration_error(mass);
  metrics.ece_sweep = expected_calibration_error(sweep);
  metrics.sweep_bins = static_cast<int>(sweep.size());
  metrics.ks = sorted.ks();
  return metrics;
}

Result<CalibrationMetrics> measure_logits(const TensorView& logits, const TensorView& labels, double temperature,
                                          const MetricOptions& options) {
  MCOMP_TRY(pass, pass_of_logits(logits, labels, temperature, options.bins, options.classwise, options.executor));
  return summarize(pass, options.bins);
}

Result<CalibrationMetrics> measure_probabilities(const TensorView& probabilities, const TensorView& labels,
                                                 const MetricOptions& options) {
  MCOMP_TRY(pass, pass_of_probabilities(probabilities, labels, options.bins, options.classwise, options.executor));
  return summarize(pass, options.bins);
}

Result<RowOutcomes> outcomes_of_logits(const TensorView& logits, const TensorView& labels, double temperature,
                                       Executor* executor) {
  MCOMP_TRY(pass, pass_of_logits(logits, labels, temperature, 1, false, executor));
  return std::move(pass.rows);
}

Result<RowOutcomes> outcomes_of_probabilities(const TensorView& probabilities, const TensorView& labels,
                                              Executor* executor) {
  MCOMP_TRY(pass, pass_of_probabilities(probabilities, labels, 1, false, executor));
  return std::move(pass.rows);
}

Result<std::vector<CalibrationMetrics>> measure_logits_by_slice(const TensorView& logits, const TensorView& labels,
                                                                std::span<const std::int32_t> slices,
                                                                std::int32_t groups, double temperature,
                                                                const MetricOptions& options) {
  return by_slice(logits, "logits", labels, slices, groups, options.bins,
                  [&](const Tensor& rows, const Tensor& part_labels) {
                    return measure_logits(rows, part_labels, temperature, options);
                  });
}

Result<std::vector<CalibrationMetrics>> measure_probabilities_by_slice(const TensorView& probabilities,
                                                                       const TensorView& labels,
                                                                       std::span<const std::int32_t> slices,
                                                                       std::int32_t groups,
                                                                       const MetricOptions& options) {
  return by_slice(
      probabilities, "probabilities", labels, slices, groups, options.bins,
      [&](const Tensor& rows, const Tensor& part_labels) { return measure_probabilities(rows, part_labels, options); });
}

namespace detail {

Result<std::vector<double>> read_probability_rows(const TensorView& probabilities) {
  MCOMP_CHECK(check_rows(probabilities, "probabilities"));
  const auto classes = static_cast<std::size_t>(probabilities.size(1));
  std::vector<double> result(static_cast<std::size_t>(probabilities.elements()));
  const auto read = [&](auto values) -> Status {
    for (std::size_t at = 0; at < result.size(); at += classes) {
      double sum = 0;
      const std::span<double> row(result.data() + at, classes);
      if (!read_probabilities(values.subspan(at, classes), row, sum)) return invalid_probabilities(at / classes);
      for (double& p : row) p /= sum;
    }
    return {};
  };
  if (probabilities.dtype() == DType::f32) {
    MCOMP_TRY(values, probabilities.values<float>("probabilities"));
    MCOMP_CHECK(read(values));
  } else {
    MCOMP_TRY(values, probabilities.values<double>("probabilities"));
    MCOMP_CHECK(read(values));
  }
  return result;
}

} // namespace detail

} // namespace mcomp::inline v0::calibrate
