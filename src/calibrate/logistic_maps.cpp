// Platt scaling and beta calibration: logistic regression on one to three numbers a row.

#include <cmath>
#include <limits>
#include <optional>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "calibrate/probability_map.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

struct LogisticFit {
  Eigen::VectorXd theta{};
  double nll = 0, gradient_norm = 0;
  int iterations = 0;
  bool reached = false, unbounded = false;
};

double log1p_exp(double t) {
  return t > 0 ? t + std::log1p(std::exp(-t)) : std::log1p(std::exp(t));
}

/// The theta that minimizes the mean cross-entropy of `target` against sigmoid(offset + X theta), by Newton's method
/// with halved steps.
LogisticFit fit_logistic(const Eigen::MatrixXd& X, const Eigen::VectorXd& offset, const Eigen::VectorXd& target) {
  const double n = static_cast<double>(X.rows());
  LogisticFit fit;
  fit.theta = Eigen::VectorXd::Zero(X.cols());
  const auto value_at = [&](const Eigen::VectorXd& theta) {
    const Eigen::VectorXd t = offset + X * theta;
    double sum = 0;
    for (Eigen::Index i = 0; i < t.size(); ++i) sum += log1p_exp(t[i]) - target[i] * t[i];
    return sum / n;
  };
  fit.nll = value_at(fit.theta);
  while (fit.iterations < 200) {
    ++fit.iterations;
    const Eigen::VectorXd t = offset + X * fit.theta;
    const Eigen::VectorXd p = t.unaryExpr([](double u) { return 1 / (1 + std::exp(-u)); });
    const Eigen::VectorXd gradient = X.transpose() * (p - target) / n;
    fit.gradient_norm = X.cols() == 0 ? 0 : gradient.cwiseAbs().maxCoeff();
    Eigen::MatrixXd H = X.transpose() * (p.array() * (1 - p.array())).matrix().asDiagonal() * X / n;
    H.diagonal().array() += 1e-14 * H.trace() + 1e-300;
    const Eigen::VectorXd step = -H.ldlt().solve(gradient);
    const double decrement = -gradient.dot(step);
    if (!(decrement > 1e-16)) {
      fit.reached = std::isfinite(fit.nll);
      fit.unbounded = decrement > 0 && step.cwiseAbs().maxCoeff() > 1e-3 * (1 + fit.theta.cwiseAbs().maxCoeff());
      return fit;
    }
    double length = 1, next = 0;
    for (int halvings = 0; halvings < 60; ++halvings, length /= 2) {
      next = value_at(fit.theta + length * step);
      if (next <= fit.nll - 1e-4 * length * decrement || decrement < 1e-9) break;
    }
    fit.theta += length * step;
    fit.nll = next;
  }
  return fit;
}

Error separable() {
  return Error(ErrorCode::insufficient_data, "scores",
               "they separate the outcomes: the likelihood rises for ever with the slope",
               "fit on more rows, or take fit_platt with smooth targets, or fit_isotonic with clip");
}

MapFit finished(ProbabilityMap map, const LogisticFit& fit, std::int64_t parameters, std::span<const double> scores,
                std::span<const std::uint8_t> outcomes) {
  MapFit result = detail::judged(std::move(map), scores, outcomes, parameters);
  result.report.gradient_norm = fit.gradient_norm;
  result.report.iterations = fit.iterations;
  result.report.optimum_reached = fit.reached;
  return result;
}

Eigen::VectorXd as_vector(std::span<const std::uint8_t> outcomes) {
  Eigen::VectorXd target(static_cast<Eigen::Index>(outcomes.size()));
  for (std::size_t i = 0; i < outcomes.size(); ++i) target[static_cast<Eigen::Index>(i)] = outcomes[i] != 0;
  return target;
}

} // namespace

