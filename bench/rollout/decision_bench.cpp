// How long a decision takes on one core: from a pinned snapshot and with the pin, by a flag's key made once and by its
// name, for flags of 1 to 4 rules of which none but the last decides.

#include <array>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mcomp/rollout/flags.hpp"
#include "mcomp/rollout/hash.hpp"

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

BENCHMARK(decide_pinned)->DenseRange(1, 4);
BENCHMARK(decide_from_store)->DenseRange(1, 4);
BENCHMARK(decide_by_name)->DenseRange(1, 4);
BENCHMARK(hash);

} // namespace

BENCHMARK_MAIN();
