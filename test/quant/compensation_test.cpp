#include "mcomp/quant/compensation.hpp"

#include <Eigen/Cholesky>

#include "correlated_layer.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;
using mcomp_test::Matrix;

TEST_CASE("compensation is the least-squares solution that a dense solver finds") {
  Random random(5);
  constexpr std::int64_t samples = 300, in = 40, out = 6;
  const Tensor x = mcomp_test::inputs(random, samples, in), w = mcomp_test::normals(random, {out, in}),
               d = mcomp_test::normals(random, {samples, out});
  const stats::Gram gram = mcomp_test::gram_of(x);
  stats::CrossMoment moment(out, in);
  REQUIRE(moment.update(d, x));
  for (const double damping : {0.0, 0.01, 1.0}) {
    const Matrix h = matrix(x).transpose() * matrix(x) / samples;
    const Matrix m = h + damping * h.trace() / in * Matrix::Identity(in, in);
    const Matrix c = matrix(d).transpose() * matrix(x) / samples;
    const Matrix expected = matrix(w) + m.ldlt().solve(c.transpose()).transpose();
    const Matrix found = matrix(compensate(w, gram, moment, damping).value());
    CHECK((found - expected).norm() < 1e-3 * (expected - matrix(w)).norm());
  }
  ThreadPool pool(3);
  CHECK(compensate(w, gram, moment, 0.01, {.executor = &pool}).value() == compensate(w, gram, moment).value());
}

TEST_CASE("a lack that the inputs explain is made up for, and inputs that are always zero change nothing") {
  Random random(6);
  constexpr std::int64_t samples = 200, in = 10;
  Tensor x = mcomp_test::inputs(random, samples, in);
  for (std::int64_t i = 0; i < samples; ++i) x.mutable_values<float>()[static_cast<std::size_t>(i * in + 3)] = 0;
  const Tensor w = mcomp_test::normals(random, {4, in}), lost = mcomp_test::normals(random, {4, in});
  const Matrix y = matrix(x) * matrix(lost).transpose();
  Tensor d = Tensor::zeros(DType::f32, {samples, 4}).value();
  for (std::int64_t i = 0; i < samples * 4; ++i)
    d.mutable_values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(y(i / 4, i % 4));
  stats::CrossMoment moment(4, in);
  REQUIRE(moment.update(d, x));
  const Matrix found = matrix(compensate(w, mcomp_test::gram_of(x), moment, 0).value());
  Matrix expected = matrix(w) + matrix(lost);
  expected.col(3) = matrix(w).col(3);
  CHECK((found - expected).cwiseAbs().maxCoeff() < 2e-4);
}

TEST_CASE("compensation refuses moments of another layer") {
  Random random(1);
  const Tensor x = mcomp_test::inputs(random, 20, 3), w = mcomp_test::normals(random, {2, 3});
  const stats::Gram gram = mcomp_test::gram_of(x);
  stats::CrossMoment fits(2, 3), narrow(2, 2), few(2, 3);
  const Tensor d = mcomp_test::normals(random, {20, 2});
  REQUIRE(fits.update(d, x));
  REQUIRE(narrow.update(d, d));
  REQUIRE(few.update(d.view().rows(0, 5).value(), x.view().rows(0, 5).value()));
  CHECK(compensate(w, gram, fits));
  CHECK(error_code(compensate(w, gram, narrow)) == ErrorCode::invalid_shape);
  CHECK(error_code(compensate(w, gram, few)) == ErrorCode::invalid_shape);
  CHECK(error_code(compensate(x, gram, fits)) == ErrorCode::invalid_shape);
  CHECK(error_code(compensate(w, gram, fits, -1)) == ErrorCode::invalid_argument);
  Tensor bad = w;
  bad.mutable_values<float>()[0] = NAN;
  CHECK(error_code(compensate(bad, gram, fits)) == ErrorCode::invalid_value);
  CHECK(error_code(compensate(Tensor::zeros(DType::int8, {2, 3}).value(), gram, fits)) == ErrorCode::invalid_shape);
}
