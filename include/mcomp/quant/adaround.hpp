#pragma once

#include "mcomp/quant/clip.hpp"
#include "mcomp/stats/gram.hpp"

// Learned rounding: whether each weight is rounded up or down is a soft decision, optimized for the layer's output and
// hardened step by step. Nagel, Amjad, van Baalen, Louizos and Blankevoort 2020 (AdaRound), equations 21 to 25, on the
// Gram matrix instead of sampled batches: the expected loss and its gradient are exact, so that a tenth of the paper's
// steps do.
//
//     auto q = quant::adaround(weights, gram, {.scheme = {.dtype = DType::int4}}).value();

namespace mcomp::inline v0::quant {

struct AdaRoundOptions {
  Scheme scheme{.dtype = DType::int4};
  ClipOptions clip{}; ///< ranges tried for the scales, which stay as they are
  int steps = 1000;   ///< of Adam
  double learning_rate = 0.02;
  double regularization = 0.5; ///< weight of the term that hardens decisions, beside a loss in which one step of one
                               ///< weight costs its input's share of the mean second moment
  double warm_up = 0.2;        ///< share of the steps without that term
  double first_beta = 20, last_beta = 2; ///< its exponent falls along a cosine
};

struct AdaRoundReport {
  double error_before = 0; ///< ||X (W - Q)^T||^2 / ||X W^T||^2 of rounding to nearest with the same scales
  double error_after = 0;
  double undecided = 0;    ///< share of the weights whose decision was still between .01 and .99
  std::int64_t turned = 0; ///< weights not rounded to the nearest
};

struct AdaRoundResult {
  QuantizedTensor tensor;
  AdaRoundReport report;
};

/// Deterministic; rows are independent and run side by side.
/// Complexity: steps * out * in^2 multiply-adds.
/// Errors: as `quantize_clipped`; invalid_shape where the features differ; invalid_argument; cancelled.
[[nodiscard]] MCOMP_API Result<AdaRoundResult> adaround(const TensorView& weight, const stats::Gram& gram,
                                                        const AdaRoundOptions& options = {},
                                                        const Context& context = {});

} // namespace mcomp::inline v0::quant
