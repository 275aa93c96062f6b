#include "mcomp/cost/token_service.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/cost/simulate.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

ArrivalTrace random_trace(Random& random, std::size_t count, double gap, std::uint64_t prompt,
                          std::uint64_t generated) {
  ArrivalTrace trace;
  double at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    trace.seconds.push_back(at);
    trace.prompt_tokens.push_back(static_cast<std::int64_t>(random.below(prompt)));
    trace.generated_tokens.push_back(static_cast<std::int64_t>(random.below(generated)));
    if (random.below(5) != 0) at -= gap * std::log1p(-random.uniform()); // some come together
  }
  return trace;
}

/// One replica, step by step and token by token.
std::vector<double> plain_responses(const ArrivalTrace& trace, const TokenReplica& model) {
  struct Active {
    std::size_t index;
    std::int64_t prompt, generated;
    bool read;
  };
  std::vector<double> done(trace.seconds.size());
  std::vector<Active> active;
  std::size_t next = 0;
  double now = 0;
  std::int64_t used = 0;
  while (next < trace.seconds.size() || !active.empty()) {
    if (active.empty()) now = std::max(now, trace.seconds[next]);
    while (next < trace.seconds.size() && trace.seconds[next] <= now &&
           static_cast<std::int64_t>(active.size()) < model.max_batch) {
      const std::int64_t need = trace.prompt_tokens[next] + trace.generated_tokens[next];
      if (model.cache_tokens > 0 && used + need > model.cache_tokens) break;
      used += need;
      active.push_back({next, trace.prompt_tokens[next], trace.generated_tokens[next],
                        trace.prompt_tokens[next] == 0 && trace.generated_tokens[next] > 0});
      ++next;
    }
    double seconds = model.step_seconds;
    std::int64_t budget = model.prefill_tokens_per_step;
    for (Active& a : active) {
      if (a.read) {
        seconds += model.step_seconds_per_request;
        --a.generated;
      } else {
        const std::int64_t part = std::min(budget, a.prompt);
        budget -= part;
        a.prompt -= part;
        seconds += model.prefill_seconds_per_token * static_cast<double>(part);
        if (a.prompt == 0) {
          a.read = true;
          --a.generated;
        }
      }
    }
    now += seconds;
    for (const Active& a : active)
      if (a.read && a.generated <= 0) {
        done[a.index] = now - trace.seconds[a.index];
        used -= trace.prompt_tokens[a.index] + trace.generated_tokens[a.index];
      }
    std::erase_if(active, [](const Active& a) { return a.read && a.generated <= 0; });
  }
  return done;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

} // namespace

TEST_CASE("a lone request by hand") {
  ArrivalTrace trace{.seconds = {0, 100}, .prompt_tokens = {1000, 0}, .generated_tokens = {5, 3}};
  const TokenReplica replica{.prefill_seconds_per_token = 1e-3,
                             .step_seconds = 0.02,
                             .step_seconds_per_request = 0.001,
                             .prefill_tokens_per_step = 400};
  const TokenSimulation run = simulate_tokens(trace, replica).value();
  // Three steps read 400, 400 and 200 tokens and give the first token; four more give the others.
  CHECK(run.first_token.p99 == Approx(3 * 0.02 + 1.0));
  CHECK(run.response.p99 == Approx(3 * 0.02 + 1.0 + 4 * 0.021));
  CHECK(run.response.p50 == Approx(3 * 0.021)); // the other one has no prompt
  CHECK(run.per_output_token.p50 == Approx(0.021));
  CHECK(run.wait.p99 == 0);
  CHECK(run.seconds == Approx(100 + 3 * 0.021));
  CHECK(run.utilization == Approx((1.06 + 7 * 0.021) / run.seconds));
  CHECK(run.mean_batch == Approx(1));
  CHECK(run.generated_per_second == Approx(8 / run.seconds));
  CHECK(cost_per_million_tokens(run, 3.6).value() == Approx(1e6 / 1008 * run.seconds * 0.001));
}

TEST_CASE("many steps at once are the same as step by step") {
  Random random(11);
  for (int trial = 0; trial < 60; ++trial) {
    const ArrivalTrace trace = random_trace(random, 80, 0.02 + 0.3 * random.uniform(), 60, 40);
    const TokenReplica replica{.prefill_seconds_per_token = 1e-3 * random.uniform(),
                               .step_seconds = 0.01 * random.uniform(),
                               .step_seconds_per_request = 0.002 * random.uniform(),
                               .max_batch = 1 + static_cast<std::int64_t>(random.below(8)),
                               .prefill_tokens_per_step = 1 + static_cast<std::int64_t>(random.below(100)),
                               .cache_tokens = random.below(2) == 0 ? 0 : 150};
    std::vector<double> expected = plain_responses(trace, replica);
    const TokenSimulation run = simulate_tokens(trace, replica).value();
    CHECK(run.response.mean == Approx(mean(expected)).epsilon(1e-9));
    std::sort(expected.begin(), expected.end());
    CHECK(run.response.p50 == Approx(expected[39]).epsilon(1e-9));
    CHECK(run.response.p95 == Approx(expected[75]).epsilon(1e-9));
    CHECK(run.response.p99 == Approx(expected[79]).epsilon(1e-9));
  }
}

