#include "mcomp/catalog/json.hpp"

#include "catalog/catalog_views.hpp"
#include "core/json_fields.hpp"

namespace mcomp::inline v0::catalog {

using mcomp::detail::Is;
using mcomp::detail::read_document;
using mcomp::detail::write_document;

/// Lists stand under a key, as every document is an object.
struct RecordList {
  std::vector<Record> records;
};
struct DueEventList {
  std::vector<DueEvent> events;
};

namespace {

/// A hash stands there in hexadecimal.
template <class Fields> void hash(Fields& f, const char* key, const Hash& value) {
  f(key, to_hex(value));
}
Status read_hash(const std::string& text, Hash& value) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  bool right = text.size() == 2 * value.size();
  for (std::size_t i = 0; right && i < value.size(); ++i) {
    const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
    right = high >= 0 && low >= 0;
    value[i] = static_cast<std::uint8_t>(16 * high + low);
  }
  if (right) return {};
  return Error(ErrorCode::corrupt, "root", "it is no SHA-256 in lower-case hexadecimal", "write 64 digits");
}

} // namespace

// Found by the types of their arguments, and so not in a namespace without name.

template <class Fields, Is<Record> T> static void describe(Fields& f, T& r) {
  f("kind", r.kind), f("id", r.id), f("version", r.version), f("name", r.name), f("owner", r.owner);
  f("status", r.status), f("fingerprint", r.fingerprint), f("author", r.author), f("time", r.time);
  f.document("body", r.body), f("redacted", r.redacted), f("event", r.event), f("links", r.links);
  // As the catalogue has it: other programs may write numbers and keys in other ways.
  if constexpr (!std::is_const_v<T>)
    if (const auto body = detail::canonical_value(r.body)) r.body = *body;
}
template <class Fields, Is<RecordList> T> static void describe(Fields& f, T& r) {
  f("records", r.records);
}
template <class Fields, Is<RecordDraft> T> static void describe(Fields& f, T& d) {
  f("kind", d.kind), f("id", d.id), f("author", d.author), f.maybe("expected_version", d.expected_version);
  f.maybe("name", d.name), f.maybe("owner", d.owner), f.maybe("status", d.status);
  f.maybe("fingerprint", d.fingerprint), f.maybe("time", d.time), f.document("body", d.body);
  f.maybe("personal", d.personal), f.maybe("links", d.links);
}
template <class Fields, Is<RecordQuery> T> static void describe(Fields& f, T& q) {
  f("kind", q.kind), f.maybe("status", q.status), f.maybe("owner", q.owner), f.maybe("fingerprint", q.fingerprint);
  f.maybe("text", q.text), f.maybe("links_to", q.links_to), f("since", q.since), f("until", q.until);
  f.maybe("all_versions", q.all_versions), f.maybe("limit", q.limit), f.maybe("offset", q.offset);
}
template <class Fields, Is<AliasState> T> static void describe(Fields& f, T& a) {
  f("name", a.name), f("version", a.version), f("artifact", a.artifact), f("author", a.author);
  f("reason", a.reason), f("time", a.time), f("rollback", a.rollback), f("event", a.event);
}
template <class Fields, Is<Promotion> T> static void describe(Fields& f, T& p) {
  f("alias", p.alias), f("artifact", p.artifact), f.maybe("author", p.author), f.maybe("time", p.time);
  f.maybe("reason", p.reason), f("expected_version", p.expected_version);
}
template <class Fields, Is<Rollback> T> static void describe(Fields& f, T& r) {
  f("alias", r.alias), f.maybe("author", r.author), f.maybe("time", r.time), f.maybe("reason", r.reason);
}
template <class Fields, Is<DueEvent> T> static void describe(Fields& f, T& d) {
  f("index", d.index), f("kind", d.kind), f("subject", d.subject), f("time", d.time), f("since", d.since);
}
template <class Fields, Is<DueEventList> T> static void describe(Fields& f, T& d) {
  f("events", d.events);
}
template <class Fields, Is<LogProblem> T> static void describe(Fields& f, T& p) {
  f("index", p.index), f("where", p.where), f("rule", p.rule);
}
template <class Fields, Is<CatalogReport> T> static void describe(Fields& f, T& r) {
  f("events", r.events), f("redacted", r.redacted), f("records", r.records), f("aliases", r.aliases);
  f("problems", r.problems);
  if constexpr (std::is_const_v<T>) {
    hash(f, "root", r.root);
  } else {
    std::string root;
    f("root", root);
    f.require(read_hash(root, r.root));
  }
}
template <class Fields, Is<StoreProblem> T> static void describe(Fields& f, T& p) {
  f("where", p.where), f("rule", p.rule), f("artifacts", p.artifacts);
}
template <class Fields, Is<StoreReport> T> static void describe(Fields& f, T& r) {
  f("artifacts", r.artifacts), f("blobs", r.blobs), f("bytes", r.bytes), f("problems", r.problems);
}
template <class Fields, Is<GarbageReport> T> static void describe(Fields& f, T& r) {
  f("removed", r.removed), f("bytes", r.bytes), f("kept", r.kept);
}
template <class Fields, Is<Machine> T> static void describe(Fields& f, T& m) {
  f("instruction_sets", m.instruction_sets), f("memory_bytes", m.memory_bytes);
}
template <class Fields, Is<ExperimentComparison::Choice> T> static void describe(Fields& f, T& c) {
  f("name", c.name), f("first", c.first), f("second", c.second);
}
template <class Fields, Is<ExperimentComparison::Measure> T> static void describe(Fields& f, T& m) {
  f("slice", m.slice), f("metric", m.metric), f("first", m.first), f("second", m.second);
}
template <class Fields, Is<ExperimentComparison> T> static void describe(Fields& f, T& c) {
  f("parameters", c.parameters), f("inputs", c.inputs), f("environment", c.environment), f("metrics", c.metrics);
}

