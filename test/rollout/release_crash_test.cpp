// A release from its publication to its rollback, again and again, in a process that dies at any moment while others
// read: what was acknowledged is there, nothing is served that was not approved, and the next process goes on where the
// last one was.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <new>
#include <sstream>

#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog/faults.hpp"
#include "catalog/killed_process.hpp"
#include "catch.hpp"
#include "data.hpp"
#include "mcomp/catalog/artifact_store.hpp"
#include "mcomp/catalog/catalog.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/rollout/stage_machine.hpp"

using namespace mcomp;
using namespace mcomp::catalog;
using namespace mcomp::rollout;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t now = 1'800'000'000;

const SigningKey& reviewer() {
  static const SigningKey key = SigningKey::from_seed("reviewer", std::vector<std::uint8_t>(32, 1)).value();
  return key;
}

RolloutPolicy policy() {
  RolloutPolicy policy;
  policy.with_shadow = false;
  policy.steps = {{1000, 0}, {25000, 0}};
  return policy;
}

/// Where a release happens.
struct Place {
  fs::path catalog, store;
  std::uint64_t from = 0; ///< index in the log from which the present cycle is looked for
};

ArtifactManifest manifest_of(const ArtifactStore& store, const std::string& weights) {
  ArtifactManifest manifest{.name = "ranker", .library_version = "0.1.0", .seed = 1, .hardware = {{}, "w8a8", 1000}};
  manifest.parts.push_back({PartRole::weights, "weights.bin", store.put(weights).value()});
  return manifest;
}

/// What makes the weights of a cycle; those that nobody approves say so.
std::string weights(std::int64_t cycle, bool approved) {
  return fmt::format("{} weights of cycle {}", approved ? "approved" : "secret", cycle);
}

Envelope approve(const std::string& artifact) {
  return sign_approval({.subject = artifact,
                        .change = "promote:production",
                        .role = "reviewer",
                        .issued = now,
                        .expires = now + 1000},
                       reviewer())
      .value();
}

Result<AliasState> promote(Catalog& catalog, const std::string& artifact, const Envelope& approval) {
  return catalog.promote({.alias = "production", .artifact = artifact, .author = "ci", .time = now + 1},
                         {&approval, 1});
}

/// A fresh place with something approved to fall back to.
Place begin() {
  const fs::path folder = mcomp_test::temporary_folder();
  Place place{.catalog = folder / "team.mcomp", .store = folder / "store"};
  Catalog catalog = Catalog::open(place.catalog).value();
  const ArtifactStore store = ArtifactStore::open(place.store).value();
  const Governance governance{
      .keys = {{.key = reviewer().public_key(), .roles = {"reviewer"}}},
      .policy = {.rules = {{.change = "promote", .roles = {"reviewer"}}, {.change = "govern", .roles = {"reviewer"}}}}};
  REQUIRE(catalog.govern(governance, "reviewer", now));
  const std::string base = store.publish(manifest_of(store, weights(0, true))).value();
  REQUIRE(promote(catalog, base, approve(base)));
  place.from = catalog.size().value();
  return place;
}

/// What the log says of the cycle that was begun last.
struct Cycle {
  std::int64_t number = 0;
  std::uint64_t index = 0; ///< of its first event
  bool ended = true;
  std::optional<Envelope> approval{};
  bool promoted = false;
  std::vector<RolloutEvent> history{};

  static Result<Cycle> last(const Catalog& catalog, std::uint64_t from) {
    Cycle cycle;
    for (std::vector<LoggedEvent> events;; from += events.size()) {
      auto next = catalog.events(from, 500);
      if (!next) return next.error();
      events = std::move(*next);
      if (events.empty()) return cycle;
      for (const LoggedEvent& logged : events) {
        const Event& event = *logged.event;
        if (event.kind == "cycle")
          cycle = Cycle{.number = std::stoll(event.subject), .index = logged.index, .ended = false};
        if (event.kind == "cycle-end") cycle.ended = true;
        if (event.kind == "approval") cycle.approval = Envelope::parse(event.body).value();
        if (event.kind == "alias") cycle.promoted = true; // of two, promotion and rollback, the first
        if (event.kind == "rollout") cycle.history.push_back(RolloutEvent::parse(event.body).value());
      }
    }
  }
};

