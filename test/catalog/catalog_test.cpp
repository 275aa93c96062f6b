#include "mcomp/catalog/catalog.hpp"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>
#include <thread>

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog/bit_flip.hpp"
#include "catalog/catalog_state.hpp"
#include "catalog/faults.hpp"
#include "catalog/place.hpp"
#include "catch.hpp"
#include "data.hpp"
#include "mcomp/catalog/artifact_manifest.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::catalog;
using mcomp_test::Kind;
using mcomp_test::kinds;
using mcomp_test::Place;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t now = 1'800'000'000;
const std::string origin = "models.example.com/audit";

SigningKey key_of(const std::string& name, std::uint8_t fill) {
  return SigningKey::from_seed(name, std::vector<std::uint8_t>(32, fill)).value();
}
const SigningKey alice = key_of("alice", 1), bob = key_of("bob", 2), eve = key_of("eve", 3);
const SigningKey log_key = key_of(origin, 7);

Catalog open_at(const Place& place) {
  return place.open().value();
}

Governance two_people() {
  return {
      .keys = {{.key = alice.public_key(), .roles = {"reviewer"}},
               {.key = bob.public_key(), .roles = {"reviewer", "owner"}}},
      .policy = {.rules = {{.change = "promote", .roles = {"reviewer"}}, {.change = "govern", .roles = {"owner"}}}}};
}

std::string artifact(int number) {
  return digest_of(fmt::format("artifact {}", number));
}

Envelope approve(const std::string& subject, const SigningKey& key, const std::string& change = "promote:production",
                 const std::string& role = "reviewer") {
  return sign_approval({.subject = subject, .change = change, .role = role, .issued = now, .expires = now + 1000}, key)
      .value();
}

Result<AliasState> promote(Catalog& catalog, int number) {
  const Envelope approval = approve(artifact(number), alice);
  return catalog.promote({.alias = "production", .artifact = artifact(number), .author = "ci", .time = now + 1},
                         {&approval, 1});
}

RecordDraft draft(const std::string& id, std::int64_t version = 0) {
  return {.kind = "recipe",
          .id = id,
          .expected_version = version,
          .name = "Recipe " + id,
          .owner = "ana",
          .status = "proposed",
          .fingerprint = "f-" + id,
          .author = "ana",
          .time = now,
          .body = R"({"bits": 4})",
          .links = {"suite/s1", "experiment/" + id}};
}

/// A catalogue with something of everything in it.
void fill(Catalog& catalog) {
  REQUIRE(catalog.govern(two_people(), "bob", now));
  for (int i = 0; i < 12; ++i) {
    REQUIRE(catalog.put(draft(fmt::format("r{}", i))));
    REQUIRE(
        catalog.append(Event{.kind = "note", .subject = "x", .actor = "ana", .time = now + i, .body = R"({"n":1})"}));
  }
  REQUIRE(catalog.put(draft("r1", 1)));
  REQUIRE(promote(catalog, 1));
  REQUIRE(promote(catalog, 2));
  REQUIRE(catalog.rollback({.alias = "production", .author = "watchdog", .time = now + 2}));
  RecordDraft personal = draft("someone");
  personal.personal = true;
  const auto record = catalog.put(personal).value();
  REQUIRE(catalog.redact(record.event, "dpo", now + 3, "asked to be forgotten"));
}

/// Everything that the interface can show.
std::string everything(const Catalog& catalog) {
  std::string text;
  for (const LoggedEvent& event : catalog.events(0, 100000).value())
    text +=
        fmt::format("{} {} {}\n", event.index, to_hex(event.leaf), event.event ? to_json(*event.event).value() : "-");
  for (const char* kind : {"recipe", "governance"}) {
    for (const Record& record : catalog.find({.kind = kind, .limit = 100000}).value()) {
      text += fmt::format("{} {} {}\n", record, record.body, record.event);
      for (const Record& version : catalog.history(kind, record.id).value()) text += fmt::format("  {}\n", version);
    }
    text += fmt::format("{}\n", catalog.count({.kind = kind}).value());
    text += fmt::format("{}\n", catalog.count({.kind = kind, .links_to = "suite/s1"}).value());
    text += fmt::format("{}\n", catalog.count({.kind = kind, .status = "proposed", .owner = "ana"}).value());
  }
  for (const std::string& name : catalog.aliases().value())
    for (const AliasState& state : catalog.alias_history(name).value())
      text += fmt::format("{} {} {} {}\n", name, state.version, state.artifact, state.event);
  return text;
}

} // namespace

