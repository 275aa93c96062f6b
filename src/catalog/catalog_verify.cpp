// Everything in the database held against the log, and the log against itself.

#include <algorithm>
#include <map>
#include <set>

#include "catalog/catalog_views.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

using detail::Database;
using detail::Row;
using detail::Transaction;

namespace {

constexpr std::size_t most_problems = 1000;

/// Every event with its record, if it has one, so that a server is not asked for each.
constexpr std::string_view events_with_records =
    "SELECT e.seq, e.leaf, e.body, r.kind, r.id, r.version, r.name, r.owner, r.status, r.fingerprint, r.time, r.search"
    " FROM event e LEFT JOIN record r ON r.seq = e.seq ORDER BY e.seq";
constexpr std::size_t record_columns = 3; ///< begin there

class Verification {
 public:
  Verification(Database& database, const std::optional<Checkpoint>& trusted, const Context& context)
      : database_(database), trusted_(trusted), context_(context) {}

  Result<CatalogReport> run() {
    MCOMP_CHECK(step(check_structure()));
    MCOMP_CHECK(step(check_log()));
    MCOMP_CHECK(step(check_links()));
    MCOMP_CHECK(step(check_counts()));
    report_.root = frontier_.root();
    return std::move(report_);
  }

 private:
  void problem(std::optional<std::uint64_t> index, std::string where, std::string rule) {
    if (report_.problems.size() < most_problems) report_.problems.push_back({index, std::move(where), std::move(rule)});
  }
  void event_problem(std::uint64_t index, std::string rule) {
    problem(index, fmt::format("event {}", index), std::move(rule));
  }

  /// A database that cannot be read on is one of the things to report.
  Status step(const Status& status) {
    if (status || status.error().code() == ErrorCode::cancelled || status.error().code() == ErrorCode::io_failure)
      return status;
    problem(std::nullopt, "database", status.error().rule());
    return {};
  }

  Status check_structure() {
    MCOMP_TRY(lines, database_.check_structure());
    for (const std::string& line : lines) problem(std::nullopt, "database", line);
    return {};
  }

  Status check_log() {
    std::uint64_t next = 0;
    MCOMP_CHECK(database_.scan(events_with_records, {}, [&](const Row& row) -> Status {
      if (next % 1024 == 0) {
        if (auto status = context_.check("verify"); !status) return status;
        context_.report("verify", static_cast<std::int64_t>(next), 0);
      }
      const auto index = static_cast<std::uint64_t>(row.integer(0));
      if (index != next) {
        event_problem(next, fmt::format("it is missing: event {} follows", index));
        next = index;
      }
      ++next;
      return check_event(row, index);
    }));
    report_.events = frontier_.size();
    report_.redacted = redacted_.size();
    for (const auto& [index, leaf] : redacted_)
      if (const auto named = named_.find(index); named == named_.end() || named->second != leaf)
        event_problem(index, "it is gone, and no later redaction names it with its leaf");
    for (const auto& [index, leaf] : named_)
      if (!redacted_.contains(index)) event_problem(index, "a redaction names it, and it is still there");
    const auto state = detail::read_log_state(database_);
    if (!state || state->frontier.size() != frontier_.size() || state->frontier.hashes() != frontier_.hashes())
      problem(std::nullopt, "log", "its state is not that of its events");
    if (trusted_ && !trusted_root_)
      problem(std::nullopt, "checkpoint",
              fmt::format("it is of {} events, there are {}", trusted_->size, frontier_.size()));
    else if (trusted_ && *trusted_root_ != trusted_->root)
      problem(std::nullopt, "checkpoint", "the log is another one than it was: its root has changed");
    return {};
  }

  void note_root() {
    if (trusted_ && trusted_->size == frontier_.size()) trusted_root_ = frontier_.root();
  }

  Status check_event(const Row& row, std::uint64_t index) {
    note_root();
    const auto leaf = detail::read_leaf(row, 1, static_cast<std::int64_t>(index));
    if (!leaf) event_problem(index, leaf.error().rule());
    frontier_.append(leaf ? *leaf : Hash{});
    note_root();
    if (!leaf) return {};
    const auto logged = detail::read_logged(row);
    if (!logged) {
      event_problem(index, logged.error().rule());
      return {};
    }
    if (!logged->event) return check_redacted(row, index, *leaf);
    const Event& event = *logged->event;
    if (event.kind == detail::record_kind) return check_record(row, index, event);
    if (event.kind == detail::alias_kind) return check_alias(index, event);
    if (event.kind == detail::redaction_kind) {
      const auto redaction = detail::parse_redaction_event(event.body);
      if (!redaction || redaction->index >= index)
        event_problem(index, "a redaction names no earlier event");
      else
        named_.emplace(redaction->index, redaction->leaf);
    }
    return {};
  }

