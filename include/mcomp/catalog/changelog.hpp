#pragma once

// What has changed, for people: made of the log, so that nobody has to write it. Promotions and rollbacks with who
// approved them, new versions of recipes, targets, suites and decisions, and changes of governance.
//
//     auto entries = catalog::changelog(catalog, {.since = last_week}).value();
//     write_file("CHANGES.md", catalog::to_markdown(entries)).value();

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/catalog.hpp"

namespace mcomp::inline v0::catalog {

struct ChangelogEntry {
  std::uint64_t event = 0; ///< index in the log
  std::int64_t time = 0;
  std::string kind{};    ///< "promotion", "rollback", "recipe", "target", "suite", "decision", "governance"
  std::string subject{}; ///< alias or id of the record
  std::string actor{};
  std::vector<std::string> approved_by{}; ///< signers, of promotions and governance
  std::string text{};                     ///< one sentence
  friend bool operator==(const ChangelogEntry&, const ChangelogEntry&) = default;
};

struct ChangelogOptions {
  std::optional<std::int64_t> since{}, until{}; ///< by time, the second not included
  std::string alias{};                          ///< of aliases this one alone; empty: all
};

/// In the order of the log. What was redacted is left out. Errors: those of the catalogue.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<ChangelogEntry>> changelog(const Catalog& catalog,
                                                                               const ChangelogOptions& options = {});

/// A section a day (UTC), the newest first. Text of others cannot become markup.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_markdown(const std::vector<ChangelogEntry>& entries);
/// Canonical JSON, schema "mcomp-changelog-1". Error: invalid_value for text that is not UTF-8.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const std::vector<ChangelogEntry>& entries);
/// Errors: corrupt; version_mismatch for another schema.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<ChangelogEntry>> parse_changelog(std::string_view json);

} // namespace mcomp::inline v0::catalog
