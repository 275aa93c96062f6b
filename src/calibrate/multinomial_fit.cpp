#include "calibrate/multinomial_fit.hpp"

#include <algorithm>
#include <cmath>

#include "calibrate/row_kernels.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate::detail {

namespace {

// Constants, since they decide the order of sums.
constexpr std::size_t block_rows = 64, most_chunks = 16;

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

class Objective {
 public:
  Objective(const LinearModel& model, const MultinomialProblem& problem)
      : model_(model), problem_(problem), executor_(problem.executor ? *problem.executor : serial_executor()),
        chunks_(std::clamp<std::size_t>(problem.rows / (4 * block_rows), 1, most_chunks)),
        P_(problem.rows * problem.classes) {}

  /// NLL at theta; the probabilities are kept, and the gradient of NLL + penalty is written.
  double evaluate(const std::vector<double>& theta, std::vector<double>& gradient) {
    const std::size_t K = problem_.classes;
    const double n = static_cast<double>(problem_.rows);
    std::vector<double> losses(chunks_);
    reduce(gradient, [&](std::size_t chunk, std::size_t first, std::size_t last, double* sum) {
      double* const P = P_.data() + first * K;
      model_.logits(first, last, theta.data(), true, P);
      std::vector<double> G((last - first) * K);
      for (std::size_t i = first; i < last; ++i) {
        double* const p = P + (i - first) * K;
        const double z = p[problem_.label[i]];
        losses[chunk] += softmax_in_place(p, K) - z;
        double* const g = G.data() + (i - first) * K;
        for (std::size_t k = 0; k < K; ++k) g[k] = p[k] / n;
        g[problem_.label[i]] -= 1 / n;
      }
      model_.adjoint(first, last, G.data(), sum);
    });
    for (std::size_t i = 0; i < theta.size(); ++i) gradient[i] += problem_.penalty[i] * theta[i];
    double nll = 0;
    for (const double loss : losses) nll += loss / n;
    return nll;
  }

  /// out = (H + diag c) v at the probabilities of the last evaluation.
  void multiply(const std::vector<double>& v, std::vector<double>& out) {
    const std::size_t K = problem_.classes;
    const double n = static_cast<double>(problem_.rows);
    reduce(out, [&](std::size_t, std::size_t first, std::size_t last, double* sum) {
      std::vector<double> U((last - first) * K);
      model_.logits(first, last, v.data(), false, U.data());
      for (std::size_t i = first; i < last; ++i) {
        const double* const p = P_.data() + i * K;
        double* const u = U.data() + (i - first) * K;
        double mean = 0;
        for (std::size_t k = 0; k < K; ++k) mean += p[k] * u[k];
        for (std::size_t k = 0; k < K; ++k) u[k] = p[k] * (u[k] - mean) / n;
      }
      model_.adjoint(first, last, U.data(), sum);
    });
    for (std::size_t i = 0; i < v.size(); ++i) out[i] += problem_.penalty[i] * v[i];
  }

  [[nodiscard]] std::span<const double> probabilities() const { return P_; }

 private:
  template <class Work> void reduce(std::vector<double>& total, const Work& work) {
    std::vector<std::vector<double>> sums(chunks_, std::vector<double>(total.size()));
    executor_.run(chunks_, [&](std::size_t chunk) {
      const std::size_t end = problem_.rows * (chunk + 1) / chunks_;
      for (std::size_t first = problem_.rows * chunk / chunks_; first < end; first += block_rows)
        work(chunk, first, std::min(end, first + block_rows), sums[chunk].data());
    });
    std::fill(total.begin(), total.end(), 0);
    for (const std::vector<double>& sum : sums)
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += sum[i];
  }

