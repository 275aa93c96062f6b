#include "mcomp/rollout/guardrail.hpp"

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
  const GuardrailOptions options{.accuracy_margin = 0.02, .alpha = 0.05};
  int at_margin = 0, harmless = 0, less_accurate = 0, slower = 0;
  constexpr int rounds = 300;
  for (int i = 0; i < rounds; ++i) {
    at_margin += looks_until_breach(options, 0.02, 0.0, 100, random) > 0;
    at_margin += looks_until_breach(options, -0.05, 0.01, 100, random) > 0;
    harmless += looks_until_breach(options, 0.0, 0.005, 100, random) > 0;
    less_accurate += looks_until_breach(options, 0.08, 0.005, 100, random) > 0;
    slower += looks_until_breach(options, 0.0, 0.03, 100, random) > 0;
  }
  // Two rules, each alpha at most: three standard deviations above 2 * 300 * .05.
  CHECK(at_margin <= 30 + 3 * std::sqrt(28.5));
  CHECK(harmless <= 1);
  CHECK(less_accurate == rounds);
  CHECK(slower == rounds);
}

TEST_CASE("A breach names its rule and takes the release back, and stays", "[rollout]") {
  Guardrail guard = Guardrail::create({.accuracy_margin = 0.02}).value();
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

TEST_CASE("Guardrails refuse options and counts that make no sense", "[rollout]") {
  const auto refused = [](const GuardrailOptions& options) {
    const auto result = Guardrail::create(options);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  refused({.accuracy_margin = -0.1});
  refused({.accuracy_margin = std::nan("")});
  refused({.tail = 0});
  refused({.alpha = 0.5});
  refused({.planned_pairs = 0});
  refused({.planned_requests = -1});
  refused({.least_pairs = -1});
  Guardrail guard = Guardrail::create().value();
  CHECK_FALSE(guard.observe({.pairs = {}, .requests = 1, .slow = 2}));
  CHECK_FALSE(guard.observe({.pairs = {.both_right = -1}, .requests = 0, .slow = 0}));
  CHECK(guard.requests() == 0);
}