TEST_CASE("without batches and generation it is a line before one server") {
  Random random(3);
  const ArrivalTrace trace = random_trace(random, 5000, 0.06, 100, 1);
  const TokenReplica replica{.prefill_seconds_per_token = 1e-3, .step_seconds = 1e-4, .max_batch = 1};
  const auto work = trace.work_seconds(1e-4, 1e-3, 0).value();
  const ServerPool pool{.service = ServiceTime::deterministic(1).value()};
  const Simulation line = simulate(trace.seconds, pool, {}, work).value();
  const TokenSimulation run = simulate_tokens(trace, replica).value();
  CHECK(run.response.mean == Approx(line.response.mean.value).epsilon(1e-9));
  CHECK(run.response.p99 == Approx(line.response.p99.value).epsilon(0.005)); // the sketch's accuracy
}

TEST_CASE("the smallest fleet keeps the objectives and one replica less does not") {
  Random random(4);
  const ArrivalTrace trace = random_trace(random, 3000, 0.02, 2000, 200);
  const TokenReplica replica{.prefill_seconds_per_token = 1e-4, .step_seconds = 0.02, .step_seconds_per_request = 2e-4};
  const TokenObjectives objectives{.first_token_p99_seconds = 1, .per_output_token_p99_seconds = 0.1};
  const TokenSimulation fleet = smallest_token_fleet(trace, replica, objectives).value();
  REQUIRE(fleet.replicas > 1);
  CHECK(fleet.first_token.p99 <= 1);
  CHECK(fleet.per_output_token.p99 <= 0.1);
  const TokenSimulation less = simulate_tokens(trace, replica, fleet.replicas - 1).value();
  CHECK((less.first_token.p99 > 1 || less.per_output_token.p99 > 0.1));
  const auto impossible = smallest_token_fleet(trace, replica, {.per_output_token_p99_seconds = 0.001}, 64);
  REQUIRE_FALSE(impossible);
  CHECK(impossible.error().rule().find("64 replicas do not keep them") != std::string::npos);
  CHECK(smallest_token_fleet(trace, replica, {}).error().code() == ErrorCode::invalid_argument);
  CHECK(smallest_token_fleet(trace, replica, {.response_p99_seconds = -1}).error().code() ==
        ErrorCode::invalid_argument);
}

TEST_CASE("token services refuse what cannot be simulated") {
  const ArrivalTrace trace{.seconds = {0}, .prompt_tokens = {100}, .generated_tokens = {10}};
  const TokenReplica good{.step_seconds = 0.01};
  REQUIRE(simulate_tokens(trace, good));
  const auto rejected = [&](const TokenReplica& replica, std::int64_t replicas = 1) {
    const auto run = simulate_tokens(trace, replica, replicas);
    return !run && mcomp_test::well_formed(run.error());
  };
  CHECK(rejected({}));
  CHECK(rejected({.prefill_seconds_per_token = -1}));
  CHECK(rejected({.step_seconds = std::numeric_limits<double>::quiet_NaN()}));
  CHECK(rejected({.step_seconds = 0.01, .max_batch = 0}));
  CHECK(rejected({.step_seconds = 0.01, .prefill_tokens_per_step = 0}));
  CHECK(rejected({.step_seconds = 0.01, .cache_tokens = -1}));
  CHECK(rejected({.step_seconds = 0.01, .cache_tokens = 109}));
  CHECK(rejected(good, 0));
  CHECK(simulate_tokens(ArrivalTrace{.seconds = {0, 1}}, good).error().code() == ErrorCode::invalid_argument);
  CHECK(simulate_tokens(ArrivalTrace{.seconds = {1, 0}}, good).error().code() == ErrorCode::invalid_value);
  CHECK_FALSE(cost_per_million_tokens({}, 1));
  CHECK_FALSE(cost_per_million_tokens(*simulate_tokens(trace, good), 0));
}

TEST_CASE("an hour of a real service") {
  const auto path = mcomp_test::data("traffic/azure_llm_2023_conv.csv");
  if (!path) return;
  const ArrivalTrace trace = ArrivalTrace::read(*path).value();
  const TokenReplica replica{.prefill_seconds_per_token = 1e-4,
                             .step_seconds = 0.025,
                             .step_seconds_per_request = 2e-4,
                             .max_batch = 64,
                             .cache_tokens = 120'000};
  const TokenSimulation fleet = smallest_token_fleet(trace, replica, {.first_token_p99_seconds = 2}).value();
  INFO(to_string(fleet));
  CHECK(fleet.requests == 19'366);
  CHECK(fleet.replicas > 1);
  CHECK(fleet.utilization < 1);
  CHECK(fleet.first_token.p99 <= 2);
  CHECK(fleet.per_output_token.p50 >= 0.025);
}
