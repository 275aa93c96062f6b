#include "mcomp/calibrate/metrics.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/calibrate/softmax.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

TEST_CASE("bins are closed on the right") {
  const std::vector<double> confidences{0, 0.25, 0.2500001, 0.5, 0.75, 1, 1};
  const std::vector<std::uint8_t> correct{0, 1, 0, 1, 1, 1, 0};
  const auto bins = reliability_bins(confidences, correct, 4).value();
  REQUIRE(bins.size() == 4);
  CHECK(bins[0].count == 2);
  CHECK(bins[1].count == 2);
  CHECK(bins[2].count == 1);
  CHECK(bins[3].count == 2);
  CHECK(bins[0].confidence == Approx(0.125));
  CHECK(bins[0].accuracy == Approx(0.5));
  CHECK(bins[2].lower == 0.5);
  CHECK(bins[2].upper == 0.75);
  // By hand: |.5 - .125| 2, |.5 - .375| 2, |1 - .75| 1, |.5 - 1| 2 of seven.
  CHECK(expected_calibration_error(bins) == Approx((0.375 * 2 + 0.125 * 2 + 0.25 + 0.5 * 2) / 7).epsilon(1e-6));
  CHECK(maximum_calibration_error(bins) == Approx(0.5));
}

TEST_CASE("google's uncertainty-metrics example has its expected calibration error") {
  // github.com/google/uncertainty-metrics, general calibration error of binary probabilities, 30 bins: .18125.
  std::vector<double> p;
  for (const double x : {.91, .32, .66, .67, .57, .98, .41, .19}) p.insert(p.end(), {1 - x, x});
  const auto labels = Tensor::from(std::vector<std::int32_t>{1, 0, 1, 1, 0, 1, 0, 0}, {8}).value();
  const auto metrics = measure_probabilities(Tensor::from(p, {8, 2}).value(), labels, {.bins = 30}).value();
  CHECK(metrics.ece == Approx(.18125).epsilon(1e-12));
  CHECK(metrics.accuracy == Approx(7. / 8));
}

TEST_CASE("proper scores of two rows are as worked out by hand") {
  const auto p = Tensor::from(std::vector<double>{0.7, 0.2, 0.1, 0.3, 0.3, 0.4}, {2, 3}).value();
  const auto labels = Tensor::from(std::vector<std::int64_t>{0, 1}, {2}).value();
  const auto m = measure_probabilities(p, labels).value();
  CHECK(m.nll == Approx(-(std::log(0.7) + std::log(0.3)) / 2).epsilon(1e-14));
  CHECK(m.brier == Approx((0.09 + 0.04 + 0.01 + 0.09 + 0.49 + 0.16) / 2).epsilon(1e-14));
  CHECK(m.accuracy == 0.5);
  CHECK(m.confidence == Approx(0.55));
  CHECK(m.ece == Approx((0.3 + 0.4) / 2));
  CHECK(m.count == 2);
  CHECK(fmt::format("{}", m).find("2 rows: accuracy 50.00%, confidence 55.00%, NLL 0.7803") == 0);
}

TEST_CASE("logits and their probabilities measure the same, on any executor") {
  Random random(8);
  std::vector<double> z(1000 * 6);
  std::vector<std::int32_t> labels(1000);
  for (double& x : z) x = 3 * random.normal();
  for (auto& label : labels) label = static_cast<std::int32_t>(random.below(6));
  const Tensor logits = Tensor::from(z, {1000, 6}).value(), y = Tensor::from(labels, {1000}).value();
  ThreadPool pool(2);
  const auto a = measure_logits(logits, y, 1.7).value();
  const auto b = measure_probabilities(softmax(logits, 1.7).value(), y).value();
  const auto c = measure_logits(logits, y, 1.7, {.executor = &pool}).value();
  CHECK(a.nll == Approx(b.nll).epsilon(1e-13));
  CHECK(a.brier == Approx(b.brier).epsilon(1e-13));
  CHECK(a.ece == Approx(b.ece).epsilon(1e-12));
  CHECK(a.accuracy == b.accuracy);
  CHECK(a.nll == c.nll);
  CHECK(a.bins == c.bins);
}