TEST_CASE("events are appended, read again by another process's object, and proven") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  CHECK(catalog.size().value() == 0);
  std::vector<Event> events;
  for (int i = 0; i < 20; ++i)
    events.push_back(
        {.kind = "note", .subject = fmt::format("s{}", i), .actor = "ana", .time = now, .body = "{\"i\": 1.0}"});
  CHECK(catalog.append(events).value() == 0);
  CHECK(catalog.append(events[0]).value() == 20);
  const Catalog other = open_at(place);
  const auto read = other.events(3, 2).value();
  REQUIRE(read.size() == 2);
  CHECK(read[0].index == 3);
  CHECK(read[0].event->subject == "s3");
  CHECK(read[0].event->body == R"({"i":1})");
  CHECK(read[0].leaf == leaf_hash(to_json(*read[0].event).value()));
  // The root is that of the entries, and proofs lead to it.
  const Checkpoint before = other.checkpoint(origin).value();
  CHECK(before.size == 21);
  REQUIRE(catalog.append(events));
  const Checkpoint after = other.checkpoint(origin).value();
  CHECK(verify_inclusion(3, 41, read[0].leaf, other.inclusion_proof(3, 41).value(), after.root));
  CHECK(verify_consistency(21, 41, other.consistency_proof(21, 41).value(), before.root, after.root));
  CHECK(other.verify(before).value().sound());
  Checkpoint another = before;
  another.root[0] ^= 1;
  CHECK(other.verify(another).value().problems.at(0).where == "checkpoint");
  another.size = 100;
  CHECK(other.verify(another).value().problems.at(0).where == "checkpoint");
  CHECK(catalog.append(std::span<const Event>{}).value() == 41);
}

TEST_CASE("the first versions of an event, of governance and of an envelope are read ever after") {
  const std::string event = R"({"actor":"erika","body":{"n":1},"kind":"note","salt":"00ff","schema":"mcomp-event-1",)"
                            R"("subject":"x","time":1800000000})";
  CHECK(to_json(Event::parse(event).value()).value() == event);
  CHECK(Event::parse(event).value().salt == "00ff");
  CHECK(!Event::parse(event + " "));
  CHECK(Event::parse(R"({"schema":"mcomp-event-2"})").error().code() == ErrorCode::version_mismatch);
  const std::string governance =
      R"({"keys":[{"key":"alice+)" + fmt::format("{:08x}", alice.public_key().id()) +
      R"(+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c","roles":["reviewer"],"valid_from":0,"valid_until":9}],)"
      R"("rules":[{"approvals":2,"change":"promote","four_eyes":true,"max_age":2592000,"roles":["reviewer"]}],)"
      R"("schema":"mcomp-governance-1"})";
  const auto read = Governance::parse(governance).value();
  CHECK(read.policy.rules[0].approvals == 2);
  CHECK(read.keys[0].key == alice.public_key());
  CHECK(to_json(read).value() == governance);
  CHECK(Governance::parse(R"({"schema":"mcomp-governance-2"})").error().code() == ErrorCode::version_mismatch);
  const std::string envelope = R"({"payload":"e30=","payloadType":"t","signatures":[{"keyid":"a+00000000","sig":")" +
                               std::string(86, 'A') + R"(=="}]})";
  CHECK(to_json(Envelope::parse(envelope).value()).value() == envelope);
}

TEST_CASE("events that say too little, or what is the catalogue's to say, are refused") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  const auto code = [&](const Event& event) {
    const auto result = catalog.append(event);
    REQUIRE(!result);
    CHECK(mcomp_test::well_formed(result.error()));
    return result.error().code();
  };
  CHECK(code({.kind = "", .actor = "a"}) == ErrorCode::invalid_argument);
  CHECK(code({.kind = "k", .actor = ""}) == ErrorCode::invalid_argument);
  CHECK(code({.kind = "k", .actor = "a", .time = -1}) == ErrorCode::invalid_argument);
  CHECK(code({.kind = "k", .actor = "a", .body = "[]"}) == ErrorCode::corrupt);
  CHECK(code({.kind = "k", .actor = "a", .body = "{"}) == ErrorCode::corrupt);
  CHECK(code({.kind = "k", .actor = "\xff"}) == ErrorCode::invalid_value);
  for (const char* kind : {"record", "alias", "redaction"})
    CHECK(code({.kind = kind, .actor = "a"}) == ErrorCode::invalid_argument);
  CHECK(catalog.size().value() == 0);
}

