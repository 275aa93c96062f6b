#include "calibrate/linear_models.hpp"

#include <cmath>

#include <Eigen/Cholesky>
#include <Eigen/Core>

namespace mcomp::inline v0::calibrate::detail {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Strided = Eigen::OuterStride<>;

Eigen::Index index(std::size_t i) {
  return static_cast<Eigen::Index>(i);
}

} // namespace

VectorModel::VectorModel(std::span<const double> x, std::size_t classes, std::vector<double> penalty)
    : x_(x), classes_(classes), penalty_(std::move(penalty)) {}

void VectorModel::logits(std::size_t first, std::size_t last, const double* theta, bool, double* out) const {
  for (std::size_t i = first; i < last; ++i)
    for (std::size_t k = 0; k < classes_; ++k)
      out[(i - first) * classes_ + k] = theta[k] * x_[i * classes_ + k] + theta[classes_ + k];
}

void VectorModel::adjoint(std::size_t first, std::size_t last, const double* G, double* gradient) const {
  for (std::size_t i = first; i < last; ++i)
    for (std::size_t k = 0; k < classes_; ++k) {
      const double g = G[(i - first) * classes_ + k];
      gradient[k] += g * x_[i * classes_ + k];
      gradient[classes_ + k] += g;
    }
}

void VectorModel::prepare(std::span<const double> P) {
  const std::size_t K = classes_, rows = P.size() / K;
  std::vector<double> h(3 * K);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t k = 0; k < K; ++k) {
      const double p = P[i * K + k], w = p * (1 - p) / static_cast<double>(rows), x = x_[i * K + k];
      h[3 * k] += w * x * x, h[3 * k + 1] += w * x, h[3 * k + 2] += w;
    }
  inverse_.resize(3 * K);
  for (std::size_t k = 0; k < K; ++k) {
    const double ridge = 1e-12 * (h[3 * k] + h[3 * k + 2]) + 1e-300;
    const double a = h[3 * k] + penalty_[k] + ridge, b = h[3 * k + 1], c = h[3 * k + 2] + penalty_[K + k] + ridge;
    const double determinant = a * c - b * b;
    inverse_[3 * k] = c / determinant, inverse_[3 * k + 1] = -b / determinant, inverse_[3 * k + 2] = a / determinant;
    // A class that never gets any probability has no curvature to speak of.
    if (!(determinant > 0 && std::isfinite(1 / determinant)))
      inverse_[3 * k] = 1, inverse_[3 * k + 1] = 0, inverse_[3 * k + 2] = 1;
  }
}

void VectorModel::precondition(const double* residual, double* out) const {
  for (std::size_t k = 0; k < classes_; ++k) {
    const double r = residual[k], s = residual[classes_ + k];
    out[k] = inverse_[3 * k] * r + inverse_[3 * k + 1] * s;
    out[classes_ + k] = inverse_[3 * k + 1] * r + inverse_[3 * k + 2] * s;
  }
}

MatrixModel::MatrixModel(std::span<const double> x, std::size_t features, std::size_t classes,
                         std::vector<double> penalty, std::span<const double> base)
    : x_(x), base_(base), features_(features), classes_(classes), penalty_(std::move(penalty)) {}

void MatrixModel::logits(std::size_t first, std::size_t last, const double* theta, bool, double* out) const {
  const Eigen::Map<const Matrix> X(x_.data() + first * features_, index(last - first), index(features_));
  const Eigen::Map<const Matrix, 0, Strided> W(theta, index(classes_), index(features_), Strided(index(stride())));
  Eigen::Map<Matrix> Z(out, index(last - first), index(classes_));
  Z.noalias() = X * W.transpose();
  for (std::size_t k = 0; k < classes_; ++k) Z.col(index(k)).array() += theta[k * stride() + features_];
  if (base_.empty()) return;
  Z += theta[classes_ * stride()] *
       Eigen::Map<const Matrix>(base_.data() + first * classes_, index(last - first), index(classes_));
}

void MatrixModel::adjoint(std::size_t first, std::size_t last, const double* G, double* gradient) const {
  const Eigen::Map<const Matrix> X(x_.data() + first * features_, index(last - first), index(features_));
  const Eigen::Map<const Matrix> gradient_of_logits(G, index(last - first), index(classes_));
  Eigen::Map<Matrix, 0, Strided> W(gradient, index(classes_), index(features_), Strided(index(stride())));
  W.noalias() += gradient_of_logits.transpose() * X;
  for (std::size_t k = 0; k < classes_; ++k)
    gradient[k * stride() + features_] += gradient_of_logits.col(index(k)).sum();
  if (base_.empty()) return;
  for (std::size_t i = 0; i < (last - first) * classes_; ++i)
    gradient[classes_ * stride()] += G[i] * base_[first * classes_ + i];
}

