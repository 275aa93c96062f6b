// Simulated releases under guardrails: how many harmful ones go back and when, how many harmless ones do.
//
//     bench_guardrail_simulation [ROLLOUTS [SEED]]
//
// 2,000 requests a minute; 10 % of them are labelled, after an exponential delay of 30 minutes on average. Stages of 1,
// 5 and 25 % for 4 hours each, then 100 %, to 3 x 10^6 requests in all. Baseline accuracy 90 %, log-normal latencies
// with sigma .5. Margins are half of the harm that is to be found; the limit of latency is the baseline's p99 with that
// margin. One look a minute.
//
// Pairs: shadow traffic pairs the answers of both versions on every labelled request; the two err independently, which
// is the hardest case for a paired test. Groups: no input is answered twice, each label belongs to the group of who
// answered. 2 % of all requests ask whether the user is satisfied, 80 % of the baseline's are. An answer has a
// calibrated confidence with a deviation of .15. 1 % of all answers are anomalous as a rule, 0.05 % of all requests
// fail.

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

constexpr int requests_per_minute = 2000, minutes = 1500, end_of_stages = 12 * 60;
constexpr double labelled = 0.1, asked = 0.02, z99 = 2.3263478740408408, sigma = 0.5;

/// What a candidate is like.
struct Candidate {
  double loss = 0;               ///< of accuracy
  double slowdown = 1;           ///< of all latencies, and so of p99
  double dissatisfaction = 0;    ///< loss of satisfied users
  double anomalous = 0.01;       ///< share of answers
  double failing = 0.0005;       ///< share of requests
  int silent_from = minutes + 1; ///< minute from which nobody reports any more
};

struct Scenario {
  const char* name;
  GuardrailOptions options;
  Candidate candidate;
  int deadline;                ///< minute by which it is to be found; 0: it is not to be
  std::uint32_t last = 100000; ///< share, parts in 100,000, after the stages: the rest is held back
};

GuardrailOptions none() {
  return {.pairs = {}, .latency = {}};
}

GuardrailOptions paired(double margin) {
  GuardrailOptions options = none();
  options.pairs = PairedAccuracyRule{
      .margin = margin, .planned_pairs = 64 / (margin * margin) * 0.18, .expected_disagreement = 0.18};
  options.latency = LatencyRule{};
  return options;
}

GuardrailOptions grouped(double margin) {
  GuardrailOptions options = none();
  // Where a test that knew the accuracies would have decided: 2 log(1 / alpha) variances over the squared margin.
  options.accuracy = GroupRule{.margin = margin, .planned = 11 * 0.18 / (margin * margin), .expected = 0.9};
  options.latency = LatencyRule{};
  return options;
}

/// One rule beside that of latency, which every release has.
template <class Rule> GuardrailOptions with(std::optional<Rule> GuardrailOptions::*rule, Rule value) {
  GuardrailOptions options = none();
  options.latency = LatencyRule{};
  options.*rule = std::move(value);
  return options;
}

