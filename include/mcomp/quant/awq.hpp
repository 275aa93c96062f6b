#pragma once

#include <vector>

#include "mcomp/quant/clip.hpp"
#include "mcomp/stats/gram.hpp"

// Activation-aware weight quantization: channels with large inputs are scaled up before rounding, and their inputs
// down, so that they lose less; then the range of every group is the one with the least output error. Lin et al. 2023
// (AWQ), sections 3.2 and 4.1. The size of a channel is the root mean square of its inputs, where the paper takes the
// mean magnitude: the Gram matrix has it, and the error of every candidate is exact.
//
//     auto a = quant::awq({q, k, v}, gram, {.scheme = scheme}).value();
//     norm = quant::divide_rows(norm, a.scales).value();        // the other side of the scales: channel_scaling.hpp

namespace mcomp::inline v0::quant {

struct AwqOptions {
  Scheme scheme{.dtype = DType::int4, .granularity = Granularity::per_group, .group_size = 128};
  int steps = 20;           ///< scales s = rms(x)^alpha are tried for alpha = 0, 1/steps .. 1; 0: no scaling
  double lowest_clip = 0.5; ///< the narrowest range of a group that is tried, as a share of the full one
  int clip_steps = 20;      ///< ranges tried; 1: no clipping
};

struct AwqReport {
  double alpha = 0;        ///< chosen
  double error_before = 0; ///< ||X (W - Q)^T||^2 / ||X W^T||^2 over all weights, of rounding to nearest in full ranges
  double error_scaled = 0; ///< with scales, still in full ranges; never larger
  double error_after = 0;  ///< with clipped ranges too
};

struct AwqResult {
  std::vector<QuantizedTensor> tensors; ///< of W diag(scales)
  Tensor scales;                        ///< f32 [in], powers of two; divide what makes x by them
  AwqReport report;
};

/// @param weights layers that take the same x, each [out, in]
/// Complexity: steps * out * in^2 multiply-adds.
/// Errors: those of `quantize`; invalid_shape where features differ; invalid_argument for options outside their bounds
/// and for scales that belong to several rows.
[[nodiscard]] MCOMP_API Result<AwqResult> awq(const std::vector<TensorView>& weights, const stats::Gram& gram,
                                              const AwqOptions& options = {}, const Context& context = {});

} // namespace mcomp::inline v0::quant
