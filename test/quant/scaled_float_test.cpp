#include "catch.hpp"

#include <cmath>
#include <vector>

#include "mcomp/quant/scaled_float.hpp"

using namespace mcomp;
using namespace mcomp::quant;

namespace {
std::vector<float> floats(const Tensor& t) {
  const auto v = t.values<float>("floats").value();
  return {v.begin(), v.end()};
}
} // namespace

TEST_CASE("the largest weight of every group gets the largest code") {
  const Tensor weight = Tensor::from(std::vector<float>{896, -1, 2, 0.5f, 3, 448}, Shape{2, 3}).value();
  const auto tensor = quantize_scaled_float(weight, {.granularity = Granularity::per_tensor}).value();
  CHECK(floats(tensor.scales) == std::vector<float>{2});
  const auto channel = quantize_scaled_float(weight).value();
  CHECK(floats(channel.scales) == std::vector<float>{2, 1});
  CHECK(floats(dequantize(channel).value()) == std::vector<float>{896, -1, 2, 0.5f, 3, 448});
  const auto block =
      quantize_scaled_float(weight, {.granularity = Granularity::per_block, .group_size = 2, .group_rows = 2}).value();
  CHECK(floats(block.scales) == std::vector<float>{2, 1});
  CHECK(block.scales.shape() == Shape{1, 2});
  CHECK(floats(dequantize(block).value()) == std::vector<float>{896, -1, 2, 0.5f, 3, 448});
  CHECK(block.stored_bytes() == 6 + 8);
}

TEST_CASE("values are the nearest of E4M3 and E5M2 under their scale") {
  const Tensor weight = Tensor::from(std::vector<float>{57344, 1.1f, 1.13f, -3.3f}, Shape{1, 4}).value();
  // E5M2 between 1 and 2: steps of .25.
  CHECK(floats(dequantize(quantize_scaled_float(weight, {.element = e5m2}).value()).value()) ==
        std::vector<float>{57344, 1, 1.25f, -3.5f});
}

TEST_CASE("a group of zeros and of denormals has a scale that divides") {
  const Tensor weight = Tensor::from(std::vector<float>{0, 0, 1e-44f, -1e-44f}, Shape{2, 2}).value();
  const auto q = quantize_scaled_float(weight).value();
  CHECK(floats(q.scales)[0] == 1.0f);
  for (const float v : floats(dequantize(q).value())) CHECK(std::isfinite(v));
}

TEST_CASE("what has no scale is an error") {
  const auto code = [](const auto& result) { return result.error().code(); }; // which throws where there is no error
  CHECK(code(quantize_scaled_float(Tensor::from(std::vector<float>{std::nanf("")}, Shape{1, 1}).value())) ==
        ErrorCode::invalid_value);
  CHECK(code(quantize_scaled_float(Tensor::zeros(DType::int8, {1, 1}).value())) == ErrorCode::invalid_dtype);
  CHECK(code(quantize_scaled_float(Tensor::zeros(DType::f32, {1, 0}).value())) == ErrorCode::invalid_shape);
  CHECK(code(quantize_scaled_float(Tensor::zeros(DType::f32, {1, 4}).value(),
                                   {.granularity = Granularity::per_group})) == ErrorCode::invalid_argument);
  auto q = quantize_scaled_float(Tensor::zeros(DType::f32, {2, 2}).value()).value();
  q.scales = Tensor::zeros(DType::f32, {1, 2}).value();
  CHECK(code(dequantize(q)) == ErrorCode::invalid_shape);
}
