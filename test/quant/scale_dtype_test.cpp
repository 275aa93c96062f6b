// Scales that are stored in half precision: every quantizer rounds them before it chooses codes.

#include <functional>

#include "correlated_layer.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/adaround.hpp"
#include "mcomp/quant/awq.hpp"
#include "mcomp/quant/gptq.hpp"
#include "mcomp/quant/hqq.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;

namespace {

bool representable(const Tensor& scales, DType dtype) {
  for (const float s : scales.values<float>("scales").value()) {
    const float back = dtype == DType::f16 ? to_float(to_half(s)) : to_float(to_bfloat16(s));
    if (back != s || !(s > 0) || !std::isfinite(s)) return false;
  }
  return true;
}

} // namespace

TEST_CASE("all quantizers keep to the type in which scales are stored") {
  Random random(7);
  const Tensor w = mcomp_test::normals(random, {12, 70});
  const auto gram = mcomp_test::gram_of(mcomp_test::inputs(random, 200, 70));
  for (const DType dtype : {DType::f16, DType::bf16})
    for (const bool symmetric : {true, false}) {
      const Scheme scheme{.dtype = symmetric ? DType::int4 : DType::uint4,
                          .symmetric = symmetric,
                          .granularity = Granularity::per_group,
                          .group_size = 32,
                          .scale_dtype = dtype};
      const std::vector<std::pair<const char*, std::function<QuantizedTensor()>>> methods{
          {"nearest", [&] { return quantize(w, scheme).value(); }},
          {"clipped", [&] { return quantize_clipped(w, scheme).value().tensor; }},
          {"gptq", [&] { return gptq(w, gram, {.scheme = scheme, .refine = {.rounds = 4}}).value().tensor; }},
          {"hqq", [&] { return hqq(w, {.scheme = scheme}).value().tensor; }},
          {"adaround", [&] { return adaround(w, gram, {.scheme = scheme}).value().tensor; }},
          {"awq", [&] { return awq({w}, gram, {.scheme = scheme}).value().tensors[0]; }},
      };
      for (const auto& [name, method] : methods) {
        CAPTURE(name, fmt::format("{}", scheme));
        const QuantizedTensor q = method();
        CHECK(q.scheme == scheme);
        CHECK(representable(q.scales, dtype));
        CHECK(q.stored_bytes() == 12 * 70 / 2 + 36 * 2 + (symmetric ? 0 : 36 / 2));
      }
    }
}

TEST_CASE("codes are the nearest ones under the rounded scale") {
  // 1.7 / 7 = .242857 is .24280 in f16 and .24316 in bf16
  const Tensor w = mcomp_test::tensor({1.7f, 0.85f, -0.36438f, 0}, {1, 4});
  for (const auto& [dtype, scale] : {std::pair{DType::f16, 0.2427978515625f}, std::pair{DType::bf16, 0.2431640625f}}) {
    const auto q = quantize(w, {.dtype = DType::int4, .scale_dtype = dtype}).value();
    CHECK(q.scales.values<float>("s").value()[0] == scale);
    const auto codes = q.codes.values<std::int8_t>("c").value();
    // .85 is code 3.5008 under .24280 and 3.4956 under .24316; -.36438 is -1.5008 and -1.4985
    CHECK(std::vector<int>(codes.begin(), codes.end()) ==
          (dtype == DType::f16 ? std::vector<int>{7, 4, -2, 0} : std::vector<int>{7, 3, -1, 0}));
  }
}

TEST_CASE("scales outside of what the type holds become its nearest number") {
  CHECK(stored_scale(1e-30f, {.scale_dtype = DType::f16}) == 0x1p-24f);
  CHECK(stored_scale(1e30f, {.scale_dtype = DType::f16}) == 65504.0f);
  CHECK(stored_scale(1e-39f, {.scale_dtype = DType::bf16}) == std::numeric_limits<float>::min());
  CHECK(stored_scale(1e-39f, {}) == 1e-39f);
  const auto tiny = quantize(mcomp_test::tensor({1e-12f, -1e-12f}, {1, 2}), {.scale_dtype = DType::f16}).value();
  CHECK(dequantize(tiny).value() == Tensor::zeros(DType::f32, {1, 2}).value());
  const float most = std::numeric_limits<float>::max();
  const auto huge =
      dequantize(quantize(mcomp_test::tensor({most, -most, 1}, {1, 3}), {.scale_dtype = DType::bf16}).value());
  for (const float x : huge.value().values<float>("x").value()) CHECK(std::isfinite(x));
}

TEST_CASE("scales cannot be integers") {
  const Tensor w = mcomp_test::tensor({1, 2}, {1, 2});
  CHECK(error_code(quantize(w, {.scale_dtype = DType::int8})) == ErrorCode::invalid_dtype);
}
