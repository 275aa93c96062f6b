// The JSON of version 1 of every type of the room: what was written once stays readable, and is written so again.

#include <fstream>
#include <sstream>

#include "catch.hpp"
#include "mcomp/rollout/flags.hpp"
#include "mcomp/rollout/stage_machine.hpp"
#include "mcomp/rollout/traffic.hpp"

using namespace mcomp;
using namespace mcomp::rollout;

namespace {

std::string golden(const std::string& name) {
  std::ifstream file(std::string(MCOMP_TEST_ROLLOUT_DIR) + "/golden/" + name + ".json");
  std::stringstream text;
  text << file.rdbuf();
  std::string content = text.str();
  INFO(name);
  REQUIRE(content.size() > 2);
  if (content.back() == '\n') content.pop_back();
  return content;
}

Ledger ledger() {
  return Ledger::create({{"old", 100}}).value().reweighed({{"old", 95}, {"new", 5}}).value();
}

} // namespace

TEST_CASE("Golden files of version 1 read as the values that they were written from", "[rollout]") {
  CHECK(Ledger::parse(golden("ledger")).value() == ledger());
  CHECK(to_json(ledger()) == golden("ledger"));

  const StickyArms sticky{.arms = {{"user-1", "old"}, {"user-2", "new"}}};
  CHECK(StickyArms::parse(golden("sticky")).value() == sticky);
  CHECK(to_json(sticky) == golden("sticky"));

  Flag flag{.key = "ranker",
            .variants = {{.name = "old"}, {.name = "new", .value = R"({"bits":8})"}},
            .default_variant = "old",
            .off_variant = "old",
            .rules = {}};
  flag.rules.push_back({.id = "beta",
                        .conditions = {{.attribute = "cohort", .values = {std::string("beta"), std::string("staff")}},
                                       {.attribute = "version",
                                        .comparison = Comparison::version_greater_or_equal,
                                        .values = {std::string("2.1.0")},
                                        .negated = true},
                                       {.attribute = "age", .comparison = Comparison::less, .values = {7.5}},
                                       {.attribute = "paid", .values = {true}},
                                       {.attribute = "id", .comparison = Comparison::exists, .values = {}}},
                        .share = 50000,
                        .variant = "new",
                        .split = {},
                        .salt = {},
                        .bucket_by = {}});
  flag.rules.push_back(
      {.id = "all", .conditions = {}, .variant = {}, .split = ledger(), .salt = "salt", .bucket_by = "tenant"});
  const FlagSet flags{.revision = 3, .flags = {flag}};
  CHECK(FlagSet::parse(golden("flags")).value() == flags);
  CHECK(to_json(flags).value() == golden("flags"));

  const TrafficPlan plan{.key = "ranker",
                         .baseline = "old",
                         .candidate = "new",
                         .segments = {{.id = "eu",
                                       .conditions = {{.attribute = "region", .values = {std::string("eu")}}},
                                       .split = ledger()}},
                         .split = ledger(),
                         .holdback = 1000,
                         .shadow = 20000};
  CHECK(TrafficPlan::parse(golden("traffic")).value() == plan);
  CHECK(to_json(plan) == golden("traffic"));

  RolloutPolicy policy;
  policy.approvals = {{Stage::canary, 1, ""}, {Stage::full, 2, "owner"}};
  CHECK(RolloutPolicy::parse(golden("policy")).value() == policy);
  CHECK(to_json(policy) == golden("policy"));

  RolloutEvent event;
  event.kind = EventKind::approve;
  event.time = 1800000000;
  event.artifact = "sha256:new";
  event.stage = Stage::full;
  event.approver = "alice";
  event.role = "owner";
  CHECK(RolloutEvent::parse(golden("event")).value() == event);
  CHECK(to_json(event) == golden("event"));

  RolloutState state = advance(begin_rollout("sha256:new", "sha256:old", 1799999000), event, policy).state;
  RolloutEvent start;
  start.kind = EventKind::start;
  start.time = 1800000010;
  state = advance(state, start, policy).state;
  start.kind = EventKind::pause;
  state = advance(state, start, policy).state;
  CHECK(RolloutState::parse(golden("state")).value() == state);
  CHECK(to_json(state) == golden("state"));
}
