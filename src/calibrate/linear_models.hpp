#pragma once

#include <vector>

#include "calibrate/multinomial_fit.hpp"

namespace mcomp::inline v0::calibrate::detail {

/// z_k = w_k x_k + b_k; theta = (w, b). `x` [rows, classes] must outlive the model.
class VectorModel final : public LinearModel {
 public:
  VectorModel(std::span<const double> x, std::size_t classes, std::vector<double> penalty);
  void logits(std::size_t first, std::size_t last, const double* theta, bool offset, double* out) const override;
  void adjoint(std::size_t first, std::size_t last, const double* G, double* gradient) const override;
  void prepare(std::span<const double> P) override;
  void precondition(const double* residual, double* out) const override;

 private:
  std::span<const double> x_;
  std::size_t classes_;
  std::vector<double> penalty_;
  std::vector<double> inverse_; ///< of every class, three numbers of a symmetric 2x2 matrix
};

/// z_k = sum_j W_kj x_j + b_k; theta has a row (W_k, b_k) for every class. With `base` [rows, classes], one more
/// parameter at the end: z = ... + a base. `x` [rows, features] and `base` must outlive the model.
class MatrixModel final : public LinearModel {
 public:
  MatrixModel(std::span<const double> x, std::size_t features, std::size_t classes, std::vector<double> penalty,
              std::span<const double> base = {});
  void logits(std::size_t first, std::size_t last, const double* theta, bool offset, double* out) const override;
  void adjoint(std::size_t first, std::size_t last, const double* G, double* gradient) const override;
  void prepare(std::span<const double> P) override;
  void precondition(const double* residual, double* out) const override;

 private:
  [[nodiscard]] std::size_t stride() const noexcept { return features_ + 1; }

  std::span<const double> x_, base_;
  std::size_t features_, classes_;
  std::vector<double> penalty_;
  std::vector<std::vector<double>> factor_; ///< Cholesky factors [features + 1]^2 of every class, or empty
  std::vector<double> inverse_diagonal_;    ///< where factors would cost too much
  double inverse_base_ = 1;
};

} // namespace mcomp::inline v0::calibrate::detail
