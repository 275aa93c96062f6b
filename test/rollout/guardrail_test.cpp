#include "mcomp/rollout/guardrail.hpp"

#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::rollout;

namespace {

/// Looks of 50 pairs and 100 requests until a breach, or 0 after `looks`.
int looks_until_breach(const GuardrailOptions& options, double loss, double slow_share, int looks, Random& random) {
  Guardrail guard = Guardrail::create(options).value();
  for (int look = 1; look <= looks; ++look) {
    GuardrailCounts counts;
    for (int i = 0; i < 50; ++i) {
      const bool baseline = random.uniform() < 0.9, candidate = random.uniform() < 0.9 - loss;
      ++(baseline ? (candidate ? counts.pairs.both_right : counts.pairs.only_baseline_right)
                  : (candidate ? counts.pairs.only_candidate_right : counts.pairs.both_wrong));
    }
    counts.requests = 100;
    for (int i = 0; i < 100; ++i) counts.slow += random.uniform() < slow_share;
    guard.observe(counts).value();
    if (guard.verdict() == Gate::fail) return look;
  }
  return 0;
}

} // namespace

TEST_CASE("Guardrails at their margins breach no more often than alpha, beyond them always", "[rollout]") {
  Random random(4);
  const GuardrailOptions options{.alpha = 0.1, .pairs = PairedAccuracyRule{.margin = 0.02}};
  int at_margin = 0, harmless = 0, less_accurate = 0, slower = 0;
  constexpr int rounds = 300;
  for (int i = 0; i < rounds; ++i) {
    at_margin += looks_until_breach(options, 0.02, 0.0, 100, random) > 0;
    at_margin += looks_until_breach(options, -0.05, 0.01, 100, random) > 0;
    harmless += looks_until_breach(options, 0.0, 0.005, 100, random) > 0;
    less_accurate += looks_until_breach(options, 0.08, 0.005, 100, random) > 0;
    slower += looks_until_breach(options, 0.0, 0.03, 100, random) > 0;
  }
  // Two rules, each half of alpha at most: three standard deviations above 2 * 300 * .05.
  CHECK(at_margin <= 30 + 3 * std::sqrt(28.5));
  CHECK(harmless <= 1);
  CHECK(less_accurate == rounds);
  CHECK(slower == rounds);
}

TEST_CASE("A breach names its rule and takes the release back, and stays", "[rollout]") {
  Guardrail guard = Guardrail::create({.pairs = PairedAccuracyRule{.margin = 0.02}}).value();
  CHECK(guard.verdict() == Gate::no_data);
  guard.observe({.pairs = {}, .requests = 100, .slow = 0}).value();
  CHECK(guard.verdict() == Gate::inconclusive);
  guard
      .observe({.pairs = {.both_right = 900, .only_baseline_right = 5, .only_candidate_right = 5, .both_wrong = 90},
                .requests = 1000,
                .slow = 5})
      .value();
  CHECK(guard.verdict() == Gate::pass);
  guard
      .observe({.pairs = {.both_right = 800, .only_baseline_right = 190, .only_candidate_right = 10, .both_wrong = 0},
                .requests = 0,
                .slow = 0})
      .value();
  CHECK(guard.verdict() == Gate::fail);
  CHECK(guard.breach().find("accuracy") == 0);
  guard.observe({.pairs = {.both_right = 100000}, .requests = 0, .slow = 0}).value();
  CHECK(guard.verdict() == Gate::fail);
  RolloutPolicy policy;
  policy.with_shadow = false;
  policy.approvals.clear();
  RolloutEvent start;
  start.kind = EventKind::start;
  const RolloutState canary = advance(begin_rollout("new", "old", 0), start, policy).state;
  REQUIRE(exposed_share(canary, policy) == 1000);
  const Transition back = advance(canary, guard.gate_event(canary, 10), policy);
  CHECK(back.state.stage == Stage::rolled_back);
  CHECK(back.state.reason.find("accuracy") != std::string::npos);
  CHECK(back.actions[0].share == 0);
}

namespace {

/// A guard of one rule alone.
template <class Rule> GuardrailOptions only(std::optional<Rule> GuardrailOptions::*rule, Rule value) {
  GuardrailOptions options{.alpha = 0.05, .pairs = {}, .latency = {}};
  options.*rule = std::move(value);
  return options;
}

stats::SuccessCounts drawn(std::int64_t trials, double p, Random& random) {
  stats::SuccessCounts counts{.successes = 0, .trials = trials};
  for (std::int64_t i = 0; i < trials; ++i) counts.successes += random.uniform() < p;
  return counts;
}

/// The look of the breach, 0 for none within 200; `fill` draws a look.
template <class Fill> int breached(const GuardrailOptions& options, const Fill& fill) {
  Guardrail guard = Guardrail::create(options).value();
  for (int look = 1; look <= 200; ++look) {
    GuardrailCounts counts;
    counts.time = 60.0 * look;
    fill(counts);
    guard.observe(counts).value();
    if (guard.verdict() == Gate::fail) return look;
  }
  CHECK(guard.verdict() == Gate::pass);
  return 0;
}

/// How often of 200 a rule is breached at its limit, which is to be rare, and beyond it, which is to be always.
template <class Fill> void check_rule(const GuardrailOptions& options, double at, double beyond, const Fill& fill) {
  Random random(17);
  int false_alarms = 0, found = 0;
  for (int round = 0; round < 200; ++round) {
    false_alarms += breached(options, [&](GuardrailCounts& counts) { fill(counts, at, random); }) > 0;
    if (round < 40) found += breached(options, [&](GuardrailCounts& counts) { fill(counts, beyond, random); }) > 0;
  }
  CHECK(false_alarms <= 10 + 3 * std::sqrt(9.5)); // alpha is .05
  CHECK(found == 40);
}

} // namespace

