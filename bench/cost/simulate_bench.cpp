// Requests per second of the simulator, and minutes per second of the replay of a scaling policy, on one core.
//
//     bench_simulate
//
// Wanted: 5 million requests a second; 22 days within a second.

#include <benchmark/benchmark.h>

#include "mcomp/cost/autoscale.hpp"
#include "mcomp/cost/simulate.hpp"

namespace {

using namespace mcomp::cost;

constexpr std::int64_t requests = 2'000'000;

void measure(benchmark::State& state, const ServiceTime& service, std::int64_t servers, const Batching& batching = {}) {
  const double capacity = static_cast<double>(servers) / service.mean() *
                          (batching.scale.empty() ? 1 : static_cast<double>(batching.max_size) / batching.scale.back());
  for (auto _ : state)
    benchmark::DoNotOptimize(simulate(0.8 * capacity, {.service = service, .servers = servers, .batching = batching},
                                      {.requests = requests, .warm_up = 0})
                                 .value());
  state.SetItemsProcessed(state.iterations() * requests);
}

void markov(benchmark::State& state) {
  measure(state, ServiceTime::exponential(0.01).value(), state.range(0));
}
BENCHMARK(markov)->Arg(1)->Arg(8)->Arg(64)->Unit(benchmark::kMillisecond);

void constant_service(benchmark::State& state) {
  measure(state, ServiceTime::deterministic(0.01).value(), state.range(0));
}
BENCHMARK(constant_service)->Arg(1)->Arg(8)->Unit(benchmark::kMillisecond);

void lognormal_service(benchmark::State& state) {
  measure(state, ServiceTime::lognormal(0.01, 2).value(), state.range(0));
}
BENCHMARK(lognormal_service)->Arg(8)->Unit(benchmark::kMillisecond);

void batches_of_eight(benchmark::State& state) {
  Batching batching{.max_size = 8, .max_wait_seconds = 0.005};
  for (int n = 1; n <= 8; ++n) batching.scale.push_back(0.6 + 0.4 * n);
  measure(state, ServiceTime::exponential(0.01).value(), 8, batching);
}
BENCHMARK(batches_of_eight)->Unit(benchmark::kMillisecond);

void replay_22_days(benchmark::State& state) {
  const RequestTrace trace =
      diurnal_trace({.mean_per_second = static_cast<double>(state.range(0)), .noise = 0.1, .days = 22}).value();
  const AutoscaleOptions options{.service = ServiceTime::lognormal(0.05, 1.5).value(), .price_per_hour = 0.17};
  for (auto _ : state) benchmark::DoNotOptimize(replay(trace, options).value());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(trace.requests.size()));
}
BENCHMARK(replay_22_days)->Arg(60)->Arg(6000)->Unit(benchmark::kMillisecond);

} // namespace

BENCHMARK_MAIN();
