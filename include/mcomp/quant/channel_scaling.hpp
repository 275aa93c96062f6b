#pragma once

#include <span>
#include <vector>

#include "mcomp/core/tensor.hpp"

// Scales that move between the two sides of a channel without changing what a network computes: layer(x) with weight W
// equals layer(x / s) with weight W diag(s), and 1 / s folds into whatever makes x: the weight of a normalization, or
// the rows of a linear layer.
//
//     auto s = quant::smoothing_scales(absmax, {q, k, v}).value();                // SmoothQuant
//     q = quant::scale_columns(q, s).value(); ... norm = quant::divide_rows(norm, s).value();

namespace mcomp::inline v0::quant {

struct SmoothingOptions {
  double alpha = 0.5; ///< how much of the difficulty moves from the activations to the weights, in [0, 1]
};

/// s_j = max|x_j|^alpha / max|w_j|^(1 - alpha) over all weights that take x. Xiao et al. 2023 (SmoothQuant),
/// equation 4. Scales are powers of two, so that scaling is exact in floating point; channels that are zero on either
/// side keep 1.
/// @param absmax f32 [in], largest |x| of each channel, as observed
/// @param weights each [out, in, ...]
/// Errors: invalid_dtype, invalid_shape, invalid_value, invalid_argument.
[[nodiscard]] MCOMP_API Result<Tensor> smoothing_scales(const TensorView& absmax,
                                                        const std::vector<TensorView>& weights,
                                                        const SmoothingOptions& options = {});

/// W diag(s): element (o, i, ...) times s_i. @param weight f32 [out, in, ...] @param scales f32 [in], positive
[[nodiscard]] MCOMP_API Result<Tensor> scale_columns(const TensorView& weight, const TensorView& scales);
/// diag(1/s) W: row o divided by s_o; for the weight or bias of what makes the channels. @param weight f32 [out, ...]
[[nodiscard]] MCOMP_API Result<Tensor> divide_rows(const TensorView& weight, const TensorView& scales);

/// Two layers with nothing between them but an activation that commutes with positive factors (ReLU, none).
struct EqualizedPair {
  Tensor first;      ///< f32, rows divided
  Tensor first_bias; ///< f32 [mid], or empty
  Tensor second;     ///< f32, columns multiplied
  Tensor scales;     ///< f32 [mid], powers of two
};

/// Cross-layer equalization: brings the ranges of row i of the first weight and column i of the second to their
/// geometric mean. Nagel et al. 2019 (Data-Free Quantization), equation 11. For a chain of layers repeat it over the
/// pairs until the scales stay near 1.
/// @param first f32 [mid, ...] @param first_bias f32 [mid] or an empty view @param second f32 [out, mid, ...]
[[nodiscard]] MCOMP_API Result<EqualizedPair> equalize(const TensorView& first, const TensorView& first_bias,
                                                       const TensorView& second);

} // namespace mcomp::inline v0::quant
