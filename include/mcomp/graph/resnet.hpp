#pragma once

#include "mcomp/graph/network.hpp"

namespace mcomp::inline v0::graph {

struct CifarResnetOptions {
  std::int64_t depth = 20; ///< 6 n + 2: 8, 14, 20, 32, 44, 56, 110 ...
  std::int64_t classes = 10;
  Shape image{3, 32, 32};
  std::vector<double> mean{0.485, 0.456, 0.406};
  std::vector<double> stddev{0.229, 0.224, 0.225};
};

/// The residual networks for CIFAR of He et al. 2016 (section 4.2) with parameter-free shortcuts (option A). Layers and
/// tensors carry PyTorch's names: conv1, bn1, layer1.0.conv1 ... linear.
/// Errors: invalid_argument where depth is not 6 n + 2 or the image is not [channels, height, width].
[[nodiscard]] MCOMP_API Result<Network> cifar_resnet(const CifarResnetOptions& options);

} // namespace mcomp::inline v0::graph