/// The events of a rollout that is let through to the second step and then taken back.
std::vector<RolloutEvent> planned(const std::string& artifact) {
  std::vector<RolloutEvent> events;
  const auto add = [&](EventKind kind) -> RolloutEvent& {
    events.push_back({});
    events.back().kind = kind;
    events.back().time = now + static_cast<std::int64_t>(events.size());
    return events.back();
  };
  for (const Stage change : {Stage::canary, Stage::full}) {
    RolloutEvent& event = add(EventKind::approve);
    event.artifact = artifact;
    event.stage = change;
    event.approver = "reviewer";
    event.role = "reviewer";
  }
  add(EventKind::start);
  RolloutEvent& gate = add(EventKind::gate);
  gate.stage = Stage::canary;
  gate.verdict = Gate::pass;
  add(EventKind::heartbeat);
  add(EventKind::rollback).text = "accuracy";
  return events;
}

/// Goes on with the cycle that was begun last, or begins another, and finishes it. `tell` is told every step that is
/// done: its name, the cycle, and where in the log or the store it can be found. An error where a step fails.
template <class Tell> Status go_on(const Place& place, const Tell& tell) {
  auto opened = Catalog::open(place.catalog);
  if (!opened) return opened.error();
  Catalog& catalog = *opened;
  const auto store = ArtifactStore::open(place.store);
  if (!store) return store.error();
  auto found = Cycle::last(catalog, place.from);
  if (!found) return found.error();
  Cycle& cycle = *found;
  const auto log = [&](const char* kind, std::string body) {
    return catalog.append(Event{
        .kind = kind, .subject = std::to_string(cycle.number), .actor = "ci", .time = now, .body = std::move(body)});
  };
  if (cycle.ended) {
    cycle = Cycle{.number = cycle.number + 1, .ended = false};
    if (const auto begun = log("cycle", "{}"); !begun) return begun.error();
  }
  const std::int64_t n = cycle.number;
  // Publish; the same again changes nothing.
  std::string ids[2];
  for (const bool approved : {false, true}) {
    const auto blob = store->put(weights(n, approved));
    if (!blob) return blob.error();
    ArtifactManifest manifest{.name = "ranker", .library_version = "0.1.0", .seed = 1, .hardware = {{}, "w8a8", 1000}};
    manifest.parts.push_back({PartRole::weights, "weights.bin", *blob});
    const auto id = store->publish(manifest);
    if (!id) return id.error();
    tell("publish", n, *id);
    ids[int{approved}] = *id;
  }
  const std::string &secret = ids[0], &artifact = ids[1];
  // Record the trial and the decision together.
  const std::string name = fmt::format("cycle-{}", n);
  if (!catalog.get("experiment", name)) {
    const std::vector<RecordDraft> drafts = {
        draft(Experiment{.name = name, .status = "won", .metrics = {{"accuracy", 0.9}}, .artifact = artifact},
              {.id = name, .author = "ci", .time = now})
            .value(),
        draft(catalog::Decision{.title = "release " + name, .status = "accepted", .evidence = {name, artifact}},
              {.id = name, .author = "ci", .time = now})
            .value()};
    if (const auto records = catalog.put(drafts); !records) return records.error();
  }
  tell("record", n, name);
  // Approve.
  if (!cycle.approval) {
    cycle.approval = approve(artifact);
    if (const auto logged = log("approval", to_json(*cycle.approval).value()); !logged) return logged.error();
  }
  tell("approve", n, artifact);
  // What was not approved is refused, with the approval of something else in hand too.
  if (promote(catalog, secret, *cycle.approval)) throw std::runtime_error("promoted without approval");
  if (!cycle.promoted) {
    const auto state = promote(catalog, artifact, *cycle.approval);
    if (!state) return state.error();
    tell("promote", n, std::to_string(state->event));
  }
  // Roll out: the state is what the recorded history replays to.
  RolloutState state = replay(begin_rollout(artifact, "base", now), cycle.history, policy());
  const auto step = [&](const RolloutEvent& event) -> Status {
    const auto index = log("rollout", to_json(event));
    if (!index) return index.error();
    state = advance(state, event, policy()).state;
    tell("rollout", n, fmt::format("{} {}", *index, state.events));
    return {};
  };
  if (!cycle.history.empty() && cycle.history.back().kind != EventKind::rollback) {
    RolloutEvent event;
    event.kind = EventKind::restart;
    event.time = now;
    if (const Status status = step(event); !status) return status;
  }
  const auto done =
      std::ranges::count_if(cycle.history, [](const RolloutEvent& event) { return event.kind != EventKind::restart; });
  const std::vector<RolloutEvent> plan = planned(artifact);
  for (auto i = static_cast<std::size_t>(done); i < plan.size(); ++i)
    if (const Status status = step(plan[i]); !status) return status;
  if (state.stage != Stage::rolled_back) throw std::runtime_error("the rollout is in " + to_string(state.stage));
  // Roll back.
  const auto alias = catalog.alias("production");
  if (!alias) return alias.error();
  if (alias->artifact == artifact) {
    const auto back =
        catalog.rollback({.alias = "production", .author = "guard", .time = now + 2, .reason = "accuracy"});
    if (!back) return back.error();
    tell("rollback", n, std::to_string(back->event));
  }
  if (const auto ended = log("cycle-end", "{}"); !ended) return ended.error();
  tell("end", n, "-");
  return {};
}