TEST_CASE("records have versions, and a writer who has not seen the newest is told so") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  const Record first = catalog.put(draft("w4a8")).value();
  CHECK(first.version == 1);
  CHECK(first.body == R"({"bits":4})");
  CHECK(catalog.get("recipe", "w4a8").value() == first);
  RecordDraft change = draft("w4a8", 1);
  change.status = "standard";
  const Record second = catalog.put(change).value();
  CHECK(catalog.get("recipe", "w4a8").value() == second);
  CHECK(catalog.get("recipe", "w4a8", 1).value() == first);
  CHECK(catalog.history("recipe", "w4a8").value() == std::vector{first, second});
  CHECK(catalog.put(change).error().code() == ErrorCode::version_mismatch);
  CHECK(catalog.put(draft("w4a8")).error().code() == ErrorCode::version_mismatch);
  CHECK(catalog.put(draft("new", 1)).error().code() == ErrorCode::version_mismatch);
  CHECK(catalog.get("recipe", "new").error().code() == ErrorCode::not_found);
  RecordDraft bad = draft("x");
  bad.body = "1";
  CHECK(catalog.put(bad).error().code() == ErrorCode::corrupt);
  bad = draft("");
  CHECK(catalog.put(bad).error().code() == ErrorCode::invalid_argument);
  bad = draft("x");
  bad.kind = "governance";
  CHECK(catalog.put(bad).error().code() == ErrorCode::invalid_argument);
  // All or none.
  CHECK(!catalog.put(std::vector{draft("a"), draft("w4a8")}));
  CHECK(catalog.get("recipe", "a").error().code() == ErrorCode::not_found);
  CHECK(catalog.put(std::vector{draft("a"), draft("a", 1)}).value()[1].version == 2);
  CHECK(catalog.verify().value().sound());
}

