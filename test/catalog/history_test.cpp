// What can be asked of a catalogue's past: where an artifact comes from, what has changed, what must go.

#include <algorithm>

#include "catalog/place.hpp"
#include "catch.hpp"
#include "data.hpp"
#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/catalog/changelog.hpp"
#include "mcomp/catalog/lineage.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::catalog;
using mcomp_test::kinds;
using mcomp_test::Place;

namespace {

constexpr std::int64_t day = 86400, now = 20'000 * day; // 2024-10-04
const std::string recipe_json = R"({"schema":"mcomp-recipe-1","steps":[]})";

SigningKey key_of(const std::string& name, std::uint8_t fill) {
  return SigningKey::from_seed(name, std::vector<std::uint8_t>(32, fill)).value();
}
const SigningKey alice = key_of("alice", 1), bob = key_of("bob", 2), eve = key_of("eve", 3);

Governance governance(std::vector<RetentionRule> retention = {}) {
  return {.keys = {{.key = alice.public_key(), .roles = {"reviewer"}}, {.key = bob.public_key(), .roles = {"owner"}}},
          .policy = {.rules = {{.change = "promote", .roles = {"reviewer"}}, {.change = "govern", .roles = {"owner"}}}},
          .retention = std::move(retention)};
}

std::string artifact(int number) {
  return digest_of(fmt::format("artifact {}", number));
}

Envelope approve(const std::string& subject, const SigningKey& key, std::int64_t time) {
  return sign_approval({.subject = subject,
                        .change = "promote:production",
                        .role = "reviewer",
                        .issued = time,
                        .expires = time + day},
                       key)
      .value();
}

void promote(Catalog& catalog, int number, std::int64_t time, std::vector<Envelope> more = {}) {
  more.push_back(approve(artifact(number), alice, time));
  REQUIRE(catalog.promote(
      {.alias = "production", .artifact = artifact(number), .author = "ci", .time = time, .reason = "better"}, more));
}

std::string recipe_fingerprint() {
  return fingerprint(RecipeEntry{.name = "w4", .recipe = recipe_json}).value();
}

template <class T>
Record put(Catalog& catalog, const T& value, const std::string& id, std::int64_t version = 0, std::int64_t time = now,
           bool personal = false) {
  return catalog
      .put(draft(value, {.id = id, .author = "ana", .time = time, .expected_version = version, .personal = personal})
               .value())
      .value();
}

/// Two trials, the second of which made artifact 1 of a recipe, and what hangs on them; beside them others.
void fill(Catalog& catalog) {
  REQUIRE(catalog.govern(governance(), "bob", now));
  put(catalog, RecipeEntry{.name = "w4 groups", .recipe = recipe_json, .change = "groups of 32"}, "w4");
  put(catalog, RecipeEntry{.name = "other", .recipe = R"({"schema":"mcomp-recipe-1"})"}, "w8");
  put(catalog, Investigation{.question = "Why so slow?", .trials = {"e2"}}, "i1");
  put(catalog, Experiment{.name = "first", .status = "lost", .parameters = {{"bits", "3"}}}, "e1");
  put(catalog,
      Experiment{.name = "second",
                 .status = "won",
                 .parameters = {{"bits", "4"}},
                 .inputs = {{"recipe", recipe_fingerprint()}},
                 .parent = "e1",
                 .artifact = artifact(1)},
      "e2");
  // Made from artifact 1, which is not of its making.
  put(catalog, Experiment{.name = "third", .inputs = {{"model", artifact(1)}}, .artifact = artifact(2)}, "e3");
  put(catalog, Decision{.title = "Ship w4", .status = "accepted", .evidence = {"e2", artifact(1)}, .rationale = "4x"},
      "d1");
  put(catalog, Decision{.title = "Unrelated", .evidence = {"e3"}}, "d2");
  promote(catalog, 1, now + 10);
  promote(catalog, 2, now + day, {approve(artifact(2), eve, now + day)});
  REQUIRE(catalog.rollback({.alias = "production", .author = "watchdog", .time = now + day + 5, .reason = "p99"}));
}

} // namespace

