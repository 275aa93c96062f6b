#pragma once

// The keys, their roles and the policy of a catalogue, as one versioned value: what was in force when something was
// approved can be looked up ever after.

#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/approval.hpp"

namespace mcomp::inline v0::catalog {

/// How long something that is no longer needed may stay: `Catalog::apply_retention` deletes what is older.
struct RetentionRule {
  std::string kind; ///< of records ("experiment"), or of events that are no records ("feedback"); one rule a kind
  std::int64_t keep_seconds = 0;
  bool personal_only = true; ///< false: all of the kind, not only what was put as personal
  friend bool operator==(const RetentionRule&, const RetentionRule&) = default;
};

struct Governance {
  std::vector<KeyRecord> keys;
  Policy policy;
  std::vector<RetentionRule> retention{};

  /// Reads JSON of schema "mcomp-governance-1". Errors: corrupt, version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Governance> parse(std::string_view json,
                                                                   const std::string& subject = "governance");
  friend bool operator==(const Governance&, const Governance&) = default;
};

/// Canonical JSON. Errors: invalid_argument for two rules of one class of change or of retention of one kind, a key
/// that stands twice, a rule without roles or with fewer than one approval, retention of a negative time or of the
/// catalogue's own events; invalid_value for text that is not UTF-8.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const Governance& governance);

/// The class of change under which governance itself is changed.
inline constexpr std::string_view govern_change = "govern";

} // namespace mcomp::inline v0::catalog
