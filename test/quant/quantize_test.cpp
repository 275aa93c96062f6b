#include "mcomp/quant/quantize.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::quant;

namespace {

Tensor tensor(std::vector<float> values, Shape shape) {
  return Tensor::from(values, std::move(shape)).value();
}

std::vector<int> codes_of(const QuantizedTensor& q) {
  const Tensor f = to_f32(q.codes, "codes").value();
  const auto v = f.values<float>("codes").value();
  return {v.begin(), v.end()};
}

const std::vector<Scheme> schemes{
    {.dtype = DType::int8, .symmetric = true, .granularity = Granularity::per_tensor},
    {.dtype = DType::int8, .symmetric = true, .granularity = Granularity::per_channel},
    {.dtype = DType::int8, .symmetric = false, .granularity = Granularity::per_channel},
    {.dtype = DType::uint8, .symmetric = false, .granularity = Granularity::per_channel},
    {.dtype = DType::uint8, .symmetric = true, .granularity = Granularity::per_group, .group_size = 8},
    {.dtype = DType::int4, .symmetric = true, .granularity = Granularity::per_group, .group_size = 32},
    {.dtype = DType::uint4, .symmetric = false, .granularity = Granularity::per_group, .group_size = 7},
    {.dtype = DType::int2, .symmetric = true, .granularity = Granularity::per_group, .group_size = 16},
    {.dtype = DType::uint2, .symmetric = false, .granularity = Granularity::per_channel},
    {.dtype = DType::int3, .symmetric = true, .granularity = Granularity::per_group, .group_size = 32},
    {.dtype = DType::uint3, .symmetric = false, .granularity = Granularity::per_group, .group_size = 9},
    {.dtype = DType::uint4, .granularity = Granularity::per_group, .group_size = 8, .full_range = true},
    {.dtype = DType::int5, .symmetric = false, .granularity = Granularity::per_channel},
    {.dtype = DType::uint6, .symmetric = true, .granularity = Granularity::per_tensor},
    {.dtype = DType::int7, .symmetric = true, .granularity = Granularity::per_channel},
    {.dtype = DType::int8, .granularity = Granularity::per_block, .group_size = 16, .group_rows = 4},
    {.dtype = DType::uint3,
     .symmetric = false,
     .granularity = Granularity::per_block,
     .group_size = 7,
     .group_rows = 5},
};

} // namespace

TEST_CASE("symmetric int8 per channel is what a reader computes by hand") {
  const auto q = quantize(tensor({1.27f, -0.635f, 0.005f, 0, 2.54f, 0.03f}, {2, 3}), {}).value();
  // scales 0.01 and 0.02; -63.5 rounds to even -64, 0.5 and 1.5 likewise
  CHECK(codes_of(q) == std::vector<int>{127, -64, 0, 0, 127, 2});
  CHECK(q.scales.values<float>("s").value()[0] == Approx(0.01));
  CHECK(q.scales.shape() == Shape{2, 1});
  CHECK(q.stored_bytes() == 6 + 8);
  CHECK(fmt::format("{}", q.scheme) == "int8 symmetric per channel");
}

TEST_CASE("affine codes keep zero exact and cover the range") {
  const auto q = quantize(tensor({-1, 0, 2.1f, 3}, {1, 4}), {.dtype = DType::uint4, .symmetric = false}).value();
  // scale 4/15, zero point round(3.75) = 4, 2.1 is 7.875 steps
  CHECK(codes_of(q) == std::vector<int>{0, 4, 12, 15});
  CHECK(q.zero_points.values<std::int32_t>("z").value()[0] == 4);
  const Tensor back = dequantize(q).value();
  CHECK(back.values<float>("b").value()[1] == 0);
}

