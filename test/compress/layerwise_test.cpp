#include "catch.hpp"

#include <vector>

#include "mcomp/compress/layerwise.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/llama.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/quant/quantize.hpp"

using namespace mcomp;
using namespace mcomp::compress;

namespace {
Tensor random_tensor(Shape shape, std::uint64_t seed) {
  Tensor t = Tensor::zeros(DType::f32, std::move(shape)).value();
  Random random(seed);
  for (float& v : t.mutable_values<float>()) v = static_cast<float>(random.normal());
  return t;
}
/// input [6] -> a -> relu -> b, c -> sum -> d
struct Small {
  graph::Network network;
  TensorStore weights;
  Tensor samples = random_tensor({20, 6}, 9);

  Small() {
    network = graph::network_from_json(R"({"schema": "mcomp-network-1", "name": "small",
      "input": {"shape": [6], "scale": 1, "mean": [0], "std": [1]},
      "layers": [{"name": "a", "op": "linear", "inputs": ["input"], "out_features": 5},
                 {"name": "r", "op": "activation", "inputs": ["a"], "kind": "relu"},
                 {"name": "b", "op": "linear", "inputs": ["r"], "out_features": 4},
                 {"name": "c", "op": "linear", "inputs": ["r"], "out_features": 4},
                 {"name": "s", "op": "add", "inputs": ["b", "c"]},
                 {"name": "d", "op": "linear", "inputs": ["s"], "out_features": 3}], "output": "d"})",
                                       "small")
                  .value();
    weights.put("a.weight", random_tensor({5, 6}, 1));
    weights.put("b.weight", random_tensor({4, 5}, 2));
    weights.put("c.weight", random_tensor({4, 5}, 3));
    weights.put("d.weight", random_tensor({3, 4}, 4));
  }
};
Result<QuantizedWeight> nearest(const LayerProblem& problem, const Context&) {
  auto q = quant::quantize(problem.weight, {.dtype = DType::int3});
  if (!q) return q.error();
  return QuantizedWeight(std::move(*q));
}
} // namespace

TEST_CASE("samples that are read part by part give the same, a batch at a time") {
  Small small;
  const auto whole = quantize_layers(small.network, small.weights, small.samples, nearest).value();
  std::int64_t next = 0, passes = 0;
  const SampleSource source{20, [&](std::int64_t begin, std::int64_t end) -> Result<Tensor> {
                              if (begin == 0) ++passes, next = 0;
                              CHECK(begin == next);
                              CHECK(end - begin <= 3);
                              next = end;
                              return Tensor::copy_of(small.samples.view().rows(begin, end).value());
                            }};
  const auto parts = quantize_layers(small.network, small.weights, source, nearest, {.batch = 3}).value();
  CHECK(passes == 3); // the values that a, that b and c, and that d take
  CHECK(next == 20);
  for (const auto& [name, weight] : whole.tensors)
    CHECK(std::get<quant::QuantizedTensor>(parts.tensors.at(name)).codes ==
          std::get<quant::QuantizedTensor>(weight).codes);
  const SampleSource broken{20, [](std::int64_t, std::int64_t) -> Result<Tensor> {
                              return Error(ErrorCode::io_failure, "samples", "the disk is gone", "find it");
                            }};
  CHECK(quantize_layers(small.network, small.weights, broken, nearest).error().code() == ErrorCode::io_failure);
  CHECK(quantize_layers(small.network, small.weights, SampleSource{}, nearest).error().code() ==
        ErrorCode::insufficient_data);
}

TEST_CASE("every layer sees the inputs of the network as quantized so far") {
  Small small;
  std::vector<std::string> order;
  std::map<std::string, Tensor> moments;
  const LayerMethod method = [&](const LayerProblem& p, const Context& context) {
    order.push_back(p.tensor);
    moments[p.tensor] = p.inputs->second_moment();
    return nearest(p, context);
  };
  const auto result = quantize_layers(small.network, small.weights, small.samples, method).value();
  CHECK(order == std::vector<std::string>{"a.weight", "b.weight", "c.weight", "d.weight"});
  CHECK(moments.at("b.weight") == moments.at("c.weight"));

  // By hand: the network with a, b and c replaced shows d its input.
  TensorStore replaced = small.weights;
  for (const char* name : {"a.weight", "b.weight", "c.weight"})
    replaced.put(
        name,
        quant::dequantize(quant::quantize(small.weights.find(name).value(), {.dtype = DType::int3}).value()).value());
  stats::Gram expected(4);
  auto runner = graph::reference_runner(small.network, replaced).value();
  for (std::int64_t begin = 0; begin < 20; begin += 8)
    (void)runner->run(small.samples.view().rows(begin, std::min<std::int64_t>(20, begin + 8)).value(),
                      [&](std::string_view layer, const TensorView& output) {
                        if (layer == "s") expected.update(output).value();
                      });
  CHECK(moments.at("d.weight") == expected.second_moment());
  CHECK(result.weights.find("c.weight").value().dtype() == DType::f32);
  CHECK(Tensor::copy_of(result.weights.find("c.weight").value()).value() ==
        Tensor::copy_of(replaced.find("c.weight").value()).value());

  // Not sequentially, d sees the original network.
  moments.clear();
  quantize_layers(small.network, small.weights, small.samples, method, {.sequential = false}).value();
  stats::Gram original(4);
  auto first = graph::reference_runner(small.network, small.weights).value();
  for (std::int64_t begin = 0; begin < 20; begin += 8)
    (void)first->run(small.samples.view().rows(begin, std::min<std::int64_t>(20, begin + 8)).value(),
                     [&](std::string_view layer, const TensorView& output) {
                       if (layer == "s") original.update(output).value();
                     });
  CHECK(moments.at("d.weight") == original.second_moment());
}

