#include "mcomp/rollout/stage_machine.hpp"

#include <algorithm>
#include <deque>
#include <set>
#include <string>
#include <unordered_set>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::rollout;

namespace {

const std::string artifact = "sha256:new", baseline = "sha256:old";

RolloutPolicy small_policy() {
  RolloutPolicy policy;
  policy.shadow_duration = 100;
  policy.steps = {{1000, 100}, {25000, 100}};
  policy.passes = 2;
  policy.failures = 1;
  policy.undecided = 1;
  policy.heartbeat = 150;
  policy.approvals = {{Stage::canary, 1, ""}, {Stage::full, 1, "owner"}};
  return policy;
}

RolloutEvent event(EventKind kind, std::int64_t time, std::string text = {}) {
  RolloutEvent e;
  e.kind = kind;
  e.time = time;
  e.text = std::move(text);
  return e;
}

RolloutEvent gate(const RolloutState& state, Gate verdict, std::int64_t time) {
  RolloutEvent e = event(EventKind::gate, time);
  e.stage = state.stage == Stage::paused ? state.held : state.stage;
  e.step = state.step;
  e.verdict = verdict;
  return e;
}

RolloutEvent approval(Stage change, std::string approver, std::string role, std::int64_t time,
                      std::string of = artifact) {
  RolloutEvent e = event(EventKind::approve, time);
  e.artifact = std::move(of);
  e.stage = change;
  e.approver = std::move(approver);
  e.role = std::move(role);
  return e;
}

/// Everything that can happen in a state: verdicts of this stage and a stale one, operators, time, heartbeats,
/// restarts at once and after a long silence, approvals that count and that do not.
std::vector<RolloutEvent> everything(const RolloutState& s) {
  const std::int64_t now = s.now;
  std::vector<RolloutEvent> events = {event(EventKind::clock, now + 60),
                                      event(EventKind::clock, now + 200),
                                      event(EventKind::clock, now - 1000),
                                      event(EventKind::heartbeat, now + 60),
                                      event(EventKind::heartbeat, now + 200),
                                      event(EventKind::start, now),
                                      event(EventKind::go_on, now),
                                      event(EventKind::pause, now),
                                      event(EventKind::resume, now),
                                      event(EventKind::rollback, now),
                                      event(EventKind::retire, now, "sha256:next"),
                                      event(EventKind::breakdown, now),
                                      event(EventKind::restart, now),
                                      event(EventKind::restart, now + 200),
                                      approval(Stage::canary, "alice", "reviewer", now),
                                      approval(Stage::full, "bob", "owner", now),
                                      approval(Stage::full, "bob", "reviewer", now),
                                      approval(Stage::canary, "alice", "reviewer", now, "sha256:other")};
  for (const Gate verdict : {Gate::pass, Gate::fail, Gate::inconclusive, Gate::no_data})
    events.push_back(gate(s, verdict, now + 10));
  RolloutEvent stale = gate(s, Gate::pass, now);
  ++stale.step;
  events.push_back(stale);
  return events;
}

/// A state, what traffic really is, and what an onlooker has counted for himself.
struct Node {
  RolloutState state;
  std::uint32_t share = 0; ///< of the units that the artifact really answers
  bool down = false;       ///< the process died before it performed the last actions
  bool canary_approved = false, full_approved = false;
  int passes = 0; ///< in a row, in this stage, since the last restart