TEST_CASE("no number is further from its code than half a step, in every scheme") {
  Random random(5);
  Tensor w = Tensor::zeros(DType::f32, {6, 5, 3, 3}).value();
  for (float& x : w.mutable_values<float>()) x = static_cast<float>(random.normal());
  ThreadPool pool(2);
  for (const Scheme& scheme : schemes) {
    INFO(fmt::format("{}", scheme));
    const QuantizedTensor q = quantize(w, scheme).value();
    CHECK(quantize(w, scheme, {.executor = &pool}).value().codes == q.codes);
    const Tensor back = dequantize(q).value();
    const auto a = w.values<float>("a").value(), b = back.values<float>("b").value();
    const auto scales = q.scales.values<float>("s").value();
    const std::size_t columns = scheme.granularity == Granularity::per_tensor ? 270 : 45;
    const std::size_t size =
        scheme.group_size > 0 ? std::min<std::size_t>(static_cast<std::size_t>(scheme.group_size), columns) : columns;
    const std::size_t groups = (columns + size - 1) / size;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::size_t rows =
          scheme.granularity == Granularity::per_block ? static_cast<std::size_t>(scheme.group_rows) : 1;
      const float step = scales[i / columns / rows * groups + i % columns / size];
      // affine zero points are rounded, so an extreme value may be clipped by up to half a step more
      const double bound = (scheme.symmetric ? 0.5001 : 1.0001) * static_cast<double>(step);
      if (!(std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) <= bound))
        FAIL("element " << i << " of step " << step);
    }
    const Tensor packed = pack_codes(q).value();
    CHECK(unpack_codes(packed).value() == q.codes);
    CHECK(packed.bytes() == (270 * bit_width(scheme.dtype) + 7) / 8);
  }
}

TEST_CASE("quantizing what was quantized changes nothing") {
  Random random(6);
  Tensor w = Tensor::zeros(DType::f32, {3, 64}).value();
  for (float& x : w.mutable_values<float>()) x = static_cast<float>(random.normal());
  const auto once = quantize(w, {}).value();
  const auto twice = quantize(dequantize(once).value(), {}).value();
  CHECK(once.codes == twice.codes);
}

TEST_CASE("zero, equal and denormal groups have their documented results") {
  for (const Scheme& scheme : schemes) {
    INFO(fmt::format("{}", scheme));
    const auto zeros = quantize(tensor(std::vector<float>(16, 0.0f), {2, 8}), scheme).value();
    CHECK(dequantize(zeros).value() == tensor(std::vector<float>(16, 0.0f), {2, 8}));
    CHECK(zeros.scales.values<float>("s").value()[0] == 1);
    for (const float value : {3.7f, -0.1f, 1e38f, -3e38f}) {
      const auto equal = quantize(tensor(std::vector<float>(16, value), {2, 8}), scheme).value();
      const Tensor back = dequantize(equal).value();
      for (const float x : back.values<float>("b").value()) CHECK(x == Approx(value).epsilon(1e-5));
    }
    const float denormal = std::numeric_limits<float>::denorm_min() * 5;
    const auto tiny = quantize(tensor(std::vector<float>(16, denormal), {2, 8}), scheme).value();
    const Tensor back = dequantize(tiny).value();
    for (const float x : back.values<float>("b").value())
      CHECK(std::abs(x - denormal) <= std::numeric_limits<float>::min() / 2);
    const auto wide =
        quantize(tensor({std::numeric_limits<float>::max(), -std::numeric_limits<float>::max()}, {1, 2}), scheme)
            .value();
    const Tensor wide_back = dequantize(wide).value();
    for (const float x : wide_back.values<float>("w").value()) CHECK(std::isfinite(x));
  }
}

