#include "mcomp/quant/fake_quantize.hpp"

#include <cmath>

#include "catch.hpp"

using namespace mcomp;
using namespace mcomp::quant;

namespace {
Tensor tensor(std::vector<float> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  return Tensor::from(values, {n}).value();
}
} // namespace

TEST_CASE("fake quantization is quantize then dequantize") {
  const Parameters p{DType::int8, 0.5f, 0, true};
  CHECK(fake_quantize(tensor({0.2f, 0.3f, -0.75f, 100, -100}), p).value() == tensor({0, 0.5f, -1, 63.5f, -63.5f}));
}

TEST_CASE("the input gradient passes inside the codes and stops where clipped") {
  const Parameters p{DType::uint8, 0.1f, 10, false};
  // codes 0..255 cover [-1, 24.5]
  const auto g = fake_quantize_gradient(tensor({-1.2f, -0.9f, 0, 24.4f, 24.7f}), tensor({1, 2, 3, 4, 5}), p).value();
  CHECK(g.input == tensor({0, 2, 3, 4, 0}));
}

TEST_CASE("the scale gradient is that of learned step size quantization") {
  // Esser et al. 2020, equation 3, with int8 symmetric codes: inside round(v) - v, outside -127 or 127.
  const Parameters p{DType::int8, 0.5f, 0, true};
  const Tensor x = tensor({0.6f, -0.3f, 100, -100}), upstream = tensor({1, 10, 100, 1000});
  const double v0 = 1.2, v1 = -0.6;
  const double expected = (1 - v0) + 10 * (-1 - v1) + 100 * 127 - 1000 * 127;
  CHECK(fake_quantize_gradient(x, upstream, p, false).value().scale == Approx(expected).epsilon(1e-6));
  CHECK(fake_quantize_gradient(x, upstream, p, true).value().scale ==
        Approx(expected / std::sqrt(4.0 * 127)).epsilon(1e-6));
}

TEST_CASE("where everything is clipped the scale gradient is the true derivative") {
  const Tensor x = tensor({10, -20, 30}), upstream = tensor({0.5f, -1, 2});
  const auto loss = [&](float scale) {
    const Tensor y = fake_quantize(x, {DType::int4, scale, 0, true}).value();
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i)
      sum += static_cast<double>(y.values<float>("y").value()[i]) *
             static_cast<double>(upstream.values<float>("u").value()[i]);
    return sum;
  };
  const double numeric = (loss(0.51f) - loss(0.49f)) / static_cast<double>(0.51f - 0.49f);
  CHECK(fake_quantize_gradient(x, upstream, {DType::int4, 0.5f, 0, true}, false).value().scale ==
        Approx(numeric).epsilon(1e-4));
}

TEST_CASE("gradients of mismatched shapes are refused") {
  CHECK(fake_quantize_gradient(tensor({1, 2}), tensor({1}), {}).error().code() == ErrorCode::invalid_shape);
  CHECK(fake_quantize(Tensor::zeros(DType::f16, {2}).value(), {}).error().code() == ErrorCode::invalid_dtype);
  CHECK(fake_quantize_gradient(tensor({1}), tensor({1}), {.dtype = DType::int32}).error().code() ==
        ErrorCode::invalid_dtype);
}
