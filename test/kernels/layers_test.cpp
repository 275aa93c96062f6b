#include "mcomp/kernels/layers.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/cpu.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/kernels/reference.hpp"

using namespace mcomp;
using namespace mcomp::kernels;
using graph::ActivationKind;
using graph::Convolution;
using quant::Parameters;

namespace {

bool can_execute() {
  const Status status = require_execution();
  if (!status) WARN(status.error().what());
  return status.has_value();
}

Tensor normals(Random& random, Shape shape) {
  Tensor t = Tensor::zeros(DType::f32, std::move(shape)).value();
  for (float& x : t.mutable_values<float>()) x = static_cast<float>(random.normal());
  return t;
}

/// Codes over the whole range, extremes among them, so that any saturation shows.
Tensor codes(Random& random, DType dtype, Shape shape) {
  Tensor t = Tensor::zeros(dtype, std::move(shape)).value();
  auto* bytes = static_cast<std::uint8_t*>(t.data());
  for (std::int64_t i = 0; i < t.elements(); ++i) {
    const auto extreme = static_cast<std::uint8_t>(dtype == DType::uint8 ? 255 : 128);
    bytes[i] = random.below(2) == 0 ? extreme : static_cast<std::uint8_t>(random.below(256));
  }
  return t;
}

/// Weights whose codes are mostly the extremes of one sign per channel.
quant::QuantizedTensor extreme_weights(Random& random, Shape shape) {
  Tensor w = Tensor::zeros(DType::f32, shape).value();
  auto values = w.mutable_values<float>();
  const std::size_t depth = values.size() / static_cast<std::size_t>(shape[0]);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double sign = (i / depth) % 2 == 0 ? 1 : -1;
    values[i] = static_cast<float>(random.below(3) == 0 ? random.uniform() * 2 - 1 : sign);
  }
  values[0] = 1;
  return quant::quantize(w, {}).value();
}

struct ConvCase {
  Convolution geometry;
  std::int64_t in, height, width;
};

const std::vector<ConvCase> convolutions{
    {{.out_channels = 16, .kernel = {3, 3}, .padding = {1, 1}}, 16, 8, 9},
    {{.out_channels = 24, .kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}}, 3, 9, 9},
    {{.out_channels = 10, .kernel = {1, 1}, .stride = {2, 1}}, 7, 5, 6},
    {{.out_channels = 8, .kernel = {5, 3}, .stride = {1, 2}, .padding = {2, 0}, .groups = 2}, 6, 8, 7},
    {{.out_channels = 16, .kernel = {3, 3}, .padding = {1, 1}, .groups = 16}, 16, 6, 6},
    {{.out_channels = 5, .kernel = {2, 2}, .stride = {3, 3}, .padding = {1, 1}}, 64, 8, 8},
};

} // namespace

TEST_CASE("the processor level that a run is held to is the one that oneDNN reports") {
  const char* expected = std::getenv("MCOMP_EXPECTED_ISA");
  if (!expected || !can_execute()) return;
  const std::string isa = capabilities().instruction_set;
  if (std::string(expected).find("AVX-512") == 0 && !cpu_features().avx512)
    return mcomp_test::skip("no AVX-512 on this processor");
  if (std::string(expected) == "AVX-512 VNNI" && !cpu_features().avx512_vnni)
    return mcomp_test::skip("no VNNI on this processor");
  CHECK(isa == expected);
}

TEST_CASE("int8 convolutions add exactly as the scalar reference does") {
  if (!can_execute()) return;
  Random random(1);
  for (const ConvCase& c : convolutions)
    for (const Parameters& input : {Parameters{DType::uint8, 0.1f, 0, false}, Parameters{DType::uint8, 0.1f, 77, false},
                                    Parameters{DType::int8, 0.1f, 0, true}, Parameters{DType::int8, 0.1f, -9, false}}) {
      INFO(c.in << " -> " << c.geometry.out_channels << ", kernel " << c.geometry.kernel[0] << ", "
                << fmt::format("{}", input));
      const auto weight = extreme_weights(
          random, {c.geometry.out_channels, c.in / c.geometry.groups, c.geometry.kernel[0], c.geometry.kernel[1]});
      const Conv2d layer =
          Conv2d::create_int8(weight, {},
                              {.geometry = c.geometry, .height = c.height, .width = c.width, .input = input})
              .value();
      for (const std::int64_t samples : {1, 3}) {
        const Tensor x = codes(random, input.dtype, {samples, c.height, c.width, c.in});
        CHECK(layer.accumulate(x).value() ==
              reference::convolution(x, input.zero_point, weight.codes, c.geometry).value());
        CHECK(layer.accumulate(x, {.threads = 2}).value() == layer.accumulate(x).value());
      }
    }
}

