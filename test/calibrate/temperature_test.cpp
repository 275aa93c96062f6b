#include "mcomp/calibrate/temperature.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Tensor labels_of(const std::vector<std::int32_t>& labels) {
  return Tensor::from(labels, {static_cast<std::int64_t>(labels.size())}).value();
}

struct Rows {
  Tensor logits, labels;
};

/// Labels drawn from softmax(z), and logits T z: the true temperature is T.
Rows drawn(std::int64_t rows, std::int64_t classes, double temperature, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> z(static_cast<std::size_t>(rows * classes));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    double* row = z.data() + i * static_cast<std::size_t>(classes);
    double sum = 0;
    for (std::int64_t j = 0; j < classes; ++j) sum += std::exp(row[j] = 2 * random.normal());
    double u = random.uniform() * sum;
    std::int32_t label = 0;
    while (label + 1 < classes && (u -= std::exp(row[label])) > 0) ++label;
    labels[i] = label;
    for (std::int64_t j = 0; j < classes; ++j) row[j] *= temperature;
  }
  return {Tensor::from(z, {rows, classes}).value(), labels_of(labels)};
}

} // namespace

TEST_CASE("two classes have a temperature in closed form") {
  // Logit difference 1 in every row, right in 3 of 4: sigmoid(1 / T) = 3/4, so T = 1 / log 3.
  const Tensor logits = Tensor::from(std::vector<float>{1, 0, 0, 1, 5, 4, -3, -2}, {4, 2}).value();
  const auto scaling = fit_temperature(logits, labels_of({0, 1, 0, 0})).value();
  CHECK(scaling.temperature == Approx(1 / std::log(3.0)).epsilon(1e-12));
  CHECK(scaling.nll_after == Approx(-0.75 * std::log(0.75) - 0.25 * std::log(0.25)).epsilon(1e-13));
  const double wrong = std::log1p(std::exp(1.0)), right = std::log1p(std::exp(-1.0));
  CHECK(scaling.nll_before == Approx(0.75 * right + 0.25 * wrong).epsilon(1e-13));
  CHECK(scaling.interior());
  CHECK(scaling.count == 4);
  CHECK(fmt::format("{}", scaling).find("T 0.9102 (interior): NLL ") == 0);
}

TEST_CASE("the temperature that made the labels is found within its standard error, and the same from any start") {
  const Rows data = drawn(20000, 12, 2.5, 9); // enough rows for the start on a part of them
  const double found = fit_temperature(data.logits, data.labels).value().temperature;
  CHECK(std::abs(found - 2.5) < 0.1);
  for (const double start : {1e-30, 0.05, 1.0, 50.0, 1e30}) {
    const auto scaling = fit_temperature(data.logits, data.labels, {.initial_temperature = start}).value();
    CHECK(scaling.temperature == Approx(found).epsilon(1e-11));
    CHECK(scaling.iterations <= 6);
  }
}

TEST_CASE("the scale of the logits only scales the temperature") {
  const Rows data = drawn(500, 5, 1, 4);
  const auto base = fit_temperature(data.logits, data.labels).value();
  for (const double factor : {1e-150, 1e-3, 1e3, 1e150}) {
    Tensor scaled = data.logits;
    for (double& z : scaled.mutable_values<double>()) z *= factor;
    const auto scaling = fit_temperature(scaled, data.labels).value();
    CHECK(scaling.temperature == Approx(base.temperature * factor).epsilon(1e-10));
    CHECK(scaling.nll_after == Approx(base.nll_after).epsilon(1e-12));
  }
}

TEST_CASE("the fit does not depend on the executor, the type of labels, or a constant added to a row") {
  const Rows data = drawn(3000, 7, 1.5, 6);
  ThreadPool pool(2);
  const auto base = fit_temperature(data.logits, data.labels).value();
  const auto threaded = fit_temperature(data.logits, data.labels, {.executor = &pool}).value();
  CHECK(threaded.temperature == base.temperature);
  CHECK(threaded.nll_after == base.nll_after);
  const auto narrow = data.labels.values<std::int32_t>("labels").value();
  const std::vector<std::int64_t> wide(narrow.begin(), narrow.end());
  CHECK(fit_temperature(data.logits, Tensor::from(wide, {3000}).value()).value().temperature == base.temperature);
  Tensor shifted = data.logits;
  for (std::size_t i = 0; i < 3000; ++i)
    for (std::size_t j = 0; j < 7; ++j) shifted.mutable_values<double>()[i * 7 + j] += static_cast<double>(i % 10) - 40;
  CHECK(fit_temperature(shifted, data.labels).value().temperature == Approx(base.temperature).epsilon(1e-11));
}

