#include "mcomp/calibrate/linear_scaling.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/calibrate/calibration_head.hpp"
#include "mcomp/calibrate/calibrator.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {

struct Data {
  Tensor logits, labels;
};

/// Logits z with labels drawn from softmax(W z + b).
Data drawn(std::int64_t rows, const std::vector<std::vector<double>>& W, const std::vector<double>& b,
           std::uint64_t seed) {
  const std::size_t K = b.size();
  Random random(seed);
  std::vector<double> z(static_cast<std::size_t>(rows) * K);
  std::vector<std::int32_t> labels;
  for (double& x : z) x = 2 * random.normal();
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
    std::vector<double> p(K);
    double sum = 0;
    for (std::size_t k = 0; k < K; ++k) {
      double t = b[k];
      for (std::size_t j = 0; j < K; ++j) t += W[k][j] * z[i * K + j];
      sum += p[k] = std::exp(t);
    }
    double u = random.uniform() * sum;
    std::size_t label = 0;
    while (label + 1 < K && u >= p[label]) u -= p[label++];
    labels.push_back(static_cast<std::int32_t>(label));
  }
  return {Tensor::from(z, {rows, static_cast<std::int64_t>(K)}).value(), Tensor::from(labels, {rows}).value()};
}

} // namespace

TEST_CASE("vector scaling finds the weights and biases that labels were drawn with") {
  const Data data = drawn(40000, {{.5, 0, 0}, {0, .8, 0}, {0, 0, 1.2}}, {.3, 0, -.3}, 3);
  const auto fit = fit_vector(data.logits, data.labels).value();
  CHECK(fit.report.optimum_reached);
  CHECK(fit.report.gradient_norm < 1e-7);
  CHECK(fit.report.iterations < 12);
  CHECK(fit.report.nll_after < fit.report.nll_before);
  // Standard errors are about 0.01.
  const double expected[] = {.5, .8, 1.2};
  for (std::size_t k = 0; k < 3; ++k) CHECK(fit.weights[k] == Approx(expected[k]).margin(0.05));
  CHECK(fit.biases[0] - fit.biases[1] == Approx(.3).margin(0.05));
  CHECK(fit.biases[1] - fit.biases[2] == Approx(.3).margin(0.05));
  CHECK(fmt::format("{}", fit).find("vector scaling of 3 classes (without penalty): 40000 rows, 6 parameters: NLL") ==
        0);
}

TEST_CASE("matrix scaling finds a matrix up to what softmax does not see, on any executor") {
  const std::vector<std::vector<double>> W{{.9, .2, 0}, {0, .6, -.3}, {.1, 0, .8}};
  const Data data = drawn(40000, W, {0, .5, 0}, 4);
  ThreadPool pool(2);
  const auto fit = fit_matrix(data.logits, data.labels).value();
  const auto threads = fit_matrix(data.logits, data.labels, {.executor = &pool}).value();
  CHECK(fit.report.optimum_reached);
  CHECK(fit.weights == threads.weights);
  for (std::size_t j = 0; j < 3; ++j)
    for (std::size_t k = 1; k < 3; ++k)
      CHECK(fit.weights[k * 3 + j] - fit.weights[j] == Approx(W[k][j] - W[0][j]).margin(0.05));
  CHECK(fit.biases[1] - fit.biases[0] == Approx(.5).margin(0.05));
}

TEST_CASE("Dirichlet calibration does not depend on a constant added to a row") {
  const Data data = drawn(3000, {{.5, 0, 0}, {0, .8, 0}, {0, 0, 1.2}}, {0, 0, 0}, 5);
  Tensor shifted = data.logits;
  const auto z = shifted.mutable_values<double>();
  for (std::size_t i = 0; i < z.size(); ++i) z[i] += static_cast<double>(i / 3 % 17) - 8;
  const auto a = fit_dirichlet(data.logits, data.labels).value(), b = fit_dirichlet(shifted, data.labels).value();
  CHECK(a.report.nll_after == Approx(b.report.nll_after).epsilon(1e-12));
  CHECK(fit_vector(data.logits, data.labels).value().report.nll_after !=
        Approx(fit_vector(shifted, data.labels).value().report.nll_after).epsilon(1e-6));
}

