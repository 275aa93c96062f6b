#include "mcomp/compress/layer_shapes.hpp"

#include <numeric>

#include "catch.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/network.hpp"

using namespace mcomp;

namespace {

Tensor numbers(Shape shape) {
  Tensor t = Tensor::zeros(DType::f32, std::move(shape)).value();
  Random random(1);
  for (float& x : t.mutable_values<float>()) x = static_cast<float>(random.normal());
  return t;
}

} // namespace

TEST_CASE("the steps of a program are layers with the work of the network") {
  graph::Network network;
  network.input.shape = {3, 8, 8};
  const std::string image(graph::network_input);
  network.layers = {
      {"conv", graph::Convolution{.out_channels = 4, .kernel = {3, 3}, .padding = {1, 1}, .weight = "w"}, {image}},
      {"relu", graph::Activation{graph::ActivationKind::relu}, {"conv"}},
      {"second", graph::Convolution{.out_channels = 4, .kernel = {1, 1}, .weight = "v"}, {"relu"}},
      {"sum", graph::Add{}, {"second", "relu"}},
      {"flat", graph::Flatten{}, {"sum"}},
      {"head", graph::Linear{.out_features = 5, .weight = "u"}, {"flat"}},
  };
  network.output = "head";
  TensorStore weights;
  weights.put("w", numbers({4, 3, 3, 3}));
  weights.put("v", numbers({4, 4, 1, 1}));
  weights.put("u", numbers({5, 256}));

  const auto counted = graph::multiply_adds(network).value();
  const std::int64_t total = std::accumulate(counted.begin(), counted.end(), std::int64_t{0});
  const auto sum = [](const std::vector<cost::LayerShape>& shapes, auto what) {
    return std::accumulate(shapes.begin(), shapes.end(), std::int64_t{0},
                           [&](std::int64_t before, const cost::LayerShape& s) { return before + what(s); });
  };
  const auto adds = [](const cost::LayerShape& s) { return s.multiply_adds(); };
  const auto bytes = [](const cost::LayerShape& s) { return s.weight_bytes(); };

  const auto real = compress::layer_shapes(quant::lower(network, weights).value(), 3).value();
  CHECK(sum(real, adds) == 3 * total);
  CHECK(sum(real, bytes) == 4 * (4 * 27 + 16 + 5 * 256));
  CHECK(real.front().kind == cost::LayerKind::movement); // the image, to channels last
  CHECK(real.front().moved_bytes == 3 * 2 * 4 * 192);
  CHECK(real[1].kernel == std::array<std::int64_t, 2>{3, 3});
  CHECK_FALSE(real[1].residual);
  CHECK(real[2].residual);

  quant::NetworkQuantization quantization;
  const quant::Parameters codes{DType::uint8, 0.05f, 0, false};
  for (const char* value : {"relu", "sum", "flat"}) quantization.activations.emplace(value, codes);
  quantization.activations.emplace(graph::network_input, codes);
  for (const auto& [layer, name] : {std::pair("conv", "w"), std::pair("second", "v"), std::pair("head", "u")})
    quantization.weights.emplace(layer, quant::quantize(weights.find(name).value(), {}).value());
  const auto integer = compress::layer_shapes(quant::lower(network, weights, quantization).value(), 3).value();
  CHECK(sum(integer, adds) == 3 * total);
  CHECK(sum(integer, bytes) == 4 * 27 + 16 + 5 * 256);
  CHECK(integer[1].weights == DType::int8);
  CHECK(integer[1].input == DType::uint8);
  CHECK(integer[1].output == DType::uint8);
  CHECK(integer.back().output == DType::f32);
  CHECK(compress::layer_shapes(quant::lower(network, weights).value(), 0).error().code() ==
        ErrorCode::invalid_argument);
}
