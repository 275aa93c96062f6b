#pragma once

// How good probabilities are: proper scores (NLL, Brier) and how far confidence is from accuracy (reliability diagram,
// ECE and MCE: Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017, section 2). ECE depends on the bins and
// is biased upwards for few rows: compare it between models on the same rows, and never select by it.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/calibrate/calibration_error.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate {

/// Predictions whose confidence lies in (lower, upper].
struct ReliabilityBin {
  double lower = 0;
  double upper = 0;
  std::int64_t count = 0;
  double confidence = 0; ///< mean of the bin, 0 where it is empty
  double accuracy = 0;   ///< fraction right in the bin, 0 where it is empty

  friend bool operator==(const ReliabilityBin&, const ReliabilityBin&) = default;
};

/// M bins of equal width, closed on the right: a confidence p lies in bin ceil(M p) - 1, counted from 0, and 0 in the
/// first. `correct` holds zero for wrong, anything else for right. No rows give empty bins.
/// Errors: invalid_shape where lengths differ, invalid_value for a confidence outside [0, 1], invalid_argument for bins
/// outside 1 .. 2^20.
[[nodiscard]] MCOMP_API Result<std::vector<ReliabilityBin>>
reliability_bins(std::span<const double> confidences, std::span<const std::uint8_t> correct, int bins = 15);

/// Mean of |accuracy - confidence| over the bins, weighted by their counts; 0 without rows.
[[nodiscard]] MCOMP_API double expected_calibration_error(std::span<const ReliabilityBin> bins) noexcept;
/// The largest |accuracy - confidence| of a bin that is not empty; 0 without rows.
[[nodiscard]] MCOMP_API double maximum_calibration_error(std::span<const ReliabilityBin> bins) noexcept;

struct MetricOptions {
  int bins = 15;
  bool classwise = true; ///< also the error of every class, for some more time a row; up to 2^22 bins of all classes
  Executor* executor = nullptr; ///< null: the calling thread; the result does not depend on it
};

/// Of the predicted class (the first where several are equally probable) against the labels.
struct CalibrationMetrics {
  std::int64_t count = 0;
  double accuracy = 0;
  double confidence = 0; ///< mean probability of the predicted class
  double nll = 0;        ///< mean of -log p(label), in nats; infinite where a label had probability 0
  double brier = 0;      ///< mean over rows of the squared error summed over classes, within 0 .. 2
  double ece = 0;
  double mce = 0;
  std::vector<ReliabilityBin> bins{};
  // Of the confidence in the predicted class too (calibrate/calibration_error.hpp):
  double rms = 0;          ///< root of the mean squared gap of the bins
  double ece_debiased = 0; ///< `rms` less its bias
  double ace = 0;          ///< mean gap of the bins that are not empty, without weights
  double ece_mass = 0;     ///< bins of equal mass
  double mce_mass = 0;
  double ece_sweep = 0; ///< equal mass, with as many bins as accuracy rises over
  int sweep_bins = 0;
  double ks = 0;
  BrierDecomposition top_label{}; ///< of the squared error of the confidence
  double classwise_ece = 0;       ///< mean over the classes, equal width; 0 where it is not asked for

  friend bool operator==(const CalibrationMetrics&, const CalibrationMetrics&) = default;
};

/// What a row contributes: from it follow errors by slice, bootstrap intervals and tests.
struct RowOutcomes {
  std::vector<double> confidence{}; ///< in the predicted class
  std::vector<std::uint8_t> correct{};
  std::vector<double> nll{}, brier{};

  [[nodiscard]] std::size_t size() const noexcept { return correct.size(); }
};

/// "10000 rows: accuracy 93.56%, confidence 98.32%, NLL 0.3583, Brier 0.1123, ECE 0.0475, MCE 0.2802 (15 bins)"
[[nodiscard]] MCOMP_API std::string to_string(const CalibrationMetrics& metrics);

// Rows [samples, classes], f32 or f64; labels [samples], int32 or int64.
// Errors of both: insufficient_data without rows; invalid_shape, invalid_dtype; invalid_value for NaN and for a label
// outside 0 .. classes - 1; invalid_argument for the number of bins or the temperature.

/// Of softmax(logits / temperature), as in calibrate/softmax.hpp, in one pass over the logits. Exponentials of f32
/// logits of 64 classes and more are single precision (2e-7 of themselves), all others double; sums are double.
[[nodiscard]] MCOMP_API Result<CalibrationMetrics> measure_logits(const TensorView& logits, const TensorView& labels,
                                                                  double temperature = 1,
                                                                  const MetricOptions& options = {});

/// Of probabilities, whose rows are first divided by their sums. Error: also invalid_value for a negative probability
/// or a sum that is not 1 within 0.001.
[[nodiscard]] MCOMP_API Result<CalibrationMetrics>
measure_probabilities(const TensorView& probabilities, const TensorView& labels, const MetricOptions& options = {});

/// The rows themselves, of the same inputs and with the same errors.
[[nodiscard]] MCOMP_API Result<RowOutcomes> outcomes_of_logits(const TensorView& logits, const TensorView& labels,
                                                               double temperature = 1, Executor* executor = nullptr);
[[nodiscard]] MCOMP_API Result<RowOutcomes>
outcomes_of_probabilities(const TensorView& probabilities, const TensorView& labels, Executor* executor = nullptr);

/// Everything but the error of every class, which needs all probabilities. O(n log n). Errors: those of
/// reliability_bins; invalid_shape where lists differ in length. No rows give zeros.
[[nodiscard]] MCOMP_API Result<CalibrationMetrics> metrics_of(const RowOutcomes& rows, int bins = 15);

/// Metrics of the rows with `slices[i] == g` for g = 0 .. groups - 1; of a slice without rows everything is 0 and
/// bins are empty. Rows with other numbers belong to no slice. Errors: those of the functions above; invalid_shape
/// where `slices` has another length than there are rows; invalid_argument for negative groups.
[[nodiscard]] MCOMP_API Result<std::vector<CalibrationMetrics>>
measure_logits_by_slice(const TensorView& logits, const TensorView& labels, std::span<const std::int32_t> slices,
                        std::int32_t groups, double temperature = 1, const MetricOptions& options = {});
[[nodiscard]] MCOMP_API Result<std::vector<CalibrationMetrics>>
measure_probabilities_by_slice(const TensorView& probabilities, const TensorView& labels,
                               std::span<const std::int32_t> slices, std::int32_t groups,
                               const MetricOptions& options = {});

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::CalibrationMetrics> = true;
}
