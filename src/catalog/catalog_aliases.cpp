// Governance, and the aliases that it governs.

#include <algorithm>
#include <array>

#include "catalog/catalog_views.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

using detail::Database;
using detail::Row;
using detail::Transaction;

namespace {

Result<std::optional<Governance>> governance_in(Database& database, std::optional<Record>& record) {
  MCOMP_TRY(found,
            detail::newest_record(database, std::string(detail::governance_kind), std::string(detail::governance_id)));
  record = found;
  if (!found) return std::optional<Governance>();
  MCOMP_TRY(governance, Governance::parse(found->body));
  return std::optional(governance);
}

constexpr const char* alias_columns = "SELECT a.version, a.artifact, a.rollback, a.seq, e.leaf, e.body FROM alias a"
                                      " JOIN event e ON e.seq = a.seq WHERE a.name = $1";

Error disagrees(const std::string& name) {
  return Error(ErrorCode::corrupt, "alias " + name, "it is not what its event in the log says",
               "verify the catalogue, and restore it from a copy");
}

/// A row of `alias_columns`, held against its event.
Result<AliasState> read_alias(const std::string& name, const Row& row) {
  const std::vector<detail::Value> columns = {row.integer(3), detail::Bytes{row.bytes(4)}, row.text(5)};
  MCOMP_TRY(logged, detail::read_logged(Row(columns)));
  MCOMP_TRY(said, detail::parse_alias_event(logged.event->body));
  if (logged.event->kind != detail::alias_kind || said.alias != name || said.version != row.integer(0) ||
      said.artifact != row.text(1) || said.rollback != (row.integer(2) != 0))
    return disagrees(name);
  return AliasState{name,        said.version,       said.artifact, logged.event->actor,
                    said.reason, logged.event->time, said.rollback, logged.index};
}

Result<std::vector<AliasState>> states_in(Database& database, const std::string& sql, const std::string& name,
                                          std::int64_t version = 0) {
  std::vector<AliasState> states;
  const std::array<detail::Value, 2> values = {name, version};
  MCOMP_CHECK(database.query(sql, std::span(values).first(version == 0 ? 1 : 2), [&](const Row& row) -> Status {
    MCOMP_TRY(state, read_alias(name, row));
    states.push_back(std::move(state));
    return {};
  }));
  return states;
}

Result<std::optional<AliasState>> newest_alias(Database& database, const std::string& name) {
  static const std::string sql = std::string(alias_columns) + " ORDER BY a.version DESC LIMIT 1";
  MCOMP_TRY(states, states_in(database, sql, name));
  return states.empty() ? std::optional<AliasState>() : std::optional(states.front());
}

/// What the alias named before its current artifact was promoted: `detail::rollback_target` by look-ups, so that going
/// back takes the same time after ten changes and after ten thousand.
Result<std::string> target_in(Database& database, const AliasState& current) {
  std::int64_t promoted = 0;
  MCOMP_CHECK(database.query("SELECT version FROM alias WHERE name = $1 AND artifact = $2 AND rollback = 0"
                             " ORDER BY version DESC LIMIT 1",
                             {current.name, current.artifact}, [&](const Row& row) -> Status {
                               promoted = row.integer(0);
                               return {};
                             }));
  static const std::string sql = std::string(alias_columns) + " AND a.version = $2";
  if (promoted > 1) {
    MCOMP_TRY(states, states_in(database, sql, current.name, promoted - 1));
    if (states.empty()) return disagrees(current.name);
    return states.front().artifact;
  }
  return detail::rollback_target(current.name, {});
}

/// Appends the event of a change and its row.
Result<AliasState> change_alias(Database& database, const detail::AliasEvent& said, const std::string& author,
                                std::int64_t time, std::span<const Approval> spent) {
  MCOMP_TRY(body, detail::to_body(said));
  MCOMP_TRY(text, to_json(Event{.kind = std::string(detail::alias_kind),
                                .subject = said.alias,
                                .actor = author,
                                .time = time,
                                .body = body,
                                .salt = {}}));
  MCOMP_TRY(log, detail::LogAppender::begin(database));
  MCOMP_TRY(index, log.append(text));
  MCOMP_CHECK(database.post(
      "INSERT INTO alias (name, version, artifact, rollback, seq) VALUES ($1, $2, $3, $4, $5)",
      {said.alias, said.version, said.artifact, std::int64_t{said.rollback}, static_cast<std::int64_t>(index)}));
  MCOMP_CHECK(detail::spend(database, spent, index));
  MCOMP_CHECK(log.finish());
  return AliasState{said.alias, said.version, said.artifact, author, said.reason, time, said.rollback, index};
}

} // namespace

Result<Governance> Catalog::governance() const {
  const std::lock_guard lock(state_->mutex);
  std::optional<Record> record;
  MCOMP_TRY(governance, governance_in(*state_->database, record));
  return governance.value_or(Governance{});
}