TEST_CASE("records are found by what they refer to", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open().value();
  RecordDraft draft{.kind = "note", .id = "n1", .author = "ana", .time = now, .links = {"b", "a", "b"}};
  const Record first = catalog.put(draft).value();
  CHECK(first.links == std::vector<std::string>{"a", "b"});
  CHECK(catalog.get("note", "n1").value() == first);
  CHECK(catalog.find({.kind = "note", .links_to = "a"}).value() == std::vector{first});
  CHECK(catalog.find({.kind = "note", .links_to = "c"}).value().empty());
  CHECK(catalog.find({.kind = "experiment", .links_to = "a"}).value().empty());
  // Another version refers to something else; the old one is found where all versions are asked for.
  draft.expected_version = 1, draft.links = {"c"};
  REQUIRE(catalog.put(draft));
  CHECK(catalog.find({.kind = "note", .links_to = "a"}).value().empty());
  CHECK(catalog.find({.kind = "note", .links_to = "a", .all_versions = true}).value() == std::vector{first});
  CHECK(catalog.count({.kind = "note", .all_versions = true}).value() == 2);
  draft.expected_version = 2, draft.links = {""};
  CHECK(catalog.put(draft).error().code() == ErrorCode::invalid_argument);
  draft.links.assign(1001, "x");
  CHECK(catalog.put(draft).error().code() == ErrorCode::invalid_argument);
  draft.links = {std::string(1001, 'x')};
  CHECK(catalog.put(draft).error().code() == ErrorCode::invalid_argument);
  CHECK(catalog.verify().value().sound());
  // What is gone from the log is found no longer.
  REQUIRE(catalog.redact(first.event, "ana", now, "asked"));
  CHECK(catalog.find({.kind = "note", .links_to = "a", .all_versions = true}).value().empty());
  CHECK(catalog.verify().value().sound());
}

TEST_CASE("a catalogue of before there were links opens, and its records have none", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  RecordDraft draft{.kind = "note", .id = "n1", .author = "ana", .time = now};
  {
    Catalog catalog = place.open().value();
    REQUIRE(catalog.put(draft));
  }
  {
    // As the first migration alone had left it.
    const auto database = place.database();
    REQUIRE(database->run("DROP TABLE link", {}));
    REQUIRE(database->run("DELETE FROM migration WHERE number = 2", {}));
  }
  Catalog catalog = place.open().value();
  CHECK(catalog.get("note", "n1").value().links.empty());
  draft.expected_version = 1, draft.links = {"a"};
  REQUIRE(catalog.put(draft));
  CHECK(catalog.count({.kind = "note", .links_to = "a"}).value() == 1);
  CHECK(catalog.verify().value().sound());
}

TEST_CASE("links that the log does not know, or knows otherwise, are found", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open().value();
  REQUIRE(catalog.put(RecordDraft{.kind = "note", .id = "n1", .author = "ana", .time = now, .links = {"a"}}));
  const auto database = place.database();
  const char* const change =
      GENERATE("UPDATE link SET target = 'b'", "DELETE FROM link", "INSERT INTO link (target, seq) VALUES ('b', 0)");
  INFO(change);
  REQUIRE(database->run(change, {}));
  const CatalogReport report = catalog.verify().value();
  REQUIRE_FALSE(report.sound());
  CHECK(report.problems.back().where == "record note/n1");
}

