// Quantizers and observers beside the limit of the machine, a copy of the same bytes in the same run. The counter
// "of_copy" is the speed relative to that copy: 1 means as fast as memory allows.

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "mcomp/core/random.hpp"
#include "mcomp/quant/fake_quantize.hpp"
#include "mcomp/quant/observer.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::quant;

Tensor normals(std::int64_t rows, std::int64_t columns) {
  Tensor t = Tensor::uninitialized(DType::f32, {rows, columns}).value();
  Random random(1);
  for (float& x : t.mutable_values<float>()) x = static_cast<float>(random.normal());
  return t;
}

/// Median seconds of copying the tensor, measured here and now.
double copy_seconds(const Tensor& source) {
  Tensor target = source;
  std::vector<double> seconds;
  constexpr int rounds = 9;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    std::memcpy(target.data(), source.data(), static_cast<std::size_t>(source.bytes()));
    benchmark::DoNotOptimize(target.data());
    benchmark::ClobberMemory();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + rounds / 2, seconds.end());
  return seconds[rounds / 2];
}

template <class Work> void measure(benchmark::State& state, const Tensor& source, const Work& work) {
  const double copy = copy_seconds(source);
  for (auto _ : state) work();
  state.SetBytesProcessed(state.iterations() * source.bytes());
  // copy seconds * iterations / elapsed: the ratio of the two speeds
  state.counters["of_copy"] = benchmark::Counter(copy, benchmark::Counter::kIsIterationInvariantRate);
}

void quantize_weights(benchmark::State& state, const Scheme& scheme) {
  const Tensor w = normals(state.range(0), 4096);
  measure(state, w, [&] { benchmark::DoNotOptimize(quantize(w, scheme).value().codes.data()); });
}

void activations(benchmark::State& state) {
  const Tensor x = normals(state.range(0), 4096);
  const Parameters p{DType::uint8, 0.03f, 120, false};
  measure(state, x, [&] { benchmark::DoNotOptimize(quantize_activations(x, p).value().data()); });
}

void fake(benchmark::State& state) {
  const Tensor x = normals(state.range(0), 4096);
  const Parameters p{DType::uint8, 0.03f, 120, false};
  measure(state, x, [&] { benchmark::DoNotOptimize(fake_quantize(x, p).value().data()); });
}

void observe(benchmark::State& state, ObserverKind kind) {
  const Tensor x = normals(state.range(0), 4096);
  auto observer = make_observer({.kind = kind}).value();
  measure(state, x, [&] { benchmark::DoNotOptimize(observer->update(x).has_value()); });
}

} // namespace

// 64 rows are one mebibyte, which a second-level cache holds; 4096 are 64.
BENCHMARK_CAPTURE(quantize_weights, int8_per_tensor, Scheme{.granularity = Granularity::per_tensor})
    ->Arg(64)
    ->Arg(4096);
BENCHMARK_CAPTURE(quantize_weights, int8_per_channel, Scheme{})->Arg(64)->Arg(4096);
BENCHMARK_CAPTURE(quantize_weights, int8_group_32, Scheme{.granularity = Granularity::per_group, .group_size = 32})
    ->Arg(64)
    ->Arg(4096);
BENCHMARK_CAPTURE(quantize_weights, int4_group_32,
                  Scheme{.dtype = DType::int4, .granularity = Granularity::per_group, .group_size = 32})
    ->Arg(64)
    ->Arg(4096);
BENCHMARK(activations)->Arg(64)->Arg(4096);
BENCHMARK(fake)->Arg(64)->Arg(4096);
BENCHMARK_CAPTURE(observe, min_max, ObserverKind::min_max)->Arg(64);
BENCHMARK_CAPTURE(observe, moving_average, ObserverKind::moving_average)->Arg(64);
BENCHMARK_CAPTURE(observe, histogram, ObserverKind::mean_squared_error)->Arg(64);

BENCHMARK_MAIN();
