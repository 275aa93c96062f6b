#pragma once

// How far confidence is from accuracy, as one number, in the ways that papers use: by bins of equal width (Naeini et
// al. 2015; Guo et al. 2017) or equal mass (Nguyen and O'Connor 2015), as many bins as accuracy stays monotone
// (sweep: Roelofs et al. 2022), any p-norm, debiased (Kumar, Liang and Ma 2019, section 5), without bins (KS: Gupta et
// al. 2021), for every class (Kull et al. 2019) with adaptive bins and a threshold (ACE and TACE: Nixon et al. 2019).
// All but the debiased one are biased upwards for few rows. None selects a calibrator: that is for NLL and Brier.
//
//     double ece = calibrate::calibration_error(confidences, correct, {.binning = ErrorBinning::equal_mass}).value();

#include <cstdint>
#include <span>
#include <vector>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate {

enum class ErrorBinning {
  equal_width,
  equal_mass,  ///< row i of n by rising confidence is in bin floor(i M / n); equal confidences stay in the given order
  sweep_width, ///< the most bins, from 1 up, before accuracy first falls from a bin to the next (empty ones left out)
  sweep_mass,
};

struct ErrorOptions {
  ErrorBinning binning = ErrorBinning::equal_width;
  int bins = 15;         ///< M; not of a sweep
  double norm = 1;       ///< p of (sum_b w_b gap_b^p)^(1/p); infinity: the largest gap (MCE)
  bool debiased = false; ///< with p = 2: each bin's gap^2 less acc (1 - acc) / (n_b - 1), bins of one row left out;
                         ///< the root of the sum, or 0 where that is negative
};

/// Of the confidences in the predicted classes and whether these are right (zero for wrong). 0 without rows.
/// O(n log n), of equal width O(n). Errors: invalid_shape, invalid_value for a confidence outside [0, 1],
/// invalid_argument for bins, a norm below 1, or `debiased` with another norm than 2.
[[nodiscard]] MCOMP_API Result<double> calibration_error(std::span<const double> confidences,
                                                         std::span<const std::uint8_t> correct,
                                                         const ErrorOptions& options = {});

/// max over c of |sum over rows with confidence <= c of (correct - confidence)| / n, the Kolmogorov-Smirnov
/// calibration error. O(n log n). Errors: invalid_shape, invalid_value.
[[nodiscard]] MCOMP_API Result<double> ks_calibration_error(std::span<const double> confidences,
                                                            std::span<const std::uint8_t> correct);

/// What the mean of (confidence - correct)^2 is made of (Murphy 1973; the terms within bins: Stephenson, Coelho and
/// Jolliffe 2008): reliability - resolution + uncertainty + within_bin, exactly.
struct BrierDecomposition {
  double reliability = 0; ///< squared gap of confidence and accuracy over the bins: less is better
  double resolution = 0;  ///< how much the accuracy of bins differs from the common one: more is better
  double uncertainty = 0; ///< accuracy (1 - accuracy)
  double within_bin = 0;  ///< variance of confidence within bins, less twice its covariance with being right

  [[nodiscard]] double score() const noexcept { return reliability - resolution + uncertainty + within_bin; }
  friend bool operator==(const BrierDecomposition&, const BrierDecomposition&) = default;
};

/// With M bins of equal width. Zeros without rows. Errors: those of reliability_bins.
[[nodiscard]] MCOMP_API Result<BrierDecomposition>
brier_decomposition(std::span<const double> confidences, std::span<const std::uint8_t> correct, int bins = 15);

struct ClasswiseOptions {
  int bins = 15;
  bool equal_mass = false; ///< ACE, with `threshold` TACE
  double threshold = 0;    ///< probabilities up to this are left out, and weights are of those that stay
  Executor* executor = nullptr;
};

/// For every class the error of its probability against whether it is the label, and the mean over classes. O(rows
/// classes), with equal mass times log(rows). Rows and labels as in measure_probabilities, and its errors.
[[nodiscard]] MCOMP_API Result<double> classwise_calibration_error(const TensorView& probabilities,
                                                                   const TensorView& labels,
                                                                   const ClasswiseOptions& options = {});

} // namespace mcomp::inline v0::calibrate