TEST_CASE("an artifact's lineage is what made it, what that used, and what became of it", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open().value();
  fill(catalog);
  const auto ids = [](const std::vector<Record>& records) {
    std::vector<std::string> list;
    for (const Record& record : records) list.push_back(record.id);
    return list;
  };
  const ArtifactLineage line = artifact_lineage(catalog, artifact(1)).value();
  CHECK(ids(line.trials) == std::vector<std::string>{"e2", "e1"});
  CHECK(ids(line.recipes) == std::vector<std::string>{"w4"});
  CHECK(ids(line.investigations) == std::vector<std::string>{"i1"});
  CHECK(ids(line.decisions) == std::vector<std::string>{"d1"});
  REQUIRE(line.aliases.size() == 2);
  CHECK_FALSE(line.aliases[0].rollback);
  CHECK(line.aliases[1].rollback);
  const std::string text = to_string(line);
  CHECK(text.find("trial e2 (version 1, won): second") != std::string::npos);
  CHECK(text.find("alias production version 3, went back to it by watchdog: p99") != std::string::npos);
  const std::string json = to_json(line).value();
  CHECK(json.find(R"("schema":"mcomp-artifact-lineage-1")") != std::string::npos);
  CHECK(json.find(R"("id":"e2")") != std::string::npos);

  CHECK(ids(artifact_lineage(catalog, artifact(2)).value().trials) == std::vector<std::string>{"e3"});
  CHECK(artifact_lineage(catalog, artifact(3)).value().trials.empty());
  CHECK(artifact_lineage(catalog, "production").error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("where a recipe was used, and with what result, is asked by its fingerprint", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open().value();
  fill(catalog);
  const auto uses = catalog.find({.kind = "experiment", .links_to = recipe_fingerprint()}).value();
  REQUIRE(uses.size() == 1);
  CHECK(uses[0].id == "e2");
  CHECK(uses[0].status == "won");
}

TEST_CASE("a trial is found again however its numbers are written, and not where they differ", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open().value();
  const auto trial = [](const std::string& rate, const std::string& seed) {
    return Experiment{.name = "t", .status = "running", .parameters = {{"rate", rate}, {"seed", seed}}};
  };
  put(catalog, trial("0.1", "9007199254740993"), "running", 0, now + 5);
  Experiment won = trial("0.10", "9007199254740993");
  won.status = "won";
  put(catalog, won, "won", 0, now);
  const auto found = already_run(catalog, trial("1e-1", "9007199254740993")).value();
  REQUIRE(found.size() == 2);
  CHECK(found[0].id == "won"); // though it is the older one
  CHECK(already_run(catalog, trial("0.1", "9007199254740992")).value().empty());
  CHECK(already_run(catalog, trial("0.2", "9007199254740993")).value().empty());
  CHECK(already_run(catalog, trial("+0.1", "9007199254740993")).value().size() == 2);
  CHECK(fingerprint(trial("-0", "1")).value() == fingerprint(trial("0.0", "1")).value());
  CHECK(fingerprint(trial("nan", "1")).value() != fingerprint(trial("inf", "1")).value());
  CHECK(fingerprint(trial("0x1p3", "1")).value() != fingerprint(trial("8", "1")).value());
}

TEST_CASE("the changelog says what changed, by whom, and who approved it", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open().value();
  fill(catalog);
  put(catalog, RecipeEntry{.name = "w4 groups", .status = "retired", .recipe = recipe_json, .reason = "too slow"}, "w4",
      1, now + 2 * day);
  put(catalog, Target{.name = "floor", .status = "in force", .metric = "accuracy", .value = 0.9, .reason = "contract"},
      "t1", 0, now + 2 * day);
  const auto entries = changelog(catalog).value();
  std::vector<std::string> kinds;
  for (const ChangelogEntry& entry : entries) kinds.push_back(entry.kind);
  CHECK(kinds == std::vector<std::string>{"governance", "recipe", "recipe", "decision", "decision", "promotion",
                                          "promotion", "rollback", "recipe", "target"});
  CHECK(entries[1].text == "w4 groups, version 1, proposed: groups of 32");
  CHECK(entries[5].approved_by == std::vector<std::string>{"alice"});
  // Eve has no key here: her signature beside Alice's approves nothing.
  CHECK(entries[6].approved_by == std::vector<std::string>{"alice"});
  CHECK(entries[6].text == fmt::format("production names {}, before {}: better", artifact(2), artifact(1)));
  CHECK(entries[7].text == fmt::format("production went back to {}, from {}: p99", artifact(1), artifact(2)));
  CHECK(entries[8].text == "w4 groups, version 2, retired: too slow");
  CHECK(entries[9].text == "floor, version 1, in force; accuracy at least 0.9: contract");
  CHECK(std::ranges::is_sorted(entries, {}, &ChangelogEntry::event));

  const auto second_day = changelog(catalog, {.since = now + day, .until = now + 2 * day}).value();
  REQUIRE(second_day.size() == 2);
  CHECK(second_day[1].kind == "rollback");
  const auto other = changelog(catalog, {.since = now + day, .until = now + 2 * day, .alias = "staging"}).value();
  CHECK(other.empty());

  const std::string markdown = to_markdown(entries);
  CHECK(markdown.find("## 2024-10-06\n\n- **target**") < markdown.find("## 2024-10-04"));
  CHECK(markdown.find("(by ci, approved by alice, event ") != std::string::npos);
  const std::string json = to_json(entries).value();
  CHECK(parse_changelog(json).value() == entries);
  CHECK(parse_changelog(R"({"schema":"mcomp-changelog-2","entries":[]})").error().code() ==
        ErrorCode::version_mismatch);
  CHECK(parse_changelog(R"({"schema":"mcomp-changelog-1","entries":[{"event":-1}]})").error().code() ==
        ErrorCode::corrupt);
}

TEST_CASE("the first version of a changelog is read ever after", "[catalog]") {
  const std::string golden =
      R"({"entries":[{"actor":"ci","approved_by":["alice"],"event":7,"kind":"promotion","subject":"production",)"
      R"("text":"production names x","time":1728000000}],"schema":"mcomp-changelog-1"})";
  const auto entries = parse_changelog(golden).value();
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].event == 7);
  CHECK(to_json(entries).value() == golden);
}

