#pragma once

#include "mcomp/quant/quantize.hpp"

// Quantization simulated in floating point, for training code: the forward pass rounds, the backward pass passes the
// gradient straight through where nothing was clipped.

namespace mcomp::inline v0::quant {

/// y = dequantize(quantize(x)) with known parameters, as `quantize_value` defines. f32, any shape.
/// Errors: invalid_dtype, invalid_shape.
[[nodiscard]] MCOMP_API Result<Tensor> fake_quantize(const TensorView& x, const Parameters& parameters);

struct FakeQuantizeGradient {
  Tensor input;     ///< dL/dx, f32 in the shape of x
  double scale = 0; ///< dL/dscale
};

/// Gradients of `fake_quantize` (learned step size quantization, Esser et al. 2020, equations 3 and 4).
///
/// dL/dx = dL/dy where x / scale + zero_point lies within the codes, else 0 (straight-through with clipping).
/// dL/dscale = sum dL/dy * (round(x / scale) - x / scale) inside, and dL/dy * (bound - zero_point) where clipped, the
/// bound being the code clipped to; times 1 / sqrt(elements * highest code) where `scale_gradient` asks for it
/// (section 2.2 of the paper), so that the step size learns at the pace of the weights.
/// @param x             f32
/// @param output_gradient dL/dy, f32 in the shape of x
/// Errors: invalid_dtype, invalid_shape.
[[nodiscard]] MCOMP_API Result<FakeQuantizeGradient> fake_quantize_gradient(const TensorView& x,
                                                                            const TensorView& output_gradient,
                                                                            const Parameters& parameters,
                                                                            bool scale_gradient = true);

} // namespace mcomp::inline v0::quant
