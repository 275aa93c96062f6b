#pragma once

#include <cstdint>

namespace mcomp::inline v0::cost::detail {

/// Erlang's recursion takes a step a server: this many take some ten milliseconds, and no fleet is larger.
inline constexpr std::int64_t most_servers = 10'000'000;

} // namespace mcomp::inline v0::cost::detail
