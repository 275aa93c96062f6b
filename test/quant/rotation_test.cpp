#include "mcomp/quant/rotation.hpp"

#include "correlated_layer.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;
using mcomp_test::Matrix;

TEST_CASE("rotations of every size are orthogonal, and rows turn as columns do") {
  Random random(1);
  for (const std::int64_t n : {1, 2, 3, 12, 64, 172, 96}) {
    INFO(n);
    const Rotation r = Rotation::random(n, 7).value();
    Tensor identity = Tensor::zeros(DType::f32, {n, n}).value();
    for (std::int64_t i = 0; i < n; ++i) identity.mutable_values<float>()[static_cast<std::size_t>(i * n + i)] = 1;
    const Matrix q = matrix(r.rotate_columns(identity).value());
    CHECK((q * q.transpose() - Matrix::Identity(n, n)).cwiseAbs().maxCoeff() < 1e-6);
    CHECK((matrix(r.rotate_rows(identity).value()) - q.transpose()).cwiseAbs().maxCoeff() < 1e-7);
    CHECK(matrix(Rotation::random(n, 7).value().rotate_columns(identity).value()) == q);
    if ((n & (n - 1)) == 0) // Hadamard: all elements alike in size
      CHECK((q.cwiseAbs().array() - 1 / std::sqrt(static_cast<double>(n))).abs().maxCoeff() < 1e-6);
  }
}

TEST_CASE(
    "a rotation between two layers keeps the function and lowers the W8A8 error of planted outliers at least 3x") {
  Random random(2);
  const std::int64_t mid = 192;
  Tensor first = mcomp_test::normals(random, {mid, 64}, 0.1), second = mcomp_test::normals(random, {50, mid}, 0.1);
  for (const std::size_t channel : {5u, 90u}) { // 1 % of the channels x 50
    for (std::size_t i = 0; i < 64; ++i) first.mutable_values<float>()[channel * 64 + i] *= 50;
    for (std::size_t o = 0; o < 50; ++o) second.mutable_values<float>()[o * mid + channel] /= 50;
  }
  const Matrix input = matrix(mcomp_test::inputs(random, 400, 64));
  const auto rounded = [](const Matrix& m, double step) { return Matrix((m / step).array().rint() * step); };
  const auto error = [&](const Tensor& a, const Tensor& b) {
    const Matrix x = input * matrix(a).transpose(), w = matrix(b), y = x * w.transpose();
    Matrix w8 = w;
    for (Eigen::Index r = 0; r < w.rows(); ++r) w8.row(r) = rounded(w.row(r), w.row(r).cwiseAbs().maxCoeff() / 127);
    return (y - rounded(x, x.cwiseAbs().maxCoeff() / 127) * w8.transpose()).squaredNorm() / y.squaredNorm();
  };
  const Rotation r = Rotation::random(mid, 3).value();
  const Tensor turned_first = r.rotate_rows(first).value(), turned_second = r.rotate_columns(second).value();
  const Matrix y = input * matrix(first).transpose() * matrix(second).transpose(),
               turned = input * matrix(turned_first).transpose() * matrix(turned_second).transpose();
  CHECK((y - turned).norm() < 1e-5 * y.norm());
  CHECK(error(turned_first, turned_second) < error(first, second) / 3);
}

TEST_CASE("rotations refuse sizes and tensors that do not fit") {
  CHECK(error_code(Rotation::random(0, 1)) == ErrorCode::invalid_argument);
  CHECK(error_code(Rotation::random(-4, 1)) == ErrorCode::invalid_argument);
  CHECK(error_code(Rotation::random(4099, 1)) == ErrorCode::invalid_argument);
  const Rotation r = Rotation::random(4, 1).value();
  CHECK(error_code(r.rotate_columns(Tensor::zeros(DType::f32, {2, 3}).value())) == ErrorCode::invalid_shape);
  CHECK(error_code(r.rotate_rows(Tensor::zeros(DType::f32, {3, 4}).value())) == ErrorCode::invalid_shape);
  CHECK(error_code(r.rotate_rows(Tensor::zeros(DType::f64, {4}).value())) == ErrorCode::invalid_dtype);
}
