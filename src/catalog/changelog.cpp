#include "mcomp/catalog/changelog.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <set>

#include "catalog/canonical.hpp"
#include "catalog/catalog_events.hpp"
#include "catalog/document_text.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

using detail::Json;

constexpr std::string_view schema = "mcomp-changelog-1";
constexpr std::array<const char*, 4> record_kinds = {"recipe", "target", "suite", "decision"};

/// A sentence of parts, those that are empty left out.
std::string sentence(std::string text, const std::string& more) {
  return more.empty() ? text : std::move(text) + ": " + more;
}

Result<std::string> text_of(const Record& record) {
  const std::string head = fmt::format("{}, version {}, {}", record.name, record.version, record.status);
  if (record.kind == "recipe") {
    MCOMP_TRY(recipe, parse_recipe_entry(record.body));
    return sentence(head, recipe.status == "retired" ? recipe.reason : recipe.change);
  }
  if (record.kind == "target") {
    MCOMP_TRY(target, parse_target(record.body));
    return sentence(fmt::format("{}; {} {} {}{}", head, target.metric, target.bound, target.value,
                                target.slice.empty() ? "" : " on " + target.slice),
                    target.reason);
  }
  if (record.kind == "suite") {
    MCOMP_TRY(suite, parse_benchmark_suite(record.body));
    return sentence(fmt::format("{}; {} rows", head, suite.rows), suite.purpose);
  }
  MCOMP_TRY(decision, parse_decision(record.body));
  return sentence(head, decision.rationale);
}

/// A change that needed approvals, with what they were given for.
struct Governed {
  std::uint64_t event = 0;
  AliasState alias{};   ///< of an alias
  std::string before{}; ///< what it named
  Record record{};      ///< or of governance
};

class Changelog {
 public:
  Changelog(const Catalog& catalog, const ChangelogOptions& options) : catalog_(catalog), options_(options) {}

  Result<std::vector<ChangelogEntry>> run() {
    for (const char* kind : record_kinds) MCOMP_CHECK(take_records(kind));
    MCOMP_CHECK(take_governed());
    std::ranges::sort(entries_, {}, &ChangelogEntry::event);
    return std::move(entries_);
  }

 private:
  [[nodiscard]] bool wanted(std::int64_t time) const {
    return (!options_.since || time >= *options_.since) && (!options_.until || time < *options_.until);
  }

  Status take_records(const char* kind) {
    constexpr std::int64_t page = 1000;
    for (std::int64_t offset = 0;; offset += page) {
      RecordQuery query{.kind = kind};
      query.since = options_.since, query.until = options_.until;
      query.all_versions = true, query.limit = page, query.offset = offset;
      MCOMP_TRY(records, catalog_.find(query));
      for (const Record& record : records) {
        if (record.redacted) continue;
        MCOMP_TRY(text, text_of(record));
        entries_.push_back({record.event, record.time, kind, record.id, record.author, {}, text});
      }
      if (std::ssize(records) < page) return {};
    }
  }

  /// Who approved is found as it was decided: by the governance of that moment, with the approvals spent till then.
  Status take_governed() {
    std::vector<Governed> changes;
    MCOMP_TRY(names, catalog_.aliases());
    for (const std::string& name : names) {
      MCOMP_TRY(states, catalog_.alias_history(name));
      std::string before;
      for (AliasState& state : states) {
        const std::string artifact = state.artifact;
        const std::uint64_t event = state.event;
        changes.push_back({.event = event, .alias = std::move(state), .before = std::move(before)});
        before = artifact;
      }
    }
    MCOMP_TRY(governances, catalog_.history(std::string(detail::governance_kind), std::string(detail::governance_id)));
    for (Record& record : governances) changes.push_back({.event = record.event, .record = std::move(record)});
    std::ranges::sort(changes, {}, &Governed::event);
    for (const Governed& change : changes) MCOMP_CHECK(take_governed(change));
    return {};
  }

