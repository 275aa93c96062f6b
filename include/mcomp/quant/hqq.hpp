#pragma once

#include "mcomp/quant/quantize.hpp"

// Half-quadratic quantization: scales and zero points without any data, fitted to errors whose large part is forgiven
// as the lp norm (p < 1) forgives it, so that a few outliers do not decide. Badri and Shaji 2023 (Half-Quadratic
// Quantization of Large Machine Learning Models): alternate a shrinkage of the errors, equation 5, with a closed-form
// fit, as long as the mean absolute error falls.
//
//     auto q = quant::hqq(weights, {.scheme = {.dtype = DType::uint3, .symmetric = false,
//                                   .granularity = Granularity::per_group, .group_size = 32}}).value();
//
// Different from the paper: zero points are whole numbers, as stored, and the scale is fitted too; errors are measured
// in steps of the group, which makes `beta` independent of the size of the weights. What inside a range is rounded then
// counts in full at the default, and only what is clipped is forgiven.

namespace mcomp::inline v0::quant {

struct HqqOptions {
  Scheme scheme{.dtype = DType::uint4, .symmetric = false, .granularity = Granularity::per_group, .group_size = 64};
  double p = 0.7;      ///< of the norm, in (0, 1]
  double beta = 0.25;  ///< first weight of the quadratic term: errors of e steps shrink by e^(p - 1) / beta
  double kappa = 1.01; ///< its growth from one iteration to the next
  int iterations = 20; ///< at most
};

struct HqqReport {
  double error_before = 0; ///< sum |w - q| of rounding to nearest in the full range
  double error_after = 0;  ///< never larger
  int iterations = 0;      ///< the most that a group took
};

struct HqqResult {
  QuantizedTensor tensor;
  HqqReport report;
};

/// Complexity: elements * iterations. Groups run side by side; the result does not depend on how many.
/// Errors, before any work: those of `quantize`; invalid_argument for options outside their bounds and for scales that
/// belong to several rows.
[[nodiscard]] MCOMP_API Result<HqqResult> hqq(const TensorView& weight, const HqqOptions& options = {},
                                              const Context& context = {});

} // namespace mcomp::inline v0::quant