TEST_CASE("records are found by what they say, newest first") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  for (int i = 0; i < 30; ++i) {
    RecordDraft one = draft(fmt::format("r{:02}", i));
    one.time = now + i % 10;
    one.status = i % 3 == 0 ? "standard" : "proposed";
    one.owner = i % 2 == 0 ? "ana" : "ben";
    one.name = i == 7 ? "100% of_it" : "Other";
    REQUIRE(catalog.put(one));
  }
  REQUIRE(catalog.put(draft("r00", 1))); // proposed now, by its newest version
  const auto ids = [&](const RecordQuery& query) {
    std::string text;
    for (const Record& record : catalog.find(query).value()) text += record.id + " ";
    return text;
  };
  CHECK(ids({.kind = "recipe", .limit = 4}) == "r29 r19 r09 r28 ");
  CHECK(ids({.kind = "recipe", .limit = 2, .offset = 2}) == "r09 r28 ");
  CHECK(ids({.kind = "recipe", .status = "standard", .owner = "ben", .limit = 2}) == "r09 r27 ");
  CHECK(ids({.kind = "recipe", .fingerprint = "f-r13"}) == "r13 ");
  CHECK(ids({.kind = "recipe", .text = "100% OF_"}) == "r07 ");
  CHECK(ids({.kind = "recipe", .text = "%"}) == "r07 ");
  CHECK(ids({.kind = "recipe", .text = "R1", .since = now + 8}) == "r19 r18 ");
  CHECK(catalog.count({.kind = "recipe"}).value() == 30);
  CHECK(catalog.count({.kind = "recipe", .status = "standard"}).value() == 9);
  CHECK(catalog.count({.kind = "recipe", .until = now + 1}).value() == 3);
  CHECK(catalog.count({.kind = "other"}).value() == 0);
  CHECK(catalog.find({.kind = "recipe", .limit = -1}).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("an alias moves forward by approvals, and back at any time") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  CHECK(promote(catalog, 1).error().subject() == "policy"); // nobody may approve anything yet
  REQUIRE(catalog.govern(two_people(), "bob", now));
  CHECK(catalog.governance().value() == two_people());
  CHECK(catalog.alias("production").error().code() == ErrorCode::not_found);
  CHECK(!catalog.promote({.alias = "production", .artifact = artifact(1), .author = "ci", .time = now}, {}));
  const Envelope approval = approve(artifact(1), alice);
  const auto state =
      catalog.promote({.alias = "production", .artifact = artifact(1), .author = "ci", .time = now + 1}, {&approval, 1})
          .value();
  CHECK(state.version == 1);
  CHECK(catalog.alias("production").value() == state);
  // The same approval a second time, for another artifact, for another alias; forged, expired, of the author.
  const auto refused = [&](const Promotion& promotion, const Envelope& envelope) {
    const auto result = catalog.promote(promotion, {&envelope, 1});
    REQUIRE(!result);
    CHECK(result.error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  refused({.alias = "production", .artifact = artifact(1), .author = "ci", .time = now + 1}, approval);
  refused({.alias = "production", .artifact = artifact(2), .author = "ci", .time = now + 1}, approval);
  refused({.alias = "candidate", .artifact = artifact(2), .author = "ci", .time = now + 1},
          approve(artifact(2), alice));
  refused({.alias = "production", .artifact = artifact(2), .author = "ci", .time = now + 1}, approve(artifact(2), eve));
  refused({.alias = "production", .artifact = artifact(2), .author = "ci", .time = now + 2000},
          approve(artifact(2), alice));
  refused({.alias = "production", .artifact = artifact(2), .author = "alice", .time = now + 1},
          approve(artifact(2), alice));
  refused({.alias = "production", .artifact = artifact(2), .author = "ci", .time = now + 1},
          approve(artifact(2), bob, "promote:production", "owner"));
  CHECK(catalog.alias("production").value() == state);
  CHECK(catalog.rollback({.alias = "production", .author = "w", .time = now}).error().code() == ErrorCode::not_found);

  REQUIRE(promote(catalog, 2));
  const Envelope third = approve(artifact(3), bob);
  CHECK(catalog
            .promote({.alias = "production",
                      .artifact = artifact(3),
                      .author = "ci",
                      .time = now + 1,
                      .reason = "x",
                      .expected_version = 1},
                     {&third, 1})
            .error()
            .code() == ErrorCode::version_mismatch);
  CHECK(catalog.promote({.alias = "production",
                         .artifact = artifact(3),
                         .author = "ci",
                         .time = now + 1,
                         .reason = "x",
                         .expected_version = 2},
                        {&third, 1})); // the refusal has not spent the approval
  const auto back =
      catalog.rollback({.alias = "production", .author = "watchdog", .time = now + 9, .reason = "p99"}).value();
  CHECK(back.artifact == artifact(2));
  CHECK(back.rollback);
  CHECK(catalog.rollback({.alias = "production", .author = "watchdog", .time = now + 9}).value().artifact ==
        artifact(1));
  CHECK(!catalog.rollback({.alias = "production", .author = "watchdog", .time = now + 9}));
  REQUIRE(promote(catalog, 4));
  CHECK(catalog.rollback({.alias = "production", .author = "watchdog", .time = now + 9}).value().artifact ==
        artifact(1));
  CHECK(catalog.alias_history("production").value().size() == 7);
  CHECK(catalog.aliases().value() == std::vector<std::string>{"production"});
  const auto report = catalog.verify().value();
  INFO(to_string(report));
  CHECK(report.sound());
  CHECK(report.aliases == 7);
}

TEST_CASE("governance changes as governance says") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  Governance none = two_people();
  none.policy.rules.pop_back();
  CHECK(catalog.govern(none, "bob", now).error().code() == ErrorCode::invalid_argument); // never to be changed again
  Governance twice = two_people();
  twice.keys.push_back(twice.keys[0]);
  CHECK(catalog.govern(twice, "bob", now).error().code() == ErrorCode::invalid_argument);
  REQUIRE(catalog.govern(two_people(), "bob", now));
  Governance next = two_people();
  next.keys[0].valid_until = now + 50; // alice leaves
  const std::string subject = digest_of(to_json(next).value());
  const auto with = [&](const Envelope& envelope) { return catalog.govern(next, "carol", now + 1, {&envelope, 1}); };
  CHECK(!catalog.govern(next, "carol", now + 1));
  CHECK(!with(approve(subject, alice, "govern", "owner")));
  CHECK(!with(approve(artifact(1), bob, "govern", "owner")));
  REQUIRE(with(approve(subject, bob, "govern", "owner")));
  CHECK(catalog.governance().value() == next);
  CHECK(Governance::parse(to_json(next).value()).value() == next);
  const Envelope late = approve(artifact(1), alice);
  CHECK(
      !catalog.promote({.alias = "production", .artifact = artifact(1), .author = "ci", .time = now + 60}, {&late, 1}));
  CHECK(catalog.verify().value().sound());
}

TEST_CASE("a redaction takes what was said, and the log stays verifiable") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  REQUIRE(catalog.govern(two_people(), "bob", now));
  RecordDraft personal = draft("someone");
  personal.name = "Erika Mustermann";
  personal.body = R"({"words": "a sentence that was typed"})";
  personal.personal = true;
  const Record record = catalog.put(personal).value();
  const auto event =
      catalog
          .append(Event{
              .kind = "feedback", .actor = "erika", .time = now, .body = R"({"t":"typed too"})", .personal = true})
          .value();
  const Checkpoint before = catalog.checkpoint(origin).value();
  CHECK(catalog.events(event, 1).value()[0].event->salt.size() == 32);
  REQUIRE(promote(catalog, 1));
  const auto redaction = catalog.redact(record.event, "dpo", now, "asked to").value();
  REQUIRE(catalog.redact(event, "dpo", now, "asked to"));
  CHECK(catalog.redact(event, "dpo", now, "again").error().code() == ErrorCode::invalid_argument);
  CHECK(catalog.redact(0, "dpo", now, "governance").error().code() == ErrorCode::invalid_argument);
  CHECK(catalog.redact(redaction, "dpo", now, "redaction").error().code() == ErrorCode::invalid_argument);
  CHECK(catalog.redact(catalog.alias("production").value().event, "dpo", now, "alias").error().code() ==
        ErrorCode::invalid_argument);
  CHECK(catalog.redact(1000, "dpo", now, "none").error().code() == ErrorCode::not_found);
  const Record gone = catalog.get("recipe", "someone").value();
  CHECK(gone.redacted);
  CHECK(gone.body == "{}");
  CHECK(gone.name.empty());
  CHECK(!catalog.events(event, 1).value()[0].event);
  const auto report = catalog.verify(before).value();
  INFO(to_string(report));
  CHECK(report.sound());
  CHECK(report.redacted == 2);
  // Not a byte of it is left in any file. What a server does about that, postgres_test.cpp has.
  for (const auto& entry : fs::directory_iterator(place.folder())) {
    const std::string bytes = read_file(entry.path()).value();
    for (const char* word : {"Erika", "sentence that was typed", "typed too"})
      CHECK(bytes.find(word) == std::string::npos);
  }
  // The next version is the second.
  CHECK(catalog.put(draft("someone", 1)).value().version == 2);
  CHECK(catalog.verify().value().sound());
}