  /// What the future depends on: times only as far as any rule looks.
  [[nodiscard]] std::string key(const RolloutPolicy& policy) const {
    std::set<std::string> given;
    for (const GivenApproval& a : state.approvals) given.insert(to_string(a.change) + a.approver + a.role);
    return fmt::format(
        "{} {} {} {} {} {} {} {} {} {} {} {} {} {}", state.stage, state.held, state.step,
        std::min<std::int64_t>(state.now - state.since, 100),
        share > 0 || exposed_share(state, policy) > 0 ? std::min<std::int64_t>(state.now - state.alive, 151) : 0,
        state.passes, state.failures, state.undecided, fmt::join(given, ","), share, down, canary_approved,
        full_approved, std::min(passes, 2));
  }
};

void perform(const Transition& step, std::uint32_t& share) {
  for (const RolloutAction& action : step.actions)
    if (action.kind == RolloutAction::Kind::set_traffic) share = action.share;
}

/// One event from a node; `dies`: before the actions are performed.
Node next(const Node& node, const RolloutEvent& e, bool dies, const RolloutPolicy& policy) {
  Node after = node;
  const Transition step = advance(node.state, e, policy);
  after.state = step.state;
  after.down = dies;
  if (!dies) perform(step, after.share);
  if (after.state.stage == Stage::retired) after.share = 0; // its successor serves
  if (e.kind == EventKind::approve && e.artifact == artifact) {
    after.canary_approved |= e.stage == Stage::canary;
    after.full_approved |= e.stage == Stage::full && e.role == "owner";
  }
  const auto stage_of = [](const RolloutState& s) { return s.stage == Stage::paused ? s.held : s.stage; };
  const bool judged = e.kind == EventKind::gate && e.stage == stage_of(node.state) && e.step == node.state.step;
  if (judged) after.passes = e.verdict == Gate::pass ? node.passes + 1 : 0;
  // More units see it than before: only after enough passes, and never by a verdict without data. A draft has no gate.
  if (exposed_share(after.state, policy) > exposed_share(node.state, policy) && node.state.stage != Stage::draft) {
    REQUIRE(after.passes >= policy.passes);
    REQUIRE((e.kind == EventKind::gate ? e.verdict == Gate::pass : true));
  }
  if (after.state.stage != node.state.stage || after.state.step != node.state.step || e.kind == EventKind::restart)
    if (after.state.stage != Stage::paused) after.passes = 0;
  return after;
}

void check_node(const Node& node, const RolloutPolicy& policy) {
  INFO(to_string(node.state) << ", share " << node.share);
  // Nothing that was not approved is served.
  REQUIRE((node.share == 0 || node.canary_approved));
  REQUIRE((node.share < 100000 || node.full_approved));
  if (!node.down && node.state.stage != Stage::retired) REQUIRE(node.share == exposed_share(node.state, policy));
  // Nobody watches: nobody is exposed.
  if (!node.down && node.share > 0) REQUIRE(node.state.now - node.state.alive <= policy.heartbeat);
  // Every path can roll back, at once, and after a restart too.
  for (const bool restarted : {false, true}) {
    RolloutState state = node.state;
    std::uint32_t share = node.share;
    if (restarted) {
      const Transition up = advance(state, event(EventKind::restart, state.now), policy);
      state = up.state;
      perform(up, share);
      if (state.stage != Stage::retired) REQUIRE(share == exposed_share(state, policy));
    }
    const Transition back = advance(state, event(EventKind::rollback, state.now), policy);
    REQUIRE(back.refusal.empty());
    perform(back, share);
    REQUIRE(share == 0);
    REQUIRE((back.state.stage == Stage::rolled_back || back.state.stage == Stage::retired));
  }
}

/// A release that goes all the way, step by step.
std::vector<RolloutEvent> happy_history(const RolloutPolicy& policy) {
  RolloutState state = begin_rollout(artifact, baseline, 1000);
  std::vector<RolloutEvent> history;
  const auto happen = [&](RolloutEvent e) {
    state = advance(state, e, policy).state;
    history.push_back(std::move(e));
  };
  happen(approval(Stage::canary, "alice", "reviewer", 1001));
  happen(event(EventKind::start, 1002));
  std::int64_t time = 1010;
  while (state.stage != Stage::full && time < 10000) {
    happen(event(EventKind::heartbeat, time));
    happen(gate(state, Gate::pass, time));
    if (state.step == 1 && state.approvals.size() == 1) happen(approval(Stage::full, "bob", "owner", time));
    time += 50;
  }
  return history;
}

} // namespace

TEST_CASE("Exhaustive exploration to depth 10: nothing unapproved is served, everything can roll back", "[rollout]") {
  // The small policy, and one of a single pass and step, which reaches the full release and its end in ten events.
  RolloutPolicy quick = small_policy();
  quick.with_shadow = false;
  quick.steps = {{1000, 60}};
  quick.passes = 1;
  for (const RolloutPolicy& policy : {small_policy(), quick}) {
    REQUIRE(policy.check());
    std::deque<std::pair<Node, int>> open;
    std::unordered_set<std::string> seen;
    std::set<Stage> stages;
    std::set<std::uint32_t> shares;
    open.push_back({{.state = begin_rollout(artifact, baseline, 1000)}, 0});
    seen.insert(open.front().first.key(policy));
    std::size_t transitions = 0;
    while (!open.empty()) {
      const auto [node, depth] = open.front();
      open.pop_front();
      check_node(node, policy);
      stages.insert(node.state.stage);
      shares.insert(node.share);
      if (depth == 10) continue;
      for (const RolloutEvent& e : everything(node.state)) {
        if (node.down && e.kind != EventKind::restart) continue;
        for (const bool dies : {false, true}) {
          ++transitions;
          Node after = next(node, e, dies, policy);
          if (seen.insert(after.key(policy)).second) open.push_back({std::move(after), depth + 1});
        }
      }
    }
    if (policy.with_shadow) {
      CHECK(stages == std::set<Stage>{Stage::draft, Stage::shadow, Stage::canary, Stage::paused, Stage::rolled_back,
                                      Stage::failed});
      CHECK(shares == std::set<std::uint32_t>{0, 1000, 25000});
    } else {
      CHECK(stages == std::set<Stage>{Stage::draft, Stage::canary, Stage::full, Stage::retired, Stage::paused,
                                      Stage::rolled_back, Stage::failed});
      CHECK(shares == std::set<std::uint32_t>{0, 1000, 100000});
    }
    CHECK(seen.size() > 1000);
    CHECK(transitions > 20000);
  }
}

