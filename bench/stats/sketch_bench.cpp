// What a value costs in a quantile sketch, beside what one would do without it: keep all values and select, or take the
// key by std::log. Latencies are log-normal, the usual shape.
//
//     bench_sketch
//
// Wanted: an insertion within 15 ns, a merge of 1,000 sketches within 10 ms.

#include <algorithm>
#include <cmath>
#include <vector>

#include <benchmark/benchmark.h>

#include "mcomp/core/random.hpp"
#include "mcomp/stats/sketch.hpp"

namespace {

using namespace mcomp;
using stats::QuantileSketch;

std::vector<double> latencies(std::size_t n) {
  std::vector<double> values(n);
  Random random(1);
  for (double& value : values) value = 0.01 * std::exp(0.7 * random.normal());
  return values;
}

void insert(benchmark::State& state) {
  const auto values = latencies(1 << 16);
  auto sketch = QuantileSketch::create().value();
  for (auto _ : state)
    for (const double value : values) sketch.add(value);
  benchmark::DoNotOptimize(sketch.count());
  state.counters["per_value"] = benchmark::Counter(static_cast<double>(state.iterations()) * 65536,
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(insert);

void insert_by_log(benchmark::State& state) {
  const auto values = latencies(1 << 16);
  std::vector<std::int64_t> counts(2048);
  const double multiplier = 1 / std::log(1.01 / 0.99);
  for (auto _ : state)
    for (const double value : values)
      ++counts[static_cast<std::size_t>(1024 + static_cast<int>(std::ceil(std::log(value) * multiplier)))];
  benchmark::DoNotOptimize(counts.data());
  state.counters["per_value"] = benchmark::Counter(static_cast<double>(state.iterations()) * 65536,
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(insert_by_log);

/// 65,536 values kept and three quantiles selected.
void keep_and_select(benchmark::State& state) {
  const auto values = latencies(1 << 16);
  for (auto _ : state) {
    std::vector<double> kept;
    for (const double value : values) kept.push_back(value);
    for (const double p : {0.5, 0.95, 0.99}) {
      const auto at = kept.begin() + static_cast<std::ptrdiff_t>(p * static_cast<double>(kept.size()));
      std::nth_element(kept.begin(), at, kept.end());
      benchmark::DoNotOptimize(*at);
    }
  }
  state.counters["per_value"] = benchmark::Counter(static_cast<double>(state.iterations()) * 65536,
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(keep_and_select);

void merge_1000(benchmark::State& state) {
  std::vector<QuantileSketch> sketches(1000, QuantileSketch::create().value());
  const auto values = latencies(1000 * 1000);
  for (std::size_t i = 0; i < values.size(); ++i) sketches[i % 1000].add(values[i]);
  for (auto _ : state) {
    auto total = QuantileSketch::create().value();
    for (const auto& sketch : sketches) total.merge(sketch).value();
    benchmark::DoNotOptimize(total.count());
  }
}
BENCHMARK(merge_1000)->Unit(benchmark::kMillisecond);

void quantile(benchmark::State& state) {
  auto sketch = QuantileSketch::create().value();
  for (const double value : latencies(100000)) sketch.add(value);
  for (auto _ : state) benchmark::DoNotOptimize(sketch.quantile(0.99).value());
}
BENCHMARK(quantile)->Unit(benchmark::kNanosecond);

void serialize(benchmark::State& state) {
  auto sketch = QuantileSketch::create().value();
  for (const double value : latencies(100000)) sketch.add(value);
  std::size_t size = 0;
  for (auto _ : state) {
    const auto bytes = sketch.to_bytes();
    size = bytes.size();
    benchmark::DoNotOptimize(QuantileSketch::from_bytes(bytes).value().count());
  }
  state.counters["bytes"] = static_cast<double>(size);
}
BENCHMARK(serialize)->Unit(benchmark::kMicrosecond);

} // namespace

BENCHMARK_MAIN();