std::vector<Scenario> all_scenarios() {
  const FloorRule accuracy_floor{.floor = 0.88}, satisfaction_floor{.floor = 0.77};
  const GroupRule satisfaction{.margin = 0.025, .planned = 6000, .expected = 0.8, .least = 50};
  const GroupRule much_less{.margin = 0.05, .planned = 1500, .expected = 0.8, .least = 50};
  const ConfidenceRule confidence{.floor = 0.89, .calibration_error = 0.005};
  const AnomalyRule anomaly{.share = 0.015, .looks = minutes};
  // At 20 requests a minute one failure of five minutes would burn at 10 already.
  const monitor::BurnRateOptions burn{.windows = {{3600, 900, 14.4}}, .least_events = 200};
  const monitor::HeartbeatOptions heart{.timeout_seconds = 150, .first_timeout_seconds = 300};
  using Options = GuardrailOptions;
  return {
      {"pairs: 5 points less accurate", paired(0.025), {.loss = 0.05}, end_of_stages},
      {"pairs: p99 longer by 50 %", paired(0.025), {.slowdown = 1.5}, end_of_stages},
      {"pairs: 1 point less accurate", paired(0.005), {.loss = 0.01}, minutes},
      {"pairs: harmless, wide margins", paired(0.025), {}, 0},
      {"pairs: harmless, narrow margins", paired(0.005), {}, 0},
      {"groups: 5 points less accurate", grouped(0.025), {.loss = 0.05}, end_of_stages},
      {"groups: 1 point less accurate, 0 % held back", grouped(0.005), {.loss = 0.01}, minutes},
      {"groups: 1 point less accurate, 10 % held back", grouped(0.005), {.loss = 0.01}, minutes, 90000},
      {"groups: 1 point less accurate, 50 % held back", grouped(0.005), {.loss = 0.01}, minutes, 50000},
      {"groups: harmless, wide margins, 10 % held back", grouped(0.025), {}, 0, 90000},
      {"groups: harmless, narrow margins, 10 % held back", grouped(0.005), {}, 0, 90000},
      {"groups: at the narrow margin, 10 % held back", grouped(0.005), {.loss = 0.005}, 0, 90000},
      {"floor of 88 %, labels: accuracy 85 %",
       with(&Options::accuracy_floor, accuracy_floor),
       {.loss = 0.05},
       end_of_stages},
      {"floor of 88 %, labels: accuracy at it", with(&Options::accuracy_floor, accuracy_floor), {.loss = 0.02}, 0},
      {"floor of 89 %, confidence: accuracy 85 %",
       with(&Options::confidence, confidence),
       {.loss = 0.05},
       end_of_stages},
      {"floor of 89 %, confidence: at it", with(&Options::confidence, confidence), {.loss = 0.015}, 0},
      {"satisfaction: 5 points less, margin 2.5",
       with(&Options::satisfaction, satisfaction),
       {.dissatisfaction = 0.05},
       minutes,
       90000},
      {"satisfaction: 10 points less, margin 5",
       with(&Options::satisfaction, much_less),
       {.dissatisfaction = 0.1},
       minutes,
       90000},
      {"satisfaction: at the margin", with(&Options::satisfaction, satisfaction), {.dissatisfaction = 0.025}, 0, 90000},
      {"satisfaction floor of 77 %: 75 %",
       with(&Options::satisfaction_floor, satisfaction_floor),
       {.dissatisfaction = 0.05},
       minutes},
      {"satisfaction floor of 77 %: at it",
       with(&Options::satisfaction_floor, satisfaction_floor),
       {.dissatisfaction = 0.03},
       0},
      {"anomaly above 1.5 %: 3 %", with(&Options::anomaly, anomaly), {.anomalous = 0.03}, end_of_stages},
      {"anomaly above 1.5 %: at it", with(&Options::anomaly, anomaly), {.anomalous = 0.015}, 0},
      {"burn rate, 99.9 %: 2 % fail", with(&Options::burn, burn), {.failing = 0.02}, end_of_stages},
      {"burn rate, 99.9 %: half of the budget", with(&Options::burn, burn), {}, 0},
      {"heartbeat: silent from minute 300 on", with(&Options::heartbeat, heart), {.silent_from = 300}, 304},
      {"heartbeat: alive", with(&Options::heartbeat, heart), {}, 0},
  };
}

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

/// Successes of n trials, by the gaps between them: the time of it is that of the rarer outcome.
std::int64_t binomial(std::int64_t n, double p, Random& random) {
  if (p > 0.5) return n - binomial(n, 1 - p, random);
  if (p <= 0) return 0;
  const double log_q = std::log1p(-p);
  std::int64_t successes = 0;
  double at = 0;
  while (true) {
    at += std::floor(std::log(1 - random.uniform()) / log_q) + 1;
    if (at > static_cast<double>(n)) return successes;
    ++successes;
  }
}

/// Labels that are on their way: an exponential delay forgets how long it has lasted, so that each arrives within the
/// minute with the same probability.
class Labels {
 public:
  std::int64_t pass(std::int64_t fresh, Random& random) {
    waiting_ += fresh;
    const std::int64_t arrived = binomial(waiting_, -std::expm1(-1.0 / 30), random);
    waiting_ -= arrived;
    return arrived;
  }

