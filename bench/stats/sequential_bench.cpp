// What a look costs: an observation and the p-value after it, and the intervals, for the tests that serving code
// updates after every answer.
//
//     bench_sequential

#include <vector>

#include <benchmark/benchmark.h>

#include "mcomp/core/random.hpp"
#include "mcomp/stats/confidence_sequence.hpp"
#include "mcomp/stats/group_sequential.hpp"
#include "mcomp/stats/sequential_test.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::stats;

constexpr std::size_t answers = 1 << 16;

std::vector<std::uint8_t> right(double accuracy, std::uint64_t seed) {
  std::vector<std::uint8_t> values(answers);
  Random random(seed);
  for (auto& value : values) value = random.uniform() < accuracy;
  return values;
}

void per_observation(benchmark::State& state) {
  state.counters["per_observation"] = benchmark::Counter(static_cast<double>(state.iterations()) * answers,
                                                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void paired(benchmark::State& state) {
  const auto a = right(.9, 1), b = right(.9, 2);
  for (auto _ : state) {
    auto test = SequentialPairedDifference::create({.null_loss = static_cast<double>(state.range(0)) / 100}).value();
    for (std::size_t i = 0; i < answers; ++i) {
      test.update(a[i], b[i]);
      benchmark::DoNotOptimize(test.p_value());
    }
  }
  per_observation(state);
}
BENCHMARK(paired)->Arg(0)->Arg(2)->ArgName("null_loss_percent");

void two_streams(benchmark::State& state) {
  const auto a = right(.9, 1), arm = right(.5, 2);
  for (auto _ : state) {
    auto test = SequentialABTest::create().value();
    for (std::size_t i = 0; i < answers; ++i) {
      arm[i] ? test.update_candidate(a[i]) : test.update_baseline(a[i]);
      benchmark::DoNotOptimize(test.p_value());
    }
  }
  per_observation(state);
}
BENCHMARK(two_streams);

void proportion(benchmark::State& state) {
  const auto a = right(.9, 1);
  for (auto _ : state) {
    auto test = SequentialProportion::create(
                    {.null_value = .9, .alternative = state.range(0) == 1 ? Alternative::less : Alternative::two_sided})
                    .value();
    for (std::size_t i = 0; i < answers; ++i) {
      test.update(a[i]);
      benchmark::DoNotOptimize(test.p_value());
    }
  }
  per_observation(state);
}
BENCHMARK(proportion)->Arg(0)->Arg(1)->ArgName("one_sided");

template <class Sequence> void sequence(benchmark::State& state) {
  const auto a = right(.9, 1);
  for (auto _ : state) {
    auto test = Sequence::create().value();
    for (std::size_t i = 0; i < answers; ++i) {
      test.update(a[i]);
      benchmark::DoNotOptimize(test.interval());
    }
  }
  per_observation(state);
}
BENCHMARK_TEMPLATE(sequence, AsymptoticMeanSequence);
BENCHMARK_TEMPLATE(sequence, EmpiricalBernsteinSequence);
BENCHMARK_TEMPLATE(sequence, BettingSequence);

void loss_interval(benchmark::State& state) {
  const auto a = right(.9, 1), b = right(.88, 2);
  auto test = SequentialPairedDifference::create().value();
  for (std::size_t i = 0; i < answers; ++i) test.update(a[i], b[i]);
  for (auto _ : state) benchmark::DoNotOptimize(test.loss_interval());
}
BENCHMARK(loss_interval)->Unit(benchmark::kMicrosecond);

void bernoulli_interval(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(bernoulli_confidence_interval(900, 1000).value());
}
BENCHMARK(bernoulli_interval)->Unit(benchmark::kMicrosecond);

void difference_interval(benchmark::State& state) {
  const auto a = right(.9, 1), b = right(.88, 2);
  auto test = SequentialABTest::create().value();
  for (std::size_t i = 0; i < answers; ++i) {
    test.update_baseline(a[i]);
    test.update_candidate(b[i]);
  }
  for (auto _ : state) benchmark::DoNotOptimize(test.difference_interval());
}
BENCHMARK(difference_interval)->Unit(benchmark::kMicrosecond);

void design(benchmark::State& state) {
  GroupSequentialOptions options{.information = {}};
  for (int k = 1; k <= state.range(0); ++k)
    options.information.push_back(static_cast<double>(k) / static_cast<double>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(design_group_sequential(options).value());
}
BENCHMARK(design)->Arg(5)->Arg(20)->ArgName("looks")->Unit(benchmark::kMillisecond);

} // namespace

BENCHMARK_MAIN();