  Status check_redacted(const Row& row, std::uint64_t index, const Hash& leaf) {
    redacted_.emplace(index, to_hex(leaf));
    if (row.null(record_columns)) return {};
    ++report_.records;
    if (!row.text(6).empty() || !row.text(7).empty() || row.text(8) != detail::redacted_status ||
        !row.text(9).empty() || row.integer(10) != 0 || !row.text(11).empty())
      event_problem(index, "its record still says what was redacted");
    return {};
  }

  Status check_record(const Row& row, std::uint64_t index, const Event& event) {
    const auto said = detail::parse_record_event(event.body);
    if (!said) {
      event_problem(index, said.error().rule());
      return {};
    }
    ++report_.records;
    const std::string where = fmt::format("record {}/{}", said->kind, said->id);
    const bool found = row.text(3) == said->kind && row.text(4) == said->id && row.integer(5) == said->version &&
                       row.text(6) == said->name && row.text(7) == said->owner && row.text(8) == said->status &&
                       row.text(9) == said->fingerprint && row.integer(10) == event.time &&
                       row.text(11) == detail::search_text(said->name, said->id);
    if (!found) problem(index, where, "it is not what its event says, or missing");
    links_ += std::ssize(said->links);
    if (said->kind == detail::governance_kind) return check_governance(index, event, *said);
    return {};
  }

  Status check_governance(std::uint64_t index, const Event& event, const detail::RecordEvent& said) {
    const auto granted = detail::authorize_governance(governance_ ? &*governance_ : nullptr, said.value, event.actor,
                                                      said.approvals, event.time, used());
    if (!granted) problem(index, "governance", granted.error().rule());
    const auto governance = Governance::parse(said.value);
    if (!governance)
      problem(index, "governance", governance.error().rule());
    else
      governance_ = *governance;
    return granted ? check_spent(index, *granted) : Status();
  }

  Status check_alias(std::uint64_t index, const Event& event) {
    const auto said = detail::parse_alias_event(event.body);
    if (!said) {
      event_problem(index, said.error().rule());
      return {};
    }
    ++report_.aliases;
    const std::string where = "alias " + said->alias;
    bool found = false;
    MCOMP_CHECK(database_.query("SELECT name, version, artifact, rollback FROM alias WHERE seq = $1",
                                {static_cast<std::int64_t>(index)}, [&](const Row& row) -> Status {
                                  found = row.text(0) == said->alias && row.integer(1) == said->version &&
                                          row.text(2) == said->artifact && (row.integer(3) != 0) == said->rollback;
                                  return {};
                                }));
    if (!found) problem(index, where, "it is not what its event says, or missing");
    auto& steps = aliases_[said->alias];
    if (said->version != std::ssize(steps) + 1) problem(index, where, "its versions do not follow each other");
    Status spent;
    if (said->rollback) {
      const auto target = detail::rollback_target(said->alias, steps);
      if (!target || *target != said->artifact) problem(index, where, "it went back to what it had not named before");
    } else {
      const auto granted = detail::authorize_promotion(governance_.value_or(Governance{}), said->alias, said->artifact,
                                                       event.actor, said->approvals, event.time, used());
      if (!granted)
        problem(index, where, "it was promoted without approval: " + granted.error().rule());
      else
        spent = check_spent(index, *granted);
    }
    steps.push_back({said->artifact, said->rollback});
    return spent;
  }

  NonceUsed used() {
    return [this](std::string_view nonce) { return nonces_.contains(nonce); };
  }

  Status check_spent(std::uint64_t index, std::span<const Approval> approvals) {
    for (const Approval& approval : approvals) {
      nonces_.insert(approval.nonce);
      std::int64_t seq = -1;
      if (auto status = database_.query("SELECT seq FROM nonce WHERE nonce = $1", {approval.nonce},
                                        [&](const Row& row) -> Status {
                                          seq = row.integer(0);
                                          return {};
                                        });
          !status)
        return status;
      if (seq != static_cast<std::int64_t>(index))
        problem(index, "approval " + approval.nonce, "it is not marked as used by the event that it let happen");
    }
    return {};
  }