TEST_CASE("a calibrated model has an expected calibration error of the size of chance, an overconfident one more") {
  // Labels drawn from the probabilities: each of 10 bins is off by about sqrt(p (1 - p) / n_b).
  Random random(12);
  constexpr std::int64_t n = 20000;
  std::vector<double> z(2 * n);
  std::vector<std::int32_t> labels(n);
  for (std::size_t i = 0; i < n; ++i) {
    z[2 * i] = 1.5 * random.normal();
    labels[i] = random.uniform() < 1 / (1 + std::exp(-z[2 * i])) ? 0 : 1;
  }
  const Tensor logits = Tensor::from(z, {n, 2}).value(), y = Tensor::from(labels, {n}).value();
  CHECK(measure_logits(logits, y, 1, {.bins = 10}).value().ece < 0.02);
  CHECK(measure_logits(logits, y, 0.3, {.bins = 10}).value().ece > 0.1);
}

TEST_CASE("the limits of the temperature are measured, with an infinite loss where certainty was wrong") {
  const auto logits = Tensor::from(std::vector<float>{2, 1, 0, 0, 1, 5}, {2, 3}).value();
  const auto right = Tensor::from(std::vector<std::int32_t>{0, 2}, {2}).value();
  const auto wrong = Tensor::from(std::vector<std::int32_t>{0, 1}, {2}).value();
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(measure_logits(logits, right, 0).value().nll == 0);
  CHECK(measure_logits(logits, right, 0).value().ece == 0);
  CHECK(measure_logits(logits, wrong, 0).value().nll == infinity);
  CHECK(measure_logits(logits, wrong, 0).value().ece == 0.5);
  CHECK(measure_logits(logits, right, infinity).value().nll == Approx(std::log(3.0)));
  const auto certain = Tensor::from(std::vector<double>{1, 0, 0, 1}, {2, 2}).value();
  CHECK(measure_probabilities(certain, Tensor::from(std::vector<std::int32_t>{0, 0}, {2}).value()).value().nll ==
        infinity);
}

TEST_CASE("no rows give empty bins, and what cannot be measured is refused") {
  const auto empty = reliability_bins({}, {}).value();
  CHECK(empty.size() == 15);
  CHECK(expected_calibration_error(empty) == 0);
  CHECK(maximum_calibration_error(empty) == 0);
  CHECK(expected_calibration_error({}) == 0);

  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::uint8_t> one{1}, two{1, 1};
  CHECK(reliability_bins(std::vector<double>{0.5}, two).error().code() == ErrorCode::invalid_shape);
  for (const double p : {-0.1, 1.1, nan})
    CHECK(reliability_bins(std::vector<double>{p}, one).error().code() == ErrorCode::invalid_value);
  for (const int bins : {0, -3, 1 << 21})
    CHECK(reliability_bins(std::vector<double>{0.5}, one, bins).error().code() == ErrorCode::invalid_argument);

  const auto labels = Tensor::from(std::vector<std::int32_t>{0}, {1}).value();
  for (const std::vector<double>& row : {std::vector<double>{0.5, 0.4}, {1.5, -0.5}, {nan, 1}, {nan, nan}}) {
    const auto refused = measure_probabilities(Tensor::from(row, {1, 2}).value(), labels);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(refused.error()));
  }
  const auto good = Tensor::from(std::vector<double>{0.5, 0.5}, {1, 2}).value();
  CHECK(measure_logits(good, labels, -1).error().code() == ErrorCode::invalid_argument);
  CHECK(measure_logits(good, labels, 1, {.bins = 0}).error().code() == ErrorCode::invalid_argument);
  CHECK(measure_logits(good, Tensor::from(std::vector<std::int32_t>{2}, {1}).value()).error().code() ==
        ErrorCode::invalid_value);
  CHECK(measure_logits(Tensor::zeros(DType::f32, {0, 2}).value(), Tensor::zeros(DType::int32, {0}).value())
            .error()
            .code() == ErrorCode::insufficient_data);
}
