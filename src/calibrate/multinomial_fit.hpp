#pragma once

// Multinomial logistic regression with any linear map from parameters to logits: mean NLL + 1/2 sum c_i theta_i^2,
// convex, minimized by Newton's method whose steps are found by preconditioned conjugate gradients.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "mcomp/calibrate/fit_report.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::calibrate::detail {

/// The linear map of a model, on rows [first, last).
class LinearModel {
 public:
  virtual ~LinearModel() = default;
  /// out [last - first, classes] = A theta, and what does not depend on theta where `offset`.
  virtual void logits(std::size_t first, std::size_t last, const double* theta, bool offset, double* out) const = 0;
  /// gradient += A^T G with G [last - first, classes].
  virtual void adjoint(std::size_t first, std::size_t last, const double* G, double* gradient) const = 0;
  /// Prepares an approximate inverse of the Hessian at probabilities P [rows, classes], the penalty included.
  virtual void prepare(std::span<const double> P) = 0;
  virtual void precondition(const double* residual, double* out) const = 0;
};

struct MultinomialProblem {
  std::size_t rows = 0, classes = 0;
  std::span<const std::size_t> label{};
  std::vector<double> penalty{}; ///< c, as many as parameters
  int most_iterations = 200;
  Executor* executor = nullptr;
};

struct MultinomialFit {
  std::vector<double> theta{};
  double nll = 0, penalty = 0, gradient_norm = 0;
  int iterations = 0;
  bool reached = false;
  bool unbounded = false; ///< the objective still falls where steps no longer shrink: the optimum lies at infinity
};

[[nodiscard]] MultinomialFit fit_multinomial(LinearModel& model, const MultinomialProblem& problem,
                                             std::vector<double> theta);
/// Of the fit; an error where the optimum is at infinity.
[[nodiscard]] Result<FitReport> report_of(const MultinomialFit& fit, double nll_before, std::size_t rows);
/// Mean NLL of softmax(logits) [rows, classes].
[[nodiscard]] double mean_nll(std::span<const double> logits, std::span<const std::size_t> label, std::size_t classes);

/// exp and normalize a row in place; returns log sum exp.
double softmax_in_place(double* row, std::size_t classes);

} // namespace mcomp::inline v0::calibrate::detail
