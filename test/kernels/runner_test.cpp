#include "mcomp/kernels/runner.hpp"

#include <cmath>
#include <map>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/graph/resnet.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::graph;
using namespace mcomp::quant;
using mcomp_test::largest_difference;
using mcomp_test::normals;
using mcomp_test::random_weights;

namespace {

/// Every kind of layer: groups, stride, residual add with codes and f32, relu6, both poolings, flatten of an image.
Network varied_network() {
  return network_from_json(R"({"schema": "mcomp-network-1", "name": "varied", "input": {"shape": [3, 13, 11]},
    "layers": [
      {"name": "conv1", "op": "convolution", "out_channels": 8, "kernel": [3, 3], "padding": [1, 1], "bias": "conv1.bias"},
      {"name": "relu1", "op": "activation", "kind": "relu6"},
      {"name": "conv2", "op": "convolution", "out_channels": 8, "kernel": [3, 3], "padding": [1, 1], "groups": 2, "bias": "conv2.bias"},
      {"name": "add1", "op": "add", "inputs": ["conv2", "relu1"]},
      {"name": "relu2", "op": "activation"},
      {"name": "depthwise", "op": "convolution", "out_channels": 8, "kernel": [3, 3], "padding": [1, 1], "groups": 8, "bias": "dw.bias"},
      {"name": "bn", "op": "batch_norm"},
      {"name": "silu", "op": "activation", "kind": "silu"},
      {"name": "short", "op": "subsample_pad", "stride": [2, 2], "channels_before": 2, "channels_after": 2},
      {"name": "conv3", "op": "convolution", "inputs": ["silu"], "out_channels": 12, "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1]},
      {"name": "add2", "op": "add", "inputs": ["short", "conv3"]},
      {"name": "relu3", "op": "activation"},
      {"name": "max", "op": "pooling", "kind": "max", "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1]},
      {"name": "mean", "op": "pooling", "kind": "average", "kernel": [2, 2], "stride": [1, 1]},
      {"name": "flat", "op": "flatten"},
      {"name": "fc1", "op": "linear", "out_features": 20, "bias": "fc1.bias"},
      {"name": "relu4", "op": "activation"},
      {"name": "fc2", "op": "linear", "out_features": 7},
      {"name": "p", "op": "softmax"}]})",
                           "varied")
      .value();
}

/// Ranges by looking, weights by rounding; the simplest quantization of a whole network.
NetworkQuantization quantize_all(const Network& network, const TensorStore& weights, const Tensor& samples) {
  NetworkQuantization q;
  auto reference = reference_runner(network, weights).value();
  std::map<std::string, Range> ranges;
  reference
      ->run(samples,
            [&](std::string_view name, const TensorView& y) {
              const auto v = y.values<float>("y").value();
              const auto [low, high] = std::minmax_element(v.begin(), v.end());
              ranges[std::string(name)] = {*low, *high};
            })
      .value();
  for (const Layer& layer : network.layers) {
    const std::string* weight = nullptr;
    if (const auto* c = std::get_if<Convolution>(&layer.operation)) weight = &c->weight;
    if (const auto* l = std::get_if<Linear>(&layer.operation)) weight = &l->weight;
    if (!weight) continue;
    q.weights.emplace(layer.name, quantize(weights.find(*weight).value(), {}).value());
    q.activations[layer.inputs[0]] = parameters_for(ranges.at(layer.inputs[0]), DType::uint8, false).value();
  }
  return q;
}

bool can_execute() {
  const Status status = kernels::require_execution();
  if (!status) WARN(status.error().what());
  return status.has_value();
}

} // namespace

