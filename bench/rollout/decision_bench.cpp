// How long a decision takes on one core: from a pinned snapshot and with the pin, by a flag's key made once and by its
// name, for flags of 1 to 4 rules of which none but the last decides. And from a look that breaches a guardrail to the
// swapped pointer, with 100 flags beside the release.

#include <array>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mcomp/rollout/flags.hpp"
#include "mcomp/rollout/guardrail.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::rollout;

/// Rules that look at region, tier and device, and at last a split of three arms, among 100 flags.
FlagSet flags_of(std::int64_t rules) {
  Flag flag{.key = "ranker-precision",
            .variants = {{.name = "fp32"}, {.name = "int8"}, {.name = "int4"}},
            .default_variant = "fp32",
            .off_variant = {},
            .rules = {}};
  const std::vector<Condition> conditions = {
      {.attribute = "region", .values = {std::string("ap-south"), std::string("ap-east")}},
      {.attribute = "tier", .values = {std::string("internal")}},
      {.attribute = "app_age", .comparison = Comparison::less, .values = {7.0}}};
  for (std::int64_t i = 0; i + 1 < rules; ++i) {
    const Condition& condition = conditions[static_cast<std::size_t>(i)];
    flag.rules.push_back({.id = condition.attribute,
                          .conditions = {condition},
                          .variant = "fp32",
                          .split = {},
                          .salt = {},
                          .bucket_by = {}});
  }
  flag.rules.push_back({.id = "split",
                        .conditions = {{.attribute = "device", .values = {std::string("gpu"), std::string("cpu")}}},
                        .variant = {},
                        .split = Ledger::create({{"fp32", 90}, {"int8", 5}, {"int4", 5}}).value(),
                        .salt = {},
                        .bucket_by = {}});
  FlagSet set;
  for (int i = 0; i < 99; ++i) {
    Flag other = flag;
    other.key = "flag-" + std::to_string(i);
    set.flags.push_back(other);
  }
  set.flags.push_back(flag);
  return set;
}

const std::array<Attribute, 4> attributes = {Attribute("region", "eu-west"), Attribute("tier", "gold"),
                                             Attribute("device", "cpu"), Attribute("app_age", 30)};

std::vector<std::string> units() {
  std::vector<std::string> names;
  for (int i = 0; i < 1024; ++i) names.push_back("user-" + std::to_string(1000000 + i * 977));
  return names;
}

void decide_pinned(benchmark::State& state) {
  const auto snapshot = FlagSnapshot::compile(flags_of(state.range(0))).value();
  const FlagKey key("ranker-precision");
  const auto names = units();
  std::size_t i = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(snapshot->decide(key, {.unit = names[i++ & 1023], .attributes = attributes}));
}

void decide_from_store(benchmark::State& state) {
  FlagStore store(FlagSnapshot::compile(flags_of(state.range(0))).value());
  auto reader = store.reader();
  const FlagKey key("ranker-precision");
  const auto names = units();
  std::size_t i = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(reader.pin()->decide(key, {.unit = names[i++ & 1023], .attributes = attributes}).rule);
}

void decide_by_name(benchmark::State& state) {
  FlagStore store(FlagSnapshot::compile(flags_of(state.range(0))).value());
  auto reader = store.reader();
  const std::string name = "ranker-precision";
  const auto names = units();
  std::size_t i = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(reader.pin()->decide(name, {.unit = names[i++ & 1023], .attributes = attributes}).rule);
}

void hash(benchmark::State& state) {
  const auto names = units();
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(unit_hash("ranker-precision", names[i++ & 1023]));
}

void breach_to_swapped_pointer(benchmark::State& state) {
  FlagSet flags = flags_of(4);
  TrafficPlan plan{
      .key = "release", .baseline = "old", .candidate = "new", .split = Ledger::create({{"old", 1}}).value()};
  plan = with_shares(plan, 25000, 0).value();
  const auto live = [&](const TrafficPlan& now) {
    FlagSet all = flags;
    for (Flag& flag : now.flags().value()) all.flags.push_back(std::move(flag));
    return FlagSnapshot::compile(std::move(all)).value();
  };
  FlagStore store(live(plan));
  auto reader = store.reader();
  RolloutPolicy policy;
  policy.with_shadow = false;
  policy.approvals.clear();
  RolloutEvent start;
  start.kind = EventKind::start;
  const RolloutState canary = advance(begin_rollout("new", "old", 0), start, policy).state;
  const Guardrail fresh = Guardrail::create().value();
  const auto exposed = store.current();
  for (auto _ : state) {
    state.PauseTiming();
    store.publish(exposed);
    Guardrail guard = fresh;
    state.ResumeTiming();
    guard.observe({.pairs = {.both_right = 500, .only_baseline_right = 200}, .requests = 2000, .slow = 10}).value();
    const Transition back = advance(canary, guard.gate_event(canary, 60), policy);
    store.publish(live(with_shares(plan, back.actions[0].share, back.actions[0].shadow).value()));
    if (route(*reader.pin(), "release", {.unit = "u", .attributes = {}}).arm != "old") state.SkipWithError("not back");
  }
}

BENCHMARK(breach_to_swapped_pointer)->Unit(benchmark::kMicrosecond);
BENCHMARK(decide_pinned)->DenseRange(1, 4);
BENCHMARK(decide_from_store)->DenseRange(1, 4);
BENCHMARK(decide_by_name)->DenseRange(1, 4);
BENCHMARK(hash);

} // namespace

BENCHMARK_MAIN();
