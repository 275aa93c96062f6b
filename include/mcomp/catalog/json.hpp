#pragma once

// The JSON of what a catalogue and a store are asked and answer, so that another process can be told it. (Values that
// are kept in the catalogue have theirs beside them: records.hpp, event.hpp, governance.hpp, changelog.hpp, ...)
//
//     std::string answer = catalog::to_json(catalog.find(catalog::parse_record_query(request).value()).value());
//
// Each has a schema version: "mcomp-record-1", "mcomp-records-1", "mcomp-record-draft-1", "mcomp-record-query-1",
// "mcomp-alias-1", "mcomp-promotion-1", "mcomp-rollback-1", "mcomp-due-events-1", "mcomp-catalog-report-1",
// "mcomp-store-report-1", "mcomp-garbage-report-1", "mcomp-machine-1", "mcomp-experiment-comparison-1". Text that is no
// UTF-8 is written with replacement characters. Errors of reading: corrupt, for an unknown key too, and
// version_mismatch.

#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/artifact_store.hpp"
#include "mcomp/catalog/catalog.hpp"
#include "mcomp/catalog/records.hpp"

namespace mcomp::inline v0::catalog {

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Record& record);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const std::vector<Record>& records);
/// A body that is no JSON is written as null.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const RecordDraft& draft);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const RecordQuery& query);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const AliasState& state);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Promotion& promotion);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Rollback& rollback);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const std::vector<DueEvent>& events);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const CatalogReport& report);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const StoreReport& report);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const GarbageReport& report);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Machine& machine);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const ExperimentComparison& comparison);

[[nodiscard]] MCOMP_WORKFLOW_API Result<Record> parse_record(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<Record>> parse_records(std::string_view json);
/// Kind, id and author must be there; what else is absent is as in a new draft.
[[nodiscard]] MCOMP_WORKFLOW_API Result<RecordDraft> parse_record_draft(std::string_view json);
/// The kind must be there; what else is absent asks for nothing.
[[nodiscard]] MCOMP_WORKFLOW_API Result<RecordQuery> parse_record_query(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<AliasState> parse_alias_state(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<Promotion> parse_promotion(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<Rollback> parse_rollback(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<DueEvent>> parse_due_events(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<CatalogReport> parse_catalog_report(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<StoreReport> parse_store_report(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<GarbageReport> parse_garbage_report(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<Machine> parse_machine(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<ExperimentComparison> parse_experiment_comparison(std::string_view json);

} // namespace mcomp::inline v0::catalog