TEST_CASE("a walk that was cancelled goes on where it stopped, to the same result") {
  Small small;
  std::map<std::string, QuantizedWeight> kept;
  Context context;
  LayerwiseOptions options;
  options.solved = [&](const LayerProblem& p, const QuantizedWeight& weight) {
    kept.insert_or_assign(p.tensor, weight);
    if (kept.size() == 2) context.cancellation.cancel();
  };
  const auto stopped = quantize_layers(small.network, small.weights, small.samples, nearest, options, context);
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().code() == ErrorCode::cancelled);
  REQUIRE(kept.size() == 2);
  std::vector<std::string> solved;
  const auto resumed =
      quantize_layers(
          small.network, small.weights, small.samples, nearest,
          {.done = kept, .solved = [&](const LayerProblem& p, const QuantizedWeight&) { solved.push_back(p.tensor); }})
          .value();
  CHECK(solved == std::vector<std::string>{"c.weight", "d.weight"});
  const auto whole = quantize_layers(small.network, small.weights, small.samples, nearest).value();
  for (const auto& name : whole.weights.names())
    CHECK(Tensor::copy_of(whole.weights.find(name).value()).value() ==
          Tensor::copy_of(resumed.weights.find(name).value()).value());
}

TEST_CASE("convolutions see patches and a tied table comes first") {
  const auto options = graph::LlamaOptions{
      .vocabulary = 11, .features = 8, .hidden = 12, .layers = 1, .heads = 2, .context = 16, .tied = true};
  const auto network = graph::llama(options).value();
  TensorStore weights;
  std::uint64_t seed = 1;
  for (const std::string& name : graph::tensor_names(network)) {
    Shape shape;
    if (name.find("norm") != std::string::npos)
      shape = {8};
    else if (name.find("embed") != std::string::npos)
      shape = {11, 8};
    else if (name.find("down") != std::string::npos)
      shape = {8, 12};
    else if (name.find("mlp") != std::string::npos)
      shape = {12, 8};
    else
      shape = {8, 8};
    weights.put(name, random_tensor(shape, seed++));
  }
  Tensor tokens = Tensor::zeros(DType::int32, {3, 5}).value();
  for (std::size_t i = 0; i < 15; ++i) tokens.mutable_values<std::int32_t>()[i] = static_cast<std::int32_t>(i % 11);
  std::vector<std::string> order;
  std::int64_t rows = 0;
  const LayerMethod method = [&](const LayerProblem& p, const Context& context) {
    order.push_back(p.tensor);
    rows = p.inputs->count();
    return nearest(p, context);
  };
  const auto result = quantize_layers(network, weights, tokens, method).value();
  REQUIRE(order.size() == 8);
  CHECK(order.front() == "model.embed_tokens.weight");
  CHECK(order.back() == "model.layers.0.mlp.down_proj.weight");
  CHECK(rows == 15);
  CHECK(result.tensors.size() == 8);
  CHECK(graph::reference_runner(network, result.weights).value()->run(tokens));

  const auto image = graph::network_from_json(R"({"schema": "mcomp-network-1", "name": "image",
      "input": {"shape": [2, 4, 4], "scale": 1, "mean": [0], "std": [1]},
      "layers": [{"name": "conv", "op": "convolution", "inputs": ["input"], "out_channels": 3, "kernel": [3, 3], "padding": [1, 1]}],
      "output": "conv"})",
                                              "image")
                         .value();
  TensorStore kernel;
  kernel.put("conv.weight", random_tensor({3, 2, 3, 3}, 5));
  std::int64_t features = 0;
  quantize_layers(image, kernel, random_tensor({5, 2, 4, 4}, 6), [&](const LayerProblem& p, const Context& context) {
    features = p.inputs->features(), rows = p.inputs->count();
    return nearest(p, context);
  }).value();
  CHECK(features == 18);
  CHECK(rows == 80);
}

TEST_CASE("a walk that cannot work says why before any work") {
  Small small;
  const auto code = [](const auto& result) { return result.error().code(); }; // which throws where there is no error
  CHECK(code(quantize_layers(small.network, small.weights, small.samples, nearest, {.tensors = {"e.weight"}})) ==
        ErrorCode::not_found);
  CHECK(code(quantize_layers(small.network, small.weights, small.samples, {})) == ErrorCode::invalid_argument);
  CHECK(code(quantize_layers(small.network, small.weights, Tensor::zeros(DType::f32, {0, 6}).value(), nearest)) ==
        ErrorCode::insufficient_data);
  CHECK(code(quantize_layers(small.network, small.weights, Tensor::zeros(DType::f32, {2, 7}).value(), nearest)) ==
        ErrorCode::invalid_shape);
  TensorStore missing = small.weights;
  missing.erase("a.weight");
  CHECK(code(quantize_layers(small.network, missing, small.samples, nearest)) == ErrorCode::not_found);
  const LayerMethod wrong = [](const LayerProblem&, const Context&) -> Result<QuantizedWeight> {
    return QuantizedWeight(quant::quantize(Tensor::zeros(DType::f32, {1, 1}).value(), {}).value());
  };
  CHECK(code(quantize_layers(small.network, small.weights, small.samples, wrong)) == ErrorCode::invalid_shape);
}

TEST_CASE("the part of a network that computes a layer is all that it needs") {
  Small small;
  const auto part = graph::truncated(small.network, "c").value();
  CHECK(part.layers.size() == 3);
  CHECK(part.output == "c");
  CHECK(graph::truncated(small.network, "e").error().code() == ErrorCode::not_found);
}
