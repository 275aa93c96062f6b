#include "mcomp/rollout/traffic.hpp"

#include <cmath>
#include <map>

#include "catch.hpp"
#include "data.hpp"

using namespace mcomp;
using namespace mcomp::rollout;

namespace {

Ledger ramp(std::uint64_t percent) {
  return Ledger::create({{"old", 100}}).value().reweighed({{"old", 100 - percent}, {"new", percent}}).value();
}

TrafficPlan plan_of(std::uint64_t percent) {
  return {.key = "ranker", .baseline = "old", .candidate = "new", .segments = {}, .split = ramp(percent)};
}

std::shared_ptr<const FlagSnapshot> live(const TrafficPlan& plan) {
  return FlagSnapshot::compile({.revision = 1, .flags = plan.flags().value()}).value();
}

/// A share of n units lies within four standard deviations of what it should be.
bool near(int count, int n, double share) {
  return std::abs(count - n * share) <= 4 * std::sqrt(n * share * (1 - share)) + 1e-9;
}

constexpr int units = 40000;

} // namespace

TEST_CASE("After the full release a holdback keeps the old version, and the same units all along", "[rollout]") {
  TrafficPlan plan = plan_of(1);
  plan.holdback = 2000;
  const auto start = live(plan);
  plan.split = ramp(100);
  const auto full = live(plan);
  int held = 0;
  for (int i = 0; i < units; ++i) {
    const std::string unit = std::to_string(i);
    const Route before = route(*start, "ranker", {.unit = unit, .attributes = {}});
    const Route after = route(*full, "ranker", {.unit = unit, .attributes = {}});
    REQUIRE(before.held_back == after.held_back);
    REQUIRE(after.arm == (after.held_back ? "old" : "new"));
    held += after.held_back;
  }
  CHECK(near(held, units, 0.02));
}

TEST_CASE("Segments are split by their own ledgers, and positions stay", "[rollout]") {
  TrafficPlan plan = plan_of(1);
  plan.segments = {
      {.id = "beta", .conditions = {{.attribute = "cohort", .values = {std::string("beta")}}}, .split = ramp(50)},
      {.id = "gold-gpu",
       .conditions = {{.attribute = "tier", .values = {std::string("gold")}},
                      {.attribute = "device", .values = {std::string("gpu")}}},
       .split = ramp(0)}};
  const auto flags = live(plan);
  const Attribute beta[] = {{"cohort", "beta"}, {"tier", "gold"}, {"device", "gpu"}};
  const Attribute gold[] = {{"tier", "gold"}, {"device", "gpu"}};
  const Attribute other[] = {{"tier", "gold"}, {"device", "cpu"}};
  std::map<std::string, int> exposed;
  for (int i = 0; i < units; ++i) {
    const std::string unit = std::to_string(i);
    const auto go = [&](std::span<const Attribute> who) {
      return route(*flags, "ranker", {.unit = unit, .attributes = who});
    };
    REQUIRE(go(beta).segment == "beta");
    REQUIRE(go(gold).segment == "gold-gpu");
    REQUIRE(go(other).segment.empty());
    exposed["beta"] += go(beta).arm == "new";
    exposed["gold"] += go(gold).arm == "new";
    exposed["other"] += go(other).arm == "new";
    // Whoever is exposed at 1 % is so at 50 %: one hash for all.
    if (go(other).arm == "new") REQUIRE(go(beta).arm == "new");
  }
  CHECK(near(exposed["beta"], units, 0.5));
  CHECK(exposed["gold"] == 0);
  CHECK(near(exposed["other"], units, 0.01));
}

TEST_CASE("Shadow traffic goes to units of the baseline alone, independently of split and holdback", "[rollout]") {
  TrafficPlan plan = plan_of(25);
  plan.shadow = 10000;
  plan.holdback = 50000;
  const auto flags = live(plan);
  int shadowed = 0, of_held = 0, held = 0, baseline = 0;
  for (int i = 0; i < units; ++i) {
    const Route r = route(*flags, "ranker", {.unit = std::to_string(i), .attributes = {}});
    REQUIRE((!r.shadow || r.arm == "old"));
    shadowed += r.shadow;
    held += r.held_back;
    of_held += r.shadow && r.held_back;
    baseline += r.arm == "old";
  }
  CHECK(near(baseline, units, 1 - 0.5 * 0.25));
  CHECK(near(shadowed, baseline, 0.1));
  CHECK(near(of_held, held, 0.1));
  CHECK(route(*flags, "other", {}).arm.empty());
  CHECK_FALSE(route(*flags, "other", {}).shadow);
}

TEST_CASE("A rule's share is of its units, and passes those of whom nothing is known", "[rollout]") {
  Flag flag{
      .key = "f",
      .variants = {{.name = "off"}, {.name = "on"}},
      .default_variant = "off",
      .off_variant = {},
      .rules = {
          {.id = "r", .conditions = {}, .share = 30000, .variant = "on", .split = {}, .salt = {}, .bucket_by = {}}}};
  const auto flags = FlagSnapshot::compile({.revision = 1, .flags = {flag}}).value();
  int on = 0;
  for (int i = 0; i < units; ++i)
    on += flags->decide("f", {.unit = std::to_string(i), .attributes = {}}).variant == "on";
  CHECK(near(on, units, 0.3));
  CHECK(flags->decide("f", {}).variant == "off");
  flag.rules[0].share = 100001;
  CHECK_FALSE(FlagSnapshot::compile({.revision = 1, .flags = {flag}}));
}

TEST_CASE("Traffic plans as JSON read back, and those that make no sense are refused", "[rollout]") {
  TrafficPlan plan = plan_of(5);
  plan.segments = {
      {.id = "eu", .conditions = {{.attribute = "region", .values = {std::string("eu")}}}, .split = ramp(1)}};
  plan.holdback = 100;
  plan.shadow = 7;
  CHECK(TrafficPlan::parse(to_json(plan)).value() == plan);
  const auto refused = [](const TrafficPlan& bad, const std::string& what) {
    const auto result = TrafficPlan::parse(to_json(bad));
    INFO(what);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(result.error()));
    CHECK(std::string(result.error().what()).find(what) != std::string::npos);
  };
  TrafficPlan bad = plan;
  bad.candidate = "old";
  refused(bad, "one arm");
  bad = plan;
  bad.holdback = 100001;
  refused(bad, "holdback");
  bad = plan;
  bad.segments.push_back(bad.segments[0]);
  refused(bad, "id");
  bad = plan;
  bad.split.intervals.clear();
  refused(bad, "split");
  const auto other = TrafficPlan::parse(R"({"schema": "mcomp-traffic-9"})");
  REQUIRE_FALSE(other);
  CHECK(other.error().code() == ErrorCode::version_mismatch);
}