TEST_CASE("the f32 program on oneDNN equals the reference runner") {
  if (!can_execute()) return;
  Random random(1);
  for (const Network& network : {varied_network(), cifar_resnet({.depth = 8}).value()}) {
    const TensorStore weights = random_weights(network, random);
    Shape shape{5};
    for (const auto size : network.input.shape.sizes()) shape.push_back(size);
    const Tensor x = normals(random, shape);
    const Tensor expected = reference_runner(network, weights).value()->run(x).value();
    const Program program = lower(network, weights).value();
    CHECK(largest_difference(simulated_runner(program).value()->run(x).value(), expected) < 1e-4);
    ThreadPool pool(2);
    for (const kernels::ExecutionOptions& options :
         {kernels::ExecutionOptions{}, kernels::ExecutionOptions{.threads = 2},
          kernels::ExecutionOptions{.executor = &pool, .micro_batch = 2}}) {
      auto runner = kernels::executed_runner(program, options).value();
      CHECK(largest_difference(runner->run(x).value(), expected) < 1e-4);
      std::map<std::string, Shape> seen;
      CHECK(runner->run(x, [&](std::string_view name, const TensorView& y) { seen[std::string(name)] = y.shape(); }));
      CHECK(seen.size() == program.values.size());
    }
  }
}

TEST_CASE("executed and simulated integers agree in every accumulator and every output bit") {
  if (!can_execute()) return;
  Random random(2);
  for (const Network& network : {varied_network(), cifar_resnet({.depth = 8}).value()}) {
    const TensorStore weights = random_weights(network, random);
    Shape shape{5};
    for (const auto size : network.input.shape.sizes()) shape.push_back(size);
    const Tensor x = normals(random, shape);
    NetworkQuantization q = quantize_all(network, weights, x);
    for (const bool signed_input : {false, true}) {
      if (signed_input) q.activations["input"] = parameters_for({-2, 2}, DType::int8, true).value();
      const Program program = lower(network, weights, q).value();
      CHECK(arithmetic_share(program).value().in_f32 == 0);
      auto simulated = simulated_runner(program).value();
      auto executed = kernels::executed_runner(program).value();
      std::map<std::string, Tensor> a, b;
      simulated->observe_accumulators(
          [&](std::string_view name, const TensorView& t) { a[std::string(name)] = Tensor::copy_of(t).value(); });
      executed->observe_accumulators(
          [&](std::string_view name, const TensorView& t) { b[std::string(name)] = Tensor::copy_of(t).value(); });
      const Tensor y = simulated->run(x).value();
      CHECK(executed->run(x).value() == y);
      CHECK(a.size() == q.weights.size());
      for (const auto& [name, sums] : a) {
        INFO(name);
        CHECK(b.at(name) == sums);
      }
      executed->observe_accumulators({});
      CHECK(executed->run(x).value() == y);
      const Tensor f32 = reference_runner(network, weights).value()->run(x).value();
      CHECK(largest_difference(y, f32) < (network.name == "varied" ? 0.1 : 2.0));
    }
  }
}

TEST_CASE("with the kernels' own f32 steps a mixed program is simulated bit for bit") {
  if (!can_execute()) return;
  Random random(3);
  const Network network = varied_network();
  const TensorStore weights = random_weights(network, random);
  const Tensor x = normals(random, {6, 3, 13, 11});
  NetworkQuantization q = quantize_all(network, weights, x);
  for (const char* layer : {"conv1", "depthwise", "fc2"}) q.weights.erase(layer);
  const Program program = lower(network, weights, q).value();
  CHECK(arithmetic_share(program).value().in_f32 > 0);
  for (const std::int64_t micro_batch : {0, 1, 4}) {
    const kernels::ExecutionOptions options{.micro_batch = micro_batch};
    auto simulated = simulated_runner(program, {.float_step = kernels::float_step(program, options).value()}).value();
    CHECK(kernels::executed_runner(program, options).value()->run(x).value() == simulated->run(x).value());
  }
}

