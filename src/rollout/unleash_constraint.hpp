#pragma once

// Constraints of Unleash; never part of the interface.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mcomp/rollout/unleash.hpp"
#include "rollout/fields.hpp"
#include "rollout/pattern.hpp"

namespace mcomp::inline v0::rollout::detail {

/// The value of a field of the context, by the name that constraints and stickiness use.
[[nodiscard]] std::optional<std::string> field_of(const UnleashContext& context, const std::string& name);

struct UnleashConstraint {
  std::string field, operation, value;
  std::vector<std::string> values;
  bool inverted = false, ignore_case = false;
  std::optional<Pattern> pattern; ///< of REGEX, where it is one

  [[nodiscard]] static Result<UnleashConstraint> read(const Json& json, const std::string& where);
  [[nodiscard]] bool holds(const UnleashContext& context) const;
};

/// Milliseconds since 1970 of an ISO 8601 date or date and time; without a zone it is UTC.
[[nodiscard]] std::optional<std::int64_t> parse_time(std::string_view text) noexcept;

} // namespace mcomp::inline v0::rollout::detail
