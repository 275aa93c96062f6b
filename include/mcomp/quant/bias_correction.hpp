#pragma once

#include "mcomp/core/context.hpp"
#include "mcomp/core/tensor.hpp"
#include "mcomp/stats/gram.hpp"

// Quantized weights shift the mean of a layer's output by (Q - W) E[x]; a bias takes the shift back at no cost. Nagel,
// van Baalen, Blankevoort and Welling 2019 (Data-Free Quantization), section 4.2, with the empirical mean of the
// inputs.
//
//     auto corrected = quant::correct_bias(weights, dequantize(q).value(), gram, bias).value();

namespace mcomp::inline v0::quant {

struct BiasCorrectionReport {
  double error_before = 0; ///< ||X (W - Q)^T||^2 / ||X W^T||^2 over the samples of the Gram matrix
  double error_after = 0;  ///< the same with the new bias; never larger
};

struct BiasCorrection {
  Tensor bias; ///< f32 [out]
  BiasCorrectionReport report;
};

/// bias + (W - Q) E[x].
/// @param bias f32 [out], or an empty view for none
/// Errors: invalid_dtype, invalid_shape, invalid_value; insufficient_data for a Gram matrix without samples.
[[nodiscard]] MCOMP_API Result<BiasCorrection> correct_bias(const TensorView& weight, const TensorView& quantized,
                                                            const stats::Gram& gram, const TensorView& bias = {},
                                                            const Context& context = {});

} // namespace mcomp::inline v0::quant
