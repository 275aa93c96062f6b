// Opening a catalogue, and its records.

#include "mcomp/catalog/catalog.hpp"

#include <algorithm>

#include "catalog/canonical.hpp"
#include "catalog/catalog_state.hpp"
#include "catalog/catalog_views.hpp"
#include "catalog/random_text.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

using detail::Database;
using detail::Row;
using detail::Transaction;
using detail::Value;

namespace detail {

namespace {

constexpr std::size_t most_links = 1000, longest_link = 1000;

/// Record columns and the event behind them.
constexpr const char* record_columns = "SELECT r.kind, r.id, r.version, r.status, r.seq, e.leaf, e.body FROM record r"
                                       " JOIN event e ON e.seq = r.seq";

Error disagrees(const std::string& kind, const std::string& id) {
  return Error(ErrorCode::corrupt, fmt::format("record {}/{}", kind, id), "it is not what its event in the log says",
               "verify the catalogue, and restore it from a copy");
}

/// A row of `record_columns`. What counts is the event; the row has only led to it.
Result<Record> read_record(const Row& row) {
  const std::string kind = row.text(0), id = row.text(1);
  const std::vector<Value> columns = {row.integer(4), Bytes{row.bytes(5)}, row.null(6) ? Value() : Value(row.text(6))};
  MCOMP_TRY(logged, read_logged(Row(columns)));
  Record record{.kind = kind, .id = id, .version = row.integer(2), .body = "{}", .event = logged.index};
  if (!logged.event) {
    if (row.text(3) != redacted_status) return disagrees(kind, id);
    record.status = redacted_status;
    record.redacted = true;
    return record;
  }
  const auto said = parse_record_event(logged.event->body);
  if (!said || logged.event->kind != record_kind || said->kind != kind || said->id != id ||
      said->version != record.version || said->status != row.text(3))
    return disagrees(kind, id);
  record.name = said->name;
  record.owner = said->owner;
  record.status = said->status;
  record.fingerprint = said->fingerprint;
  record.author = logged.event->actor;
  record.time = logged.event->time;
  record.body = said->value;
  record.links = said->links;
  return record;
}

Result<std::vector<Record>> read_records(Database& database, const std::string& sql, std::span<const Value> values) {
  std::vector<Record> records;
  MCOMP_CHECK(database.query(sql, values, [&](const Row& row) -> Status {
    MCOMP_TRY(record, read_record(row));
    records.push_back(std::move(record));
    return {};
  }));
  return records;
}

Error bad_draft(const RecordDraft& draft, const char* rule, const char* remedy) {
  return Error(ErrorCode::invalid_argument, fmt::format("record {}/{}", draft.kind, draft.id), rule, remedy);
}

} // namespace

Result<std::optional<Record>> newest_record(Database& database, const std::string& kind, const std::string& id) {
  static const std::string sql =
      std::string(record_columns) + " WHERE r.kind = $1 AND r.id = $2 ORDER BY r.version DESC LIMIT 1";
  const std::array<Value, 2> values = {kind, id};
  MCOMP_TRY(records, read_records(database, sql, values));
  return records.empty() ? std::optional<Record>() : std::optional(records.front());
}

Result<Record> put_record(Database& database, LogAppender& log, const RecordDraft& draft,
                          std::span<const Envelope> approvals) {
  if (draft.kind.empty() || draft.id.empty() || draft.author.empty())
    return bad_draft(draft, "kind, id and author must be given", "say what it is, and who says so");
  if (draft.status == redacted_status) return bad_draft(draft, "that status is kept for redactions", "choose another");
  MCOMP_TRY(before, newest_record(database, draft.kind, draft.id));
  const std::int64_t newest = before ? before->version : 0;
  if (newest != draft.expected_version)
    return Error(ErrorCode::version_mismatch, fmt::format("record {}/{}", draft.kind, draft.id),
                 fmt::format("version {} is there, {} was expected", newest, draft.expected_version),
                 "read it again, and change what is there now");
  const auto bad_link = [](const std::string& link) { return link.empty() || link.size() > longest_link; };
  if (draft.links.size() > most_links || std::ranges::any_of(draft.links, bad_link))
    return bad_draft(draft, "it has more than 1000 links, or one that is empty or of more than 1000 bytes",
                     "name what it refers to");
  std::vector<std::string> links = draft.links;
  std::ranges::sort(links);
  links.erase(std::unique(links.begin(), links.end()), links.end()); // Clang 14 cannot compile std::ranges::unique
  const RecordEvent said{.kind = draft.kind,
                         .id = draft.id,
                         .version = newest + 1,
                         .name = draft.name,
                         .owner = draft.owner,
                         .status = draft.status,
                         .fingerprint = draft.fingerprint,
                         .value = draft.body,
                         .approvals = {approvals.begin(), approvals.end()},
                         .links = links};
  MCOMP_TRY(body, to_body(said));
  Event event{.kind = std::string(record_kind),
              .subject = draft.kind + "/" + draft.id,
              .actor = draft.author,
              .time = draft.time,
              .body = body,
              .salt = {}};
  if (draft.personal) {
    MCOMP_TRY(salt, random_text());
    event.salt = salt;
  }
  MCOMP_TRY(text, to_json(event));
  MCOMP_TRY(index, log.append(text));
  // By the whole key: an index of what is newest would be searched through all of the kind.
  if (newest > 0)
    MCOMP_CHECK(database.post("UPDATE record SET latest = 0 WHERE kind = $1 AND id = $2 AND version = $3",
                              {draft.kind, draft.id, newest}));
  MCOMP_CHECK(database.post(
      "INSERT INTO record (kind, id, version, latest, name, search, owner, status, fingerprint, time, seq)"
      " VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10)",
      {draft.kind, draft.id, said.version, draft.name, search_text(draft.name, draft.id), draft.owner, draft.status,
       draft.fingerprint, draft.time, static_cast<std::int64_t>(index)}));
  for (const std::string& link : links)
    MCOMP_CHECK(
        database.post("INSERT INTO link (target, seq) VALUES ($1, $2)", {link, static_cast<std::int64_t>(index)}));
  MCOMP_TRY(value, canonical_value(draft.body));
  return Record{.kind = draft.kind,
                .id = draft.id,
                .version = said.version,
                .name = draft.name,
                .owner = draft.owner,
                .status = draft.status,
                .fingerprint = draft.fingerprint,
                .author = draft.author,
                .time = draft.time,
                .body = value,
                .event = index,
                .links = links};
}

std::string search_text(std::string_view name, std::string_view id) {
  std::string text = std::string(name) + "\n" + std::string(id);
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

Result<std::string> canonical_value(const std::string& body) {
  MCOMP_TRY(json, mcomp::detail::parse_json(body, "record: body"));
  return canonical_text(json);
}

Status spend(Database& database, std::span<const Approval> approvals, std::uint64_t index) {
  for (const Approval& approval : approvals) {
    MCOMP_CHECK(database.post("INSERT INTO nonce (nonce, seq) VALUES ($1, $2)",
                              {approval.nonce, static_cast<std::int64_t>(index)}));
  }
  return {};
}

NonceUsed nonce_used(Database& database) {
  return [&database](std::string_view nonce) {
    bool found = false;
    const auto status =
        database.query("SELECT seq FROM nonce WHERE nonce = $1", {std::string(nonce)}, [&](const Row&) -> Status {
          found = true;
          return {};
        });
    return found || !status; // where nobody can say, it does not count
  };
}

} // namespace detail

Catalog::Catalog(std::unique_ptr<State> state) : state_(std::move(state)) {}
Catalog::~Catalog() = default;
Catalog::Catalog(Catalog&&) noexcept = default;
Catalog& Catalog::operator=(Catalog&&) noexcept = default;

Result<Catalog> Catalog::open_postgresql(const std::string& connection, const CatalogOptions& options) {
  auto database = detail::open_postgresql(connection, options);
  if (!database) return database.error();
  const std::string name((*database)->name());
  if (const auto status = detail::migrate(**database); !status) return status.error().within(name);
  auto state = std::make_unique<State>();
  state->database = *std::move(database);
  state->path = name;
  return Catalog(std::move(state));
}

bool Catalog::with_postgresql() noexcept {
  return detail::built_with_postgresql();
}

Result<Catalog> Catalog::open(const std::filesystem::path& path, const CatalogOptions& options) {
  if (const std::string text = path.string(); text.starts_with("postgresql://") || text.starts_with("postgres://"))
    return open_postgresql(text, options);
  auto database = detail::open_sqlite(path, {options.full_sync, options.busy_timeout_ms});
  if (!database) return database.error();
  if (const auto status = detail::migrate(**database); !status) return status.error().within(path.string());
  auto state = std::make_unique<State>();
  state->database = *std::move(database);
  state->path = path.string();
  return Catalog(std::move(state));
}

Result<Record> Catalog::put(const RecordDraft& draft) {
  MCOMP_TRY(records, put({&draft, 1}));
  return records.front();
}

Result<std::vector<Record>> Catalog::put(std::span<const RecordDraft> drafts) {
  for (const RecordDraft& draft : drafts)
    if (draft.kind == detail::governance_kind)
      return detail::bad_draft(draft, "governance is changed by approvals alone", "call govern");
  const std::lock_guard lock(state_->mutex);
  MCOMP_TRY(transaction, Transaction::writing(*state_->database));
  MCOMP_TRY(log, detail::LogAppender::begin(*state_->database));
  std::vector<Record> records;
  for (const RecordDraft& draft : drafts) {
    MCOMP_TRY(record, detail::put_record(*state_->database, log, draft, {}));
    records.push_back(std::move(record));
  }
  MCOMP_CHECK(log.finish());
  MCOMP_CHECK(transaction.commit());
  return records;
}

Result<Record> Catalog::get(const std::string& kind, const std::string& id, std::optional<std::int64_t> version) const {
  const std::lock_guard lock(state_->mutex);
  std::optional<Record> found;
  if (version) {
    static const std::string sql =
        std::string(detail::record_columns) + " WHERE r.kind = $1 AND r.id = $2 AND r.version = $3";
    const std::array<Value, 3> values = {kind, id, *version};
    MCOMP_TRY(records, detail::read_records(*state_->database, sql, values));
    if (!records.empty()) found = records.front();
  } else {
    MCOMP_TRY(record, detail::newest_record(*state_->database, kind, id));
    found = record;
  }
  if (!found)
    return Error(ErrorCode::not_found, fmt::format("record {}/{}", kind, id), "there is no such record or version",
                 "list the records of that kind");
  return *found;
}

Result<std::vector<Record>> Catalog::history(const std::string& kind, const std::string& id) const {
  static const std::string sql =
      std::string(detail::record_columns) + " WHERE r.kind = $1 AND r.id = $2 ORDER BY r.version";
  const std::lock_guard lock(state_->mutex);
  const std::array<Value, 2> values = {kind, id};
  return detail::read_records(*state_->database, sql, values);
}

namespace {

struct Condition {
  std::string sql;
  std::vector<Value> values;
};

/// A part of `search_text` as a pattern, with what is special in patterns escaped.
std::string pattern_of(std::string_view text) {
  std::string pattern = "%";
  for (const char c : detail::search_text(text, {})) {
    if (c == '\n') continue;
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + "%";
}

/// Only what is asked for stands in the statement, so that the index for it is used.
Condition condition_of(const RecordQuery& query) {
  Condition condition{query.all_versions ? " WHERE r.kind = $1" : " WHERE r.kind = $1 AND r.latest = 1", {query.kind}};
  const auto add = [&](const char* sql, Value value) {
    condition.values.push_back(std::move(value));
    condition.sql += fmt::format(fmt::runtime(sql), condition.values.size());
  };
  if (!query.status.empty()) add(" AND r.status = ${}", query.status);
  if (!query.owner.empty()) add(" AND r.owner = ${}", query.owner);
  if (!query.fingerprint.empty()) add(" AND r.fingerprint = ${}", query.fingerprint);
  if (query.since) add(" AND r.time >= ${}", *query.since);
  if (query.until) add(" AND r.time < ${}", *query.until);
  if (!query.links_to.empty()) add(" AND r.seq IN (SELECT l.seq FROM link l WHERE l.target = ${})", query.links_to);
  if (!query.text.empty()) add(" AND r.search LIKE ${} ESCAPE '\\'", pattern_of(query.text));
  return condition;
}

} // namespace

Result<std::vector<Record>> Catalog::find(const RecordQuery& query) const {
  if (query.limit < 0 || query.offset < 0)
    return Error(ErrorCode::invalid_argument, "query", "limit or offset is negative", "give at least 0");
  Condition condition = condition_of(query);
  condition.values.insert(condition.values.end(), {query.limit, query.offset});
  const std::size_t last = condition.values.size();
  const std::string sql = fmt::format("{}{} ORDER BY r.time DESC, r.seq DESC LIMIT ${} OFFSET ${}",
                                      detail::record_columns, condition.sql, last - 1, last);
  const std::lock_guard lock(state_->mutex);
  return detail::read_records(*state_->database, sql, condition.values);
}

Result<std::int64_t> Catalog::count(const RecordQuery& query) const {
  const Condition condition = condition_of(query);
  const std::lock_guard lock(state_->mutex);
  std::int64_t count = 0;
  MCOMP_CHECK(state_->database->query("SELECT count(*) FROM record r" + condition.sql, condition.values,
                                      [&](const Row& row) -> Status {
                                        count = row.integer(0);
                                        return {};
                                      }));
  return count;
}

std::string to_string(const Record& record) {
  return fmt::format("{}/{} version {}{}{}, by {}", record.kind, record.id, record.version,
                     record.status.empty() ? "" : " (" + record.status + ")",
                     record.name.empty() ? "" : ": " + record.name,
                     record.author.empty() ? std::string("unknown") : record.author);
}

} // namespace mcomp::inline v0::catalog