TEST_CASE("Two groups: accuracy and satisfaction without pairs", "[rollout]") {
  const GroupRule rule{.margin = 0.05, .planned = 2000, .expected = 0.85, .least = 100};
  check_rule(only(&GuardrailOptions::accuracy, rule), 0.85, 0.78,
             [](GuardrailCounts& counts, double p, Random& random) {
               counts.baseline = drawn(90, 0.9, random);
               counts.candidate = drawn(20, p, random);
             });
  check_rule(only(&GuardrailOptions::satisfaction, rule), 0.85, 0.78,
             [](GuardrailCounts& counts, double p, Random& random) {
               counts.baseline_users = drawn(20, 0.9, random);
               counts.candidate_users = drawn(30, p, random);
             });
}

TEST_CASE("Floors: labelled answers, satisfied users, calibrated confidences", "[rollout]") {
  const FloorRule rule{.floor = 0.85, .planned = 2000};
  check_rule(only(&GuardrailOptions::accuracy_floor, rule), 0.85, 0.8,
             [](GuardrailCounts& counts, double p, Random& random) { counts.candidate = drawn(20, p, random); });
  check_rule(only(&GuardrailOptions::satisfaction_floor, rule), 0.85, 0.8,
             [](GuardrailCounts& counts, double p, Random& random) { counts.candidate_users = drawn(20, p, random); });
  check_rule(only(&GuardrailOptions::confidence, ConfidenceRule{.floor = 0.85, .calibration_error = 0.02}), 0.83, 0.79,
             [](GuardrailCounts& counts, double p, Random& random) {
               counts.estimates = 50;
               counts.confidence = std::clamp(p + 0.03 * random.normal(), 0.0, 1.0);
             });
}

TEST_CASE("Anomalies above their usual share are found, and since when", "[rollout]") {
  const AnomalyRule rule{.share = 0.02, .looks = 200};
  check_rule(only(&GuardrailOptions::anomaly, rule), 0.02, 0.05, [](GuardrailCounts& counts, double p, Random& random) {
    counts.requests = 200;
    counts.anomalous = drawn(200, p, random).successes;
  });
  Guardrail guard = Guardrail::create(only(&GuardrailOptions::anomaly, rule)).value();
  Random random(3);
  for (int look = 0; look < 200 && guard.breach().empty(); ++look)
    guard.observe({.requests = 500, .anomalous = drawn(500, look < 100 ? 0.01 : 0.06, random).successes}).value();
  INFO(guard.breach());
  CHECK(guard.breach().starts_with("anomaly: more than 0.0200 of the answers are anomalous since look 101 of 1"));
}

TEST_CASE("A budget that burns and a heart that stops take a release back", "[rollout]") {
  const monitor::BurnRateOptions burn{.objective = 0.99, .windows = {{600, 60, 5}}, .resolution_seconds = 10};
  Guardrail guard = Guardrail::create(only(&GuardrailOptions::burn, burn)).value();
  CHECK(guard.tests() == 0);
  CHECK(guard.verdict() == Gate::no_data);
  for (double t = 0; t < 600; t += 10) guard.observe({.time = t, .requests = 100, .failed = 1}).value();
  CHECK(guard.verdict() == Gate::pass);
  for (double t = 600; t < 1200 && guard.breach().empty(); t += 10)
    guard.observe({.time = t, .requests = 100, .failed = 20}).value();
  CHECK(guard.verdict() == Gate::fail);
  CHECK(guard.breach().starts_with("burn rate: burns at "));

  const monitor::HeartbeatOptions pulse{.timeout_seconds = 30, .first_timeout_seconds = 60};
  guard = Guardrail::create(only(&GuardrailOptions::heartbeat, pulse)).value();
  guard.observe({.time = 1000}).value();
  CHECK(guard.verdict() == Gate::no_data);
  guard.observe({.time = 1050, .beat = true}).value();
  CHECK(guard.verdict() == Gate::pass);
  guard.observe({.time = 1080}).value();
  CHECK(guard.verdict() == Gate::pass);
  guard.observe({.time = 1081, .beat = true}).value(); // too late for the silence before it
  CHECK(guard.verdict() == Gate::fail);
  CHECK(guard.breach() == "heartbeat: nothing was heard for 31 seconds");
}

