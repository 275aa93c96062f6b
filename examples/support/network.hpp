#pragma once

#include <string>

#include "mcomp/graph/network.hpp"

namespace example {

/// "resnet-cifar:20" or the path of a JSON description.
[[nodiscard]] mcomp::Result<mcomp::graph::Network> read_network(const std::string& network);

} // namespace example
