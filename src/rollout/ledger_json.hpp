#pragma once

// A ledger as a part of a larger JSON value; never part of the interface.

#include "mcomp/rollout/bucketing.hpp"
#include "rollout/schema.hpp"

namespace mcomp::inline v0::rollout::detail {

[[nodiscard]] Result<Ledger> read_ledger(const Json& json, const std::string& subject);
[[nodiscard]] Json json_of(const Ledger& ledger);

} // namespace mcomp::inline v0::rollout::detail
