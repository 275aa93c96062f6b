#include "mcomp/quant/channel_scaling.hpp"

#include <algorithm>

#include "correlated_layer.hpp"
#include "mcomp/quant/quantize.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;
using mcomp_test::Matrix;
using mcomp_test::tensor;

namespace {

/// ||Y - Y8||^2 / ||Y||^2 of a layer with int8 weights per channel and int8 inputs per tensor.
double w8a8_error(const Matrix& x, const Matrix& w) {
  const auto rounded = [](const Matrix& m, double step) { return Matrix((m / step).array().rint() * step); };
  const Matrix x8 = rounded(x, x.cwiseAbs().maxCoeff() / 127);
  Matrix w8 = w;
  for (Eigen::Index r = 0; r < w.rows(); ++r) w8.row(r) = rounded(w.row(r), w.row(r).cwiseAbs().maxCoeff() / 127);
  const Matrix y = x * w.transpose();
  return (y - x8 * w8.transpose()).squaredNorm() / y.squaredNorm();
}

Tensor absmax(const Tensor& x) {
  Tensor result = Tensor::zeros(DType::f32, {x.size(1)}).value();
  for (Eigen::Index c = 0; c < x.size(1); ++c)
    result.mutable_values<float>()[static_cast<std::size_t>(c)] =
        static_cast<float>(matrix(x).col(c).cwiseAbs().maxCoeff());
  return result;
}

} // namespace

TEST_CASE("smoothing scales are the powers of two next to the paper's formula") {
  // alpha 1/2: sqrt(64 / 4) = 4; sqrt(1 / 2) is halfway between powers; dead inputs and dead weights keep 1
  const auto s = smoothing_scales(tensor({64, 1, 0, 3}, {4}), {tensor({1, -8, 1, 0, -4, 2, 1, 0}, {2, 4})}).value();
  CHECK(matrix(s)(0, 0) == 4);
  CHECK(std::abs(std::log2(matrix(s)(1, 0)) - std::log2(std::sqrt(1.0 / 8))) <= 0.5);
  CHECK(matrix(s)(2, 0) == 1);
  CHECK(matrix(s)(3, 0) == 1);
}

TEST_CASE("SmoothQuant and equalization keep the function and lower the W8A8 error of planted outliers at least 3x") {
  Random random(1);
  const std::int64_t mid = 200;
  Tensor first = mcomp_test::normals(random, {mid, 64}, 0.1), bias = mcomp_test::normals(random, {mid}, 0.1),
         second = mcomp_test::normals(random, {50, mid}, 0.1);
  for (const std::size_t channel : {17u, 120u}) { // 1 % of the channels, 50 times as large in front of the second layer
    for (std::size_t i = 0; i < 64; ++i) first.mutable_values<float>()[channel * 64 + i] *= 50;
    bias.mutable_values<float>()[channel] *= 50;
    for (std::size_t o = 0; o < 50; ++o) second.mutable_values<float>()[o * mid + channel] /= 50;
  }
  const Matrix input = matrix(mcomp_test::inputs(random, 400, 64));
  const auto hidden = [&](const Tensor& w, const Tensor& b) { // ReLU between the layers
    const Eigen::RowVectorXd shift = matrix(b).transpose();
    return Matrix(((input * matrix(w).transpose()).rowwise() + shift).cwiseMax(0));
  };
  const Matrix x = hidden(first, bias), y = x * matrix(second).transpose();
  const double before = w8a8_error(x, matrix(second));

  const Tensor observed = absmax(to_tensor(x.cast<float>()));
  const Tensor s = smoothing_scales(observed, {second}).value();
  const Tensor smooth_first = divide_rows(first, s).value(), smooth_bias = divide_rows(bias, s).value(),
               smooth_second = scale_columns(second, s).value();
  const Matrix smooth_x = hidden(smooth_first, smooth_bias);
  CHECK((smooth_x * matrix(smooth_second).transpose() - y).norm() < 1e-5 * y.norm());
  CHECK(w8a8_error(smooth_x, matrix(smooth_second)) < before / 3);

  const auto pair = equalize(first, bias, second).value();
  const Matrix equal_x = hidden(pair.first, pair.first_bias);
  CHECK((equal_x * matrix(pair.second).transpose() - y).norm() < 1e-5 * y.norm());
  CHECK(w8a8_error(equal_x, matrix(pair.second)) < before / 3);
  for (Eigen::Index i = 0; i < mid; ++i) {
    const double ratio =
        matrix(pair.first).row(i).cwiseAbs().maxCoeff() / matrix(pair.second).col(i).cwiseAbs().maxCoeff();
    CHECK(std::abs(std::log2(ratio)) <= 1.001); // equal but for the power of two
  }
}

TEST_CASE("columns of a convolution are its input channels") {
  const Tensor w = tensor({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 1, 2});
  const Tensor scaled = scale_columns(w, tensor({1, 10}, {2})).value();
  CHECK(scaled == tensor({1, 2, 30, 40, 5, 6, 70, 80}, {2, 2, 1, 2}));
  CHECK(divide_rows(w, tensor({1, 2}, {2})).value() == tensor({1, 2, 3, 4, 2.5f, 3, 3.5f, 4}, {2, 2, 1, 2}));
}

TEST_CASE("channel scaling refuses scales that are none and channels that differ") {
  const Tensor w = tensor({1, 2, 3, 4}, {2, 2});
  CHECK(error_code(scale_columns(w, tensor({1, 0}, {2}))) == ErrorCode::invalid_value);
  CHECK(error_code(scale_columns(w, tensor({1, INFINITY}, {2}))) == ErrorCode::invalid_value);
  CHECK(error_code(scale_columns(w, tensor({1, 1, 1}, {3}))) == ErrorCode::invalid_shape);
  CHECK(error_code(divide_rows(tensor({1}, {1}), tensor({1, 1}, {2}))) == ErrorCode::invalid_shape);
  CHECK(error_code(smoothing_scales(tensor({1, 1}, {2}), {})) == ErrorCode::invalid_argument);
  CHECK(error_code(smoothing_scales(tensor({1, 1}, {2}), {w}, {.alpha = 2})) == ErrorCode::invalid_argument);
  CHECK(error_code(smoothing_scales(tensor({1, NAN}, {2}), {w})) == ErrorCode::invalid_value);
  CHECK(error_code(equalize(w, {}, tensor({1, 2, 3}, {1, 3}))) == ErrorCode::invalid_shape);
  CHECK(error_code(equalize(Tensor::zeros(DType::f64, {2, 2}).value(), {}, w)) == ErrorCode::invalid_dtype);
}
