#pragma once

#include <vector>

#include "mcomp/quant/quantize.hpp"

// Half-quadratic quantization: scales and zero points without any data, fitted to errors whose large part is forgiven
// as the lp norm (p < 1) forgives it, so that a few outliers do not decide. Badri and Shaji 2023 (Half-Quadratic
// Quantization of Large Machine Learning Models): alternate a shrinkage of the errors, equation 5, with a closed-form
// fit, as long as the error falls.
//
//     auto q = quant::hqq(weights, {.scheme = {.dtype = DType::uint3, .symmetric = false,
//                                   .granularity = Granularity::per_group, .group_size = 32}}).value();
//
// Different from the paper: zero points are whole numbers, as stored, and the scale is fitted too; errors are measured
// in steps of the group, which makes `beta` independent of the size of the weights: what inside a range is rounded then
// counts in full at the default, and only what is clipped is forgiven. The fit is judged by the squared error instead
// of the absolute one, since a layer's output feels that: kept by the absolute error, three-bit codes in groups of 32
// have a larger output error than rounding to nearest in the full range (1.02 to 1.07 times, on stories260k and
// ResNet-56). And iterations start from several ranges.

namespace mcomp::inline v0::quant {

struct HqqOptions {
  Scheme scheme{.dtype = DType::uint4, .symmetric = false, .granularity = Granularity::per_group, .group_size = 64};
  double p = 0.7;      ///< of the norm that forgives, in (0, 1]
  double beta = 0.25;  ///< first weight of the quadratic term: errors of e steps shrink by e^(p - 1) / beta
  double kappa = 1.01; ///< its growth from one iteration to the next
  int iterations = 20; ///< at most, from each start
  int starts = 4;      ///< ranges to start from, 1 .. 10: the full one, and each a tenth of it narrower
  double judge = 2;    ///< of all iterates the one with the least sum |w - q|^judge is kept, in [1, 2]; the paper: 1
  /// One weight for each column of the matrix [out, the rest] in the fit and in the sum; not negative. Empty: all
  /// columns count alike, and no data are needed.
  std::vector<double> importance{};
};

struct HqqReport {
  double error_before = 0; ///< sum |w - q|^judge of rounding to nearest in the full range; importances are relative to
                           ///< the largest
  double error_after = 0;  ///< never larger
  int iterations = 0;      ///< the most that a group took from one start
};

struct HqqResult {
  QuantizedTensor tensor;
  HqqReport report;
};

/// Complexity: elements * iterations * starts. Groups run side by side; the result does not depend on how many.
/// Errors, before any work: those of `quantize`; invalid_argument for options outside their bounds and for scales that
/// belong to several rows; invalid_shape or invalid_value for importances.
[[nodiscard]] MCOMP_API Result<HqqResult> hqq(const TensorView& weight, const HqqOptions& options = {},
                                              const Context& context = {});

} // namespace mcomp::inline v0::quant
