// The JSON of version 1 of every type of the room: what was written once stays readable, and is written so again.

#include "golden.hpp"

#include "mcomp/rollout/flagd.hpp"
#include "mcomp/rollout/guardrail.hpp"
#include "mcomp/rollout/hash.hpp"
#include "mcomp/rollout/unleash.hpp"

using namespace mcomp;
using namespace mcomp::rollout;

namespace {

std::string golden(const std::string& name) {
  return mcomp_test::golden(MCOMP_TEST_ROLLOUT_DIR, name);
}

template <class Value> void check(const std::string& name, const Value& value) {
  mcomp_test::check_golden(
      MCOMP_TEST_ROLLOUT_DIR, name, value, [](std::string_view text) { return Value::parse(text); },
      [](const Value& one) { return to_json(one); });
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

TEST_CASE("Golden files of guardrails, transitions and what was decided", "[rollout]") {
  check("guardrail", GuardrailOptions{});
  check("guardrail_all", GuardrailOptions{.alpha = 0.01,
                                          .pairs = PairedAccuracyRule{.margin = 0.005},
                                          .latency = LatencyRule{.tail = 0.02},
                                          .accuracy = GroupRule{},
                                          .accuracy_floor = FloorRule{.floor = 0.88},
                                          .confidence = ConfidenceRule{.floor = 0.87},
                                          .satisfaction = GroupRule{.margin = 0.05, .expected = 0.8},
                                          .satisfaction_floor = FloorRule{.floor = 0.75, .planned = 500, .least = 50},
                                          .anomaly = AnomalyRule{.share = 0.02},
                                          .burn = monitor::BurnRateOptions{.objective = 0.99},
                                          .heartbeat = monitor::HeartbeatOptions{.timeout_seconds = 90}});
  check(
      "guardrail_counts",
      GuardrailCounts{.time = 1800000000.5,
                      .pairs = {.both_right = 90, .only_baseline_right = 4, .only_candidate_right = 3, .both_wrong = 3},
                      .requests = 2000,
                      .slow = 17,
                      .failed = 2,
                      .anomalous = 5,
                      .baseline = {170, 190},
                      .candidate = {9, 10},
                      .baseline_users = {30, 38},
                      .candidate_users = {1, 2},
                      .estimates = 2000,
                      .confidence = 0.875,
                      .beat = true});
  check("action", RolloutAction{.kind = RolloutAction::Kind::set_traffic, .share = 5000, .shadow = 0, .text = {}});

  RolloutPolicy policy;
  policy.with_shadow = false;
  policy.approvals.clear();
  RolloutEvent start;
  start.kind = EventKind::start;
  start.time = 1800000010;
  check("transition", advance(begin_rollout("sha256:new", "sha256:old", 1799999000), start, policy));

  check("assignment", Assignment{.arm = "new", .position = 4294967295U, .sticky = true});
  check("flagd_decision",
        FlagdDecision{.variant = "on", .value = R"({"a": 1.50})", .reason = "STATIC", .error_code = {}});
  check("unleash_variant", UnleashVariant{.name = "blue",
                                          .payload_type = "json",
                                          .payload_value = "{}",
                                          .has_payload = true,
                                          .enabled = true,
                                          .feature_enabled = true});
  check("unleash_context", UnleashContext{.user_id = "7",
                                          .session_id = "",
                                          .current_time = "2027-01-15T08:00:00Z",
                                          .properties = {{"plan", "gold"}},
                                          .random = 12345});
  check("launchdarkly", LaunchDarklyRollout{.flag_key = "hashKey", .salt = "saltyA", .seed = 61});
}

TEST_CASE("What the older readers take they take strictly", "[rollout]") {
  const auto strict = [](const char* name, const auto& read) { mcomp_test::check_strict(golden(name), read); };
  strict("ledger", [](std::string_view text) { return Ledger::parse(text); });
  strict("sticky", [](std::string_view text) { return StickyArms::parse(text); });
  strict("flags", [](std::string_view text) { return FlagSet::parse(text); });
  strict("traffic", [](std::string_view text) { return TrafficPlan::parse(text); });
  strict("policy", [](std::string_view text) { return RolloutPolicy::parse(text); });
  strict("event", [](std::string_view text) { return RolloutEvent::parse(text); });
  strict("state", [](std::string_view text) { return RolloutState::parse(text); });
}

TEST_CASE("Values out of range are refused by the reader, with the rule", "[rollout]") {
  const auto refused = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  refused(GuardrailOptions::parse(R"({"schema":"mcomp-guardrail-1"})")); // no rule at all
  refused(GuardrailOptions::parse(R"({"schema":"mcomp-guardrail-1","latency":{"tail":0.7}})"));
  refused(GuardrailOptions::parse(R"({"schema":"mcomp-guardrail-1","latency":{"tail":0.1,"tails":1}})"));
  refused(GuardrailOptions::parse(R"({"schema":"mcomp-guardrail-1","anomaly":{"share":-1}})"));
  refused(GuardrailCounts::parse(R"({"schema":"mcomp-guardrail-counts-1","requests":1,"slow":2})"));
  refused(GuardrailCounts::parse(R"({"schema":"mcomp-guardrail-counts-1","candidate":{"successes":3,"trials":2}})"));
  refused(RolloutAction::parse(R"({"schema":"mcomp-rollout-action-1","kind":"stop"})"));
  refused(RolloutAction::parse(R"({"schema":"mcomp-rollout-action-1","kind":"set_traffic","share":100001})"));
  refused(Assignment::parse(R"({"schema":"mcomp-assignment-1","arm":"a","position":4294967296})"));
  refused(FlagdDecision::parse(R"({"schema":"mcomp-flagd-decision-1","value":"{"})"));
  refused(UnleashContext::parse(R"({"schema":"mcomp-unleash-context-1","random":1,"properties":{"a":1}})"));
}

TEST_CASE("Decisions, contexts and routes are written for logs", "[rollout]") {
  const FlagSet flags = FlagSet::parse(golden("flags")).value();
  const auto snapshot = FlagSnapshot::compile(flags).value();
  const std::string_view groups[] = {"beta", "staff"};
  const Attribute who[] = {{"cohort", std::span<const std::string_view>(groups)},
                           {"version", "1.0.0"},
                           {"age", 5},
                           {"paid", true},
                           {"id", 1.5},
                           {"tenant", "t"}};
  const FlagContext context{.unit = "user-1", .attributes = who};
  CHECK(to_json(context) == golden("flag_context"));
  CHECK(to_json(snapshot->decide("ranker", context)) == golden("decision"));
  CHECK(to_json(snapshot->decide("nobody", context)) ==
        R"({"schema":"mcomp-flag-decision-1","variant":"","reason":")" + to_string(Reason::unknown_flag) + R"("})");
  const TrafficPlan plan = TrafficPlan::parse(golden("traffic")).value();
  const auto live = FlagSnapshot::compile({.flags = plan.flags().value()}).value();
  const Attribute eu[] = {{"region", "eu"}};
  CHECK(to_json(route(*live, "ranker", {.unit = "user-1", .attributes = eu})) == golden("route"));
}
