// The JSON of what a catalogue is asked and answers: golden files of version 1, and what must not be read.

#include "mcomp/catalog/json.hpp"

#include "golden.hpp"

using namespace mcomp;
using namespace mcomp::catalog;

namespace {

template <class Value, class Read> void check(const std::string& name, const Value& value, const Read& read) {
  mcomp_test::check_golden(MCOMP_TEST_CATALOG_DIR, name, value, read, [](const Value& one) { return to_json(one); });
}

Record record() {
  return {.kind = "experiment",
          .id = "e42",
          .version = 2,
          .name = "w4a8 trial",
          .owner = "ana",
          .status = "won",
          .fingerprint = "sha256:f",
          .author = "ci",
          .time = 1'800'000'000,
          .body = R"({"bits":4})",
          .event = 17,
          .links = {"experiment/e41", "sha256:a"}};
}

} // namespace

TEST_CASE("golden files of what a catalogue is asked and answers", "[catalog]") {
  check("record", record(), parse_record);
  check("records", std::vector{record(), Record{.kind = "note", .id = "n", .body = "{}", .redacted = true}},
        parse_records);
  check("record_draft",
        RecordDraft{.kind = "note",
                    .id = "n1",
                    .expected_version = 1,
                    .name = "a note",
                    .author = "ana",
                    .time = 1'800'000'000,
                    .body = R"({"x":[1,2.5]})",
                    .personal = true,
                    .links = {"suite/s1"}},
        parse_record_draft);
  check("record_query",
        RecordQuery{.kind = "recipe", .status = "standard", .links_to = "family/decoder", .since = 5, .limit = 10},
        parse_record_query);
  check("alias",
        AliasState{.name = "production",
                   .version = 3,
                   .artifact = "sha256:a",
                   .author = "ci",
                   .reason = "p99",
                   .time = 1'800'000'000,
                   .rollback = true,
                   .event = 9},
        parse_alias_state);
  check("promotion",
        Promotion{.alias = "production", .artifact = "sha256:a", .author = "ci", .time = 5, .expected_version = 2},
        parse_promotion);
  check("rollback", Rollback{.alias = "production", .author = "ci", .time = 5, .reason = "p99"}, parse_rollback);
  check("due_events", std::vector{DueEvent{.index = 4, .kind = "feedback", .subject = "user 7", .time = 1, .since = 2}},
        parse_due_events);
  CatalogReport report{.events = 12, .redacted = 1, .records = 4, .aliases = 2};
  report.problems = {{7, "record recipe/w4a8", "it is missing"}, {std::nullopt, "log", "its state is wrong"}};
  check("catalog_report", report, parse_catalog_report);
  check(
      "store_report",
      StoreReport{.artifacts = 1, .blobs = 3, .bytes = 99, .problems = {{"index.json", "it is damaged", {"sha256:a"}}}},
      parse_store_report);
  check("garbage_report", GarbageReport{.removed = 2, .bytes = 10, .kept = 1}, parse_garbage_report);
  check("machine", Machine{.instruction_sets = {"avx2", "avx512"}, .memory_bytes = 1 << 30}, parse_machine);
  check("experiment_comparison",
        compare(Experiment{.name = "a", .parameters = {{"bits", "4"}}, .metrics = {{"accuracy", 0.9}}},
                Experiment{.name = "b", .metrics = {{"accuracy", 0.91}, {"ece", 0.01}}}),
        parse_experiment_comparison);
}

TEST_CASE("what is left out of a query or a draft is as in a new one, and what must be there must", "[catalog]") {
  CHECK(parse_record_query(R"({"schema":"mcomp-record-query-1","kind":"recipe"})").value() ==
        RecordQuery{.kind = "recipe"});
  CHECK(parse_record_query(R"({"schema":"mcomp-record-query-1"})").error().code() == ErrorCode::corrupt);
  CHECK(parse_record_query(R"({"schema":"mcomp-record-query-1","kind":"recipe","kinds":[]})").error().code() ==
        ErrorCode::corrupt);
  CHECK(parse_record(R"({"schema":"mcomp-record-2"})").error().code() == ErrorCode::version_mismatch);
  std::string report = to_json(CatalogReport{});
  report.replace(report.find("\"root\":\"") + 8, 2, "XY");
  CHECK(parse_catalog_report(report).error().rule().find("SHA-256") != std::string::npos);
  CHECK(parse_catalog_report(to_json(CatalogReport{})).value() == CatalogReport{});
  // A whole record of the catalogue survives the way.
  Catalog catalog = Catalog::open(mcomp_test::temporary_folder() / "c").value();
  const RecordDraft draft{
      .kind = "note", .id = "n1", .author = "ana", .body = R"({"b": 1, "a": 1e-7})", .links = {"x"}};
  const Record put = catalog.put(parse_record_draft(to_json(draft)).value()).value();
  CHECK(parse_record(to_json(put)).value() == put);
  const auto query = parse_record_query(to_json(RecordQuery{.kind = "note", .links_to = "x"})).value();
  CHECK(parse_records(to_json(catalog.find(query).value())).value() == std::vector{put});
}
