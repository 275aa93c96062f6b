// GPTQ into microscaling formats.

#include <cmath>

#include "correlated_layer.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/gptq.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;

TEST_CASE("GPTQ into microscaling formats beats the scales of least error, and gives what it reports") {
  Random random(12);
  const Tensor w = mcomp_test::normals(random, {24, 104}), x = mcomp_test::inputs(random, 400, 104);
  const auto gram = mcomp_test::gram_of(x);
  std::vector<float> importance;
  for (const double h : gram.diagonal()) importance.push_back(static_cast<float>(h));
  const TensorView weights(importance.data(), DType::f32, Shape{104});
  for (const Microscaling& format : {microscaling::mxfp4, microscaling::nvfp4, microscaling::mxfp6_e2m3,
                                     microscaling::mxfp6_e3m2, microscaling::mxfp8_e4m3, microscaling::mxfp8_e5m2}) {
    CAPTURE(to_string(format));
    const double search =
        output_error(w, dequantize(quantize_microscaled(w, {.format = format, .importance = weights}).value()).value(),
                     gram)
            .value();
    const auto plain = gptq_microscaled(w, gram, {.format = format}).value();
    const auto refined = gptq_microscaled(w, gram, {.format = format, .refine = {.rounds = 8}}).value();
    CHECK(plain.report.output_error < 0.85 * search);
    CHECK(refined.report.output_error < plain.report.output_error);
    for (const auto& q : {plain, refined}) {
      const Tensor back = dequantize(q.tensor).value();
      CHECK(mcomp_test::relative_error(matrix(x), matrix(w), matrix(back)) ==
            Approx(q.report.output_error).epsilon(2e-3));
      CHECK(q.tensor.format == format);
      CHECK(q.tensor.scales.shape() == Shape{24, (104 + format.group_size - 1) / format.group_size});
    }
    ThreadPool pool(3);
    const auto threaded = gptq_microscaled(w, gram, {.format = format}, {.executor = &pool}).value();
    CHECK(threaded.tensor.codes == plain.tensor.codes);
    CHECK(threaded.tensor.scales == plain.tensor.scales);
  }
}

TEST_CASE("microscaled GPTQ keeps a tensor's scale that is given, and zeros") {
  Random random(13);
  Tensor w = mcomp_test::normals(random, {3, 32});
  for (std::size_t i = 32; i < 64; ++i) w.mutable_values<float>()[i] = 0;
  const auto gram = mcomp_test::gram_of(mcomp_test::inputs(random, 60, 32));
  const auto q = gptq_microscaled(w, gram, {.global_scale = 100, .refine = {.rounds = 4}}).value();
  CHECK(q.tensor.global_scale == 100);
  for (const auto& format : {microscaling::nvfp4, microscaling::mxfp4}) {
    const Tensor back =
        dequantize(gptq_microscaled(w, gram, {.format = format, .refine = {.rounds = 4}}).value().tensor).value();
    for (std::size_t i = 32; i < 64; ++i) CHECK(back.values<float>("b").value()[i] == 0);
  }
}

TEST_CASE("microscaled GPTQ refuses what rounding refuses") {
  Random random(14);
  const Tensor w = mcomp_test::normals(random, {2, 8});
  const auto gram = mcomp_test::gram_of(mcomp_test::inputs(random, 20, 8));
  CHECK(error_code(gptq_microscaled(w, gram, {.format = microscaling::mxfp4, .global_scale = 2})) ==
        ErrorCode::invalid_argument);
  CHECK(error_code(gptq_microscaled(w, gram, {.format = {e2m1, ScaleType::e8m0, 0}})) == ErrorCode::invalid_argument);
  CHECK(error_code(gptq_microscaled(w, gram, {.damping = NAN})) == ErrorCode::invalid_argument);
  CHECK(error_code(gptq_microscaled(Tensor::zeros(DType::int8, {2, 8}).value(), gram)) == ErrorCode::invalid_dtype);
  CHECK(error_code(gptq_microscaled(mcomp_test::normals(random, {2, 9}), gram)) == ErrorCode::invalid_shape);
}