TEST_CASE("the code of an activation follows its definition, whatever the fast path") {
  Random random(7);
  Tensor x = Tensor::zeros(DType::f32, {1003}).value();
  auto values = x.mutable_values<float>();
  for (float& v : values) v = static_cast<float>(random.normal() * 3);
  values[0] = std::numeric_limits<float>::infinity();
  values[1] = -std::numeric_limits<float>::infinity();
  values[2] = NAN;
  values[3] = 0.5f, values[4] = 1.5f, values[5] = -0.5f;
  for (const Parameters& p : {Parameters{DType::uint8, 0.05f, 0, false}, Parameters{DType::uint8, 0.03f, 117, false},
                              Parameters{DType::int8, 1.0f, 0, true}, Parameters{DType::int8, 0.02f, -5, false}}) {
    const Tensor codes = quantize_activations(x, p).value();
    const Tensor as_float = to_f32(codes, "codes").value();
    for (std::size_t i = 0; i < values.size(); ++i)
      if (static_cast<int>(as_float.values<float>("c").value()[i]) != quantize_value(values[i], p))
        FAIL("element " << i);
    CHECK(quantize_value(NAN, p) == p.zero_point);
    const Tensor back = dequantize_activations(codes, p).value();
    CHECK(back.values<float>("b").value()[7] == dequantize_value(quantize_value(values[7], p), p));
  }
  const Parameters whole{DType::int8, 1.0f, 0, true};
  CHECK(quantize_value(0.5f, whole) == 0);
  CHECK(quantize_value(1.5f, whole) == 2);
  CHECK(quantize_value(2.5f, whole) == 2);
  CHECK(quantize_value(-1000, whole) == -127);
}

TEST_CASE("what cannot be quantized is refused before any work, by name") {
  const Tensor w = tensor({1, 2, 3, 4}, {2, 2});
  const auto code = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(mcomp_test::well_formed(result.error()));
    return result.error().code();
  };
  CHECK(code(quantize(tensor({1, NAN}, {1, 2}), {})) == ErrorCode::invalid_value);
  CHECK(code(quantize(tensor({1, -INFINITY}, {1, 2}), {})) == ErrorCode::invalid_value);
  CHECK(code(quantize(w, {.dtype = DType::f16})) == ErrorCode::invalid_dtype);
  CHECK(code(quantize(w, {.dtype = DType::int16})) == ErrorCode::invalid_dtype);
  CHECK(code(quantize(w, {.granularity = Granularity::per_group})) == ErrorCode::invalid_argument);
  CHECK(code(quantize(w, {.granularity = Granularity::per_group, .group_size = -4})) == ErrorCode::invalid_argument);
  CHECK(code(quantize(w, {.group_size = 4})) == ErrorCode::invalid_argument);
  CHECK(code(quantize(w, {.group_rows = 4})) == ErrorCode::invalid_argument);
  CHECK(code(quantize(w, {.granularity = Granularity::per_block, .group_size = 4})) == ErrorCode::invalid_argument);
  CHECK(code(quantize(Tensor::zeros(DType::f32, {0, 4}).value(), {})) == ErrorCode::invalid_shape);
  CHECK(code(quantize(Tensor::zeros(DType::int8, {2, 2}).value(), {})) == ErrorCode::invalid_dtype);
  CHECK(code(parameters_for({2, 1}, DType::uint8, false)) == ErrorCode::invalid_value);
  CHECK(code(parameters_for({0, INFINITY}, DType::uint8, false)) == ErrorCode::invalid_value);
  CHECK(code(quantize_activations(Tensor::zeros(DType::f64, {2}).value(), {})) == ErrorCode::invalid_dtype);
  CHECK(code(dequantize_activations(w, {})) == ErrorCode::invalid_dtype);
  CHECK(code(unpack_codes(w)) == ErrorCode::invalid_dtype);
  QuantizedTensor q = quantize(w, {}).value();
  q.scales = tensor({1}, {1, 1});
  CHECK(code(dequantize(q)) == ErrorCode::invalid_shape);
}

TEST_CASE("half precision and strided weights quantize as their f32 copies") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const TensorView transposed(values.data(), DType::f32, {3, 2}, {1, 3});
  CHECK(quantize(transposed, {}).value().codes == quantize(Tensor::copy_of(transposed).value(), {}).value().codes);
  Tensor h = Tensor::zeros(DType::bf16, {1, 2}).value();
  h.mutable_values<bfloat16>()[0] = to_bfloat16(1);
  h.mutable_values<bfloat16>()[1] = to_bfloat16(-0.5f);
  CHECK(codes_of(quantize(h, {}).value()) == std::vector<int>{127, -64});
}