TEST_CASE("A heart tells the stage machine that it beats, and takes a release back where it is lost", "[rollout]") {
  RolloutPolicy policy;
  policy.with_shadow = false;
  policy.approvals.clear();
  policy.heartbeat = 1000;
  RolloutEvent start;
  start.kind = EventKind::start;
  start.time = 100;
  RolloutState state = advance(begin_rollout("new", "old", 100), start, policy).state;
  auto heart = monitor::Heartbeat::create({.timeout_seconds = 30, .first_timeout_seconds = 60}, 100).value();
  CHECK(heartbeat_event(heart, 110).kind == EventKind::clock);
  heart.beat(120);
  const RolloutEvent beat = heartbeat_event(heart, 140);
  CHECK(beat.kind == EventKind::heartbeat);
  state = advance(state, beat, policy).state;
  CHECK(state.alive == 140);
  CHECK(state.stage == Stage::canary);
  const Transition lost = advance(state, heartbeat_event(heart, 151), policy);
  CHECK(lost.state.stage == Stage::rolled_back);
  CHECK(lost.state.reason == "the heartbeat is lost after 1 beats");
  CHECK(lost.actions.at(0).share == 0);
}

TEST_CASE("Every rule that is on must have seen enough, and alpha is shared among the tests", "[rollout]") {
  GuardrailOptions options;
  options.satisfaction = GroupRule{};
  options.anomaly = AnomalyRule{};
  options.burn = monitor::BurnRateOptions{};
  Guardrail guard = Guardrail::create(options).value();
  CHECK(guard.tests() == 4);
  CHECK(guard.undecided() == "accuracy of pairs, latency, satisfaction, anomaly, burn rate");
  GuardrailCounts counts{.time = 10, .pairs = {.both_right = 1000}, .requests = 1000};
  guard.observe(counts).value();
  CHECK(guard.verdict() == Gate::inconclusive);
  CHECK(guard.undecided() == "satisfaction");
  counts.baseline_users = {180, 200};
  counts.candidate_users = {181, 199};
  guard.observe(counts).value();
  CHECK(guard.undecided() == "satisfaction");
  Guardrail copy = guard; // a plain value
  guard.observe(counts).value();
  CHECK(guard.verdict() == Gate::pass);
  CHECK(copy.verdict() == Gate::inconclusive);
  // A share of alpha is less: the same breach comes later where more is watched.
  const auto look_of = [](GuardrailOptions watched) {
    watched.pairs.reset();
    Guardrail one = Guardrail::create(watched).value();
    for (int look = 1;; ++look) {
      one.observe({.requests = 50, .slow = look % 2}).value();
      if (one.verdict() == Gate::fail) return look;
      REQUIRE(look < 10000);
    }
  };
  GuardrailOptions alone{.latency = LatencyRule{.tail = 0.005}}, many = options;
  many.latency = alone.latency;
  CHECK(look_of(alone) < look_of(many));
}

TEST_CASE("Guardrails refuse options and counts that make no sense", "[rollout]") {
  const auto refused = [](const GuardrailOptions& options) {
    const auto result = Guardrail::create(options);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  refused({.pairs = PairedAccuracyRule{.margin = -0.1}});
  refused({.pairs = PairedAccuracyRule{.margin = std::nan("")}});
  refused({.pairs = PairedAccuracyRule{.planned_pairs = 0}});
  refused({.pairs = PairedAccuracyRule{.least = -1}});
  refused({.latency = LatencyRule{.tail = 0}});
  refused({.latency = LatencyRule{.tail = 0.5}});
  refused({.latency = LatencyRule{.planned_requests = -1}});
  refused({.alpha = 0.5});
  refused({.pairs = {}, .latency = {}});
  refused({.accuracy = GroupRule{.margin = 1}});
  refused({.accuracy = GroupRule{.expected = 0}});
  refused({.accuracy_floor = FloorRule{.floor = 1}});
  refused({.confidence = ConfidenceRule{.floor = std::nan("")}});
  refused({.confidence = ConfidenceRule{.calibration_error = 0.9}});
  refused({.satisfaction = GroupRule{.least = -1}});
  refused({.satisfaction_floor = FloorRule{.planned = 0}});
  refused({.anomaly = AnomalyRule{.share = 0}});
  refused({.anomaly = AnomalyRule{.looks = 0}});
  refused({.burn = monitor::BurnRateOptions{.objective = 1}});
  refused({.heartbeat = monitor::HeartbeatOptions{.timeout_seconds = 0}});
  Guardrail guard = Guardrail::create().value();
  for (const GuardrailCounts& bad :
       {GuardrailCounts{.requests = 1, .slow = 2}, GuardrailCounts{.requests = 1, .anomalous = 2},
        GuardrailCounts{.pairs = {.both_right = -1}}, GuardrailCounts{.candidate = {2, 1}},
        GuardrailCounts{.confidence = 1.5}, GuardrailCounts{.confidence = std::nan("")}, GuardrailCounts{.time = -1},
        GuardrailCounts{.requests = std::int64_t{1} << 41}})
    CHECK_FALSE(guard.observe(bad));
  CHECK(guard.verdict() == Gate::no_data);
}
