#include "calibrate/calibration_head.hpp"

#include <algorithm>
#include <cmath>
#include <deque>

#include <Eigen/Core>

#include "calibrate/finite_rows.hpp"
#include "calibrate/linear_models.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
Eigen::Index index(std::size_t i) {
  return static_cast<Eigen::Index>(i);
}

struct Inputs {
  detail::FiniteRows logits{};
  std::vector<double> x{}; ///< standardized features
  std::size_t features = 0;
};

/// Sets mean and scale of the head, and standardizes.
void standardize(Inputs& inputs, CalibrationHead& head) {
  const std::size_t d = inputs.features, n = inputs.logits.rows;
  head.mean.assign(d, 0), head.scale.assign(d, 0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j) head.mean[j] += inputs.x[i * d + j] / static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j) {
      const double distance = inputs.x[i * d + j] - head.mean[j];
      head.scale[j] += distance * distance / static_cast<double>(n);
    }
  for (std::size_t j = 0; j < d; ++j) {
    const bool varies = head.scale[j] > 1e-24 * (1 + head.mean[j] * head.mean[j]);
    head.scale[j] = varies ? 1 / std::sqrt(head.scale[j]) : 0;
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j) inputs.x[i * d + j] = (inputs.x[i * d + j] - head.mean[j]) * head.scale[j];
}

/// Mean NLL + lambda |all but a|^2 of a head with a hidden layer; theta = (W, c, V, b, a).
class HiddenObjective {
 public:
  HiddenObjective(const Inputs& inputs, const HeadOptions& options)
      : inputs_(inputs), options_(options), executor_(options.executor ? *options.executor : serial_executor()),
        d_(inputs.features), m_(static_cast<std::size_t>(options.hidden)), K_(inputs.logits.classes),
        chunks_(std::clamp<std::size_t>(inputs.logits.rows / 256, 1, 16)) {}

  [[nodiscard]] std::size_t parameters() const { return m_ * (d_ + 1) + K_ * (m_ + 1) + 1; }
  [[nodiscard]] double nll() const { return nll_; }

  double operator()(const Eigen::VectorXd& theta, Eigen::VectorXd& gradient) {
    const std::size_t n = inputs_.logits.rows;
    std::vector<Eigen::VectorXd> gradients(chunks_, Eigen::VectorXd::Zero(theta.size()));
    std::vector<double> losses(chunks_);
    executor_.run(chunks_, [&](std::size_t c) {
      const std::size_t end = n * (c + 1) / chunks_;
      for (std::size_t first = n * c / chunks_; first < end; first += 128)
        block(first, std::min(end, first + 128), theta, gradients[c], losses[c]);
    });
    gradient.setZero(theta.size());
    for (const Eigen::VectorXd& part : gradients) gradient += part;
    nll_ = 0;
    for (const double loss : losses) nll_ += loss / static_cast<double>(n);
    const Eigen::Index penalized = theta.size() - 1;
    gradient.head(penalized) += 2 * options_.weight_penalty * theta.head(penalized);
    return nll_ + options_.weight_penalty * theta.head(penalized).squaredNorm();
  }

 private:
  void block(std::size_t first, std::size_t last, const Eigen::VectorXd& theta, Eigen::VectorXd& gradient,
             double& loss) const {
    const Eigen::Index rows = index(last - first), d = index(d_), m = index(m_), K = index(K_);
    const auto at = [&](auto* data) {
      using T = std::remove_pointer_t<decltype(data)>;
      using M = std::conditional_t<std::is_const_v<T>, const Matrix, Matrix>;
      using V = std::conditional_t<std::is_const_v<T>, const Eigen::RowVectorXd, Eigen::RowVectorXd>;
      return std::tuple(Eigen::Map<M>(data, m, d), Eigen::Map<V>(data + m * d, m),
                        Eigen::Map<M>(data + m * (d + 1), K, m), Eigen::Map<V>(data + m * (d + 1) + K * m, K));
    };
    const auto [W, c, V, b] = at(theta.data());
    auto [gW, gc, gV, gb] = at(gradient.data());
    const Eigen::Map<const Matrix> X(inputs_.x.data() + first * d_, rows, d);
    const Eigen::Map<const Matrix> Z(inputs_.logits.values.data() + first * K_, rows, K);
    const double a = theta[theta.size() - 1], n = static_cast<double>(inputs_.logits.rows);
    const Matrix H = ((X * W.transpose()).rowwise() + c).array().tanh();
    Matrix P = ((H * V.transpose()).rowwise() + b) + a * Z;
    for (Eigen::Index i = 0; i < rows; ++i) {
      const std::size_t label = inputs_.logits.label[first + static_cast<std::size_t>(i)];
      const double z = P(i, index(label));
      loss += detail::softmax_in_place(P.data() + i * K, K_) - z;
      P(i, index(label)) -= 1;
    }
    P /= n;
    gV += P.transpose() * H;
    gb += P.colwise().sum();
    gradient[gradient.size() - 1] += (P.array() * Z.array()).sum();
    const Matrix back = (P * V).array() * (1 - H.array().square());
    gW += back.transpose() * X;
    gc += back.colwise().sum();
  }