TEST_CASE("Exploration from each stage of a whole release, three events deep, holds as well", "[rollout]") {
  const RolloutPolicy policy = small_policy();
  std::set<Stage> stages;
  std::set<std::uint32_t> shares;
  std::unordered_set<std::string> seen;
  Node along{.state = begin_rollout(artifact, baseline, 1000)};
  for (const RolloutEvent& happened : happy_history(policy)) {
    along = next(along, happened, false, policy);
    std::vector<Node> level = {along};
    for (int depth = 0; depth < 3; ++depth) {
      std::vector<Node> further;
      for (const Node& node : level)
        for (const RolloutEvent& e : everything(node.state))
          for (const bool dies : {false, true}) {
            if (node.down && e.kind != EventKind::restart) continue;
            Node after = next(node, e, dies, policy);
            if (!seen.insert(after.key(policy) + std::to_string(depth)).second) continue;
            check_node(after, policy);
            stages.insert(after.state.stage);
            shares.insert(after.share);
            further.push_back(std::move(after));
          }
      level = std::move(further);
    }
  }
  CHECK(stages.size() == 8);
  CHECK(shares == std::set<std::uint32_t>{0, 1000, 25000, 100000});
}

TEST_CASE("A recorded history replays to the same state, from its JSON too", "[rollout]") {
  const RolloutPolicy policy = small_policy();
  const RolloutPolicy read = RolloutPolicy::parse(to_json(policy)).value();
  REQUIRE(read == policy);
  Random random(5);
  std::set<Stage> stages;
  for (int round = 0; round < 300; ++round) {
    const RolloutState begin = begin_rollout(artifact, baseline, 1000);
    RolloutState state = begin;
    std::vector<RolloutEvent> history, recorded;
    const auto whole = happy_history(policy);
    for (std::size_t i = 0; i < 40; ++i) {
      // Mostly the good way, now and then anything.
      const auto anything = everything(state);
      const RolloutEvent e =
          i < whole.size() && random.below(12) != 0 ? whole[i] : anything[random.below(anything.size())];
      state = advance(state, e, policy).state;
      history.push_back(e);
      recorded.push_back(RolloutEvent::parse(to_json(e)).value());
      REQUIRE(recorded.back() == e);
      REQUIRE(RolloutState::parse(to_json(state)).value() == state);
    }
    REQUIRE(replay(begin, history, policy) == state);
    REQUIRE(replay(begin, recorded, read) == state);
    // From any point in between as well.
    const auto half = std::span(recorded).first(20), rest = std::span(recorded).subspan(20);
    REQUIRE(replay(RolloutState::parse(to_json(replay(begin, half, read))).value(), rest, read) == state);
    stages.insert(state.stage);
  }
  CHECK(stages.size() >= 5);
}

TEST_CASE("A release goes through shadow and canary steps to everybody, and is retired", "[rollout]") {
  const RolloutPolicy policy = small_policy();
  RolloutState state = begin_rollout(artifact, baseline, 1000);
  std::vector<std::uint32_t> shares;
  for (const RolloutEvent& e : happy_history(policy)) {
    const Transition step = advance(state, e, policy);
    state = step.state;
    for (const RolloutAction& action : step.actions)
      if (action.kind == RolloutAction::Kind::set_traffic) shares.push_back(action.share);
  }
  CHECK(shares == std::vector<std::uint32_t>{0, 1000, 25000, 100000});
  CHECK(fmt::format("{}", state) == "full of sha256:new since 1310: gate passed");
  state = advance(state, event(EventKind::retire, state.now, "sha256:next"), policy).state;
  CHECK(state.stage == Stage::retired);
}

TEST_CASE("Without data nothing goes forward, and for long the release pauses", "[rollout]") {
  const RolloutPolicy policy = small_policy();
  RolloutState state = begin_rollout(artifact, baseline, 0);
  state = advance(state, approval(Stage::canary, "alice", "", 0), policy).state;
  state = advance(state, event(EventKind::start, 0), policy).state;
  state = advance(state, gate(state, Gate::pass, 200), policy).state;
  state = advance(state, gate(state, Gate::no_data, 210), policy).state;
  CHECK(state.passes == 0);
  state = advance(state, gate(state, Gate::pass, 220), policy).state;
  CHECK(state.stage == Stage::shadow);
  state = advance(state, gate(state, Gate::inconclusive, 230), policy).state;
  state = advance(state, gate(state, Gate::no_data, 240), policy).state;
  CHECK(state.stage == Stage::paused);
  CHECK(state.reason == "the gate does not decide");
  CHECK_FALSE(advance(state, event(EventKind::go_on, 250), policy).refusal.empty());
}

