#pragma once

#include <string>
#include <vector>

#include "mcomp/graph/network.hpp"

namespace mcomp::inline v0::prune {

/// A network whose batch normalizations have moved into the layers before them.
struct FoldedNetwork {
  graph::Network network;
  TensorStore weights;             ///< f32 where changed
  std::vector<std::string> folded; ///< batch normalization layers that are gone
  std::vector<std::string> kept;   ///< those whose input is no convolution or linear layer, or has another user
};

/// Folds each batch normalization into the convolution or linear layer before it: with f = gamma / sqrt(var + epsilon),
/// w' = w * f and b' = (b - mean) * f + beta per output channel, computed in double. A layer without a bias gets one,
/// named after its weight: "conv1.weight" -> "conv1.folded_bias". The function of the network stays the same but for
/// rounding. Errors: those of graph::check_weights.
[[nodiscard]] MCOMP_API Result<FoldedNetwork> fold_batch_norm(const graph::Network& network,
                                                              const TensorStore& weights);

} // namespace mcomp::inline v0::prune