TEST_CASE("an exported log is verified without the catalogue, and every flipped bit of it is located") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  fill(catalog);
  const fs::path file = place.folder() / "log.txt";
  REQUIRE(catalog.export_log(file, origin, {&log_key, 1}));
  const auto trusted = std::vector{log_key.public_key()};
  std::uint64_t seen = 0;
  const auto report = verify_log_export(file, trusted, origin, [&](const LoggedEvent& event) -> Status {
                        CHECK(event.index == seen++);
                        return {};
                      }).value();
  CHECK(report.sound());
  CHECK(report.events == catalog.size().value());
  CHECK(report.redacted == 1);
  CHECK(report.checkpoint == catalog.checkpoint(origin).value());
  CHECK(seen == report.events);
  CHECK(!verify_log_export(file, trusted, "other").value().sound());
  CHECK(!verify_log_export(file, {}, origin).value().sound());
  const std::string good = read_file(file).value();
  const auto lines_begin = good.find('\n', good.find("\n\n") + 2) + 1; // behind the signature of the checkpoint
  Random random(9);
  const int rounds = place.kind() == Kind::sqlite ? 3000 : 100; // the file has the same form
  for (int round = 0; round < rounds; ++round) {
    const std::uint64_t bit = random.below(good.size() * 8);
    const std::size_t at = bit / 8;
    const char flipped = static_cast<char>(good[at] ^ (1 << (bit % 8)));
    const mcomp_test::BitFlip flip(file, bit);
    const auto found = verify_log_export(file, trusted, origin).value();
    REQUIRE(!found.sound());
    if (at < lines_begin) continue;
    const auto line = static_cast<std::uint64_t>(std::count(good.begin() + static_cast<std::ptrdiff_t>(lines_begin),
                                                            good.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
    REQUIRE(std::ranges::any_of(found.problems,
                                [&](const LogProblem& problem) { return problem.index == line || !problem.index; }));
    if (good[at] != '\n' && flipped != '\n')
      REQUIRE(std::ranges::any_of(found.problems, [&](const LogProblem& problem) { return problem.index == line; }));
  }
  // Cut off, with something behind, and heads that are none.
  const fs::path broken = place.folder() / "broken.txt";
  for (const std::string& bad :
       {good.substr(0, good.size() - 10), good + "x", std::string(), std::string("mcomp-log-1 1 1\nx"),
        std::string("mcomp-log-1 18446744073709551615 0\n"), std::string("mcomp-log-1 1 99\nx")}) {
    { std::ofstream(broken, std::ios::binary | std::ios::trunc) << bad; }
    CHECK(!verify_log_export(broken, trusted, origin).value().sound());
  }
  CHECK(verify_log_export(place.folder() / "none", trusted, origin).error().code() == ErrorCode::not_found);
}

namespace {

/// Flips random bits of a catalogue's file: each is found, or nothing that can be seen has changed.
void flip_database(int rounds, std::uint64_t seed) {
  const Place place(Kind::sqlite);
  const fs::path path = place.path();
  std::string before;
  {
    Catalog catalog = open_at(place);
    fill(catalog);
    before = everything(catalog);
  }
  REQUIRE(!fs::exists(path.string() + "-wal")); // all is in one file
  const std::string good = read_file(path).value();
  Random random(seed);
  int found = 0, harmless = 0;
  const fs::path broken = place.folder() / "broken.mcomp";
  for (int round = 0; round < rounds; ++round) {
    std::string text = good;
    text[random.below(text.size())] ^= static_cast<char>(1U << random.below(8));
    for (const char* end : {"", "-wal", "-shm"}) fs::remove(broken.string() + end);
    { std::ofstream(broken, std::ios::binary | std::ios::trunc) << text; }
    const auto catalog = Catalog::open(broken);
    const auto report = catalog ? catalog->verify() : Result<CatalogReport>(catalog.error());
    if (!report || !report->sound()) {
      if (!report) CHECK(mcomp_test::well_formed(report.error()));
      ++found;
      continue;
    }
    ++harmless;
    REQUIRE(everything(*catalog) == before);
  }
  CHECK(found > rounds / 10);
  CHECK(harmless > 0);
}

} // namespace

TEST_CASE("a flipped bit of the database is found, or lies in bytes that hold no record") {
  flip_database(300, 10);
}

TEST_CASE("20,000 flipped bits of the database are found, or lie in bytes that hold no record", "[.flips][slow]") {
  flip_database(20000, 20);
}

TEST_CASE("records, aliases and spent approvals that the log knows otherwise are found by name") {
  const Place whole(GENERATE(from_range(kinds())));
  {
    Catalog catalog = open_at(whole);
    fill(catalog);
    REQUIRE(catalog.verify().value().sound());
  }
  const auto tampered = [&](const std::string& sql) {
    const Place place = whole.copy();
    {
      const auto database = place.database();
      if (place.kind() == Kind::sqlite) REQUIRE(database->run("PRAGMA foreign_keys = OFF"));
      REQUIRE(database->run(sql));
    }
    const auto report = open_at(place).verify().value();
    std::string text;
    for (const LogProblem& problem : report.problems) text += problem.where + "; ";
    return text;
  };
  CHECK(tampered("UPDATE record SET status = 'standard' WHERE id = 'r3'") == "record recipe/r3; ");
  CHECK(tampered("UPDATE record SET owner = 'eve' WHERE id = 'r3'") == "record recipe/r3; ");
  CHECK(tampered("DELETE FROM record WHERE id = 'r4'") == "record recipe/r4; records; ");
  CHECK(tampered("UPDATE record SET latest = 0 WHERE id = 'r5'") == "records; ");
  CHECK(tampered("UPDATE record SET name = 'Erika' WHERE id = 'someone'") == "event 29; ");
  CHECK(tampered("UPDATE alias SET artifact = '" + artifact(9) + "' WHERE version = 1") == "alias production; ");
  CHECK(tampered("UPDATE alias SET rollback = 1 WHERE version = 2") == "alias production; ");
  CHECK(tampered("DELETE FROM alias WHERE version = 3") == "alias production; aliases; ");
  CHECK(tampered("DELETE FROM nonce WHERE seq = 26").find("approval ") == 0);
  CHECK(tampered("UPDATE event SET body = '{}' WHERE seq = 5").find("event 5; ") == 0);
  CHECK(tampered("DELETE FROM event WHERE seq = 5").find("event 5; ") == 0);
  CHECK(tampered("UPDATE event SET body = NULL WHERE seq = 2").find("event 2; ") != std::string::npos);
  CHECK(tampered("UPDATE log_state SET size = 3").find("log; ") != std::string::npos);
}

TEST_CASE("a history that was written anew is not the one of the checkpoint, and not one that was approved") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  fill(catalog);
  const Checkpoint kept = catalog.checkpoint(origin).value();
  // Whoever owns the file may append an alias by hand, leaf and state and all: the approvals are missing.
  {
    const auto database = place.database();
    const auto transaction = catalog::detail::Transaction::writing(*database);
    auto log = catalog::detail::LogAppender::begin(*database).value();
    const std::string body = catalog::detail::to_body(catalog::detail::AliasEvent{.alias = "production",
                                                                                  .version = 4,
                                                                                  .artifact = artifact(66),
                                                                                  .reason = "",
                                                                                  .rollback = false,
                                                                                  .approvals = {}})
                                 .value();
    const auto index =
        log.append(to_json(Event{.kind = "alias", .subject = "production", .actor = "eve", .time = now, .body = body})
                       .value())
            .value();
    REQUIRE(database->run("INSERT INTO alias (name, version, artifact, rollback, seq) VALUES ($1, $2, $3, 0, $4)",
                          {"production", std::int64_t{4}, artifact(66), static_cast<std::int64_t>(index)}));
    REQUIRE(log.finish());
    REQUIRE(database->commit());
  }
  const auto report = catalog.verify(kept).value();
  REQUIRE(report.problems.size() == 1);
  CHECK(report.problems[0].where == "alias production");
  CHECK(report.problems[0].rule.starts_with("it was promoted without approval"));
}

