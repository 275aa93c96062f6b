#pragma once

// The schema versions of the room's JSON; never part of the interface.

#include "core/json_schema.hpp"

namespace mcomp::inline v0::rollout::detail {

using mcomp::detail::check_schema;
using mcomp::detail::dumped;
using mcomp::detail::Json;
using mcomp::detail::ObjectReader;
using mcomp::detail::parse_json;

} // namespace mcomp::inline v0::rollout::detail