TEST_CASE("a runner survives changing batch sizes, repeated and concurrent runs") {
  if (!can_execute()) return;
  Random random(4);
  const Network network = varied_network();
  const TensorStore weights = random_weights(network, random);
  const Tensor x = normals(random, {9, 3, 13, 11});
  auto runner =
      kernels::executed_runner(lower(network, weights, quantize_all(network, weights, x)).value(), {.micro_batch = 4})
          .value();
  const Tensor all = runner->run(x).value();
  for (const std::int64_t n : {1, 9, 3, 4, 1}) {
    const Tensor part = runner->run(x.view().rows(0, n).value()).value();
    CHECK(part == Tensor::copy_of(all.view().rows(0, n).value()).value());
  }
  ThreadPool pool(2);
  std::vector<int> equal(8);
  pool.run(8, [&](std::size_t i) { equal[i] = runner->run(x).value() == all; });
  CHECK(equal == std::vector<int>(8, 1));
}

TEST_CASE("steps are timed by name, and what oneDNN chose is told") {
  if (!can_execute()) return;
  Random random(5);
  const Network network = varied_network();
  const TensorStore weights = random_weights(network, random);
  const Tensor x = normals(random, {2, 3, 13, 11});
  const Program program = lower(network, weights, quantize_all(network, weights, x)).value();
  const auto times = kernels::time_steps(program, x, 3).value();
  REQUIRE(times.size() == program.steps.size());
  CHECK(times[0].layer == "conv1");
  CHECK(times[0].integer);
  CHECK(times[0].seconds > 0);
  CHECK_FALSE(times[0].implementation.empty());
  CHECK_FALSE(kernels::time_steps(program, x, 0));
}

TEST_CASE("what cannot run is refused when it is planned") {
  Random random(6);
  const Network network = varied_network();
  const TensorStore weights = random_weights(network, random);
  const Tensor x = normals(random, {1, 3, 13, 11});
  const NetworkQuantization good = quantize_all(network, weights, x);
  const auto refused = [&](NetworkQuantization q, ErrorCode code, const char* word) {
    const auto program = lower(network, weights, q);
    REQUIRE_FALSE(program);
    CHECK(program.error().code() == code);
    CHECK(mcomp_test::well_formed(program.error()));
    CHECK(std::string(program.error().what()).find(word) != std::string::npos);
  };
  NetworkQuantization q = good;
  q.weights["conv3"] =
      quantize(weights.find("conv3.weight").value(), {.granularity = Granularity::per_group, .group_size = 8}).value();
  refused(q, ErrorCode::unsupported, "conv3");
  q = good;
  q.weights["conv3"] =
      quantize(weights.find("conv3.weight").value(), {.dtype = DType::uint8, .symmetric = false}).value();
  refused(q, ErrorCode::unsupported, "conv3");
  q = good;
  q.weights["conv3"] = good.weights.at("conv1");
  refused(q, ErrorCode::invalid_shape, "conv3");
  q = good;
  q.weights["conv9"] = good.weights.at("conv1");
  refused(q, ErrorCode::not_found, "conv9");
  q = good;
  q.weights["relu1"] = good.weights.at("conv1");
  refused(q, ErrorCode::unsupported, "relu1");
  q = good;
  q.activations["relu9"] = {};
  refused(q, ErrorCode::not_found, "relu9");
  q = good;
  q.activations["relu1"].dtype = DType::uint4;
  refused(q, ErrorCode::unsupported, "relu1");
  q = good;
  q.activations["relu1"].scale = NAN;
  refused(q, ErrorCode::invalid_value, "relu1");
  q = good;
  q.activations["relu1"].zero_point = 300;
  refused(q, ErrorCode::invalid_value, "relu1");
  if (!can_execute()) return;
  const Program program = lower(network, weights, good).value();
  CHECK_FALSE(kernels::executed_runner(program, {.threads = 0}));
  CHECK_FALSE(kernels::executed_runner(program, {.micro_batch = -1}));
  auto runner = kernels::executed_runner(program).value();
  CHECK_FALSE(runner->run(normals(random, {1, 3, 13, 12})));
  CHECK_FALSE(runner->run(normals(random, {0, 3, 13, 11})));
  CHECK_FALSE(runner->run(Tensor::zeros(DType::uint8, {1, 3, 13, 11}).value()));
}