void MatrixModel::prepare(std::span<const double> P) {
  const std::size_t K = classes_, d = stride(), rows = P.size() / K;
  const double n = static_cast<double>(rows);
  // The diagonal block of a class is the mean of p (1 - p) (x, 1)(x, 1)^T. Where one for every class would cost more
  // than some steps of conjugate gradients save, they share their sum.
  const auto cost = static_cast<double>(rows) * static_cast<double>(d * d);
  const bool own = cost * static_cast<double>(K) < 3e8, factors = cost < 1e10 && K * d * d < 20'000'000;
  if (!base_.empty()) {
    double curvature = 1e-300;
    for (std::size_t i = 0; i < rows; ++i) {
      double mean = 0, square = 0;
      for (std::size_t k = 0; k < K; ++k) {
        const double p = P[i * K + k], z = base_[i * K + k];
        mean += p * z, square += p * z * z;
      }
      curvature += (square - mean * mean) / n;
    }
    inverse_base_ = 1 / (curvature + penalty_[K * d]);
  }
  std::vector<double> share(K); // mean of p (1 - p)
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t k = 0; k < K; ++k) share[k] += P[i * K + k] * (1 - P[i * K + k]) / n;
  double total = 0;
  for (const double s : share) total += s;

  Matrix augmented(index(rows), index(d));
  augmented.leftCols(index(features_)) = Eigen::Map<const Matrix>(x_.data(), index(rows), index(features_));
  augmented.rightCols(1).setOnes();
  const auto moments = [&](auto&& weight_of) {
    Eigen::VectorXd weight(index(rows));
    for (std::size_t i = 0; i < rows; ++i) weight[index(i)] = weight_of(i) / n;
    return Matrix(augmented.transpose() * (weight.asDiagonal() * augmented));
  };
  const auto total_weight = [&](std::size_t i) {
    double sum = 0;
    for (std::size_t k = 0; k < K; ++k) sum += P[i * K + k] * (1 - P[i * K + k]);
    return sum;
  };
  factor_.clear();
  inverse_diagonal_.assign(K * d, 1);
  if (!factors) {
    Eigen::VectorXd diagonal = Eigen::VectorXd::Zero(index(d));
    for (std::size_t i = 0; i < rows; ++i)
      diagonal += total_weight(i) / n * augmented.row(index(i)).transpose().cwiseAbs2();
    for (std::size_t k = 0; k < K; ++k)
      for (std::size_t j = 0; j < d; ++j)
        inverse_diagonal_[k * d + j] =
            1 / (share[k] / (total + 1e-300) * diagonal[index(j)] + penalty_[k * d + j] + 1e-12 * total + 1e-300);
    return;
  }
  const Matrix shared = own ? Matrix() : moments(total_weight);
  factor_.resize(K);
  for (std::size_t k = 0; k < K; ++k) {
    Matrix block = own ? moments([&](std::size_t i) { return P[i * K + k] * (1 - P[i * K + k]); })
                       : Matrix(shared * (share[k] / (total + 1e-300)));
    const double ridge = 1e-13 * block.trace() + 1e-300;
    for (std::size_t j = 0; j < d; ++j) block(index(j), index(j)) += penalty_[k * d + j] + ridge;
    const Eigen::LLT<Matrix> cholesky(block);
    if (cholesky.info() != Eigen::Success) {
      for (std::size_t j = 0; j < d; ++j) inverse_diagonal_[k * d + j] = 1 / block(index(j), index(j));
      continue; // an empty factor: its diagonal alone
    }
    factor_[k].assign(d * d, 0);
    Eigen::Map<Matrix>(factor_[k].data(), index(d), index(d)) = cholesky.matrixL();
  }
}

void MatrixModel::precondition(const double* residual, double* out) const {
  const std::size_t d = stride();
  for (std::size_t k = 0; k < classes_; ++k) {
    if (factor_.empty() || factor_[k].empty()) {
      for (std::size_t j = 0; j < d; ++j) out[k * d + j] = inverse_diagonal_[k * d + j] * residual[k * d + j];
      continue;
    }
    const Eigen::Map<const Matrix> L(factor_[k].data(), index(d), index(d));
    Eigen::Map<Eigen::VectorXd> z(out + k * d, index(d));
    z = Eigen::Map<const Eigen::VectorXd>(residual + k * d, index(d));
    L.triangularView<Eigen::Lower>().solveInPlace(z);
    L.transpose().triangularView<Eigen::Upper>().solveInPlace(z);
  }
  if (!base_.empty()) out[classes_ * d] = inverse_base_ * residual[classes_ * d];
}

} // namespace mcomp::inline v0::calibrate::detail
