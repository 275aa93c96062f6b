#pragma once

#include "mcomp/stats/cross_moment.hpp"
#include "mcomp/stats/gram.hpp"

namespace mcomp::inline v0::quant {

/// The weight that also makes up for an error that a layer does not cause: the least-squares solution of W' x = W x + d
/// over samples, W' = W + E[d x^T] (E[x x^T] + damping)^-1. Quantize W' in the place of W. In a network whose earlier
/// layers are quantized, x is what the layer sees now and d what its output has lost on the way: the asymmetric
/// calibration of Li et al. 2025 (GPTAQ), here as a regression before any quantizer instead of a term within GPTQ; with
/// d taken behind a residual sum, the layer also repairs what the sum brings along.
///
/// @param weight f32, f16 or bf16 [out, ...] with gram.features() columns in the matrix [out, the rest]
/// @param difference of d [out] and x, over the samples of `gram`
/// @param damping added to the diagonal, as a share of its mean: draws W' towards W. Raised where the factorization
///                needs it.
/// @return f32, the shape of `weight`
/// Complexity: in^3 / 6 + 2 out in^2 multiply-adds.
/// Errors: invalid_dtype; invalid_shape where features or counts differ; invalid_argument for a damping that is
/// negative or not finite; invalid_value.
[[nodiscard]] MCOMP_API Result<Tensor> compensate(const TensorView& weight, const stats::Gram& gram,
                                                  const stats::CrossMoment& difference, double damping = 0.01,
                                                  const Context& context = {});

} // namespace mcomp::inline v0::quant
