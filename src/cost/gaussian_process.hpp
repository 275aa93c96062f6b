#pragma once

#include <vector>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::cost::detail {

/// Regression by a Gaussian process of mean zero: Matern 5/2 with a length scale for each feature, and noise
/// (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapters 2, 4 and 5). Features should have
/// mean 0 and variance 1.
class GaussianProcess {
 public:
  /// Hyperparameters maximize the marginal likelihood of at most `subset` random rows, with a log-normal prior on the
  /// length scales that keeps what the data do not tell from mattering.
  /// @param x [rows, features], @param y [rows], both finite
  GaussianProcess(Eigen::MatrixXd x, Eigen::VectorXd y, Eigen::Index subset, Random random);

  struct Prediction {
    double mean = 0;
    double deviation = 0; ///< of a new observation, noise included
  };
  [[nodiscard]] Prediction predict(const Eigen::VectorXd& x) const;
  /// Of each row from all others, without a new fit (Rasmussen and Williams, equations 5.12).
  [[nodiscard]] const std::vector<Prediction>& leave_one_out() const noexcept { return leave_one_out_; }
  /// Rows that had no part in the choice of the hyperparameters, so that their errors are honest.
  [[nodiscard]] const std::vector<Eigen::Index>& rows_apart() const noexcept { return rows_apart_; }

 private:
  Eigen::MatrixXd scaled_; ///< rows divided by the length scales
  Eigen::VectorXd lengths_, weights_;
  Eigen::LLT<Eigen::MatrixXd> factor_;
  double signal_ = 1, noise_ = 1; ///< variances
  std::vector<Prediction> leave_one_out_;
  std::vector<Eigen::Index> rows_apart_;
};

} // namespace mcomp::inline v0::cost::detail