TEST_CASE("where every label has the largest logit the temperature is 0, and the share of ties is what remains") {
  const Tensor logits = Tensor::from(std::vector<float>{3, 1, 1, 2, 2, 0}, {2, 3}).value();
  const auto scaling = fit_temperature(logits, labels_of({0, 1})).value();
  CHECK(scaling.optimum == TemperatureOptimum::separable);
  CHECK(scaling.temperature == 0);
  CHECK(scaling.nll_after == Approx(std::log(2.0) / 2));
  CHECK_FALSE(scaling.interior());
  CHECK(fmt::format("{}", scaling).find("T 0 (separable)") == 0);
}

TEST_CASE("where labels have no more than the average logit the temperature is infinite") {
  const Tensor logits = Tensor::from(std::vector<float>{3, 1, 0, 0, 2, 1}, {2, 3}).value();
  const auto scaling = fit_temperature(logits, labels_of({2, 0})).value();
  CHECK(scaling.optimum == TemperatureOptimum::uninformative);
  CHECK(scaling.temperature == infinity);
  CHECK(scaling.nll_after == Approx(std::log(3.0)));
}

TEST_CASE("constant rows leave the temperature at 1") {
  const Tensor logits = Tensor::from(std::vector<double>{0.1, 0.1, 0.1, 7, 7, 7}, {2, 3}).value();
  for (const double start : {0.05, 1.0, 50.0}) {
    const auto scaling = fit_temperature(logits, labels_of({2, 0}), {.initial_temperature = start}).value();
    CHECK(scaling.optimum == TemperatureOptimum::flat);
    CHECK(scaling.temperature == 1);
    CHECK(scaling.nll_after == Approx(std::log(3.0)));
  }
  CHECK(fit_temperature(Tensor::from(std::vector<float>{1, 2}, {2, 1}).value(), labels_of({0, 0})).value().optimum ==
        TemperatureOptimum::flat);
}

TEST_CASE("a class of probability zero counts for nothing, unless it is the label") {
  const auto inf = static_cast<float>(infinity);
  const Tensor with =
      Tensor::from(std::vector<float>{1, 0, -inf, 0, 1, -inf, 5, 4, -inf, -3, -2, -inf}, {4, 3}).value();
  const auto scaling = fit_temperature(with, labels_of({0, 1, 0, 0})).value();
  CHECK(scaling.temperature == Approx(1 / std::log(3.0)).epsilon(1e-12));
  const auto refused = fit_temperature(with, labels_of({0, 1, 2, 0}));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::invalid_value);
  CHECK(refused.error().rule().find("row 2") != std::string::npos);
}

TEST_CASE("what cannot be fitted is refused") {
  const Tensor logits = Tensor::zeros(DType::f32, {2, 3}).value();
  const auto code = [&](const TensorView& z, const TensorView& y, double start = 1) {
    const auto refused = fit_temperature(z, y, {.initial_temperature = start});
    REQUIRE_FALSE(refused);
    CHECK(mcomp_test::well_formed(refused.error()));
    return refused.error().code();
  };
  CHECK(code(logits, labels_of({0, 3})) == ErrorCode::invalid_value);
  CHECK(code(logits, labels_of({0, -1})) == ErrorCode::invalid_value);
  CHECK(code(logits, labels_of({0})) == ErrorCode::invalid_shape);
  CHECK(code(logits, logits) == ErrorCode::invalid_shape);
  CHECK(code(logits, Tensor::zeros(DType::f32, {2}).value()) == ErrorCode::invalid_dtype);
  CHECK(code(Tensor::zeros(DType::f16, {2, 3}).value(), labels_of({0, 1})) == ErrorCode::invalid_dtype);
  CHECK(code(Tensor::zeros(DType::f32, {6}).value(), labels_of({0, 1})) == ErrorCode::invalid_shape);
  CHECK(code(Tensor::zeros(DType::f32, {0, 3}).value(), labels_of({})) == ErrorCode::insufficient_data);
  CHECK(code(Tensor::zeros(DType::f32, {2, 0}).value(), labels_of({0, 0})) == ErrorCode::invalid_shape);
  for (const double start : {0.0, -1.0, infinity, std::nan("")})
    CHECK(code(logits, labels_of({0, 1}), start) == ErrorCode::invalid_argument);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const std::size_t at : {0u, 19u, 39u}) {
      Tensor poisoned = Tensor::zeros(DType::f32, {2, 20}).value();
      poisoned.mutable_values<float>()[at] = bad;
      CHECK(code(poisoned, labels_of({0, 1})) == ErrorCode::invalid_value);
    }
}
