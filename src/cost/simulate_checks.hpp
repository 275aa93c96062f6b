#pragma once

#include "mcomp/cost/simulate.hpp"

namespace mcomp::inline v0::cost::detail {

/// The rules of a pool, as `simulate` states them.
[[nodiscard]] Status check_pool(const ServerPool& pool);
/// Requests per second that the servers can answer, in batches of the best size and with the time that they are lost.
[[nodiscard]] double capacity(const ServerPool& pool);

} // namespace mcomp::inline v0::cost::detail