  Status take_governed(const Governed& change) {
    MCOMP_TRY(logged, catalog_.events(change.event, 1));
    if (logged.empty() || !logged.front().event)
      return Error(ErrorCode::corrupt, fmt::format("event {}", change.event), "it is missing",
                   "verify the catalogue, and restore it from a copy");
    const Event& event = *logged.front().event;
    const NonceUsed used = [&](std::string_view nonce) { return spent_.contains(nonce); };
    ChangelogEntry entry{.event = change.event, .time = event.time, .actor = event.actor};
    std::vector<Approval> granted;
    if (change.alias.name.empty()) {
      MCOMP_TRY(said, detail::parse_record_event(event.body));
      MCOMP_TRY(approvals, detail::authorize_governance(governance_ ? &*governance_ : nullptr, said.value, event.actor,
                                                        said.approvals, event.time, used));
      granted = approvals;
      MCOMP_TRY(governance, Governance::parse(said.value));
      governance_ = governance;
      entry.kind = "governance", entry.subject = said.id;
      entry.text = fmt::format("version {}: {} keys, {} rules of approval, {} of retention", said.version,
                               governance.keys.size(), governance.policy.rules.size(), governance.retention.size());
    } else {
      const AliasState& state = change.alias;
      entry.subject = state.name;
      if (state.rollback) {
        entry.kind = "rollback";
        entry.text = sentence(fmt::format("{} went back to {}, from {}", state.name, state.artifact, change.before),
                              state.reason);
      } else {
        MCOMP_TRY(said, detail::parse_alias_event(event.body));
        MCOMP_TRY(approvals, detail::authorize_promotion(governance_.value_or(Governance{}), state.name, state.artifact,
                                                         event.actor, said.approvals, event.time, used));
        granted = approvals;
        entry.kind = "promotion";
        entry.text = sentence(fmt::format("{} names {}{}", state.name, state.artifact,
                                          change.before.empty() ? "" : ", before " + change.before),
                              state.reason);
      }
    }
    for (const Approval& approval : granted) {
      spent_.insert(approval.nonce);
      entry.approved_by.push_back(approval.signer);
    }
    const bool of_alias = change.alias.name.empty() || options_.alias.empty() || options_.alias == change.alias.name;
    if (wanted(entry.time) && of_alias) entries_.push_back(std::move(entry));
    return {};
  }

  const Catalog& catalog_;
  const ChangelogOptions& options_;
  std::vector<ChangelogEntry> entries_;
  std::optional<Governance> governance_;
  std::set<std::string, std::less<>> spent_;
};

} // namespace

Result<std::vector<ChangelogEntry>> changelog(const Catalog& catalog, const ChangelogOptions& options) {
  return Changelog(catalog, options).run();
}

std::string to_markdown(const std::vector<ChangelogEntry>& entries) {
  std::vector<const ChangelogEntry*> newest;
  for (const ChangelogEntry& entry : entries) newest.push_back(&entry);
  std::ranges::reverse(newest);
  constexpr std::size_t date = 10; // of a time stamp
  std::ranges::stable_sort(newest, std::greater<>(),
                           [&](const ChangelogEntry* e) { return detail::timestamp(e->time).substr(0, date); });
  std::string text = "# Changes\n", day;
  for (const ChangelogEntry* entry : newest) {
    const std::string time = detail::timestamp(entry->time);
    if (time.substr(0, date) != day) {
      day = time.substr(0, date);
      text += fmt::format("\n## {}\n\n", day);
    }
    std::string approved;
    for (const std::string& signer : entry->approved_by)
      approved += (approved.empty() ? ", approved by " : " and ") + detail::plain(signer);
    text += fmt::format("- **{}** {} (by {}{}, event {})\n", entry->kind, detail::plain(entry->text),
                        detail::plain(entry->actor), approved, entry->event);
  }
  return text;
}

Result<std::string> to_json(const std::vector<ChangelogEntry>& entries) {
  Json list = Json::array();
  for (const ChangelogEntry& entry : entries)
    list.push_back({{"event", entry.event},
                    {"time", entry.time},
                    {"kind", entry.kind},
                    {"subject", entry.subject},
                    {"actor", entry.actor},
                    {"approved_by", entry.approved_by},
                    {"text", entry.text}});
  return detail::canonical_text({{"schema", schema}, {"entries", std::move(list)}});
}

Result<std::vector<ChangelogEntry>> parse_changelog(std::string_view text) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, "changelog"));
  mcomp::detail::ObjectReader object(json, "changelog");
  if (const std::string found = object.text("schema"); object.has("schema") && found != schema)
    return Error(ErrorCode::version_mismatch, "changelog",
                 fmt::format("its schema is \"{}\", not \"{}\"", found, schema),
                 "use the version of the library that wrote it");
  const Json& list = object.array("entries");
  MCOMP_CHECK(object.finish());
  std::vector<ChangelogEntry> entries;
  for (const Json& item : list) {
    mcomp::detail::ObjectReader reader(item, "changelog: entries");
    const std::int64_t event = reader.integer("event");
    if (event < 0) reader.fail("event", "it is negative", "give the index in the log");
    entries.push_back({.event = static_cast<std::uint64_t>(event),
                       .time = reader.integer("time"),
                       .kind = reader.text("kind"),
                       .subject = reader.text("subject"),
                       .actor = reader.text("actor"),
                       .approved_by = reader.texts("approved_by"),
                       .text = reader.text("text")});
    MCOMP_CHECK(reader.finish());
  }
  return entries;
}

} // namespace mcomp::inline v0::catalog