TEST_CASE("files that are no catalogue are refused") {
  const auto folder = mcomp_test::temporary_folder();
  { std::ofstream(folder / "text") << std::string(5000, 'x'); }
  CHECK(Catalog::open(folder / "text").error().code() == ErrorCode::corrupt);
  CHECK(Catalog::open(folder / "none" / "a").error().code() == ErrorCode::not_found);
  CHECK(Catalog::open(folder / "a", {.busy_timeout_ms = -1}).error().code() == ErrorCode::invalid_argument);
  { std::ofstream empty(folder / "empty"); }
  CHECK(Catalog::open(folder / "empty"));
  {
    const auto database = catalog::detail::open_sqlite(folder / "b", {}).value();
    REQUIRE(catalog::detail::migrate(*database));
    REQUIRE(database->run("INSERT INTO migration (number, what) VALUES (99, 'of the future')"));
  }
  CHECK(Catalog::open(folder / "b").error().code() == ErrorCode::version_mismatch);
  {
    const auto database = catalog::detail::open_sqlite(folder / "c", {}).value();
    REQUIRE(catalog::detail::migrate(*database));
    REQUIRE(database->run("CREATE TRIGGER t AFTER INSERT ON alias BEGIN UPDATE alias SET artifact = 'x'; END"));
  }
  CHECK(Catalog::open(folder / "c").error().code() == ErrorCode::corrupt);
}

