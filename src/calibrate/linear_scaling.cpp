#include "mcomp/calibrate/linear_scaling.hpp"

#include <cmath>
#include <limits>

#include "calibrate/finite_rows.hpp"
#include "calibrate/labelled_rows.hpp"
#include "calibrate/linear_models.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

constexpr double least_rows_per_parameter = 10;

Status check(const LinearOptions& options) {
  for (const double penalty : {options.weight_penalty, options.bias_penalty})
    if (!(penalty >= 0 && penalty <= 1e100))
      return Error(ErrorCode::invalid_argument, "penalty", fmt::format("it must be at least 0, it is {}", penalty),
                   "pass a small number such as 0.01");
  if (options.regularization == Regularization::none && (options.weight_penalty > 0 || options.bias_penalty > 0))
    return Error(ErrorCode::invalid_argument, "penalty", "a penalty is given, and no regularization that would use it",
                 "set regularization to l2 or odir");
  if (options.most_iterations < 1)
    return Error(ErrorCode::invalid_argument, "most_iterations",
                 fmt::format("at least 1 is needed, it is {}", options.most_iterations), "leave it at 200");
  return {};
}

/// 1/2 c of every parameter.
std::vector<double> penalties(const LinearOptions& options, std::size_t K, bool vector) {
  const double k = static_cast<double>(K), lambda = options.weight_penalty, mu = options.bias_penalty;
  double diagonal = 0, off_diagonal = 0, bias = 0;
  if (options.regularization == Regularization::l2) diagonal = off_diagonal = 2 * lambda, bias = 2 * mu;
  if (options.regularization == Regularization::odir)
    off_diagonal = K > 1 ? 2 * lambda / (k * (k - 1)) : 0, bias = 2 * mu / k;
  std::vector<double> result;
  if (vector) {
    result.assign(2 * K, diagonal);
    std::fill(result.begin() + static_cast<std::ptrdiff_t>(K), result.end(), bias);
    return result;
  }
  for (std::size_t i = 0; i < K; ++i) {
    for (std::size_t j = 0; j < K; ++j) result.push_back(i == j ? diagonal : off_diagonal);
    result.push_back(bias);
  }
  return result;
}

LinearOptions kept(LinearOptions options) {
  options.executor = nullptr;
  return options;
}

Result<VectorScaling> fit_vector_rows(const detail::FiniteRows& data, const LinearOptions& options) {
  const std::size_t K = data.classes;
  if (options.bias_penalty == 0) MCOMP_CHECK(detail::require_all_classes(data));
  detail::VectorModel model(data.values, K, penalties(options, K, true));
  std::vector<double> theta(2 * K);
  std::fill_n(theta.begin(), K, 1);
  const auto fit = detail::fit_multinomial(model,
                                           {.rows = data.rows,
                                            .classes = K,
                                            .label = data.label,
                                            .penalty = penalties(options, K, true),
                                            .most_iterations = options.most_iterations,
                                            .executor = options.executor},
                                           std::move(theta));
  MCOMP_TRY(report, detail::report_of(fit, detail::mean_nll(data.values, data.label, K), data.rows));
  const auto middle = fit.theta.begin() + static_cast<std::ptrdiff_t>(K);
  return VectorScaling{.weights = {fit.theta.begin(), middle},
                       .biases = {middle, fit.theta.end()},
                       .options = kept(options),
                       .report = report};
}

/// `data` is what the matrix multiplies.
Result<MatrixScaling> fit_matrix_rows(const detail::FiniteRows& data, bool dirichlet, const LinearOptions& options) {
  const std::size_t K = data.classes;
  if (options.bias_penalty == 0) MCOMP_CHECK(detail::require_all_classes(data));
  const std::vector<double> penalty = penalties(options, K, false);
  detail::MatrixModel model(data.values, K, K, penalty);
  std::vector<double> theta(K * (K + 1));
  for (std::size_t k = 0; k < K; ++k) theta[k * (K + 1) + k] = 1;
  const auto fit = detail::fit_multinomial(model,
                                           {.rows = data.rows,
                                            .classes = K,
                                            .label = data.label,
                                            .penalty = penalty,
                                            .most_iterations = options.most_iterations,
                                            .executor = options.executor},
                                           std::move(theta));
  MCOMP_TRY(report, detail::report_of(fit, detail::mean_nll(data.values, data.label, K), data.rows));
  MatrixScaling result{.classes = static_cast<std::int64_t>(K),
                       .weights = std::vector<double>(K * K),
                       .biases = std::vector<double>(K),
                       .dirichlet = dirichlet,
                       .options = kept(options),
                       .report = report};
  for (std::size_t k = 0; k < K; ++k) {
    std::copy_n(fit.theta.data() + k * (K + 1), K, result.weights.data() + k * K);
    result.biases[k] = fit.theta[k * (K + 1) + K];
  }
  return result;
}

