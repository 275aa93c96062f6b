// The temperature fit beside its limit: one pass that only reads the logits. Overconfident synthetic logits [50000,
// 1000]: z = 2 N(0, 1), the true class + 6, then times 2. The counter `passes` is the time of a fit in passes of
// reading.
//
//     bench_temperature            50000 rows, 200 MB
//     bench_temperature --small    5000 rows

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "mcomp/calibrate/temperature.hpp"
#include "mcomp/core/random.hpp"

namespace {

using namespace mcomp;

struct Data {
  Tensor logits, labels;
};

Data synthetic(std::int64_t rows, std::int64_t classes) {
  Data data{Tensor::uninitialized(DType::f32, {rows, classes}).value(),
            Tensor::uninitialized(DType::int32, {rows}).value()};
  const auto z = data.logits.mutable_values<float>();
  const auto labels = data.labels.mutable_values<std::int32_t>();
  Random random(1);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto row = z.subspan(i * static_cast<std::size_t>(classes), static_cast<std::size_t>(classes));
    const auto label = random.below(row.size());
    for (float& logit : row) logit = static_cast<float>(4 * random.normal());
    row[label] += 12;
    labels[i] = static_cast<std::int32_t>(label);
  }
  return data;
}

/// Reads every logit once, as fast as memory gives them.
float read_all(std::span<const float> logits) {
  constexpr std::size_t lanes = 64; // enough independent sums to wait for memory only
  float sums[lanes] = {};
  for (std::size_t i = 0; i + lanes <= logits.size(); i += lanes)
    for (std::size_t l = 0; l < lanes; ++l) sums[l] += logits[i + l];
  float total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

double seconds_of_reading(std::span<const float> logits) {
  double best = 1e30;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(read_all(logits));
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void read_pass(benchmark::State& state, const Data& data) {
  const auto logits = data.logits.values<float>("logits").value();
  for (auto _ : state) benchmark::DoNotOptimize(read_all(logits));
  state.SetBytesProcessed(state.iterations() * data.logits.bytes());
}

void fit(benchmark::State& state, const Data& data, int threads) {
  ThreadPool pool(threads);
  calibrate::TemperatureScaling scaling;
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) {
    scaling = calibrate::fit_temperature(data.logits, data.labels, {.executor = &pool}).value();
    benchmark::DoNotOptimize(scaling);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const auto fits = static_cast<double>(state.iterations());
  state.counters["passes"] = took.count() / fits / seconds_of_reading(data.logits.values<float>("logits").value());
  state.counters["iterations"] = scaling.iterations;
  state.counters["temperature"] = scaling.temperature;
}

} // namespace

int main(int argc, char** argv) {
  const auto is_small = [](const char* argument) { return std::strcmp(argument, "--small") == 0; };
  char** const end = std::remove_if(argv + 1, argv + argc, is_small);
  const bool small = end != argv + argc;
  argc = static_cast<int>(end - argv);
  const Data data = synthetic(small ? 5000 : 50000, 1000);
  benchmark::RegisterBenchmark("read_pass", read_pass, std::cref(data))->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("fit_temperature/threads:1", fit, std::cref(data), 1)
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
  if (const int all = static_cast<int>(std::thread::hardware_concurrency()); all > 1)
    benchmark::RegisterBenchmark(("fit_temperature/threads:" + std::to_string(all)).c_str(), fit, std::cref(data), all)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
