#pragma once

// GrowthBook's targeting conditions; never part of the interface.

#include <string>

#include "rollout/schema.hpp"

namespace mcomp::inline v0::rollout::detail {

/// Depth is bounded by that of the JSON.
[[nodiscard]] bool condition_holds(const Json& condition, const Json& attributes, const Json& saved_groups);
/// Whether JavaScript takes the value for true.
[[nodiscard]] bool truthy(const Json& value);
/// The text that JavaScript makes of a value.
[[nodiscard]] std::string text_of(const Json& value);

} // namespace mcomp::inline v0::rollout::detail