TEST_CASE("a writer waits for another one as long as it was told, and a reader for nobody") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = place.open(200).value();
  REQUIRE(catalog.put(draft("a")));
  const auto database = place.database();
  {
    const auto turn = catalog::detail::Transaction::writing(*database);
    REQUIRE(turn);
    const auto refused = catalog.put(draft("b"));
    REQUIRE(!refused);
    CHECK(refused.error().code() == ErrorCode::io_failure);
    CHECK(refused.error().rule().starts_with("another writer holds it"));
    CHECK(mcomp_test::well_formed(refused.error()));
    CHECK(catalog.count({.kind = "recipe"}).value() == 1);
  }
  CHECK(catalog.put(draft("b")));
}

TEST_CASE("a transaction that reads sees one state, whatever is written meanwhile") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  REQUIRE(catalog.put(draft("a")));
  const auto database = place.database();
  const auto count = [&] {
    std::int64_t records = -1;
    REQUIRE(database->query("SELECT count(*) FROM record", {}, [&](const catalog::detail::Row& row) -> Status {
      records = row.integer(0);
      return {};
    }));
    return records;
  };
  {
    auto transaction = catalog::detail::Transaction::reading(*database).value();
    CHECK(count() == 1);
    REQUIRE(catalog.put(draft("b")));
    CHECK(count() == 1);
    REQUIRE(transaction.commit());
  }
  CHECK(count() == 2);
}

TEST_CASE("values come back from the database as they were given") {
  const Place place(GENERATE(from_range(kinds())));
  const auto database = place.database();
  using catalog::detail::Bytes;
  using catalog::detail::Row;
  using catalog::detail::Value;
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes += static_cast<char>(i);
  const std::vector<Value> values = {std::numeric_limits<std::int64_t>::min(),
                                     std::numeric_limits<std::int64_t>::max(),
                                     -0.1,
                                     std::numeric_limits<double>::denorm_min(),
                                     std::string("it's \"$1\" \\ \n \xc3\xa4 \xf0\x9f\x90\x98"),
                                     std::string(),
                                     Bytes{all_bytes},
                                     Bytes{}};
  for (int round = 0; round < 2; ++round) { // anew, and by the statement that is kept
    int rows = 0;
    REQUIRE(database->query("SELECT $1, $2, $3, $4, $5, $6, $7, $8", values, [&](const Row& row) -> Status {
      ++rows;
      CHECK(row.integer(0) == std::get<std::int64_t>(values[0]));
      CHECK(row.integer(1) == std::get<std::int64_t>(values[1]));
      CHECK(row.number(2) == -0.1);
      CHECK(row.number(3) == std::numeric_limits<double>::denorm_min());
      CHECK(row.text(4) == std::get<std::string>(values[4]));
      CHECK((row.text(5).empty() && !row.null(5)));
      CHECK(row.bytes(6) == all_bytes);
      CHECK((row.bytes(7).empty() && !row.null(7)));
      return {};
    }));
    CHECK(rows == 1);
  }
  REQUIRE(database->query("SELECT $1", {Value()}, [&](const Row& row) -> Status {
    CHECK(row.null(0));
    return {};
  }));
}

TEST_CASE("aliases are ordered by their bytes, and texts compared by them") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog catalog = open_at(place);
  Governance governance = two_people();
  REQUIRE(catalog.govern(governance, "bob", now));
  for (const char* name : {"b", "a", "B", "a-b", "aa", "\xc3\xa4"}) {
    const Envelope approval = approve(artifact(1), alice, std::string("promote:") + name);
    REQUIRE(catalog.promote({.alias = name, .artifact = artifact(1), .author = "ci", .time = now}, {&approval, 1}));
  }
  CHECK(catalog.aliases().value() == std::vector<std::string>{"B", "a", "a-b", "aa", "b", "\xc3\xa4"});
  REQUIRE(catalog.put(draft("x")));
  CHECK(catalog.get("recipe", "X").error().code() == ErrorCode::not_found);
}