TEST_CASE("int8 linear layers add exactly as the scalar reference does") {
  if (!can_execute()) return;
  Random random(2);
  for (const auto& [in, out] : {std::pair{64, 10}, std::pair{1, 1}, std::pair{1000, 33}, std::pair{257, 64}})
    for (const Parameters& input :
         {Parameters{DType::uint8, 0.1f, 0, false}, Parameters{DType::uint8, 0.1f, 200, false},
          Parameters{DType::int8, 0.1f, 0, true}}) {
      const auto weight = extreme_weights(random, {out, in});
      const Linear layer = Linear::create_int8(weight, {}, {.input = input}).value();
      for (const std::int64_t samples : {1, 5}) {
        const Tensor x = codes(random, input.dtype, {samples, in});
        CHECK(layer.accumulate(x).value() == reference::linear(x, input.zero_point, weight.codes).value());
      }
    }
}

TEST_CASE("scaling, bias, residual, activation and rounding follow the documented order") {
  if (!can_execute()) return;
  Random random(3);
  const ConvCase& c = convolutions[0];
  const Parameters input{DType::uint8, 0.02f, 3, false}, sum{DType::uint8, 0.05f, 100, false},
      output{DType::uint8, 0.04f, 20, false};
  const auto weight = quant::quantize(normals(random, {16, 16, 3, 3}), {}).value();
  const Tensor bias = normals(random, {16});
  const auto biases = bias.values<float>("b").value();
  const auto scales = weight.scales.values<float>("s").value();
  const Tensor x = codes(random, DType::uint8, {2, 8, 9, 16});
  const Tensor accumulators = reference::convolution(x, 3, weight.codes, c.geometry).value();
  const auto sums = accumulators.values<std::int32_t>("a").value();
  const Tensor residual_f32 = normals(random, {2, 8, 9, 16}),
               residual_codes = codes(random, DType::uint8, {2, 8, 9, 16});
  for (const auto activation :
       {std::optional<ActivationKind>(), std::optional(ActivationKind::relu), std::optional(ActivationKind::relu6)})
    for (const int residual : {0, 1, 2})
      for (const bool quantized : {false, true}) {
        Conv2dOptions options{.geometry = c.geometry,
                              .height = 8,
                              .width = 9,
                              .input = input,
                              .activation = activation,
                              .residual = residual > 0};
        if (residual == 2) options.residual_codes = sum;
        if (quantized) options.output = output;
        const Conv2d layer = Conv2d::create_int8(weight, bias, options).value();
        const Tensor y =
            layer.run(x, residual == 0   ? TensorView()
                         : residual == 1 ? residual_f32.view()
                                         : residual_codes.view())
                .value();
        const Tensor values = to_f32(y, "y").value();
        const auto result = values.values<float>("y").value();
        for (std::size_t i = 0; i < sums.size(); ++i) {
          float v = static_cast<float>(sums[i]) * (input.scale * scales[i % 16]);
          v = v + biases[i % 16];
          if (residual == 1) v = v + residual_f32.values<float>("r").value()[i];
          if (residual == 2) v = v + quant::dequantize_value(residual_codes.values<std::uint8_t>("r").value()[i], sum);
          if (activation) v = graph::activate(*activation, v);
          const float expected = quantized ? static_cast<float>(quant::quantize_value(v, output)) : v;
          if (result[i] != expected) FAIL("element " << i << ": " << result[i] << " against " << expected);
        }
      }
}

TEST_CASE("f32 layers agree with a plain sum") {
  if (!can_execute()) return;
  Random random(4);
  const Tensor w = normals(random, {6, 40}), b = normals(random, {6}), x = normals(random, {3, 40}),
               r = normals(random, {3, 6});
  const Linear layer = Linear::create_f32(w, b, {.activation = ActivationKind::relu, .residual = true}).value();
  const Tensor y = layer.run(x, r).value();
  for (std::size_t n = 0; n < 3; ++n)
    for (std::size_t o = 0; o < 6; ++o) {
      double sum = static_cast<double>(b.values<float>("b").value()[o] + r.values<float>("r").value()[n * 6 + o]);
      for (std::size_t k = 0; k < 40; ++k)
        sum += static_cast<double>(w.values<float>("w").value()[o * 40 + k]) *
               static_cast<double>(x.values<float>("x").value()[n * 40 + k]);
      CHECK(static_cast<double>(y.values<float>("y").value()[n * 6 + o]) == Approx(std::max(sum, 0.0)).margin(1e-4));
    }
  CHECK_FALSE(layer.accumulate(x));
  CHECK_FALSE(layer.implementation(3).value().empty());
}