  const Inputs& inputs_;
  const HeadOptions& options_;
  Executor& executor_;
  std::size_t d_, m_, K_, chunks_;
  double nll_ = 0;
};

struct Descent {
  Eigen::VectorXd theta{};
  double gradient_norm = 0;
  int iterations = 0;
  bool reached = false;
};

/// L-BFGS with a line search for the weak Wolfe conditions by bisection.
template <class Objective> Descent descend(Objective& objective, Eigen::VectorXd theta, int most_iterations) {
  constexpr std::size_t memory = 20;
  constexpr double enough = 1e-7;
  struct Pair {
    Eigen::VectorXd s, y;
  };
  std::deque<Pair> pairs;
  Eigen::VectorXd gradient, next_gradient;
  double value = objective(theta, gradient);
  Descent result;
  for (; result.iterations < most_iterations; ++result.iterations) {
    if (gradient.template lpNorm<Eigen::Infinity>() <= enough) {
      result.reached = true;
      break;
    }
    Eigen::VectorXd direction = -gradient;
    std::vector<double> alpha(pairs.size());
    for (std::size_t i = pairs.size(); i-- > 0;) {
      alpha[i] = pairs[i].s.dot(direction) / pairs[i].s.dot(pairs[i].y);
      direction -= alpha[i] * pairs[i].y;
    }
    if (!pairs.empty())
      direction *= pairs.back().s.dot(pairs.back().y) / pairs.back().y.squaredNorm();
    else
      direction /= std::max(1., gradient.norm());
    for (std::size_t i = 0; i < pairs.size(); ++i)
      direction += (alpha[i] - pairs[i].y.dot(direction) / pairs[i].s.dot(pairs[i].y)) * pairs[i].s;
    const double slope = gradient.dot(direction);
    double lower = 0, upper = 0, length = 1, next = 0;
    for (int n = 0; n < 50; ++n) {
      next = objective(theta + length * direction, next_gradient);
      if (!(next <= value + 1e-4 * length * slope))
        upper = length;
      else if (next_gradient.dot(direction) < 0.9 * slope)
        lower = length;
      else
        break;
      length = upper > 0 ? (lower + upper) / 2 : 2 * length;
    }
    if (!(next < value)) break; // as low as the precision of the objective lets it see
    Pair pair{length * direction, next_gradient - gradient};
    theta += pair.s;
    if (pair.s.dot(pair.y) > 1e-14 * pair.y.squaredNorm()) pairs.push_back(std::move(pair));
    if (pairs.size() > memory) pairs.pop_front();
    gradient.swap(next_gradient);
    value = next;
  }
  value = objective(theta, gradient);
  result.gradient_norm = gradient.template lpNorm<Eigen::Infinity>();
  result.reached = result.reached || result.gradient_norm <= 10 * enough;
  result.theta = std::move(theta);
  return result;
}

