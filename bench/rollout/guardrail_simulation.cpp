// Simulated releases under guardrails: how many harmful ones go back and when, how many harmless ones do.
//
//     bench_guardrail_simulation [ROLLOUTS [SEED]]
//
// 2,000 requests a minute; 10 % of them are labelled, after an exponential delay of 30 minutes on average. Stages of 1,
// 5 and 25 % for 4 hours each, then 100 %, to 3 x 10^6 requests in all. Shadow traffic pairs the answers of both
// versions on every labelled request; the two err independently, which is the hardest case for a paired test. Baseline
// accuracy 90 %, log-normal latencies with sigma .5. Margins are half of the harm that is to be found; the limit of
// latency is the baseline's p99 with that margin. One look a minute.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "mcomp/core/random.hpp"
#include "mcomp/rollout/guardrail.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::rollout;

constexpr int requests_per_minute = 2000, labelled_per_minute = 200, minutes = 1500, hours_of_stages = 12;
constexpr double z99 = 2.3263478740408408, sigma = 0.5;

struct Scenario {
  const char* name;
  double loss;        ///< of accuracy
  double slowdown;    ///< of all latencies, and so of p99
  double loss_margin; ///< that is borne
  double slow_margin;
  int deadline; ///< minute by which it is to be found; 0: it is not to be
};

constexpr std::array<Scenario, 5> scenarios = {{
    {"5 points less accurate", 0.05, 1.0, 0.025, 1.25, 60 * hours_of_stages},
    {"p99 longer by 50 %", 0.0, 1.5, 0.025, 1.25, 60 * hours_of_stages},
    {"1 point less accurate", 0.01, 1.0, 0.005, 1.25, minutes},
    {"harmless, wide margins", 0.0, 1.0, 0.025, 1.25, 0},
    {"harmless, narrow margins", 0.0, 1.0, 0.005, 1.25, 0},
}};

RolloutPolicy policy() {
  RolloutPolicy p;
  p.with_shadow = false;
  p.undecided = 1000000;
  p.approvals = {{Stage::canary, 1, ""}, {Stage::full, 1, ""}};
  return p;
}

double normal_tail(double z) {
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

/// The minute of the rollback, -1 without one.
int run(const Scenario& scenario, std::uint64_t seed, std::uint64_t index) {
  Random random(seed, index);
  const RolloutPolicy rules = policy();
  RolloutState state = begin_rollout("new", "old", 0);
  const auto happen = [&](const RolloutEvent& event) { state = advance(state, event, rules).state; };
  for (const Stage change : {Stage::canary, Stage::full}) {
    RolloutEvent approval;
    approval.kind = EventKind::approve;
    approval.artifact = "new";
    approval.stage = change;
    approval.approver = "owner";
    happen(approval);
  }
  RolloutEvent event;
  event.kind = EventKind::start;
  happen(event);
  Guardrail guard = Guardrail::create({.accuracy_margin = scenario.loss_margin,
                                       .planned_pairs = 64 / (scenario.loss_margin * scenario.loss_margin) * 0.18,
                                       .expected_disagreement = 0.18})
                        .value();
  // P(slowdown x latency > margin x p99), latency log-normal.
  const double slow_share = normal_tail(z99 + std::log(scenario.slow_margin / scenario.slowdown) / sigma);
  std::vector<stats::PairedCounts> due(minutes + 1);
  for (int minute = 1; minute <= minutes; ++minute) {
    const std::int64_t served = std::int64_t{requests_per_minute} * exposed_share(state, rules) / 100000;
    for (int i = 0; i < labelled_per_minute; ++i) {
      const double arrival = minute - 30.0 * std::log(1 - random.uniform());
      const bool baseline = random.uniform() < 0.9, candidate = random.uniform() < 0.9 - scenario.loss;
      if (arrival > minutes) continue;
      stats::PairedCounts& pairs = due[static_cast<std::size_t>(std::ceil(arrival))];
      ++(baseline ? (candidate ? pairs.both_right : pairs.only_baseline_right)
                  : (candidate ? pairs.only_candidate_right : pairs.both_wrong));
    }
    std::int64_t slow = 0;
    for (std::int64_t i = 0; i < served; ++i) slow += random.uniform() < slow_share;
    guard.observe({.pairs = due[static_cast<std::size_t>(minute)], .requests = served, .slow = slow}).value();
    event.kind = EventKind::heartbeat;
    event.time = 60 * std::int64_t{minute};
    happen(event);
    happen(guard.gate_event(state, event.time));
    if (state.stage == Stage::rolled_back) return minute;
  }
  return -1;
}

} // namespace

int main(int argc, char** argv) {
  const int rollouts = argc > 1 ? std::atoi(argv[1]) : 10000;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const unsigned workers = std::clamp(std::thread::hardware_concurrency(), 1U, 2U);
  fmt::print("{} releases each, seed {}\n\n| candidate | rolled back | in time | median minutes | 95 % by |\n"
             "| --- | --- | --- | --- | --- |\n",
             rollouts, seed);
  for (std::size_t s = 0; s < scenarios.size(); ++s) {
    const Scenario& scenario = scenarios[s];
    std::vector<int> found(static_cast<std::size_t>(rollouts));
    std::vector<std::thread> threads;
    for (unsigned w = 0; w < workers; ++w)
      threads.emplace_back([&, w] {
        // A stream of its own for each release: the result does not depend on the number of threads.
        for (std::size_t i = w; i < found.size(); i += workers) found[i] = run(scenario, seed + s, i);
      });
    for (std::thread& thread : threads) thread.join();
    std::erase(found, -1);
    std::ranges::sort(found);
    const auto in_time = std::ranges::count_if(found, [&](int minute) { return minute <= scenario.deadline; });
    const double n = rollouts;
    const auto at = [&](double q) {
      return found.empty()
                 ? 0
                 : found[std::min(found.size() - 1, static_cast<std::size_t>(q * static_cast<double>(found.size())))];
    };
    fmt::print("| {} | {:.2f} % | {} | {} | {} |\n", scenario.name, 100 * static_cast<double>(found.size()) / n,
               scenario.deadline > 0 ? fmt::format("{:.2f} %", 100 * static_cast<double>(in_time) / n) : "-", at(0.5),
               at(0.95));
    std::fflush(stdout);
  }
  return 0;
}