TEST_CASE("writers of several threads and objects take turns, and readers see whole states") {
  const Place place(GENERATE(from_range(kinds())));
  Catalog shared = open_at(place);
  REQUIRE(shared.govern(two_people(), "bob", now));
  std::atomic<int> failures{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w)
    writers.emplace_back([&, w] {
      Catalog own = open_at(place);
      Catalog& catalog = w % 2 == 0 ? shared : own;
      for (int i = 0; i < 15; ++i) {
        if (!catalog.put(std::vector{draft(fmt::format("{}-{}-a", w, i)), draft(fmt::format("{}-{}-b", w, i))}))
          ++failures;
        if (!promote(catalog, 100 * w + i)) ++failures;
      }
    });
  std::thread reader([&] {
    const Catalog own = open_at(place);
    while (!done) {
      const auto report = own.verify();
      if (!report || !report->sound() || (report->records - 1) % 2 != 0) ++failures;
    }
  });
  for (auto& writer : writers) writer.join();
  done = true;
  reader.join();
  CHECK(failures == 0);
  CHECK(shared.count({.kind = "recipe"}).value() == 120);
  CHECK(shared.alias("production").value().version == 60);
  CHECK(shared.verify().value().sound());
}

TEST_CASE("every write, sync or message that fails leaves the database whole, and the next try goes through") {
  const Place place(GENERATE(from_range(kinds())));
  {
    Catalog catalog = open_at(place);
    fill(catalog);
  }
  std::int64_t at = 0;
  std::int64_t version = place.open().value().alias("production").value().version;
  for (;; ++at) {
    bool happened = false, acknowledged = false;
    {
      // Opening, writing and closing: the write-ahead log is begun, and emptied at the end.
      const mcomp_test::Fault fault(at);
      auto catalog = place.open();
      if (catalog) acknowledged = promote(*catalog, static_cast<int>(at)).has_value();
      if (catalog) catalog = place.open(); // closes the first
      happened = fault.happened();
    }
    Catalog catalog = open_at(place);
    if (place.kind() == Kind::sqlite || at % 4 == 0 || !happened) {
      const auto report = catalog.verify().value();
      INFO(to_string(report));
      REQUIRE(report.sound());
    }
    const std::int64_t newest = catalog.alias("production").value().version;
    // What was acknowledged is there; what was not may be there too, whole.
    REQUIRE((newest == version + 1 || (newest == version && !acknowledged)));
    version = newest;
    REQUIRE(promote(catalog, 1000 + static_cast<int>(at)));
    ++version;
    if (!happened) break;
  }
  CHECK(at > (place.kind() == Kind::sqlite ? 5 : 30));
}

namespace {

/// Runs a process that promotes and rolls back until it is killed in the middle of a write, a sync or a message.
void kill_promoters(Kind kind, int rounds, std::uint64_t seed) {
  const Place place(kind);
  const std::uint64_t most_calls = kind == Kind::sqlite ? 60 : 200;
  std::int64_t version = 0;
  {
    Catalog catalog = open_at(place);
    fill(catalog);
    version = catalog.alias("production").value().version;
  }
  Random random(seed);
  int acknowledged = 0;
  for (int round = 0; round < rounds; ++round) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const auto calls = static_cast<std::int64_t>(random.below(most_calls));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const mcomp_test::Fault fault(calls, mcomp_test::FaultKind::kill);
      Catalog catalog = open_at(place);
      for (int i = 0;; ++i) {
        const auto state = i % 3 == 2 ? catalog.rollback({.alias = "production", .author = "w", .time = now + 1})
                                      : promote(catalog, 100 * round + i);
        if (!state || !catalog.append(Event{.kind = "note", .actor = "w", .time = now})) ::_exit(1);
        if (::write(ends[1], &state->version, sizeof state->version) != sizeof state->version) ::_exit(1);
      }
    }
    ::close(ends[1]);
    std::int64_t told = version, one = 0;
    while (::read(ends[0], &one, sizeof one) == sizeof one) told = one, ++acknowledged;
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    // What a server is still about to commit, it has committed when the next writer's turn comes.
    if (kind == Kind::postgresql) REQUIRE(catalog::detail::Transaction::writing(*place.database()));
    const Catalog catalog = open_at(place);
    version = catalog.alias("production").value().version;
    REQUIRE(version >= told);
    REQUIRE(version <= told + 1);
    if (round % 8 != 7) continue;
    const auto report = catalog.verify().value();
    INFO(to_string(report));
    REQUIRE(report.sound());
  }
  CHECK(open_at(place).verify().value().sound());
  CHECK(acknowledged > rounds / 4);
}

} // namespace

TEST_CASE("a process that is killed in the middle of promotions loses none that it was told of") {
  kill_promoters(GENERATE(from_range(kinds())), 16, 12);
}

TEST_CASE("2,000 processes that are killed in the middle of promotions lose none", "[.crash][slow]") {
  kill_promoters(GENERATE(from_range(kinds())), 2000, 22);
}