Result<CalibrationHead> fit(Inputs inputs, bool on_logits, const HeadOptions& options) {
  if (options.hidden < 0 || options.hidden > 4096)
    return Error(ErrorCode::invalid_argument, "hidden", fmt::format("0 .. 4096 are possible, it is {}", options.hidden),
                 "take 16");
  if (!(options.weight_penalty > 0 && options.weight_penalty <= 1e100) || options.most_iterations < 1)
    return Error(ErrorCode::invalid_argument, "weight_penalty", "it and the number of iterations must be positive",
                 "leave them at their defaults");
  const std::size_t K = inputs.logits.classes, d = inputs.features, m = static_cast<std::size_t>(options.hidden);
  CalibrationHead head{.features = static_cast<std::int64_t>(d),
                       .hidden = options.hidden,
                       .classes = static_cast<std::int64_t>(K),
                       .on_logits = on_logits};
  standardize(inputs, head);
  const double before = detail::mean_nll(inputs.logits.values, inputs.logits.label, K);
  if (m == 0) {
    std::vector<double> penalty(K * (d + 1) + 1, 2 * options.weight_penalty), theta(penalty.size());
    penalty.back() = 0, theta.back() = 1;
    detail::MatrixModel model(inputs.x, d, K, penalty, inputs.logits.values);
    const auto found = detail::fit_multinomial(model,
                                               {.rows = inputs.logits.rows,
                                                .classes = K,
                                                .label = inputs.logits.label,
                                                .penalty = penalty,
                                                .most_iterations = options.most_iterations,
                                                .executor = options.executor},
                                               std::move(theta));
    MCOMP_TRY(report, detail::report_of(found, before, inputs.logits.rows));
    head.report = report;
    head.base = found.theta.back();
    head.weights.resize(K * d), head.biases.resize(K);
    for (std::size_t k = 0; k < K; ++k) {
      std::copy_n(found.theta.data() + k * (d + 1), d, head.weights.data() + k * d);
      head.biases[k] = found.theta[k * (d + 1) + d];
    }
    return head;
  }
  HiddenObjective objective(inputs, options);
  Eigen::VectorXd theta = Eigen::VectorXd::Zero(index(objective.parameters()));
  Random random(options.seed);
  for (std::size_t i = 0; i < m * d; ++i) theta[index(i)] = random.normal() / std::sqrt(static_cast<double>(d));
  theta[theta.size() - 1] = 1;
  const Descent found = descend(objective, std::move(theta), options.most_iterations);
  const double* at = found.theta.data();
  const auto take = [&](std::size_t count) {
    std::vector<double> part(at, at + count);
    at += count;
    return part;
  };
  head.hidden_weights = take(m * d), head.hidden_biases = take(m);
  head.weights = take(K * m), head.biases = take(K);
  head.base = *at;
  head.report = {.count = static_cast<std::int64_t>(inputs.logits.rows),
                 .parameters = static_cast<std::int64_t>(objective.parameters()),
                 .nll_before = before,
                 .nll_after = objective.nll(),
                 .penalty = options.weight_penalty * found.theta.head(found.theta.size() - 1).squaredNorm(),
                 .gradient_norm = found.gradient_norm,
                 .iterations = found.iterations,
                 .optimum_reached = found.reached};
  return head;
}

} // namespace

namespace detail {

void head_logits(const CalibrationHead& head, std::span<const double> x, std::span<const double> z,
                 std::span<double> out) {
  const auto d = static_cast<std::size_t>(head.features), m = static_cast<std::size_t>(head.hidden);
  std::vector<double> input(d);
  for (std::size_t j = 0; j < d; ++j) input[j] = (x[j] - head.mean[j]) * head.scale[j];
  if (m > 0) {
    std::vector<double> layer(head.hidden_biases);
    for (std::size_t l = 0; l < m; ++l) {
      for (std::size_t j = 0; j < d; ++j) layer[l] += head.hidden_weights[l * d + j] * input[j];
      layer[l] = std::tanh(layer[l]);
    }
    input = std::move(layer);
  }
  for (std::size_t k = 0; k < out.size(); ++k) {
    double sum = head.base * z[k] + head.biases[k];
    for (std::size_t j = 0; j < input.size(); ++j) sum += head.weights[k * input.size() + j] * input[j];
    out[k] = sum;
  }
}

} // namespace detail

std::string to_string(const CalibrationHead& head) {
  return fmt::format("head {} -> {}{} on {}: {}", head.features,
                     head.hidden > 0 ? fmt::format("{} -> ", head.hidden) : std::string(), head.classes,
                     head.on_logits ? "log-probabilities" : "features", head.report);
}

Result<CalibrationHead> fit_head(const TensorView& features, const TensorView& logits, const TensorView& labels,
                                 const HeadOptions& options) {
  MCOMP_TRY(rows, detail::read_finite_rows(logits, labels));
  MCOMP_TRY(x, detail::read_finite(features, "features"));
  if (features.size(0) != logits.size(0))
    return Error(ErrorCode::invalid_shape, "features",
                 fmt::format("{} rows of features and {} of logits", features.size(0), logits.size(0)),
                 "pass both for the same samples");
  return fit({std::move(rows), std::move(x), static_cast<std::size_t>(features.size(1))}, false, options);
}

Result<CalibrationHead> fit_head(const TensorView& logits, const TensorView& labels, const HeadOptions& options) {
  MCOMP_TRY(rows, detail::read_finite_rows(logits, labels));
  std::vector<double> x = rows.values;
  detail::log_softmax_in_place(x, rows.classes);
  const std::size_t classes = rows.classes;
  return fit({std::move(rows), std::move(x), classes}, true, options);
}

} // namespace mcomp::inline v0::calibrate