 private:
  std::int64_t waiting_ = 0;
};

/// What a release shows of itself minute by minute.
class World {
 public:
  World(const Scenario& scenario, Random& random) : scenario_(scenario), random_(random) {}

  GuardrailCounts look(int minute, std::uint32_t share) {
    const GuardrailOptions& watched = scenario_.options;
    const Candidate& c = scenario_.candidate;
    const double exposed = static_cast<double>(share) / 100000;
    GuardrailCounts counts;
    counts.time = 60.0 * minute;
    counts.requests = std::int64_t{requests_per_minute} * share / 100000;
    // P(slowdown x latency > margin x p99), latency log-normal; the margin is a quarter.
    counts.slow = draw(counts.requests, normal_tail(z99 + std::log(1.25 / c.slowdown) / sigma));
    if (watched.pairs) {
      const std::int64_t n = std::int64_t{requests_per_minute} / 10, right = draw(n, 0.9);
      const std::int64_t both = draw(right, 0.9 - c.loss), only_candidate = draw(n - right, 0.9 - c.loss);
      counts.pairs = {.both_right = labels_[0].pass(both, random_),
                      .only_baseline_right = labels_[1].pass(right - both, random_),
                      .only_candidate_right = labels_[2].pass(only_candidate, random_),
                      .both_wrong = labels_[3].pass(n - right - only_candidate, random_)};
    }
    if (watched.accuracy || watched.accuracy_floor) {
      counts.candidate = group(draw(counts.requests, labelled), 0.9 - c.loss, labels_.data());
      if (watched.accuracy)
        counts.baseline = group(draw(requests_per_minute - counts.requests, labelled), 0.9, labels_.data() + 2);
    }
    if (watched.satisfaction || watched.satisfaction_floor) {
      counts.candidate_users.trials = draw(counts.requests, asked);
      counts.candidate_users.successes = draw(counts.candidate_users.trials, 0.8 - c.dissatisfaction);
      counts.baseline_users.trials = draw(requests_per_minute - counts.requests, asked);
      counts.baseline_users.successes = draw(counts.baseline_users.trials, 0.8);
    }
    if (watched.confidence && exposed > 0) {
      counts.estimates = counts.requests;
      counts.confidence = std::clamp(
          0.9 - c.loss + 0.15 / std::sqrt(static_cast<double>(counts.requests)) * random_.normal(), 0.0, 1.0);
    }
    if (watched.anomaly) counts.anomalous = draw(counts.requests, c.anomalous);
    if (watched.burn) counts.failed = draw(counts.requests, c.failing);
    counts.beat = minute < c.silent_from;
    return counts;
  }

 private:
  std::int64_t draw(std::int64_t n, double p) { return binomial(n, p, random_); }
  stats::SuccessCounts group(std::int64_t fresh, double accuracy, Labels* labels) {
    const std::int64_t right = draw(fresh, accuracy);
    const std::int64_t arrived_right = labels[0].pass(right, random_),
                       arrived_wrong = labels[1].pass(fresh - right, random_);
    return {.successes = arrived_right, .trials = arrived_right + arrived_wrong};
  }

  const Scenario& scenario_;
  Random& random_;
  std::array<Labels, 4> labels_;
};

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
  Guardrail guard = Guardrail::create(scenario.options).value();
  World world(scenario, random);
  for (int minute = 1; minute <= minutes; ++minute) {
    guard.observe(world.look(minute, std::min(exposed_share(state, rules), scenario.last))).value();
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
  const std::vector<Scenario> scenarios = all_scenarios();
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
      const auto place = static_cast<std::size_t>(q * static_cast<double>(found.size()));
      return found.empty() ? std::string("-") : fmt::format("{}", found[std::min(found.size() - 1, place)]);
    };
    fmt::print("| {} | {:.2f} % | {} | {} | {} |\n", scenario.name, 100 * static_cast<double>(found.size()) / n,
               scenario.deadline > 0 ? fmt::format("{:.2f} %", 100 * static_cast<double>(in_time) / n) : "-", at(0.5),
               at(0.95));
    std::fflush(stdout);
  }
  return 0;
}