double held_out_nll(const MatrixScaling& scaling, const detail::FiniteRows& data) {
  const std::size_t K = data.classes;
  std::vector<double> z(data.values.size());
  for (std::size_t i = 0; i < data.rows; ++i)
    for (std::size_t k = 0; k < K; ++k) {
      double sum = scaling.biases[k];
      for (std::size_t j = 0; j < K; ++j) sum += scaling.weights[k * K + j] * data.row(i)[j];
      z[i * K + k] = sum;
    }
  return detail::mean_nll(z, data.label, K);
}

/// The lambda = mu of ODIR with the least NLL in 3-fold cross-validation.
Result<double> choose_penalty(const detail::FiniteRows& data, bool dirichlet, LinearOptions options) {
  constexpr int folds = 3;
  const std::vector<int> part = detail::stratified_parts(data.label, data.classes, folds, 0);
  options.regularization = Regularization::odir;
  double best = 0, best_nll = std::numeric_limits<double>::infinity();
  for (const double penalty : {1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1., 1e-1, 1e-2}) {
    options.weight_penalty = options.bias_penalty = penalty;
    double nll = 0;
    for (int fold = 0; fold < folds; ++fold) {
      std::vector<std::size_t> inside, outside;
      for (std::size_t i = 0; i < data.rows; ++i) (part[i] == fold ? outside : inside).push_back(i);
      MCOMP_TRY(scaling, fit_matrix_rows(detail::subset(data, inside), dirichlet, options));
      nll += held_out_nll(scaling, detail::subset(data, outside)) * static_cast<double>(outside.size());
    }
    if (nll >= best_nll) break; // the fits that follow are dearer, and worse
    best_nll = nll, best = penalty;
  }
  return best;
}

Result<MatrixScaling> fit_matrix_of(const TensorView& logits, const TensorView& labels, bool dirichlet,
                                    LinearOptions options) {
  MCOMP_CHECK(check(options));
  MCOMP_TRY(data, detail::read_finite_rows(logits, labels));
  if (dirichlet) detail::log_softmax_in_place(data.values, data.classes);
  const double parameters = static_cast<double>(data.classes * (data.classes + 1));
  const bool penalized = options.regularization != Regularization::none && options.weight_penalty > 0;
  if (!penalized && options.when_overfitting != OverfitRule::allow &&
      static_cast<double>(data.rows) < least_rows_per_parameter * parameters) {
    if (options.when_overfitting == OverfitRule::refuse || data.rows < 6)
      return Error(ErrorCode::insufficient_data, dirichlet ? "fit_dirichlet" : "fit_matrix",
                   fmt::format("{} rows for {} parameters of {} classes overfit: {} a parameter are needed", data.rows,
                               parameters, data.classes, least_rows_per_parameter),
                   "take a temperature or vector scaling, or ODIR with a penalty, or set when_overfitting");
    MCOMP_TRY(penalty, choose_penalty(data, dirichlet, options));
    options.regularization = Regularization::odir;
    options.weight_penalty = options.bias_penalty = penalty;
  }
  return fit_matrix_rows(data, dirichlet, options);
}

std::string described(const LinearOptions& options) {
  if (options.regularization == Regularization::none) return "without penalty";
  return fmt::format("{} {:g}, {:g}", options.regularization, options.weight_penalty, options.bias_penalty);
}

} // namespace

std::string to_string(Regularization regularization) {
  switch (regularization) {
  case Regularization::none:
    return "none";
  case Regularization::l2:
    return "l2";
  case Regularization::odir:
    return "odir";
  }
  return "unknown";
}

std::string to_string(const VectorScaling& scaling) {
  return fmt::format("vector scaling of {} classes ({}): {}", scaling.weights.size(), described(scaling.options),
                     scaling.report);
}

std::string to_string(const MatrixScaling& scaling) {
  return fmt::format("{} of {} classes ({}): {}", scaling.dirichlet ? "Dirichlet calibration" : "matrix scaling",
                     scaling.classes, described(scaling.options), scaling.report);
}

Result<VectorScaling> fit_vector(const TensorView& logits, const TensorView& labels, const LinearOptions& options) {
  MCOMP_CHECK(check(options));
  MCOMP_TRY(data, detail::read_finite_rows(logits, labels));
  return fit_vector_rows(data, options);
}

Result<MatrixScaling> fit_matrix(const TensorView& logits, const TensorView& labels, const LinearOptions& options) {
  return fit_matrix_of(logits, labels, false, options);
}

Result<MatrixScaling> fit_dirichlet(const TensorView& logits, const TensorView& labels, const LinearOptions& options) {
  return fit_matrix_of(logits, labels, true, options);
}

} // namespace mcomp::inline v0::calibrate