TEST_CASE("a two-class problem with one weight has the optimum of its closed form") {
  // With constant logits only the biases matter: their optimum is the share of each class.
  const auto logits = Tensor::from(std::vector<double>(30, 0.), {10, 3}).value();
  const auto labels = Tensor::from(std::vector<std::int32_t>{0, 0, 0, 0, 0, 1, 1, 1, 2, 2}, {10}).value();
  const auto fit = fit_vector(logits, labels).value();
  CHECK(fit.report.optimum_reached);
  CHECK(fit.report.nll_after == Approx(-(.5 * std::log(.5) + .3 * std::log(.3) + .2 * std::log(.2))).epsilon(1e-14));
  CHECK(fit.biases[0] - fit.biases[1] == Approx(std::log(5. / 3)).epsilon(1e-8));
}

TEST_CASE("penalties hold weights back: ODIR off the diagonal, L2 everywhere") {
  const Data data = drawn(2000, {{.9, .4, 0}, {0, .6, -.3}, {.1, 0, .8}}, {0, .5, 0}, 6);
  const auto free = fit_matrix(data.logits, data.labels).value();
  const auto odir = fit_matrix(data.logits, data.labels,
                               {.regularization = Regularization::odir, .weight_penalty = 1e6, .bias_penalty = 1e6})
                        .value();
  CHECK(odir.report.optimum_reached);
  for (std::size_t k = 0; k < 3; ++k) {
    CHECK(odir.weights[k * 4] > 0.3); // not penalized
    CHECK(std::abs(odir.weights[k * 3 + (k + 1) % 3]) < 1e-4);
    CHECK(std::abs(odir.biases[k]) < 1e-4);
  }
  const auto l2 =
      fit_matrix(data.logits, data.labels, {.regularization = Regularization::l2, .weight_penalty = 1e6}).value();
  for (const double w : l2.weights) CHECK(std::abs(w) < 1e-4);
  CHECK(free.report.nll_after < odir.report.nll_after);
  CHECK(odir.report.nll_after < l2.report.nll_after);
  // The penalty that is reported is that of the formula.
  double off_diagonal = 0, biases = 0;
  for (std::size_t k = 0; k < 3; ++k) {
    for (std::size_t j = 0; j < 3; ++j) off_diagonal += k == j ? 0 : odir.weights[k * 3 + j] * odir.weights[k * 3 + j];
    biases += odir.biases[k] * odir.biases[k];
  }
  CHECK(odir.report.penalty == Approx(1e6 * off_diagonal / 6 + 1e6 * biases / 3).epsilon(1e-10));
}

TEST_CASE("too many parameters for the rows are refused, or regularized, or allowed, as asked") {
  const Data data = drawn(100, {{.5, 0, 0, 0}, {0, .5, 0, 0}, {0, 0, .5, 0}, {0, 0, 0, .5}}, {0, 0, 0, 0}, 7);
  const auto refused = fit_matrix(data.logits, data.labels); // 20 parameters need 200 rows
  REQUIRE(!refused);
  CHECK(refused.error().code() == ErrorCode::insufficient_data);
  CHECK(mcomp_test::well_formed(refused.error()));
  const auto regularized = fit_matrix(data.logits, data.labels, {.when_overfitting = OverfitRule::regularize}).value();
  CHECK(regularized.options.regularization == Regularization::odir);
  CHECK(regularized.options.weight_penalty > 0);
  const auto allowed = fit_matrix(data.logits, data.labels, {.when_overfitting = OverfitRule::allow}).value();
  CHECK(allowed.report.nll_after < regularized.report.nll_after); // on its own rows
}

