#pragma once

#include <string_view>

#include "mcomp/graph/network.hpp"

namespace mcomp::inline v0::graph::detail {

/// For rooms that know images and feature rows only: refuses token inputs, the operations of decoders and linear layers
/// over rows of a sequence. Error: unsupported, naming the layer and `who`.
[[nodiscard]] Status refuse_sequences(const Network& network, const Shapes& shapes, std::string_view who);

} // namespace mcomp::inline v0::graph::detail
