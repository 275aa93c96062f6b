#include "mcomp/quant/adaround.hpp"

#include "correlated_layer.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/gptq.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;

TEST_CASE("AdaRound halves the output error of correlated inputs, rounding every weight up or down") {
  Random random(1);
  const Tensor w = mcomp_test::normals(random, {40, 48});
  const auto gram = mcomp_test::gram_of(mcomp_test::inputs(random, 600, 48));
  for (const Scheme& scheme :
       {Scheme{.dtype = DType::int4},
        Scheme{.dtype = DType::uint3, .symmetric = false, .granularity = Granularity::per_group, .group_size = 16}}) {
    INFO(fmt::format("{}", scheme));
    const auto q = adaround(w, gram, {.scheme = scheme, .steps = 500}).value();
    CHECK(q.report.error_after < 0.5 * q.report.error_before);
    CHECK(q.report.undecided < 0.02);
    CHECK(q.report.turned > 0);
    const Tensor back = dequantize(q.tensor).value();
    CHECK(output_error(w, back, gram).value() == Approx(q.report.error_after).epsilon(1e-3));
    const auto nearest = quantize_clipped(w, scheme).value().tensor;
    CHECK(q.tensor.scales == nearest.scales);
    CHECK(output_error(w, dequantize(nearest).value(), gram).value() == Approx(q.report.error_before).epsilon(1e-3));
    const Tensor a = to_f32(q.tensor.codes, "a").value(), b = to_f32(nearest.codes, "b").value();
    CHECK((matrix(a) - matrix(b)).cwiseAbs().maxCoeff() == 1);
  }
}

TEST_CASE("AdaRound of uncorrelated inputs is rounding to nearest, and does not depend on threads") {
  Random random(2);
  const Tensor w = mcomp_test::normals(random, {70, 12});
  Tensor x = Tensor::zeros(DType::f32, {12, 12}).value();
  for (std::size_t i = 0; i < 12; ++i) x.mutable_values<float>()[13 * i] = 1;
  const auto q = adaround(w, mcomp_test::gram_of(x), {.steps = 300}).value();
  CHECK(q.report.turned <= 8); // of 840: those nearly in the middle
  ThreadPool pool(3);
  CHECK(adaround(w, mcomp_test::gram_of(x), {.steps = 300}, {.executor = &pool}).value().tensor.codes ==
        q.tensor.codes);
}

TEST_CASE("AdaRound refuses options outside their bounds") {
  const Tensor w = mcomp_test::tensor({1, 2}, {1, 2});
  const auto gram = mcomp_test::gram_of(w);
  CHECK(error_code(adaround(w, stats::Gram(3))) == ErrorCode::invalid_shape);
  CHECK(error_code(adaround(w, gram, {.steps = 0})) == ErrorCode::invalid_argument);
  CHECK(error_code(adaround(w, gram, {.learning_rate = 0})) == ErrorCode::invalid_argument);
  CHECK(error_code(adaround(w, gram, {.warm_up = 1})) == ErrorCode::invalid_argument);
  CHECK(error_code(adaround(w, gram, {.last_beta = 0.5})) == ErrorCode::invalid_argument);
  CHECK(error_code(adaround(mcomp_test::tensor({1, INFINITY}, {1, 2}), gram)) == ErrorCode::invalid_value);
}
