// int8 layers beside the same layer in fp32 on oneDNN, measured in alternation within one benchmark. The counter
// "times_f32" is how many times as fast the int8 layer is.

#include <algorithm>
#include <chrono>
#include <vector>

#include <benchmark/benchmark.h>

#include "mcomp/core/random.hpp"
#include "mcomp/kernels/layers.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::kernels;

Tensor normals(Shape shape) {
  Tensor t = Tensor::uninitialized(DType::f32, std::move(shape)).value();
  Random random(1);
  for (float& x : t.mutable_values<float>()) x = static_cast<float>(random.normal());
  return t;
}

template <class Layer> double seconds(const Layer& layer, const Tensor& x) {
  const auto begin = std::chrono::steady_clock::now();
  benchmark::DoNotOptimize(layer.run(x).value().data());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double>& values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// Times both layers, one after the other, and reports the int8 one.
template <class Layer>
void compare(benchmark::State& state, const Layer& integer, const Layer& real, const Tensor& codes, const Tensor& x,
             double operations) {
  std::vector<double> fast, slow;
  seconds(integer, codes);
  seconds(real, x);
  for (auto _ : state) {
    slow.push_back(seconds(real, x));
    fast.push_back(seconds(integer, codes));
    state.SetIterationTime(fast.back());
  }
  const double f = median(fast), s = median(slow);
  state.counters["times_f32"] = s / f;
  state.counters["int8_GOPS"] = operations / f / 1e9;
  state.SetLabel(integer.implementation(x.size(0)).value());
}

void convolution(benchmark::State& state) {
  const std::int64_t samples = state.range(0), channels = state.range(1), size = state.range(2);
  const graph::Convolution geometry{.out_channels = channels, .kernel = {3, 3}, .padding = {1, 1}};
  const Tensor weight = normals({channels, channels, 3, 3}), bias = normals({channels}),
               x = normals({samples, size, size, channels});
  const quant::Parameters input{DType::uint8, 0.03f, 0, false}, output{DType::uint8, 0.5f, 0, false};
  const auto relu = graph::ActivationKind::relu;
  const Conv2d integer =
      Conv2d::create_int8(
          quant::quantize(weight, {}).value(), bias,
          {.geometry = geometry, .height = size, .width = size, .input = input, .activation = relu, .output = output})
          .value();
  const Conv2d real =
      Conv2d::create_f32(weight, bias, {.geometry = geometry, .height = size, .width = size, .activation = relu})
          .value();
  compare(state, integer, real, quant::quantize_activations(x, input).value(), x,
          2.0 * static_cast<double>(samples * size * size * channels * channels * 9));
}

void linear(benchmark::State& state) {
  const std::int64_t samples = state.range(0), out = state.range(1), in = state.range(2);
  const Tensor weight = normals({out, in}), bias = normals({out}), x = normals({samples, in});
  const quant::Parameters input{DType::uint8, 0.03f, 0, false};
  const Linear integer = Linear::create_int8(quant::quantize(weight, {}).value(), bias, {.input = input}).value();
  const Linear real = Linear::create_f32(weight, bias).value();
  compare(state, integer, real, quant::quantize_activations(x, input).value(), x,
          2.0 * static_cast<double>(samples * out * in));
}

} // namespace

BENCHMARK(convolution)
    ->Args({8, 16, 32})
    ->Args({8, 32, 16})
    ->Args({8, 64, 8})
    ->Args({1, 64, 56})
    ->Args({1, 256, 14})
    ->UseManualTime();
BENCHMARK(linear)
    ->Args({1, 4096, 4096})
    ->Args({8, 4096, 4096})
    ->Args({64, 1024, 1024})
    ->Args({512, 1024, 1024})
    ->UseManualTime();

int main(int argc, char** argv) {
  if (const Status ready = require_execution(); !ready) {
    std::fprintf(stderr, "%s\n", ready.error().what());
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