  /// All links at once; only where they are not those of the log, record by record, to say of which.
  Status check_links() {
    std::int64_t rows = 0, right = 0;
    const auto look = [&](const Row& row) -> Status {
      ++rows;
      if (row.null(1)) return {};
      const auto event = Event::parse(row.text(1));
      const auto said = event ? detail::parse_record_event(event->body) : event.error();
      if (said && std::ranges::binary_search(said->links, row.text(0))) ++right;
      return {};
    };
    MCOMP_CHECK(database_.scan("SELECT l.target, e.body FROM link l LEFT JOIN event e ON e.seq = l.seq ORDER BY l.seq",
                               {}, look));
    if (rows == links_ && right == links_) return {};
    problem(std::nullopt, "links", fmt::format("{} are there, the log knows {}", rows, links_));
    return database_.scan("SELECT seq, leaf, body FROM event WHERE body IS NOT NULL ORDER BY seq", {},
                          [&](const Row& row) -> Status { return locate_links(row); });
  }

  Status locate_links(const Row& row) {
    const auto event = Event::parse(row.text(2));
    if (!event || event->kind != detail::record_kind) return {};
    const auto said = detail::parse_record_event(event->body);
    if (!said) return {};
    std::vector<std::string> links;
    MCOMP_CHECK(
        database_.query("SELECT target FROM link WHERE seq = $1", {row.integer(0)}, [&](const Row& link) -> Status {
          links.push_back(link.text(0));
          return {};
        }));
    std::ranges::sort(links);
    if (links != said->links)
      problem(static_cast<std::uint64_t>(row.integer(0)), fmt::format("record {}/{}", said->kind, said->id),
              "its links are not those that its event says");
    return {};
  }

  /// Rows that no event speaks of, and the mark of the newest version.
  Status check_counts() {
    const auto count = [&](const char* sql) -> Result<std::int64_t> {
      std::int64_t number = 0;
      const auto status = database_.query(sql, {}, [&](const Row& row) -> Status {
        number = row.integer(0);
        return {};
      });
      if (!status) return status.error();
      return number;
    };
    MCOMP_TRY(records, count("SELECT count(*) FROM record"));
    MCOMP_TRY(aliases, count("SELECT count(*) FROM alias"));
    MCOMP_TRY(nonces, count("SELECT count(*) FROM nonce"));
    MCOMP_TRY(marks, count("SELECT count(*) FROM record r WHERE r.latest <> CASE WHEN r.version ="
                           " (SELECT max(m.version) FROM record m WHERE m.kind = r.kind AND m.id = r.id)"
                           " THEN 1 ELSE 0 END"));
    if (records != report_.records)
      problem(std::nullopt, "records", fmt::format("{} are there, the log knows {}", records, report_.records));
    if (aliases != report_.aliases)
      problem(std::nullopt, "aliases", fmt::format("{} are there, the log knows {}", aliases, report_.aliases));
    if (nonces != std::ssize(nonces_))
      problem(std::nullopt, "approvals", fmt::format("{} are spent, the log knows {}", nonces, nonces_.size()));
    if (marks != 0)
      problem(std::nullopt, "records", fmt::format("{} versions are wrongly marked as the newest or not", marks));
    return {};
  }

  Database& database_;
  const std::optional<Checkpoint>& trusted_;
  const Context& context_;
  CatalogReport report_;
  MerkleFrontier frontier_;
  std::optional<Hash> trusted_root_;
  std::map<std::uint64_t, std::string> redacted_, named_; ///< event: leaf
  std::optional<Governance> governance_;
  std::map<std::string, std::vector<detail::AliasStep>> aliases_;
  std::set<std::string, std::less<>> nonces_;
  std::int64_t links_ = 0;
};

} // namespace

Result<CatalogReport> Catalog::verify(const std::optional<Checkpoint>& trusted, const Context& context) const {
  const std::lock_guard lock(state_->mutex);
  MCOMP_TRY(transaction, Transaction::reading(*state_->database));
  static_cast<void>(transaction);
  return Verification(*state_->database, trusted, context).run();
}

std::string to_string(const CatalogReport& report) {
  std::string text = fmt::format(
      "{} events ({} redacted), {} records, {} changes of aliases: {}", report.events, report.redacted, report.records,
      report.aliases, report.sound() ? std::string("sound") : fmt::format("{} problems", report.problems.size()));
  for (const LogProblem& problem : report.problems) text += fmt::format("\n{}: {}", problem.where, problem.rule);
  return text;
}

} // namespace mcomp::inline v0::catalog