std::string to_json(const Record& record) {
  return write_document(record, "mcomp-record-1");
}
std::string to_json(const std::vector<Record>& records) {
  return write_document(RecordList{records}, "mcomp-records-1");
}
std::string to_json(const RecordDraft& draft) {
  return write_document(draft, "mcomp-record-draft-1");
}
std::string to_json(const RecordQuery& query) {
  return write_document(query, "mcomp-record-query-1");
}
std::string to_json(const AliasState& state) {
  return write_document(state, "mcomp-alias-1");
}
std::string to_json(const Promotion& promotion) {
  return write_document(promotion, "mcomp-promotion-1");
}
std::string to_json(const Rollback& rollback) {
  return write_document(rollback, "mcomp-rollback-1");
}
std::string to_json(const std::vector<DueEvent>& events) {
  return write_document(DueEventList{events}, "mcomp-due-events-1");
}
std::string to_json(const CatalogReport& report) {
  return write_document(report, "mcomp-catalog-report-1");
}
std::string to_json(const StoreReport& report) {
  return write_document(report, "mcomp-store-report-1");
}
std::string to_json(const GarbageReport& report) {
  return write_document(report, "mcomp-garbage-report-1");
}
std::string to_json(const Machine& machine) {
  return write_document(machine, "mcomp-machine-1");
}
std::string to_json(const ExperimentComparison& comparison) {
  return write_document(comparison, "mcomp-experiment-comparison-1");
}

Result<Record> parse_record(std::string_view json) {
  return read_document<Record>(json, "mcomp-record-1", "record");
}
Result<std::vector<Record>> parse_records(std::string_view json) {
  MCOMP_TRY(list, read_document<RecordList>(json, "mcomp-records-1", "records"));
  return std::move(list.records);
}
Result<RecordDraft> parse_record_draft(std::string_view json) {
  return read_document<RecordDraft>(json, "mcomp-record-draft-1", "record draft");
}
Result<RecordQuery> parse_record_query(std::string_view json) {
  return read_document<RecordQuery>(json, "mcomp-record-query-1", "record query");
}
Result<AliasState> parse_alias_state(std::string_view json) {
  return read_document<AliasState>(json, "mcomp-alias-1", "alias");
}
Result<Promotion> parse_promotion(std::string_view json) {
  return read_document<Promotion>(json, "mcomp-promotion-1", "promotion");
}
Result<Rollback> parse_rollback(std::string_view json) {
  return read_document<Rollback>(json, "mcomp-rollback-1", "rollback");
}
Result<std::vector<DueEvent>> parse_due_events(std::string_view json) {
  MCOMP_TRY(list, read_document<DueEventList>(json, "mcomp-due-events-1", "due events"));
  return std::move(list.events);
}
Result<CatalogReport> parse_catalog_report(std::string_view json) {
  return read_document<CatalogReport>(json, "mcomp-catalog-report-1", "catalog report");
}
Result<StoreReport> parse_store_report(std::string_view json) {
  return read_document<StoreReport>(json, "mcomp-store-report-1", "store report");
}
Result<GarbageReport> parse_garbage_report(std::string_view json) {
  return read_document<GarbageReport>(json, "mcomp-garbage-report-1", "garbage report");
}
Result<Machine> parse_machine(std::string_view json) {
  return read_document<Machine>(json, "mcomp-machine-1", "machine");
}
Result<ExperimentComparison> parse_experiment_comparison(std::string_view json) {
  return read_document<ExperimentComparison>(json, "mcomp-experiment-comparison-1", "experiment comparison");
}

} // namespace mcomp::inline v0::catalog
