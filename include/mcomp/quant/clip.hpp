#pragma once

#include <cstdint>
#include <string>

#include "mcomp/quant/quantize.hpp"

// Round-to-nearest with clipped ranges: a few large weights lose a little, so that the many small ones get finer steps.
// The range of every group is the one with the least weighted squared error; with the second moments of the inputs as
// weights that is the expected error of the layer's output for uncorrelated inputs.
//
//     auto q = mcomp::quant::quantize_clipped(weights, {.dtype = DType::int4, .granularity = Granularity::per_group,
//                                             .group_size = 32}, {.importance = gram.diagonal()}).value();

namespace mcomp::inline v0::quant {

/// Which ranges are tried.
struct ClipOptions {
  double lowest = 0.5; ///< the narrowest range, as a share of the full one; in (0, 1]
  int steps = 26; ///< ranges from `lowest` to the full one, equally far apart; 1 .. 4096. Affine schemes try all pairs
                  ///< of a lower and an upper end out of a third as many
  bool refit = true; ///< then moves the scale to the least-squares optimum of the codes until these stay as they are
};

struct ClippedOptions {
  ClipOptions clip{};
  /// One weight for each column of the matrix [out, the rest]; not negative. Empty: all columns count alike. A group
  /// whose weights are all zero is treated as if they were equal.
  std::vector<double> importance{};
};

struct ClipReport {
  double weight_error = 0;  ///< sum h (w - q)^2 / sum h w^2
  double clipped_share = 0; ///< share of the weights beyond the outermost code's half step
};

struct ClippedTensor {
  QuantizedTensor tensor;
  ClipReport report;
};

/// Complexity: elements * steps. Groups run side by side; the result does not depend on how many.
/// Errors, before any work: those of `quantize`; invalid_argument for options outside their bounds, invalid_shape or
/// invalid_value for importances.
[[nodiscard]] MCOMP_API Result<ClippedTensor> quantize_clipped(const TensorView& weight, const Scheme& scheme,
                                                               const ClippedOptions& options = {},
                                                               const Context& context = {});

} // namespace mcomp::inline v0::quant
