#pragma once

#include "mcomp/cost/simulate.hpp"

namespace mcomp::inline v0::cost::detail {

/// The rules of a pool, as `simulate` states them.
[[nodiscard]] Status check_pool(const ServerPool& pool);

} // namespace mcomp::inline v0::cost::detail
