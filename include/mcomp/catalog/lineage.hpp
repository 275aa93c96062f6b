#pragma once

// Where an artifact comes from and what became of it, from its id alone: the trial that made it and those that this one
// continues, the recipes that they used, the questions that they belong to, the decisions that rest on them, and every
// alias that has named it.
//
//     fmt::print("{}", catalog::artifact_lineage(catalog, id).value());

#include <string>
#include <vector>

#include "mcomp/catalog/catalog.hpp"

namespace mcomp::inline v0::catalog {

/// Newest versions, each once.
struct ArtifactLineage {
  std::string artifact;
  std::vector<Record> trials;         ///< that made it, each followed by those that it continues
  std::vector<Record> recipes;        ///< whose fingerprint is an input of one of the trials
  std::vector<Record> suites;         ///< likewise
  std::vector<Record> investigations; ///< that one of the trials names, or that name it
  std::vector<Record> decisions;      ///< whose evidence the artifact or one of the trials is
  std::vector<AliasState> aliases;    ///< states that name it, by time
  friend bool operator==(const ArtifactLineage&, const ArtifactLineage&) = default;
};

/// Finds by links, so that the time does not grow with the records that have nothing to do with it; the histories of
/// all aliases are read. Evidence is found as an artifact's id, a trial's id, or "experiment/ID". Errors:
/// invalid_argument for an id that is no digest; corrupt for parents that go in a circle. An id that nothing refers to
/// has an empty lineage.
[[nodiscard]] MCOMP_WORKFLOW_API Result<ArtifactLineage> artifact_lineage(const Catalog& catalog,
                                                                          const std::string& artifact);

/// A tree in text, one line a record.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const ArtifactLineage& lineage);
/// Canonical JSON, schema "mcomp-artifact-lineage-1": ids, versions, names and status, not whole records.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const ArtifactLineage& lineage);

} // namespace mcomp::inline v0::catalog

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<catalog::ArtifactLineage> = true;
} // namespace mcomp::inline v0
