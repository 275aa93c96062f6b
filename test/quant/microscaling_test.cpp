#include "catch.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "mcomp/core/random.hpp"
#include "mcomp/quant/microscaling.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using namespace mcomp::quant::microscaling;

namespace {
Tensor row(std::vector<float> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  return Tensor::from(values, Shape{1, n}).value();
}
std::vector<std::uint8_t> bytes(const Tensor& t) {
  const auto v = t.values<std::uint8_t>("bytes").value();
  return {v.begin(), v.end()};
}
std::vector<float> floats(const Tensor& t) {
  const auto v = t.values<float>("floats").value();
  return {v.begin(), v.end()};
}
Tensor random_weight(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Tensor t = Tensor::zeros(DType::f32, {rows, columns}).value();
  Random random(seed);
  for (float& w : t.mutable_values<float>()) w = static_cast<float>(random.normal() * std::exp(random.normal()));
  return t;
}
double squared_error(const Tensor& a, const Tensor& b) {
  const auto x = floats(a), y = floats(b);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(static_cast<double>(x[i]) - static_cast<double>(y[i]), 2);
  return sum;
}
} // namespace

TEST_CASE("MXFP4 by the floor rule follows section 6.3 of the specification") {
  // Largest 7.5: exponent 2, minus 2 of E2M1: scale 2^0, code 127. 7.5 saturates to 6.
  const auto q =
      quantize_microscaled(row({7.5f, -3.1f, 0.2f, 0.0f}), {.format = mxfp4, .rule = ScaleRule::floor}).value();
  CHECK(bytes(q.scales) == std::vector<std::uint8_t>{127});
  CHECK(floats(dequantize(q).value()) == std::vector<float>{6, -3, 0, 0});
  // compressed-tensors: the mantissa of 7.5 is 1.875, so the exponent goes up: scale 2^1; 7.5 / 2 = 3.75 -> 4.
  const auto up =
      quantize_microscaled(row({7.5f, -3.1f, 0.2f, 0.0f}), {.format = mxfp4, .rule = ScaleRule::round}).value();
  CHECK(bytes(up.scales) == std::vector<std::uint8_t>{128});
  CHECK(floats(dequantize(up).value()) == std::vector<float>{8, -3, 0, 0});
  // 6.9 = 1.725 x 4 stays.
  const auto down = quantize_microscaled(row({6.9f}), {.format = mxfp4, .rule = ScaleRule::round}).value();
  CHECK(bytes(down.scales) == std::vector<std::uint8_t>{127});
}

TEST_CASE("MXFP8 subtracts the highest exponent of its element") {
  // 300: exponent 8, minus 8 of E4M3: 2^0; 300 lies between 288 and 320, nearer to 288.
  const auto e4 = quantize_microscaled(row({300.0f, 1.0f}), {.format = mxfp8_e4m3, .rule = ScaleRule::floor}).value();
  CHECK(bytes(e4.scales) == std::vector<std::uint8_t>{127});
  CHECK(floats(dequantize(e4).value()) == std::vector<float>{288, 1});
  // minus 15 of E5M2: 2^-7; 300 * 128 = 38400 -> 40960 (step 8192 from 32768: 38400 is nearer to 40960).
  const auto e5 = quantize_microscaled(row({300.0f, 1.0f}), {.format = mxfp8_e5m2, .rule = ScaleRule::floor}).value();
  CHECK(bytes(e5.scales) == std::vector<std::uint8_t>{120});
  CHECK(floats(dequantize(e5).value()) == std::vector<float>{320, 1});
}

TEST_CASE("NVFP4 scales its E4M3 scales by 448 * 6 / largest") {
  std::vector<float> values(32, 0.0f);
  values[0] = 12.0f;  // group 0 holds the largest: local scale 448, its step 12 / 6 = 2
  values[1] = -5.0f;  // -2.5 steps: a tie between 2 and 3, to the even mantissa of 2
  values[16] = 0.75f; // group 1: 224 * 0.75 / 6 = 28 exactly; 28 / 224 = .125, six of them are .75
  values[17] = 0.25f;
  const auto q = quantize_microscaled(row(values), {.format = nvfp4, .rule = ScaleRule::floor}).value();
  CHECK(q.global_scale == 224.0f);
  CHECK(bytes(q.scales) == std::vector<std::uint8_t>{encode(e4m3, 448.0f), encode(e4m3, 28.0f)});
  const auto back = floats(dequantize(q).value());
  CHECK(back[0] == 12.0f);
  CHECK(back[1] == -4.0f);
  CHECK(back[16] == 0.75f);
  CHECK(back[17] == 0.25f);
  CHECK(q.stored_bytes() == 16 + 2 + 4);
  // Layers that share a scale are given it.
  const auto shared =
      quantize_microscaled(row({1.0f}), {.format = nvfp4, .rule = ScaleRule::floor, .global_scale = 2.0f}).value();
  CHECK(shared.global_scale == 2.0f);
}

