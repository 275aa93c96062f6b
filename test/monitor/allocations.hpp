#pragma once

#include <cstdint>

namespace mcomp_test {

/// Calls of operator new by this thread.
[[nodiscard]] std::int64_t allocations();

} // namespace mcomp_test
