#include "cost/gaussian_process.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

namespace mcomp::inline v0::cost::detail {

namespace {

constexpr double root_five = 2.2360679774997896964;

/// Squared distances of all rows of `a` to all rows of `b`.
Eigen::MatrixXd squared_distances(const Eigen::MatrixXd& a, const Eigen::MatrixXd& b) {
  Eigen::MatrixXd d = -2.0 * a * b.transpose();
  d.colwise() += a.rowwise().squaredNorm();
  d.rowwise() += b.rowwise().squaredNorm().transpose();
  return d.cwiseMax(0.0);
}

Eigen::MatrixXd matern(const Eigen::MatrixXd& squared) {
  const Eigen::ArrayXXd r = root_five * squared.array().sqrt();
  return ((1 + r + r.square() / 3) * (-r).exp()).matrix();
}

/// Logarithms of the length scales, of the signal's and of the noise's standard deviation.
struct Hyperparameters {
  Eigen::VectorXd log_lengths;
  double log_signal = 0, log_noise = 0;
};

constexpr double prior_length = 8, prior_width = 1.5; // of a log-normal, in standard deviations of the features
constexpr double jitter = 1e-8;                       // keeps the factorization stable where two rows are equal

/// Adam on the negative log marginal likelihood with its prior; the best point met is kept.
Hyperparameters optimize(const Eigen::MatrixXd& x, const Eigen::VectorXd& y) {
  const Eigen::Index n = x.rows(), features = x.cols(), parameters = features + 2;
  Eigen::VectorXd theta(parameters), first = Eigen::VectorXd::Zero(parameters), second = first;
  theta.head(features).setConstant(std::log(4.0));
  theta[features] = std::log(std::max(1e-6, std::sqrt((y.array() - y.mean()).square().mean())));
  theta[features + 1] = std::log(0.05);
  Eigen::VectorXd best = theta;
  double least = std::numeric_limits<double>::infinity();
  constexpr int steps = 120;
  constexpr double rate = 0.1, decay_first = 0.9, decay_second = 0.99;
  for (int step = 1; step <= steps; ++step) {
    const Eigen::VectorXd lengths = theta.head(features).array().exp();
    const double signal = std::exp(2 * theta[features]), noise = std::exp(2 * theta[features + 1]);
    const Eigen::MatrixXd scaled = x * lengths.cwiseInverse().asDiagonal();
    const Eigen::MatrixXd squared = squared_distances(scaled, scaled);
    const Eigen::ArrayXXd r = root_five * squared.array().sqrt();
    const Eigen::ArrayXXd decay = (-r).exp();
    const Eigen::MatrixXd correlation = ((1 + r + r.square() / 3) * decay).matrix();
    Eigen::MatrixXd covariance = signal * correlation;
    covariance.diagonal().array() += noise + jitter;
    const Eigen::LLT<Eigen::MatrixXd> factor(covariance);
    if (factor.info() != Eigen::Success) break; // the best so far stands
    const Eigen::VectorXd alpha = factor.solve(y);
    const Eigen::MatrixXd inverse = factor.solve(Eigen::MatrixXd::Identity(n, n));
    const Eigen::ArrayXd prior = (theta.head(features).array() - std::log(prior_length)) / prior_width;
    const double objective = 0.5 * y.dot(alpha) + Eigen::MatrixXd(factor.matrixLLT()).diagonal().array().log().sum() +
                             0.5 * prior.square().sum();
    if (!std::isfinite(objective)) break;
    if (objective < least) least = objective, best = theta;
    const Eigen::MatrixXd outer = alpha * alpha.transpose() - inverse;
    // d k / d log length_j = signal 5/3 (1 + r) exp(-r) (distance along j)^2, with sums over pairs as two products.
    const Eigen::MatrixXd slope = (outer.array() * (signal * (5.0 / 3.0)) * (1 + r) * decay).matrix();
    const Eigen::VectorXd slope_sums = slope.rowwise().sum();
    Eigen::VectorXd gradient(parameters);
    const Eigen::MatrixXd product = slope * scaled;
    for (Eigen::Index j = 0; j < features; ++j)
      gradient[j] =
          -(scaled.col(j).cwiseAbs2().dot(slope_sums) - scaled.col(j).dot(product.col(j))) + prior[j] / prior_width;
    gradient[features] = -outer.cwiseProduct(correlation).sum() * signal;
    gradient[features + 1] = -outer.trace() * noise;
    first = decay_first * first + (1 - decay_first) * gradient;
    second = decay_second * second + (1 - decay_second) * gradient.cwiseAbs2();
    const double bias_first = 1 - std::pow(decay_first, step), bias_second = 1 - std::pow(decay_second, step);
    theta.array() -= rate * (first.array() / bias_first) / ((second.array() / bias_second).sqrt() + 1e-12);
  }
  return {best.head(features), best[features], best[features + 1]};
}

} // namespace

GaussianProcess::GaussianProcess(Eigen::MatrixXd x, Eigen::VectorXd y, Eigen::Index subset, Random random) {
  const Eigen::Index n = x.rows();
  std::vector<Eigen::Index> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), Eigen::Index{0});
  random.shuffle(std::span(order));
  const auto kept = static_cast<std::ptrdiff_t>(std::min(n, subset));
  rows_apart_.assign(order.begin() + kept, order.end());
  order.resize(static_cast<std::size_t>(kept));
  Eigen::MatrixXd part(static_cast<Eigen::Index>(order.size()), x.cols());
  Eigen::VectorXd values(part.rows());
  for (Eigen::Index i = 0; i < part.rows(); ++i) {
    part.row(i) = x.row(order[static_cast<std::size_t>(i)]);
    values[i] = y[order[static_cast<std::size_t>(i)]];
  }
  const Hyperparameters found = optimize(part, values);
  lengths_ = found.log_lengths.array().exp();
  signal_ = std::exp(2 * found.log_signal);
  noise_ = std::max(1e-6, std::exp(2 * found.log_noise)); // no clock is better than a thousandth
  scaled_ = x * lengths_.cwiseInverse().asDiagonal();
  Eigen::MatrixXd covariance = signal_ * matern(squared_distances(scaled_, scaled_));
  covariance.diagonal().array() += noise_ + jitter;
  factor_.compute(covariance);
  weights_ = factor_.solve(y);
  const Eigen::MatrixXd inverse = factor_.solve(Eigen::MatrixXd::Identity(n, n));
  for (Eigen::Index i = 0; i < n; ++i)
    leave_one_out_.push_back({y[i] - weights_[i] / inverse(i, i), std::sqrt(1 / inverse(i, i))});
}

GaussianProcess::Prediction GaussianProcess::predict(const Eigen::VectorXd& x) const {
  const Eigen::MatrixXd scaled = x.cwiseQuotient(lengths_).transpose();
  const Eigen::VectorXd k = signal_ * matern(squared_distances(scaled_, scaled));
  const Eigen::VectorXd half = factor_.matrixL().solve(k);
  return {k.dot(weights_), std::sqrt(std::max(noise_, signal_ + noise_ - half.squaredNorm()))};
}

} // namespace mcomp::inline v0::cost::detail