TEST_CASE("names of others do not become markup", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open().value();
  put(catalog, Decision{.title = "# big\n<script>[x](y)", .status = "accepted"}, "d1");
  const std::string markdown = to_markdown(changelog(catalog).value());
  CHECK(markdown.find("\\# big \\<script\\>\\[x\\](y)") != std::string::npos);
}

TEST_CASE("what may not stay is deleted when its time has come, and the log stays verifiable", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open().value();
  REQUIRE(catalog.govern(governance({{.kind = "feedback", .keep_seconds = 30 * day},
                                     {.kind = "experiment", .keep_seconds = 90 * day},
                                     {.kind = "trace", .keep_seconds = day, .personal_only = false}}),
                         "bob", now));
  const auto event = [&](const std::string& kind, std::int64_t time, bool personal) {
    return catalog
        .append(Event{.kind = kind,
                      .subject = "user 7",
                      .actor = "app",
                      .time = time,
                      .body = R"({"said":"secret words"})",
                      .personal = personal})
        .value();
  };
  const auto old_feedback = event("feedback", now, true);
  const auto plain_feedback = event("feedback", now, false);
  const auto late_feedback = event("feedback", now + 20 * day, true);
  const auto trace = event("trace", now, false);
  event("note", now, true); // no rule speaks of notes
  const Record trial = put(catalog, Experiment{.name = "with user data"}, "e1", 0, now, true);
  put(catalog, Experiment{.name = "without"}, "e2", 0, now, false);

  CHECK(catalog.due(now + day - 1).value().empty());
  const auto first = catalog.due(now + 30 * day).value();
  REQUIRE(first.size() == 2);
  CHECK(first[0] == DueEvent{old_feedback, "feedback", "user 7", now, now + 30 * day});
  CHECK(first[1].index == trace);
  CHECK(catalog.due(now + 30 * day, 1).value().size() == 1);
  // Asking deletes nothing.
  CHECK(catalog.events(old_feedback, 1).value().front().event);

  CHECK(catalog.apply_retention("dpo", now + 30 * day).value() == first);
  CHECK_FALSE(catalog.events(old_feedback, 1).value().front().event);
  CHECK(catalog.events(plain_feedback, 1).value().front().event);
  CHECK(catalog.events(late_feedback, 1).value().front().event);
  CHECK(catalog.apply_retention("dpo", now + 30 * day).value().empty());
  CHECK(catalog.apply_retention("dpo", now + 90 * day).value().size() == 2);
  CHECK(catalog.get("experiment", "e1").value().redacted);
  CHECK_FALSE(catalog.get("experiment", "e2").value().redacted);
  CHECK(catalog.verify().value().sound());
  static_cast<void>(trial);

  // The rules are governance: they change by approval alone, and are kept as they were put.
  CHECK(catalog.govern(governance(), "mallory", now).error().code() == ErrorCode::invalid_argument);
  CHECK(catalog.governance().value().retention.size() == 3);
  CHECK(catalog.due(-1).error().code() == ErrorCode::invalid_argument);
  CHECK(catalog.apply_retention("", now).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("more events than a transaction takes are deleted, and what is deleted can be cancelled", "[catalog]") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open().value();
  REQUIRE(catalog.govern(governance({{.kind = "trace", .personal_only = false}}), "bob", now));
  std::vector<Event> events(2500, Event{.kind = "trace", .actor = "app", .time = now});
  REQUIRE(catalog.append(events));
  const CancellationToken token;
  Context context{.cancellation = token};
  context.progress = [&](const ProgressEvent& progress) {
    if (progress.done == 1000) token.cancel();
  };
  CHECK(catalog.apply_retention("dpo", now, context).error().code() == ErrorCode::cancelled);
  const auto left = catalog.due(now).value().size();
  CHECK(left > 0);
  CHECK(left < 2500);
  CHECK(left % 500 == 0); // whole transactions
  CHECK(catalog.apply_retention("dpo", now).value().size() == left);
  CHECK(catalog.verify().value().sound());
}

TEST_CASE("rules of retention that are none are refused", "[catalog]") {
  const auto code = [](RetentionRule rule) { return to_json(governance({std::move(rule)})).error().code(); };
  for (const char* kind : {"", "record", "alias", "redaction", "governance"})
    CHECK(code({.kind = kind, .keep_seconds = 1}) == ErrorCode::invalid_argument);
  CHECK(code({.kind = "x", .keep_seconds = -1}) == ErrorCode::invalid_argument);
  CHECK_FALSE(to_json(governance({{.kind = "x"}, {.kind = "x"}})));
  const Governance with = governance({{.kind = "feedback", .keep_seconds = 5, .personal_only = false}});
  CHECK(Governance::parse(to_json(with).value()).value() == with);
}
