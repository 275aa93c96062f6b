#include "network.hpp"

#include <charconv>

#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/resnet.hpp"

namespace example {

mcomp::Result<mcomp::graph::Network> read_network(const std::string& network) {
  constexpr std::string_view cifar_prefix = "resnet-cifar:";
  if (network.starts_with(cifar_prefix)) {
    const std::string_view digits = std::string_view(network).substr(cifar_prefix.size());
    std::int64_t depth = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), depth);
    if (code != std::errc() || end != digits.data() + digits.size())
      return mcomp::Error(mcomp::ErrorCode::invalid_argument, fmt::format("--network {}", network),
                          "the depth is not a number", "write resnet-cifar:20");
    return mcomp::graph::cifar_resnet({.depth = depth});
  }
  constexpr std::int64_t largest = 16 << 20;
  const auto text = mcomp::read_file(network, largest);
  if (!text) return text.error();
  return mcomp::graph::network_from_json(*text, network);
}

} // namespace example