TEST_CASE("a layer that runs into memory of its own gives the same numbers and allocates the output once") {
  if (!can_execute()) return;
  Random random(8);
  const Parameters input{DType::uint8, 0.02f, 3, false}, output{DType::uint8, 0.4f, 0, false};
  const Tensor bias = normals(random, {16});
  const Conv2d conv = Conv2d::create_int8(extreme_weights(random, {16, 16, 3, 3}), bias,
                                          {.geometry = convolutions[0].geometry,
                                           .height = 8,
                                           .width = 9,
                                           .input = input,
                                           .activation = ActivationKind::relu,
                                           .output = output})
                          .value();
  const Linear linear = Linear::create_f32(normals(random, {12, 40}), Tensor(), {}).value();
  Workspace workspace;
  Tensor y, z;
  for (const std::int64_t samples : {3, 1, 3}) {
    const Tensor x = codes(random, DType::uint8, {samples, 8, 9, 16}), v = normals(random, {samples, 40});
    REQUIRE(conv.run(x, y, workspace));
    const void* memory = y.data();
    REQUIRE(conv.run(x, y, workspace));
    CHECK(y.data() == memory);
    REQUIRE(linear.run(v, z, workspace));
    const Tensor expected = conv.run(x).value(), sums = linear.run(v).value();
    REQUIRE(y.shape() == expected.shape());
    CHECK(std::memcmp(y.data(), expected.data(), static_cast<std::size_t>(y.bytes())) == 0);
    CHECK(std::memcmp(z.data(), sums.data(), static_cast<std::size_t>(z.bytes())) == 0);
  }
  CHECK(conv.run(normals(random, {1, 8, 9, 16}), y, workspace).error().code() == ErrorCode::invalid_dtype);
  Workspace other = std::move(workspace);
  CHECK(linear.run(normals(random, {1, 40}), z, other));
}

#ifdef __linux__
TEST_CASE("a call that may use one thread starts no other") {
  if (!can_execute()) return;
  if (!capabilities().bounds_threads) {
    WARN("skipped: this build cannot bound oneDNN's threads");
    return;
  }
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
  };
  Random random(9);
  const auto before = threads();
  const Conv2d conv =
      Conv2d::create_f32(
          normals(random, {64, 64, 3, 3}), Tensor(),
          {.geometry = {.out_channels = 64, .kernel = {3, 3}, .padding = {1, 1}}, .height = 32, .width = 32})
          .value();
  for (const std::int64_t samples : {1, 4}) REQUIRE(conv.run(normals(random, {samples, 32, 32, 64})));
  CHECK(threads() == before);
}
#endif

TEST_CASE("wrong layers and wrong samples are errors that name what is wrong") {
  Random random(5);
  const auto weight = quant::quantize(normals(random, {4, 2, 3, 3}), {}).value();
  const auto refused = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  const Convolution geometry{.out_channels = 4, .kernel = {3, 3}};
  const Conv2dOptions good{.geometry = geometry, .height = 5, .width = 5};
  const auto with = [&](auto change) {
    Conv2dOptions options = good;
    change(options);
    return Conv2d::create_int8(weight, {}, options);
  };
  refused(with([](auto& o) { o.height = 2; }));
  refused(with([](auto& o) { o.geometry.groups = 0; }));
  refused(with([](auto& o) { o.geometry.out_channels = 5; }));
  refused(with([](auto& o) { o.geometry.stride = {0, 1}; }));
  refused(with([](auto& o) { o.activation = ActivationKind::gelu; }));
  refused(with([](auto& o) { o.input.dtype = DType::int16; }));
  refused(with([](auto& o) { o.input.scale = 0; }));
  refused(with([](auto& o) { o.output = Parameters{DType::int8, 1, 0, true}; }));
  refused(with([](auto& o) { o.output = Parameters{DType::uint8, 1, 256, false}; }));
  refused(Conv2d::create_int8(weight, normals(random, {3}), good));
  refused(Conv2d::create_int8(quant::quantize(normals(random, {4, 18}), {}).value(), {}, good));
  refused(Linear::create_int8(weight, {}, {}));
  refused(Linear::create_int8(quant::quantize(normals(random, {2, 70000}), {}).value(), {}, {}));
  Tensor bad = normals(random, {4, 2, 3, 3});
  bad.mutable_values<float>()[3] = NAN;
  refused(Conv2d::create_f32(bad, {}, good));
  refused(reference::linear(normals(random, {1, 2}), 0, weight.codes));
  refused(reference::convolution(Tensor::zeros(DType::uint8, {1, 5, 5, 3}).value(), 0, weight.codes, geometry));
  if (!can_execute()) return;
  const Conv2d layer = Conv2d::create_int8(weight, {}, good).value();
  refused(layer.run(Tensor::zeros(DType::int8, {1, 5, 5, 2}).value()));
  refused(layer.run(Tensor::zeros(DType::uint8, {1, 5, 5, 3}).value()));
  refused(layer.run(Tensor::zeros(DType::uint8, {0, 5, 5, 2}).value()));
  refused(layer.run(Tensor::zeros(DType::uint8, {5, 5, 2}).value()));
  const Conv2d adding = with([](auto& o) { o.residual = true; }).value();
  refused(adding.run(Tensor::zeros(DType::uint8, {1, 5, 5, 2}).value()));
  refused(
      adding.run(Tensor::zeros(DType::uint8, {1, 5, 5, 2}).value(), Tensor::zeros(DType::f32, {1, 3, 3, 5}).value()));
}