/// Whether what was told is there. `told` counts the steps by their names.
void check_told(const Catalog& catalog, const ArtifactStore& store, std::uint64_t from, const std::string& text,
                std::map<std::string, int>& told) {
  const auto event = [&](std::uint64_t index) { return catalog.events(index, 1).value().at(0).event.value(); };
  const Cycle last = Cycle::last(catalog, from).value();
  std::istringstream lines(text.substr(0, text.rfind('\n') + 1)); // the last line may be half there
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    std::istringstream words(line);
    std::string step, where;
    std::int64_t n = 0, events = 0;
    words >> step >> n >> where >> events;
    ++told[step];
    if (step == "publish") {
      const auto manifest = store.manifest(where);
      REQUIRE(manifest);
      const std::string bytes = store.get(manifest->parts.at(0).blob.digest).value();
      REQUIRE((bytes == weights(n, true) || bytes == weights(n, false)));
    } else if (step == "record") {
      REQUIRE(catalog.get("experiment", where));
      REQUIRE(catalog.get("decision", where));
    } else if (step == "approve") {
      if (n == last.number) REQUIRE(last.approval);
    } else if (step == "promote" || step == "rollback") {
      REQUIRE(event(std::stoull(where)).kind == "alias");
    } else if (step == "rollout") {
      REQUIRE(event(std::stoull(where)).kind == "rollout");
      if (n == last.number) REQUIRE(static_cast<std::int64_t>(last.history.size()) >= events);
    } else {
      REQUIRE(step == "end");
      REQUIRE((last.number > n || last.ended));
    }
  }
  REQUIRE(store.get(store.manifest(catalog.alias("production").value().artifact).value().parts.at(0).blob.digest)
              .value()
              .starts_with("approved "));
}

/// Processes that resolve the alias and read what it names, until they are stopped.
class Readers {
  struct Shared {
    std::atomic<bool> stop;
    std::atomic<std::int64_t> reads, failures;
    char what[512]; ///< of the first failure
  };

 public:
  Readers(const Place& place, int count) {
    void* page = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(page != MAP_FAILED);
    shared_ = new (page) Shared();
    for (int i = 0; i < count; ++i) {
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child != 0) {
        children_.push_back(child);
        continue;
      }
      try {
        run(place);
      } catch (const std::exception& error) {
        fail(error.what());
      }
      ::_exit(0);
    }
  }
  ~Readers() {
    stop();
    ::munmap(shared_, sizeof(Shared));
  }
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  void stop() {
    shared_->stop = true;
    for (const pid_t child : children_) ::waitpid(child, nullptr, 0);
    children_.clear();
  }
  [[nodiscard]] std::int64_t reads() const { return shared_->reads; }
  [[nodiscard]] std::int64_t failures() const { return shared_->failures; }
  [[nodiscard]] std::string what() const { return shared_->what; }

 private:
  void fail(const std::string& what) {
    if (shared_->failures++ == 0) std::strncpy(shared_->what, what.c_str(), sizeof shared_->what - 1);
  }
  void run(const Place& place) {
    const Catalog catalog = Catalog::open(place.catalog).value();
    const ArtifactStore store = ArtifactStore::open(place.store).value();
    while (!shared_->stop) {
      const AliasState state = catalog.alias("production").value();
      const auto manifest = store.manifest(state.artifact);
      const auto bytes =
          manifest ? store.get(manifest->parts.at(0).blob.digest) : Result<std::string>(manifest.error());
      if (bytes) {
        // Approved by its content, and by the approval that the log holds for the promotion.
        if (!bytes->starts_with("approved ")) fail("served: " + *bytes);
        const Event event = catalog.events(state.event, 1).value().at(0).event.value();
        if (!state.rollback && event.body.find(R"("approvals":[])") != std::string::npos)
          fail("unapproved: " + event.body);
        ++shared_->reads;
      } else if (catalog.alias("production").value().version == state.version) {
        fail(bytes.error().what()); // what the alias names now must be there
      }
      ::usleep(500);
    }
  }

  Shared* shared_ = nullptr;
  std::vector<pid_t> children_;
};

