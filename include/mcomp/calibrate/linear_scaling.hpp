#pragma once

// Calibrators that are linear in the logits: vector and matrix scaling (Guo et al., ICML 2017, section 4.2), and
// Dirichlet calibration (Kull et al., NeurIPS 2019), which is matrix scaling of log-probabilities and therefore does
// not depend on a constant added to a row. Multinomial logistic regression throughout: convex, so that there is one
// optimum of the likelihood, which a Newton-CG iteration reaches.
//
//     auto scaling = calibrate::fit_dirichlet(logits, labels, {.regularization = Regularization::odir,
//                                                              .weight_penalty = 0.01, .bias_penalty = 0.01});

#include <cstdint>
#include <string>
#include <vector>

#include "mcomp/calibrate/fit_report.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate {

/// What is added to the mean NLL, with lambda = weight_penalty, mu = bias_penalty and K classes:
enum class Regularization {
  none,
  l2,   ///< lambda |W|^2 + mu |b|^2, towards zero
  odir, ///< off-diagonal and intercept (Kull et al., section 4): lambda |W off the diagonal|^2 / (K (K - 1)) + mu
        ///< |b|^2 / K. Of vector scaling the biases only.
};

/// Matrix and Dirichlet calibration have K (K + 1) parameters, which overfit where rows are few: matrix scaling of 100
/// classes on 5,000 rows raises ECE from 16.5 % to 25.5 % (Guo et al., table 1). What to do without regularization and
/// with fewer than 10 rows a parameter:
enum class OverfitRule {
  refuse,     ///< an error that names the remedies
  regularize, ///< ODIR with lambda = mu from 10^6, 10^5 ... 0.01, down to the least NLL in 3-fold cross-validation
  allow,
};

[[nodiscard]] MCOMP_API std::string to_string(Regularization regularization);

struct LinearOptions {
  Regularization regularization = Regularization::none;
  double weight_penalty = 0;
  double bias_penalty = 0;
  OverfitRule when_overfitting = OverfitRule::refuse;
  int most_iterations = 200;
  Executor* executor = nullptr; ///< null: the calling thread; the result does not depend on it
};

/// softmax(w * z + b), elementwise.
struct VectorScaling {
  std::vector<double> weights{}, biases{}; ///< [classes]
  LinearOptions options{};                 ///< as used; its executor is null
  FitReport report{};
};

/// softmax(W z + b); Dirichlet: softmax(W log softmax(z) + b).
struct MatrixScaling {
  std::int64_t classes = 0;
  std::vector<double> weights{}; ///< [classes, classes], row-major: a row for every output
  std::vector<double> biases{};  ///< [classes]
  bool dirichlet = false;
  LinearOptions options{}; ///< as used, with the penalties that `regularize` chose; its executor is null
  FitReport report{};
};

[[nodiscard]] MCOMP_API std::string to_string(const VectorScaling& scaling);
[[nodiscard]] MCOMP_API std::string to_string(const MatrixScaling& scaling);

// Logits [samples, classes], f32 or f64, all finite (`log_probabilities` makes them from probabilities); labels
// [samples], int32 or int64. Time: a few dozen passes over the logits for vectors; times `classes` for matrices.
// Errors: insufficient_data without rows, for a class without rows where biases are not penalized, where classes can be
// separated (the optimum then lies at infinity), and for too few rows (`OverfitRule`); invalid_shape, invalid_dtype;
// invalid_value for NaN, infinities and labels outside 0 .. classes - 1; invalid_argument for negative penalties.

[[nodiscard]] MCOMP_API Result<VectorScaling> fit_vector(const TensorView& logits, const TensorView& labels,
                                                         const LinearOptions& options = {});
[[nodiscard]] MCOMP_API Result<MatrixScaling> fit_matrix(const TensorView& logits, const TensorView& labels,
                                                         const LinearOptions& options = {});
[[nodiscard]] MCOMP_API Result<MatrixScaling> fit_dirichlet(const TensorView& logits, const TensorView& labels,
                                                            const LinearOptions& options = {});

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::Regularization> = true;
template <> inline constexpr bool enable_format<calibrate::VectorScaling> = true;
template <> inline constexpr bool enable_format<calibrate::MatrixScaling> = true;
} // namespace mcomp::inline v0