TEST_CASE("every value is the nearest that its group's scale offers") {
  const Tensor weight = random_weight(4, 80, 7);
  const auto w = floats(weight);
  for (const Microscaling& format : {mxfp4, mxfp6_e2m3, mxfp6_e3m2, mxfp8_e4m3, mxfp8_e5m2, nvfp4}) {
    const auto q = quantize_microscaled(weight, {.format = format}).value();
    const auto back = floats(dequantize(q).value());
    const auto scales = bytes(q.scales);
    const std::size_t size = static_cast<std::size_t>(format.group_size), groups = (80 + size - 1) / size;
    REQUIRE(scales.size() == 4 * groups);
    int farther = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const float scale = scale_value(format, scales[i / 80 * groups + i % 80 / size], q.global_scale);
      const double distance = std::fabs(static_cast<double>(back[i]) - static_cast<double>(w[i]));
      for (int code = 0; code < 1 << format.element.bits(); ++code) {
        const float other = decode(format.element, static_cast<std::uint8_t>(code)) * scale;
        // One rounding of w / scale may hide a tie.
        if (std::isfinite(other) &&
            std::fabs(static_cast<double>(other) - static_cast<double>(w[i])) < distance * (1 - 1e-6))
          ++farther;
      }
    }
    INFO(to_string(format));
    CHECK(farther == 0);
  }
}

TEST_CASE("the rule of minimum error is never worse than the others, and usually better") {
  for (const Microscaling& format : {mxfp4, mxfp8_e4m3, nvfp4}) {
    const Tensor weight = random_weight(16, 256, 11);
    const auto error = [&](ScaleRule rule) {
      return squared_error(weight,
                           dequantize(quantize_microscaled(weight, {.format = format, .rule = rule}).value()).value());
    };
    INFO(to_string(format));
    CHECK(error(ScaleRule::minimum_error) < error(ScaleRule::floor));
    CHECK(error(ScaleRule::minimum_error) <= error(ScaleRule::round));
  }
}

TEST_CASE("importance moves the scale towards the weights that matter") {
  // A scale that represents the large weight exactly, or the many small ones; which, is decided by importance.
  std::vector<float> values(32, 0.26f), first_matters(32, 0.001f), others_matter(32, 1.0f);
  values[0] = 6.0f;
  first_matters[0] = 1e3f;
  others_matter[0] = 0.0f;
  const Tensor weight = row(values), a = row(first_matters), b = row(others_matter);
  const auto flat = [](const Tensor& t) { return TensorView(t.data(), DType::f32, Shape{32}); };
  const auto with_first = floats(dequantize(quantize_microscaled(weight, {.importance = flat(a)}).value()).value());
  const auto with_others = floats(dequantize(quantize_microscaled(weight, {.importance = flat(b)}).value()).value());
  CHECK(with_first[0] == 6.0f);
  CHECK(std::fabs(with_others[1] - 0.26f) < std::fabs(with_first[1] - 0.26f));
}

TEST_CASE("zeros, denormals and huge numbers have defined results") {
  for (const Microscaling& format : {mxfp4, mxfp8_e4m3, nvfp4})
    for (const ScaleRule rule : {ScaleRule::floor, ScaleRule::round, ScaleRule::minimum_error}) {
      for (const float x : {0.0f, 1e-45f, -1e-40f, std::numeric_limits<float>::max()}) {
        const auto q = quantize_microscaled(row({x, 0.0f, x}), {.format = format, .rule = rule}).value();
        for (const float v : floats(dequantize(q).value())) CHECK(std::isfinite(v));
        CHECK(floats(dequantize(q).value())[1] == 0.0f);
      }
      const auto zeros =
          quantize_microscaled(row(std::vector<float>(33, 0.0f)), {.format = format, .rule = rule}).value();
      for (const float v : floats(dequantize(zeros).value())) CHECK(v == 0.0f);
    }
}

TEST_CASE("what cannot be quantized by microscaling is an error with its subject") {
  const Tensor weight = row({1, 2, 3});
  const auto code = [](const auto& result) { return result.error().code(); }; // which throws where there is no error
  CHECK(code(quantize_microscaled(row({1, std::nanf("")}))) == ErrorCode::invalid_value);
  CHECK(code(quantize_microscaled(row({std::numeric_limits<float>::infinity()}))) == ErrorCode::invalid_value);
  CHECK(code(quantize_microscaled(Tensor::zeros(DType::f32, {2, 0}).value())) == ErrorCode::invalid_shape);
  CHECK(code(quantize_microscaled(Tensor::zeros(DType::int8, {2, 2}).value())) == ErrorCode::invalid_dtype);
  CHECK(code(quantize_microscaled(weight, {.format = {e2m1, ScaleType::e8m0, 0}})) == ErrorCode::invalid_argument);
  CHECK(code(quantize_microscaled(weight, {.format = mxfp4, .global_scale = 1})) == ErrorCode::invalid_argument);
  CHECK(code(quantize_microscaled(weight, {.format = nvfp4, .global_scale = -1})) == ErrorCode::invalid_argument);
  const std::vector<float> two{1, 1}, negative{1, -1, 1};
  CHECK(code(quantize_microscaled(weight, {.importance = TensorView(two.data(), DType::f32, Shape{2})})) ==
        ErrorCode::invalid_shape);
  CHECK(code(quantize_microscaled(weight, {.importance = TensorView(negative.data(), DType::f32, Shape{3})})) ==
        ErrorCode::invalid_value);
  auto q = quantize_microscaled(weight).value();
  q.scales = Tensor::zeros(DType::uint8, {1, 2}).value();
  CHECK(code(dequantize(q)) == ErrorCode::invalid_shape);
}
