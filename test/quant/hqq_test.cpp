#include "mcomp/quant/hqq.hpp"

#include "correlated_layer.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;

TEST_CASE("HQQ lowers the error that it is judged by") {
  Random random(1);
  Tensor w = mcomp_test::normals(random, {30, 128});
  for (const bool symmetric : {false, true})
    for (const double judge : {1.0, 1.5, 2.0}) {
      const Scheme scheme{.dtype = symmetric ? DType::int3 : DType::uint3,
                          .symmetric = symmetric,
                          .granularity = Granularity::per_group,
                          .group_size = 32};
      const auto q = hqq(w, {.scheme = scheme, .judge = judge}).value();
      INFO("symmetric " << symmetric << ", power " << judge);
      CHECK(q.report.error_after < (judge == 2 ? 0.9 : 0.97) * q.report.error_before);
      const Tensor back = dequantize(q.tensor).value(), nearest = dequantize(quantize(w, scheme).value()).value();
      const double after = (matrix(w) - matrix(back)).cwiseAbs().array().pow(judge).sum(),
                   before = (matrix(w) - matrix(nearest)).cwiseAbs().array().pow(judge).sum();
      CHECK(after == Approx(q.report.error_after).epsilon(1e-3));
      CHECK(before == Approx(q.report.error_before).epsilon(1e-3));
      ThreadPool pool(3);
      CHECK(hqq(w, {.scheme = scheme, .judge = judge}, {.executor = &pool}).value().tensor.codes == q.tensor.codes);
    }
}

TEST_CASE("importances tell HQQ which columns count") {
  Random random(2);
  const Tensor w = mcomp_test::normals(random, {40, 64});
  std::vector<double> importance(64, 1e-3);
  for (std::size_t i = 0; i < 64; i += 4) importance[i] = 7;
  const HqqOptions options{
      .scheme = {.dtype = DType::uint3, .symmetric = false, .granularity = Granularity::per_group, .group_size = 32}};
  HqqOptions weighted = options;
  weighted.importance = importance;
  const auto error = [&](const HqqOptions& o) {
    const mcomp_test::Matrix e = matrix(w) - matrix(dequantize(hqq(w, o).value().tensor).value());
    return (e.cwiseAbs2() * Eigen::Map<const Eigen::VectorXd>(importance.data(), 64)).sum();
  };
  CHECK(error(weighted) < 0.8 * error(options));
  // all zero: as if they were equal
  weighted.importance.assign(64, 0);
  CHECK(hqq(w, weighted).value().tensor.codes == hqq(w, options).value().tensor.codes);
  weighted.importance.assign(63, 1);
  CHECK(error_code(hqq(w, weighted)) == ErrorCode::invalid_shape);
  weighted.importance.assign(64, -1);
  CHECK(error_code(hqq(w, weighted)) == ErrorCode::invalid_value);
}

TEST_CASE("HQQ of weights that are codes already changes nothing, and zeros stay zero") {
  const Scheme scheme{.dtype = DType::uint4, .symmetric = false};
  const Tensor w = mcomp_test::tensor({0, 1, 2, 15, 7, 8, 3, 4}, {1, 8});
  CHECK(matrix(dequantize(hqq(w, {.scheme = scheme}).value().tensor).value()) == matrix(w));
  const Tensor zeros = Tensor::zeros(DType::f32, {2, 5}).value();
  CHECK(dequantize(hqq(zeros).value().tensor).value() == zeros);
}

TEST_CASE("HQQ refuses options outside their bounds") {
  const Tensor w = mcomp_test::tensor({1, 2}, {1, 2});
  CHECK(error_code(hqq(w, {.p = 0})) == ErrorCode::invalid_argument);
  CHECK(error_code(hqq(w, {.beta = -1})) == ErrorCode::invalid_argument);
  CHECK(error_code(hqq(w, {.starts = 0})) == ErrorCode::invalid_argument);
  CHECK(error_code(hqq(w, {.judge = 0.5})) == ErrorCode::invalid_argument);
  CHECK(error_code(hqq(w, {.kappa = 0.5})) == ErrorCode::invalid_argument);
  CHECK(error_code(hqq(w, {.scheme = {.granularity = Granularity::per_tensor}})) == ErrorCode::invalid_argument);
  CHECK(error_code(hqq(mcomp_test::tensor({1, NAN}, {1, 2}))) == ErrorCode::invalid_value);
}