TEST_CASE("Approvals count by role, by different people and for this artifact alone", "[rollout]") {
  RolloutPolicy policy = small_policy();
  policy.approvals = {{Stage::canary, 2, "owner"}};
  RolloutState state = begin_rollout(artifact, baseline, 0);
  const auto approve = [&](const RolloutEvent& e) {
    const Transition step = advance(state, e, policy);
    state = step.state;
    return step.refusal.empty();
  };
  CHECK(approve(approval(Stage::canary, "alice", "owner", 1)));
  CHECK_FALSE(approve(approval(Stage::canary, "alice", "owner", 2)));
  CHECK(approve(approval(Stage::canary, "alice", "reviewer", 2)));
  CHECK(approve(approval(Stage::canary, "bob", "reviewer", 2)));
  CHECK_FALSE(approve(approval(Stage::canary, "bob", "owner", 2, "sha256:other")));
  CHECK_FALSE(approve(approval(Stage::canary, "", "owner", 2)));
  CHECK_FALSE(approve(approval(Stage::retired, "bob", "owner", 2)));
  CHECK_FALSE(approved(state, Stage::canary, policy));
  CHECK(approve(approval(Stage::canary, "bob", "owner", 3)));
  CHECK(approved(state, Stage::canary, policy));
}

TEST_CASE("The shares of a state become those of a traffic plan, and nobody moves who need not", "[rollout]") {
  TrafficPlan plan{.key = "ranker",
                   .baseline = "old",
                   .candidate = "new",
                   .segments = {{.id = "beta",
                                 .conditions = {{.attribute = "cohort", .values = {std::string("beta")}}},
                                 .split = Ledger::create({{"new", 1}}).value()}},
                   .split = Ledger::create({{"old", 1}}).value()};
  const TrafficPlan canary = with_shares(plan, 1000, 0).value();
  const TrafficPlan more = with_shares(canary, 25000, 0).value();
  CHECK(moved_positions(canary.split, more.split) == fewest_moves(canary.split, more.split));
  CHECK(more.segments[0].split.owned("new") == Ledger::positions);
  const TrafficPlan back = with_shares(more, 0, 0).value();
  CHECK(back.split.owned("new") == 0);
  CHECK(back.segments[0].split.owned("new") == 0);
  CHECK_FALSE(with_shares(plan, 100001, 0));
}

TEST_CASE("Policies, states and events that make no sense are refused", "[rollout]") {
  const auto bad_policy = [](const std::string& rest, ErrorCode code = ErrorCode::corrupt) {
    const auto result = RolloutPolicy::parse(R"({"schema": "mcomp-rollout-policy-1", )" + rest + "}");
    INFO(rest);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == code);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  bad_policy(R"("steps": [{"share": 5000, "duration": 1}, {"share": 5000, "duration": 1}])");
  bad_policy(R"("steps": [{"share": 100000, "duration": 1}])");
  bad_policy(R"("steps": [{"share": 1, "duration": -1}])");
  bad_policy(R"("with_shadow": false, "steps": [])");
  bad_policy(R"("passes": 0)");
  bad_policy(R"("undecided": 5000000)");
  bad_policy(R"("heartbeat": -1)");
  bad_policy(R"("approvals": [{"change": "retired"}])");
  bad_policy(R"("approvals": [{"change": "canarry"}])");
  bad_policy(R"("speed": 1)");
  CHECK(RolloutPolicy::parse(R"({"schema": "mcomp-rollout-policy-1"})").value() == RolloutPolicy{});
  CHECK(RolloutPolicy::parse(R"({"schema": "mcomp-rollout-policy-2"})").error().code() == ErrorCode::version_mismatch);
  CHECK_FALSE(RolloutEvent::parse(R"({"schema": "mcomp-rollout-event-1", "kind": "gait", "time": 1})"));
  CHECK_FALSE(RolloutEvent::parse(R"({"schema": "mcomp-rollout-event-1", "time": 1})"));
  std::string paused = to_json(begin_rollout(artifact, baseline, 0));
  CHECK(RolloutState::parse(paused));
  paused.replace(paused.find("\"draft\""), 7, "\"paused\"");
  CHECK_FALSE(RolloutState::parse(paused));
}
