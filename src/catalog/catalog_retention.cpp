// What is deleted of a log, one by one or by rules, so that it can still be verified.

#include <algorithm>

#include "catalog/catalog_views.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

using detail::Database;
using detail::Row;
using detail::Transaction;

namespace {

constexpr std::size_t redactions_a_transaction = 1000;

Error refused(std::uint64_t index, const char* rule) {
  return Error(ErrorCode::invalid_argument, fmt::format("event {}", index), rule, "leave it in the log");
}

Status redact_in(Database& database, detail::LogAppender& log, const LoggedEvent& logged, const std::string& author,
                 std::int64_t time, const std::string& reason) {
  const std::uint64_t target = logged.index;
  if (!logged.event) return refused(target, "it is redacted already");
  const std::string& kind = logged.event->kind;
  if (kind == detail::alias_kind || kind == detail::redaction_kind)
    return refused(target, "such events are what the log is for");
  if (kind == detail::record_kind) {
    MCOMP_TRY(said, detail::parse_record_event(logged.event->body));
    if (said.kind == detail::governance_kind) return refused(target, "governance is what approvals are judged by");
  }
  const auto seq = static_cast<std::int64_t>(target);
  MCOMP_CHECK(database.post("UPDATE event SET body = NULL WHERE seq = $1", {seq}));
  MCOMP_CHECK(
      database.post("UPDATE record SET name = '', search = '', owner = '', fingerprint = '', time = 0, status = $1"
                    " WHERE seq = $2",
                    {std::string(detail::redacted_status), seq}));
  MCOMP_CHECK(database.post("DELETE FROM link WHERE seq = $1", {seq}));
  MCOMP_TRY(body, detail::to_body(detail::RedactionEvent{target, to_hex(logged.leaf), reason}));
  MCOMP_TRY(text, to_json(Event{.kind = std::string(detail::redaction_kind),
                                .subject = fmt::format("event {}", target),
                                .actor = author,
                                .time = time,
                                .body = body,
                                .salt = {}}));
  MCOMP_TRY(index, log.append(text));
  static_cast<void>(index);
  return {};
}

/// Whether a rule says that the event is to go, and since when.
Result<std::optional<DueEvent>> due_event(const LoggedEvent& logged, std::span<const RetentionRule> rules,
                                          std::int64_t now) {
  const Event& event = *logged.event;
  DueEvent due{.index = logged.index, .kind = event.kind, .subject = event.subject, .time = event.time};
  if (event.kind == detail::record_kind) {
    MCOMP_TRY(said, detail::parse_record_event(event.body));
    due.kind = said.kind;
  }
  const auto rule = std::ranges::find(rules, due.kind, &RetentionRule::kind);
  // Whoever put something as personal gave it a salt.
  if (rule == rules.end() || (rule->personal_only && event.salt.empty())) return std::optional<DueEvent>();
  // Without overflow, whatever the times are.
  if (event.time > now || now - event.time < rule->keep_seconds) return std::optional<DueEvent>();
  due.since = event.time + rule->keep_seconds;
  return std::optional(std::move(due));
}

Status check_now(std::int64_t now) {
  if (now < 0)
    return Error(ErrorCode::invalid_argument, "retention: now", "it is before 1970", "give seconds since 1970");
  return {};
}

} // namespace

Result<std::uint64_t> Catalog::redact(std::uint64_t target, const std::string& author, std::int64_t time,
                                      const std::string& reason) {
  const std::lock_guard lock(state_->mutex);
  Database& database = *state_->database;
  MCOMP_TRY(transaction, Transaction::writing(database));
  MCOMP_TRY(logged, detail::read_event(database, target));
  MCOMP_TRY(log, detail::LogAppender::begin(database));
  const std::uint64_t index = log.size();
  MCOMP_CHECK(redact_in(database, log, logged, author, time, reason));
  MCOMP_CHECK(log.finish());
  MCOMP_CHECK(transaction.commit());
  // The bytes are still in the write-ahead log of the database until it is emptied.
  MCOMP_CHECK(database.forget_deleted());
  return index;
}

Result<std::vector<DueEvent>> Catalog::due(std::int64_t now, std::int64_t limit, const Context& context) const {
  MCOMP_CHECK(check_now(now));
  if (limit < 0) return Error(ErrorCode::invalid_argument, "due: limit", "it is negative", "give at least 0");
  MCOMP_TRY(governance, this->governance());
  std::vector<DueEvent> events;
  if (governance.retention.empty()) return events;
  const std::lock_guard lock(state_->mutex);
  std::int64_t seen = 0;
  const auto look = [&](const Row& row) -> Status {
    if (seen++ % 1024 == 0) MCOMP_CHECK(context.check("retention"));
    if (std::ssize(events) >= limit) return {};
    MCOMP_TRY(logged, detail::read_logged(row));
    MCOMP_TRY(found, due_event(logged, governance.retention, now));
    if (found) events.push_back(std::move(*found));
    return {};
  };
  MCOMP_CHECK(
      state_->database->scan("SELECT seq, leaf, body FROM event WHERE body IS NOT NULL ORDER BY seq", {}, look));
  return events;
}

Result<std::vector<DueEvent>> Catalog::apply_retention(const std::string& author, std::int64_t now,
                                                       const Context& context) {
  if (author.empty()) return Error(ErrorCode::invalid_argument, "retention: author", "it is empty", "say who deletes");
  MCOMP_TRY(events, due(now, std::int64_t{1} << 40, context));
  const std::lock_guard lock(state_->mutex);
  Database& database = *state_->database;
  std::vector<DueEvent> redacted;
  for (std::size_t first = 0; first < events.size(); first += redactions_a_transaction) {
    MCOMP_CHECK(context.check("retention"));
    context.report("retention", static_cast<std::int64_t>(first), std::ssize(events));
    MCOMP_TRY(transaction, Transaction::writing(database));
    MCOMP_TRY(log, detail::LogAppender::begin(database));
    const std::size_t end = std::min(events.size(), first + redactions_a_transaction);
    for (std::size_t i = first; i < end; ++i) {
      MCOMP_TRY(logged, detail::read_event(database, events[i].index));
      if (!logged.event) continue; // somebody else was faster
      MCOMP_CHECK(redact_in(database, log, logged, author, now, "retention of " + events[i].kind));
      redacted.push_back(events[i]);
    }
    MCOMP_CHECK(log.finish());
    MCOMP_CHECK(transaction.commit());
  }
  // Also where nothing was due: a call before this one may have ended too early for it.
  MCOMP_CHECK(database.forget_deleted());
  return redacted;
}

} // namespace mcomp::inline v0::catalog
