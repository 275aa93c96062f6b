#pragma once

// Processor time and memory of this process; never part of the interface.

#include <optional>

#include "mcomp/monitor/service_snapshot.hpp"

namespace mcomp::inline v0::monitor::detail {

/// Nothing where the system does not say.
[[nodiscard]] std::optional<ProcessUsage> process_usage();

} // namespace mcomp::inline v0::monitor::detail
