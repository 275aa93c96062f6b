#pragma once

// Internet addresses and networks as text; never part of the interface.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mcomp::inline v0::rollout::detail {

struct IpAddress {
  std::array<std::uint8_t, 16> bytes{}; ///< of an IPv4 address the first four
  int bits = 0;                         ///< 32 or 128
  /// Dotted decimal or RFC 4291, 2.2. Nothing for anything else.
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text) noexcept;
};

/// Whether the address lies in the network "address/length" or is the address that stands there alone. False for text
/// that is none, and for an address of the other kind.
[[nodiscard]] bool in_network(const IpAddress& address, std::string_view network) noexcept;

} // namespace mcomp::inline v0::rollout::detail