Result<MapFit> fit_platt(std::span<const double> scores, std::span<const std::uint8_t> outcomes,
                         const PlattOptions& options) {
  MCOMP_CHECK(detail::check_scores(scores, outcomes));
  const auto n = static_cast<Eigen::Index>(scores.size());
  Eigen::MatrixXd X(n, 2);
  Eigen::VectorXd target = as_vector(outcomes);
  if (options.smooth_targets) {
    const double events = target.sum(), others = static_cast<double>(n) - events;
    target = target.unaryExpr([&](double y) { return y != 0 ? (events + 1) / (events + 2) : 1 / (others + 2); });
  }
  for (Eigen::Index i = 0; i < n; ++i) {
    const double score = scores[static_cast<std::size_t>(i)];
    X.row(i) << detail::log_score(score) - detail::log_complement(score), 1;
  }
  const LogisticFit fit = fit_logistic(X, Eigen::VectorXd::Zero(n), target);
  if (fit.unbounded) return separable();
  return finished({.a = fit.theta[0], .b = fit.theta[0], .c = fit.theta[1]}, fit, 2, scores, outcomes);
}

Result<MapFit> fit_beta(std::span<const double> scores, std::span<const std::uint8_t> outcomes,
                        BetaParameters parameters) {
  MCOMP_CHECK(detail::check_scores(scores, outcomes));
  const auto n = static_cast<Eigen::Index>(scores.size());
  // Columns of a, b and c. A map that keeps 1/2 has c = (a - b) log 2, which moves into the columns of a and b.
  const double shift = parameters == BetaParameters::ab ? std::log(2.) : 0;
  Eigen::VectorXd of_a(n), of_b(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const double score = scores[static_cast<std::size_t>(i)];
    of_a[i] = detail::log_score(score) + shift;
    of_b[i] = -detail::log_complement(score) - shift;
  }
  const Eigen::VectorXd target = as_vector(outcomes), ones = Eigen::VectorXd::Ones(n);
  const bool tied = parameters == BetaParameters::am, intercept = parameters != BetaParameters::ab;
  struct Candidate {
    LogisticFit fit{};
    double a = 0, b = 0, c = 0;
  };
  const auto on_face = [&](bool with_a, bool with_b) {
    Eigen::MatrixXd X(n, (tied ? with_a : int{with_a} + int{with_b}) + int{intercept});
    Eigen::Index column = 0;
    if (tied && with_a) X.col(column++) = of_a + of_b;
    if (!tied && with_a) X.col(column++) = of_a;
    if (!tied && with_b) X.col(column++) = of_b;
    if (intercept) X.col(column++) = ones;
    Candidate result{.fit = fit_logistic(X, Eigen::VectorXd::Zero(n), target)};
    column = 0;
    if (with_a) result.a = result.fit.theta[column++];
    if (tied)
      result.b = result.a;
    else if (with_b)
      result.b = result.fit.theta[column++];
    result.c = intercept ? result.fit.theta[column] : (result.a - result.b) * shift;
    return result;
  };
  const auto feasible = [](const Candidate& candidate) { return candidate.a >= 0 && candidate.b >= 0; };
  Candidate best = on_face(true, true);
  if (!feasible(best)) {
    // Convex, so the constrained optimum lies on one of the faces.
    std::optional<Candidate> found;
    for (const auto& [with_a, with_b] : {std::pair{true, false}, {false, true}, {false, false}}) {
      if (tied && with_a != with_b) continue;
      Candidate candidate = on_face(with_a, with_b);
      if (feasible(candidate) && (!found || candidate.fit.nll < found->fit.nll)) found = std::move(candidate);
    }
    best = std::move(*found); // a = b = 0 is always feasible
  }
  if (best.fit.unbounded) return separable();
  const std::int64_t count = parameters == BetaParameters::abm ? 3 : 2;
  return finished({.a = best.a, .b = best.b, .c = best.c}, best.fit, count, scores, outcomes);
}

} // namespace mcomp::inline v0::calibrate