  const LinearModel& model_;
  const MultinomialProblem& problem_;
  Executor& executor_;
  std::size_t chunks_;
  std::vector<double> P_;
};

/// H d = -g by conjugate gradients until the residual is `tolerance` of g, in the norm of the preconditioner.
std::vector<double> newton_step(Objective& objective, const LinearModel& model, const std::vector<double>& gradient,
                                double tolerance) {
  const std::size_t m = gradient.size();
  std::vector<double> d(m), r(m), z(m), q(m), Hq(m);
  for (std::size_t i = 0; i < m; ++i) r[i] = -gradient[i];
  model.precondition(r.data(), z.data());
  q = z;
  double rz = dot(r, z);
  // Some directions change nothing, such as the same weights added to every class. There the gradient is rounding
  // error, which a step must not divide by a curvature that is rounding error too: below `noise` nothing can be gained,
  // and a direction whose curvature is not what the preconditioner expects by ten digits is such a one.
  constexpr double noise = 1e-20, flat = 1e-10;
  const double enough = std::max(tolerance * tolerance * rz, noise);
  double expected = rz; // q^T M q
  const std::size_t most = std::min<std::size_t>(2 * m + 20, 2000);
  for (std::size_t n = 0; n < most && rz > enough; ++n) {
    objective.multiply(q, Hq);
    const double curvature = dot(q, Hq);
    if (!(curvature > flat * expected)) break;
    const double alpha = rz / curvature;
    for (std::size_t i = 0; i < m; ++i) d[i] += alpha * q[i], r[i] -= alpha * Hq[i];
    model.precondition(r.data(), z.data());
    const double next = dot(r, z);
    const double beta = next / rz;
    for (std::size_t i = 0; i < m; ++i) q[i] = z[i] + beta * q[i];
    expected = next + beta * beta * expected;
    rz = next;
  }
  return d;
}

double largest(std::span<const double> values) {
  double result = 0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

} // namespace

double softmax_in_place(double* row, std::size_t classes) {
  const double maximum = *std::max_element(row, row + classes);
  row_kernels<double>().exponentials(row, classes, maximum, 1, row);
  double sum = 0;
  for (std::size_t k = 0; k < classes; ++k) sum += row[k];
  for (std::size_t k = 0; k < classes; ++k) row[k] /= sum;
  return maximum + std::log(sum);
}

double mean_nll(std::span<const double> logits, std::span<const std::size_t> label, std::size_t classes) {
  std::vector<double> row(classes);
  double sum = 0;
  for (std::size_t i = 0; i < label.size(); ++i) {
    std::copy_n(logits.data() + i * classes, classes, row.data());
    const double z = row[label[i]];
    sum += softmax_in_place(row.data(), classes) - z;
  }
  return sum / static_cast<double>(label.size());
}

MultinomialFit fit_multinomial(LinearModel& model, const MultinomialProblem& problem, std::vector<double> theta) {
  // Twice what a step can still gain. Below `enough` the objective stands still in double precision.
  constexpr double enough = 1e-16, quadratic = 1e-9;
  Objective objective(model, problem);
  const auto penalty_at = [&](const std::vector<double>& at) {
    double sum = 0;
    for (std::size_t i = 0; i < at.size(); ++i) sum += 0.5 * problem.penalty[i] * at[i] * at[i];
    return sum;
  };
  MultinomialFit fit;
  std::vector<double> gradient(theta.size()), next(theta.size()), next_gradient(theta.size());
  double nll = objective.evaluate(theta, gradient), value = nll + penalty_at(theta);
  double tolerance = 0.1;
  while (fit.iterations < problem.most_iterations) {
    ++fit.iterations;
    model.prepare(objective.probabilities());
    const std::vector<double> step = newton_step(objective, model, gradient, tolerance);
    const double decrement = -dot(gradient, step);
    if (!(decrement > enough)) {
      fit.reached = true;
      fit.unbounded = decrement > 0 && largest(step) > 1e-3 * (1 + largest(theta));
      break;
    }
    double length = 1, next_nll = 0, next_value = 0;
    for (int halvings = 0;; ++halvings, length /= 2) {
      for (std::size_t i = 0; i < theta.size(); ++i) next[i] = theta[i] + length * step[i];
      next_nll = objective.evaluate(next, next_gradient);
      next_value = next_nll + penalty_at(next);
      if (next_value <= value - 1e-4 * length * decrement || decrement < quadratic || halvings == 40) break;
    }
    theta.swap(next), gradient.swap(next_gradient);
    nll = next_nll, value = next_value;
    tolerance = std::clamp(std::sqrt(decrement) * 0.1, 1e-6, 0.1);
  }
  fit.nll = nll;
  fit.penalty = penalty_at(theta);
  fit.gradient_norm = largest(gradient);
  fit.theta = std::move(theta);
  return fit;
}

Result<FitReport> report_of(const MultinomialFit& fit, double nll_before, std::size_t rows) {
  if (fit.unbounded)
    return Error(
        ErrorCode::insufficient_data, "logits",
        fmt::format("classes can be separated: the likelihood rises for ever with the weights (NLL {:.3g})", fit.nll),
        "fit on more rows, or on rows the model was not trained on, or with a penalty");
  return FitReport{.count = static_cast<std::int64_t>(rows),
                   .parameters = static_cast<std::int64_t>(fit.theta.size()),
                   .nll_before = nll_before,
                   .nll_after = fit.nll,
                   .penalty = fit.penalty,
                   .gradient_norm = fit.gradient_norm,
                   .iterations = fit.iterations,
                   .optimum_reached = fit.reached};
}

} // namespace mcomp::inline v0::calibrate::detail

namespace mcomp::inline v0::calibrate {

std::string to_string(const FitReport& report) {
  const std::string how = report.iterations == 0 ? "in closed form"
                          : report.optimum_reached
                              ? fmt::format("optimum reached in {} iterations", report.iterations)
                              : fmt::format("optimum NOT reached in {} iterations", report.iterations);
  return fmt::format("{} rows, {} parameters: NLL {:.4f} -> {:.4f}, {}", report.count, report.parameters,
                     report.nll_before, report.nll_after, how);
}

} // namespace mcomp::inline v0::calibrate