TEST_CASE("fits of linear scaling refuse what has no optimum, and wrong input, by name") {
  const Data data = drawn(50, {{1, 0}, {0, 1}}, {0, 0}, 8);
  std::vector<std::int32_t> separable;
  const auto z = data.logits.values<double>("logits").value();
  for (std::size_t i = 0; i < 50; ++i) separable.push_back(z[2 * i + 1] > z[2 * i]);
  const auto one_class = Tensor::from(std::vector<std::int32_t>(50, 0), {50}).value();
  auto nan = data.logits;
  nan.mutable_values<double>()[7] = std::nan("");
  auto infinite = data.logits;
  infinite.mutable_values<double>()[7] = -INFINITY;
  auto outside = data.labels;
  outside.mutable_values<std::int32_t>()[3] = 2;
  const struct {
    Result<VectorScaling> result;
    ErrorCode code;
  } cases[] = {
      {fit_vector(data.logits, Tensor::from(separable, {50}).value()), ErrorCode::insufficient_data},
      {fit_vector(data.logits, one_class), ErrorCode::insufficient_data},
      {fit_vector(nan, data.labels), ErrorCode::invalid_value},
      {fit_vector(infinite, data.labels), ErrorCode::invalid_value},
      {fit_vector(data.logits, outside), ErrorCode::invalid_value},
      {fit_vector(Tensor::zeros(DType::f64, {0, 2}).value(), Tensor::zeros(DType::int32, {0}).value()),
       ErrorCode::insufficient_data},
      {fit_vector(data.logits, data.labels, {.weight_penalty = 1}), ErrorCode::invalid_argument},
      {fit_vector(data.logits, data.labels, {.regularization = Regularization::l2, .weight_penalty = -1}),
       ErrorCode::invalid_argument},
  };
  for (const auto& [result, code] : cases) {
    REQUIRE(!result);
    INFO(result.error().what());
    CHECK(result.error().code() == code);
    CHECK(mcomp_test::well_formed(result.error()));
  }
  // One class is no problem where biases are penalized.
  CHECK(fit_vector(data.logits, one_class,
                   {.regularization = Regularization::l2, .weight_penalty = .1, .bias_penalty = .1}));
}

TEST_CASE("a head without hidden layer reaches its convex optimum, one with a hidden layer sees what is not linear") {
  // Confidence depends on a feature: where it is outside [-1, 1] labels are drawn from softmax(z / 4).
  Random random(9);
  constexpr std::int64_t n = 4000;
  std::vector<float> z, x;
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    const double feature = 2 * random.normal(), margin = 3 * random.normal();
    const double T = std::abs(feature) > 1 ? 4 : 1;
    labels.push_back(random.uniform() < 1 / (1 + std::exp(-margin / T)) ? 1 : 0);
    z.insert(z.end(), {0.F, static_cast<float>(margin)});
    // The head is linear in what it sees beside z, so the interaction with the margin is given as a feature.
    x.insert(x.end(), {static_cast<float>(feature), static_cast<float>(margin)});
  }
  const auto logits = Tensor::from(z, {n, 2}).value(), features = Tensor::from(x, {n, 2}).value();
  const auto y = Tensor::from(labels, {n}).value();
  const auto linear = fit_head(features, logits, y, {.weight_penalty = 1e-4}).value();
  const auto hidden = fit_head(features, logits, y, {.hidden = 12, .weight_penalty = 1e-4, .seed = 5}).value();
  CHECK(linear.report.optimum_reached);
  CHECK(hidden.report.nll_after < linear.report.nll_after - 0.01);
  ThreadPool pool(2);
  const auto again =
      fit_head(features, logits, y, {.hidden = 12, .weight_penalty = 1e-4, .seed = 5, .executor = &pool}).value();
  CHECK(again.weights == hidden.weights);
  // As a calibrator it gives the NLL that it reports.
  const auto calibrator = Calibrator::of(hidden).value();
  const auto p = calibrator.probabilities(logits, {.features = features}).value();
  CHECK(measure_probabilities(p, y).value().nll == Approx(hidden.report.nll_after).epsilon(1e-10));
  const auto absent = calibrator.probabilities(logits);
  REQUIRE(!absent);
  CHECK(absent.error().code() == ErrorCode::invalid_argument);
  CHECK(fit_head(features, logits, y, {.hidden = -1}).error().code() == ErrorCode::invalid_argument);
  CHECK(fit_head(Tensor::zeros(DType::f32, {3, 2}).value(), logits, y).error().code() == ErrorCode::invalid_shape);
}
