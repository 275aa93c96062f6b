#include "mcomp/quant/awq.hpp"

#include "correlated_layer.hpp"
#include "mcomp/quant/channel_scaling.hpp"
#include "mcomp/quant/gptq.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;

TEST_CASE("AWQ protects the channels with large inputs, for all layers that take them") {
  Random random(1);
  const Tensor a = mcomp_test::normals(random, {24, 64}), b = mcomp_test::normals(random, {16, 64});
  Tensor x = mcomp_test::inputs(random, 500, 64);
  auto values = x.mutable_values<float>();
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i % 64 % 16 == 3) values[i] *= 12; // salient channels
  const auto gram = mcomp_test::gram_of(x);
  const Scheme scheme{.dtype = DType::int3, .granularity = Granularity::per_group, .group_size = 32};
  const auto q = awq({a, b}, gram, {.scheme = scheme}).value();
  CHECK(q.report.alpha > 0);
  CHECK(q.report.error_scaled < 0.7 * q.report.error_before);
  CHECK(q.report.error_after < q.report.error_scaled);
  // The report against the layers themselves, inputs divided by the scales.
  mcomp_test::Matrix divided = matrix(x);
  for (Eigen::Index c = 0; c < 64; ++c) divided.col(c) /= matrix(q.scales)(c, 0);
  double noise = 0, signal = 0, plain = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    const Tensor& w = i == 0 ? a : b;
    const mcomp_test::Matrix y = matrix(x) * matrix(w).transpose();
    noise += (y - divided * matrix(dequantize(q.tensors[i]).value()).transpose()).squaredNorm();
    plain += (y - matrix(x) * matrix(dequantize(quantize(w, scheme).value()).value()).transpose()).squaredNorm();
    signal += y.squaredNorm();
    // Scales fold away exactly.
    CHECK((divided * matrix(scale_columns(w, q.scales).value()).transpose() - y).norm() < 1e-9 * y.norm());
  }
  CHECK(q.report.error_after == Approx(noise / signal).epsilon(1e-3));
  CHECK(q.report.error_before == Approx(plain / signal).epsilon(1e-3));
}

TEST_CASE("AWQ without steps is clipping by output error, and does not depend on threads") {
  Random random(2);
  const Tensor w = mcomp_test::normals(random, {9, 40});
  const auto gram = mcomp_test::gram_of(mcomp_test::inputs(random, 100, 40));
  const AwqOptions options{
      .scheme = {.dtype = DType::uint3, .symmetric = false, .granularity = Granularity::per_group, .group_size = 16},
      .steps = 0};
  const auto q = awq({w}, gram, options).value();
  CHECK(matrix(q.scales) == mcomp_test::Matrix::Ones(40, 1));
  CHECK(q.report.error_after < q.report.error_before);
  ThreadPool pool(3);
  const auto parallel = awq({w}, gram, options, {.executor = &pool}).value();
  CHECK(parallel.tensors[0].codes == q.tensors[0].codes);
  CHECK(parallel.report.error_after == q.report.error_after);
}

TEST_CASE("AWQ refuses parts that do not fit together") {
  const Tensor w = mcomp_test::tensor({1, 2}, {1, 2});
  const auto gram = mcomp_test::gram_of(w);
  CHECK(error_code(awq({}, gram)) == ErrorCode::invalid_argument);
  CHECK(error_code(awq({w}, stats::Gram(3))) == ErrorCode::invalid_shape);
  CHECK(error_code(awq({w}, gram, {.scheme = {.granularity = Granularity::per_tensor}})) ==
        ErrorCode::invalid_argument);
  CHECK(error_code(awq({w}, gram, {.steps = -1})) == ErrorCode::invalid_argument);
  CHECK(error_code(awq({w}, gram, {.clip_steps = 0})) == ErrorCode::invalid_argument);
}
