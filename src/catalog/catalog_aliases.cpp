// Governance, and the aliases that it governs.

#include <algorithm>

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

Result<std::vector<AliasState>> history_in(Database& database, const std::string& name) {
  std::vector<AliasState> states;
  const auto read = [&](const Row& row) -> Status {
    const std::vector<detail::Value> columns = {row.integer(2), detail::Bytes{row.bytes(3)}, row.text(4)};
    MCOMP_TRY(logged, detail::read_logged(Row(columns)));
    MCOMP_TRY(said, detail::parse_alias_event(logged.event->body));
    if (logged.event->kind != detail::alias_kind || said.alias != name || said.version != row.integer(0) ||
        said.artifact != row.text(1))
      return Error(ErrorCode::corrupt, "alias " + name, "it is not what its event in the log says",
                   "verify the catalogue, and restore it from a copy");
    states.push_back({name, said.version, said.artifact, logged.event->actor, said.reason, logged.event->time,
                      said.rollback, logged.index});
    return {};
  };
  MCOMP_CHECK(database.query("SELECT a.version, a.artifact, a.seq, e.leaf, e.body FROM alias a"
                             " JOIN event e ON e.seq = a.seq WHERE a.name = $1 ORDER BY a.version",
                             {name}, read));
  // An alias that has lost versions would serve what it served before.
  for (std::size_t i = 0; i < states.size(); ++i)
    if (states[i].version != static_cast<std::int64_t>(i + 1))
      return Error(ErrorCode::corrupt, "alias " + name, fmt::format("its version {} is missing", i + 1),
                   "verify the catalogue, and restore it from a copy");
  return states;
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
  MCOMP_TRY(made, database.run("INSERT INTO alias (name, version, artifact, seq) VALUES ($1, $2, $3, $4)",
                               {said.alias, said.version, said.artifact, static_cast<std::int64_t>(index)}));
  static_cast<void>(made);
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
  MCOMP_TRY(states, alias_history(name));
  if (states.empty())
    return Error(ErrorCode::not_found, "alias " + name, "it was never set", "promote an artifact first");
  return states.back();
}

Result<std::vector<AliasState>> Catalog::alias_history(const std::string& name) const {
  const std::lock_guard lock(state_->mutex);
  return history_in(*state_->database, name);
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
  MCOMP_TRY(states, history_in(database, promotion.alias));
  const std::int64_t newest = states.empty() ? 0 : states.back().version;
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
  MCOMP_TRY(states, history_in(database, rollback.alias));
  std::vector<detail::AliasStep> steps;
  for (const AliasState& state : states) steps.push_back({state.artifact, state.rollback});
  MCOMP_TRY(target, detail::rollback_target(rollback.alias, steps));
  MCOMP_TRY(state, change_alias(database,
                                {.alias = rollback.alias,
                                 .version = states.back().version + 1,
                                 .artifact = target,
                                 .reason = rollback.reason,
                                 .rollback = true,
                                 .approvals = {}},
                                rollback.author, rollback.time, {}));
  MCOMP_CHECK(transaction.commit());
  return state;
}

} // namespace mcomp::inline v0::catalog
