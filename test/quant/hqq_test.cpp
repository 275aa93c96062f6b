#include "mcomp/quant/hqq.hpp"

#include "correlated_layer.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;

TEST_CASE("HQQ lowers the absolute error of rounding to nearest") {
  Random random(1);
  Tensor w = mcomp_test::normals(random, {30, 128});
  for (const bool symmetric : {false, true}) {
    const Scheme scheme{.dtype = symmetric ? DType::int3 : DType::uint3,
                        .symmetric = symmetric,
                        .granularity = Granularity::per_group,
                        .group_size = 32};
    const auto q = hqq(w, {.scheme = scheme}).value();
    CHECK(q.report.error_after < 0.97 * q.report.error_before);
    const Tensor back = dequantize(q.tensor).value(), nearest = dequantize(quantize(w, scheme).value()).value();
    const double after = (matrix(w) - matrix(back)).cwiseAbs().sum(),
                 before = (matrix(w) - matrix(nearest)).cwiseAbs().sum();
    CHECK(after == Approx(q.report.error_after).epsilon(1e-3));
    CHECK(before == Approx(q.report.error_before).epsilon(1e-3));
    ThreadPool pool(3);
    CHECK(hqq(w, {.scheme = scheme}, {.executor = &pool}).value().tensor.codes == q.tensor.codes);
  }
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
  CHECK(error_code(hqq(w, {.kappa = 0.5})) == ErrorCode::invalid_argument);
  CHECK(error_code(hqq(w, {.scheme = {.granularity = Granularity::per_tensor}})) == ErrorCode::invalid_argument);
  CHECK(error_code(hqq(mcomp_test::tensor({1, NAN}, {1, 2}))) == ErrorCode::invalid_value);
}