Result<Record> Catalog::govern(const Governance& governance, const std::string& author, std::int64_t time,
                               std::span<const Envelope> approvals) {
  MCOMP_TRY(json, to_json(governance));
  if (std::ranges::find(governance.policy.rules, govern_change, &ApprovalRule::change) == governance.policy.rules.end())
    return Error(ErrorCode::invalid_argument, "governance", "no rule says who may change it again",
                 "add a rule for the change \"govern\"");
  const std::lock_guard lock(state_->mutex);
  Database& database = *state_->database;
  MCOMP_TRY(transaction, Transaction::writing(database));
  std::optional<Record> record;
  MCOMP_TRY(current, governance_in(database, record));
  MCOMP_TRY(granted, detail::authorize_governance(current ? &*current : nullptr, json, author, approvals, time,
                                                  detail::nonce_used(database)));
  MCOMP_TRY(log, detail::LogAppender::begin(database));
  MCOMP_TRY(put, detail::put_record(database, log,
                                    {.kind = std::string(detail::governance_kind),
                                     .id = std::string(detail::governance_id),
                                     .expected_version = record ? record->version : 0,
                                     .author = author,
                                     .time = time,
                                     .body = json},
                                    approvals));
  MCOMP_CHECK(detail::spend(database, granted, put.event));
  MCOMP_CHECK(log.finish());
  MCOMP_CHECK(transaction.commit());
  return put;
}

Result<AliasState> Catalog::alias(const std::string& name) const {
  const std::lock_guard lock(state_->mutex);
  MCOMP_TRY(state, newest_alias(*state_->database, name));
  if (!state) return Error(ErrorCode::not_found, "alias " + name, "it was never set", "promote an artifact first");
  return *state;
}

Result<std::vector<AliasState>> Catalog::alias_history(const std::string& name) const {
  static const std::string sql = std::string(alias_columns) + " ORDER BY a.version";
  const std::lock_guard lock(state_->mutex);
  return states_in(*state_->database, sql, name);
}

Result<std::vector<std::string>> Catalog::aliases() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<std::string> names;
  MCOMP_CHECK(
      state_->database->query("SELECT DISTINCT name FROM alias ORDER BY name", {}, [&](const Row& row) -> Status {
        names.push_back(row.text(0));
        return {};
      }));
  return names;
}

Result<AliasState> Catalog::promote(const Promotion& promotion, std::span<const Envelope> approvals) {
  if (promotion.alias.empty() || promotion.author.empty() || !is_digest(promotion.artifact))
    return Error(ErrorCode::invalid_argument, "promotion", "alias, author and the id of an artifact must be given",
                 "say what is promoted to where, and by whom");
  const std::lock_guard lock(state_->mutex);
  Database& database = *state_->database;
  MCOMP_TRY(transaction, Transaction::writing(database));
  std::optional<Record> record;
  MCOMP_TRY(governance, governance_in(database, record));
  MCOMP_TRY(before, newest_alias(database, promotion.alias));
  const std::int64_t newest = before ? before->version : 0;
  if (promotion.expected_version && *promotion.expected_version != newest)
    return Error(ErrorCode::version_mismatch, "alias " + promotion.alias,
                 fmt::format("version {} is there, {} was expected", newest, *promotion.expected_version),
                 "look at what was promoted meanwhile");
  MCOMP_TRY(granted,
            detail::authorize_promotion(governance.value_or(Governance{}), promotion.alias, promotion.artifact,
                                        promotion.author, approvals, promotion.time, detail::nonce_used(database)));
  MCOMP_TRY(state, change_alias(database,
                                {.alias = promotion.alias,
                                 .version = newest + 1,
                                 .artifact = promotion.artifact,
                                 .reason = promotion.reason,
                                 .rollback = false,
                                 .approvals = {approvals.begin(), approvals.end()}},
                                promotion.author, promotion.time, granted));
  MCOMP_CHECK(transaction.commit());
  return state;
}

Result<AliasState> Catalog::rollback(const Rollback& rollback) {
  const std::lock_guard lock(state_->mutex);
  Database& database = *state_->database;
  MCOMP_TRY(transaction, Transaction::writing(database));
  MCOMP_TRY(before, newest_alias(database, rollback.alias));
  if (!before) return detail::rollback_target(rollback.alias, {}).error();
  MCOMP_TRY(target, target_in(database, *before));
  MCOMP_TRY(state, change_alias(database,
                                {.alias = rollback.alias,
                                 .version = before->version + 1,
                                 .artifact = target,
                                 .reason = rollback.reason,
                                 .rollback = true,
                                 .approvals = {}},
                                rollback.author, rollback.time, {}));
  MCOMP_CHECK(transaction.commit());
  return state;
}

} // namespace mcomp::inline v0::catalog