/// Takes out what nobody can be served any more.
void prune(const Catalog& catalog, const ArtifactStore& store) {
  const std::string current = catalog.alias("production").value().artifact;
  const std::string base = catalog.alias_history("production").value().at(0).artifact;
  for (const StoredArtifact& artifact : store.list().value())
    if (artifact.id != current && artifact.id != base) REQUIRE(store.remove(artifact.id));
  REQUIRE(store.collect_garbage({.grace = 0}));
}

std::string line_of(const char* step, std::int64_t cycle, const std::string& where) {
  return fmt::format("{} {} {}\n", step, cycle, where);
}

void kill_releases(int rounds, std::uint64_t seed) {
  Place place = begin();
  Readers readers(place, 2);
  Random random(seed);
  std::map<std::string, int> told;
  std::optional<Checkpoint> before;
  for (int round = 0; round < rounds; ++round) {
    // Half of them die in the middle of a write, sync or rename, the others anywhere.
    mcomp_test::Death death{.file_call = static_cast<std::int64_t>(random.below(350))};
    if (round % 2 == 1) death = {.file_call = -1, .milliseconds = 1 + static_cast<int>(random.below(60))};
    const std::string text = mcomp_test::told_until_killed(death, [&](const auto& tell) {
      return go_on(place,
                   [&](const char* step, std::int64_t n, const std::string& where) { tell(line_of(step, n, where)); })
          .has_value();
    });
    const Catalog catalog = Catalog::open(place.catalog).value();
    const ArtifactStore store = ArtifactStore::open(place.store).value();
    check_told(catalog, store, place.from, text, told);
    // The log was only appended to.
    const Checkpoint after = catalog.checkpoint("log").value();
    if (before)
      REQUIRE(verify_consistency(before->size, after.size, catalog.consistency_proof(before->size, after.size).value(),
                                 before->root, after.root));
    before = after;
    const Cycle last = Cycle::last(catalog, place.from).value();
    if (last.number > 0) place.from = last.index;
    if (round % 40 == 39) {
      REQUIRE(catalog.verify(before).value().sound());
      REQUIRE(store.verify().value().sound());
      prune(catalog, store);
    }
    INFO(readers.what());
    REQUIRE(readers.failures() == 0);
  }
  readers.stop();
  CHECK(readers.failures() == 0);
  CHECK(readers.reads() > rounds);
  REQUIRE(go_on(place, [](const auto&...) {}));
  const auto report = Catalog::open(place.catalog).value().verify(before).value();
  INFO(to_string(report));
  CHECK(report.sound());
  CHECK(ArtifactStore::open(place.store).value().verify().value().sound());
  // The deaths are spread over all steps.
  std::string steps;
  for (const auto& [step, count] : told) steps += fmt::format("{} {}, ", step, count);
  INFO(steps);
  for (const char* step : {"publish", "record", "approve", "promote", "rollout", "rollback", "end"})
    CHECK(told[step] > rounds / 8);
  if (rounds > 1000) WARN(rounds << " deaths; acknowledged: " << steps << readers.reads() << " reads");
}

} // namespace

TEST_CASE("A release that is killed at any point loses nothing, serves nothing unapproved, and goes on", "[rollout]") {
  kill_releases(40, 3);
}

TEST_CASE("2,000 releases that are killed at any point lose nothing and go on", "[.crash][slow]") {
  kill_releases(2000, 33);
}

TEST_CASE("Every write, sync and rename of a release fails once: it goes on from there", "[rollout]") {
  Place place = begin();
  std::map<std::string, int> told;
  std::int64_t at = 0;
  for (;; ++at) {
    std::string text;
    const auto tell = [&](const char* step, std::int64_t n, const std::string& where) {
      text += line_of(step, n, where);
    };
    bool happened = false;
    {
      const mcomp_test::Fault fault(at);
      const Status status = go_on(place, tell);
      happened = fault.happened();
      if (!happened) REQUIRE(status);
    }
    {
      const Catalog catalog = Catalog::open(place.catalog).value();
      const ArtifactStore store = ArtifactStore::open(place.store).value();
      check_told(catalog, store, place.from, text, told);
      if (at % 20 == 0) {
        REQUIRE(catalog.verify().value().sound());
        REQUIRE(store.verify().value().sound());
        prune(catalog, store);
      }
    }
    if (!happened) break;
    text.clear();
    REQUIRE(go_on(place, tell)); // the next try goes through
    const Catalog catalog = Catalog::open(place.catalog).value();
    check_told(catalog, ArtifactStore::open(place.store).value(), place.from, text, told);
    const Cycle last = Cycle::last(catalog, place.from).value();
    REQUIRE(last.ended);
    place.from = last.index;
  }
  CHECK(at > 80);
  CHECK(Catalog::open(place.catalog).value().verify().value().sound());
  CHECK(ArtifactStore::open(place.store).value().verify().value().sound());
}
