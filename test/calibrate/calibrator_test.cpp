#include "mcomp/calibrate/calibrator.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/calibrate/selection.hpp"
#include "mcomp/calibrate/softmax.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {

struct Data {
  Tensor logits, labels;
  std::vector<std::int32_t> slices{};
};

/// Labels drawn from softmax(z / T) with the T of the row's slice.
Data drawn(std::int64_t rows, std::int64_t classes, const std::vector<double>& temperatures, std::uint64_t seed) {
  Random random(seed);
  Data data{Tensor::zeros(DType::f32, {rows, classes}).value(), Tensor::zeros(DType::int64, {rows}).value()};
  const auto z = data.logits.mutable_values<float>();
  for (float& x : z) x = static_cast<float>(3 * random.normal());
  for (std::int64_t i = 0; i < rows; ++i) {
    data.slices.push_back(static_cast<std::int32_t>(random.below(temperatures.size())));
    const auto row = z.subspan(static_cast<std::size_t>(i * classes), static_cast<std::size_t>(classes));
    std::vector<float> p(row.size());
    softmax_into(row, temperatures[static_cast<std::size_t>(data.slices.back())], p).value();
    double u = random.uniform();
    std::int64_t label = 0;
    while (label + 1 < classes && u >= p[static_cast<std::size_t>(label)]) u -= p[static_cast<std::size_t>(label++)];
    data.labels.mutable_values<std::int64_t>()[static_cast<std::size_t>(i)] = label;
  }
  return data;
}

} // namespace

TEST_CASE("every method fits, gives probabilities, prints, and is the same after a way through JSON") {
  const Data data = drawn(1500, 4, {2.5, 2.}, 1);
  const Data binary = drawn(600, 2, {2.}, 2);
  for (const Method method : all_methods()) {
    INFO(to_string(method));
    CHECK(method_from_string(to_string(method)).value() == method);
    for (const Data* part : {&data, &binary}) {
      const auto fitted = fit_calibrator(method, part->logits, part->labels, {.slices = part->slices}).value();
      CHECK(fitted.calibrator.method() == method);
      const ApplyOptions apply{.slices = part->slices};
      const Tensor p = fitted.calibrator.probabilities(part->logits, apply).value();
      const auto measured = measure_probabilities(p, part->labels).value(); // refuses what is no probability
      CHECK(measured.nll == Approx(fitted.report.nll_after).epsilon(1e-6));
      if (method == Method::identity)
        CHECK(fitted.report.nll_after == fitted.report.nll_before);
      else
        CHECK(fitted.report.nll_after < fitted.report.nll_before);
      CHECK(fitted.report.optimum_reached);

      const std::string json = fitted.calibrator.to_json();
      const Calibrator read = Calibrator::from_json(json).value();
      CHECK(read.to_json() == json);
      CHECK(read.probabilities(part->logits, apply).value() == p);
      CHECK(fmt::format("{}", read) == fmt::format("{}", fitted.calibrator));
      ThreadPool pool(2);
      CHECK(read.probabilities(part->logits, {.slices = part->slices, .executor = &pool}).value() == p);
    }
  }
}

TEST_CASE("a calibrator read from text that was tampered with is refused") {
  const Data data = drawn(400, 3, {2.}, 3);
  const auto json = [&](Method method) {
    return fit_calibrator(method, data.logits, data.labels).value().calibrator.to_json();
  };
  const auto changed = [](std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
  };
  const std::string temperature = json(Method::temperature), vector = json(Method::vector),
                    isotonic = json(Method::isotonic);
  const std::string bad[] = {"",
                             "{}",
                             "[1]",
                             temperature.substr(0, temperature.size() / 2),
                             changed(temperature, "\"temperature\": ", "\"temperature\": -"),
                             changed(temperature, "\"temperature\",", "\"tempereture\","),
                             changed(temperature, "\"classes\": 0", "\"classes\": 3"),
                             changed(temperature, "\"classes\": 0", "\"colour\": 0"),
                             changed(vector, "\"classes\": 3", "\"classes\": 4"),
                             changed(vector, "\"biases\"", "\"bias\""),
                             changed(isotonic, "\"top_label\"", "\"binary\""),
                             changed(isotonic, "\"x\": [", "\"x\": [2,"),
                             changed(isotonic, "\"least\": ", "\"least\": 1")};
  for (const std::string& text : bad) {
    INFO(text);
    const auto result = Calibrator::from_json(text);
    REQUIRE(!result);
    CHECK(mcomp_test::well_formed(result.error()));
  }
  CHECK(Calibrator::from_json(changed(temperature, "\"version\": 1", "\"version\": 2")).error().code() ==
        ErrorCode::version_mismatch);
}

TEST_CASE("temperature of a calibrator is that of its fit, and reductions do what they say") {
  const Data data = drawn(2000, 3, {2.}, 4);
  const auto fitted = fit_calibrator(Method::temperature, data.logits, data.labels).value();
  const double T = fit_temperature(data.logits, data.labels).value().temperature;
  const Tensor expected = softmax(data.logits, T).value();
  const Tensor p = fitted.calibrator.probabilities(data.logits).value();
  for (std::size_t i = 0; i < 100; ++i)
    CHECK(p.values<double>("p").value()[i] == Approx(expected.values<float>("p").value()[i]).epsilon(1e-5));

  // A map that halves: top_label scales the others up, one_vs_rest cancels.
  ProbabilityMap half{.kind = ProbabilityMap::Kind::linear, .x = {0, 1}, .y = {0, .5}};
  const auto logits = Tensor::from(std::vector<double>{std::log(.8), std::log(.15), std::log(.05)}, {1, 3}).value();
  const auto top = Calibrator::of(Method::isotonic, {Reduction::top_label, {half}}, 3).value();
  const auto q = top.probabilities(logits).value();
  CHECK(q.values<double>("q").value()[0] == Approx(.4));
  CHECK(q.values<double>("q").value()[1] == Approx(.45));
  CHECK(q.values<double>("q").value()[2] == Approx(.15));
  const auto rest = Calibrator::of(Method::isotonic, {Reduction::one_vs_rest, {half, half, half}}, 3).value();
  CHECK(rest.probabilities(logits).value().values<double>("q").value()[1] == Approx(.15));
  // Where every class is mapped to 0 the row stays.
  const ProbabilityMap zero{.kind = ProbabilityMap::Kind::linear, .x = {0, 1}, .y = {0, 0}};
  const auto none = Calibrator::of(Method::isotonic, {Reduction::one_vs_rest, {zero, zero, zero}}, 3).value();
  CHECK(none.probabilities(logits).value().values<double>("q").value()[0] == Approx(.8));
  // A certain row has nothing to scale.
  const auto certain = Tensor::from(std::vector<double>{0, -2000, -2000}, {1, 3}).value();
  const auto shared = top.probabilities(certain).value();
  CHECK(shared.values<double>("q").value()[0] == Approx(.5));
  CHECK(shared.values<double>("q").value()[1] == Approx(.25));

  CHECK(!Calibrator::of(Method::isotonic, {Reduction::one_vs_rest, {half}}, 3));
  CHECK(!Calibrator::of(Method::vector, {Reduction::top_label, {half}}, 3));
}

TEST_CASE("a calibrator that makes held-out NLL worse is rejected, and says so") {
  // Calibrated as it is, and few rows with many classes: isotonic regression overfits.
  const Data few = drawn(60, 5, {1.}, 5), many = drawn(3000, 5, {1.}, 6);
  CalibratorOptions options{.held_out = HeldOutRows{many.logits, many.labels}};
  const auto rejected = fit_calibrator(Method::isotonic, few.logits, few.labels, options).value();
  CHECK(rejected.guard.checked);
  CHECK(rejected.guard.rejected);
  CHECK(rejected.guard.nll_after > rejected.guard.nll_before);
  CHECK(rejected.calibrator.method() == Method::identity);
  CHECK(rejected.method == Method::isotonic);
  CHECK(rejected.report.nll_after < rejected.report.nll_before); // on its own rows it looked better
  CHECK(fmt::format("{}", rejected).find("rejected, probabilities stay as they are") != std::string::npos);
  const auto folds = fit_calibrator(Method::isotonic, few.logits, few.labels, {.folds = 5}).value();
  CHECK(folds.guard.rejected);
  CHECK(folds.guard.count == 60);

  const Data wrong = drawn(3000, 5, {3.}, 7);
  const auto accepted = fit_calibrator(Method::temperature, wrong.logits, wrong.labels, {.folds = 5}).value();
  CHECK(!accepted.guard.rejected);
  CHECK(accepted.calibrator.method() == Method::temperature);
  CHECK(fmt::format("{}", accepted).find("(5-fold cross-validation): accepted") != std::string::npos);
}

TEST_CASE("selection takes the temperature where labels were drawn with one, and nothing where nothing helps") {
  const Data hot = drawn(2000, 4, {2.5}, 8);
  const auto selection = select_calibrator(hot.logits, hot.labels).value();
  CHECK(selection.chosen.method == Method::temperature);
  CHECK(selection.candidates.size() == 8);
  CHECK(selection.candidates[0].method == Method::identity);
  CHECK(selection.candidates[1].gain > 5 * selection.candidates[1].standard_error);
  // Choosing costs a little, and is still better than not calibrating.
  CHECK(selection.nested_score >= selection.candidates[1].score - 1e-12);
  CHECK(selection.nested_score < selection.candidates[0].score - 0.1);
  CHECK(fmt::format("{}", selection).find("temperature by NLL in 5-fold cross-validation") == 0);
  const auto brier =
      select_calibrator(hot.logits, hot.labels, {.criterion = Criterion::brier, .nested = false}).value();
  CHECK(brier.candidates[1].gain > 0);
  CHECK(!brier.nested);

  const Data calibrated = drawn(300, 6, {1.}, 9);
  const auto none =
      select_calibrator(calibrated.logits, calibrated.labels, {.methods = {Method::isotonic, Method::matrix}}).value();
  CHECK(none.chosen.method == Method::identity);
  REQUIRE(none.candidates.size() == 3);
  CHECK(!none.candidates[2].refused.empty()); // 42 parameters on 240 rows
  CHECK(select_calibrator(hot.logits, hot.labels, {.folds = 1}).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("temperatures of slices are shrunk as their rows are few, and to one where slices do not differ") {
  const Data differ = drawn(6000, 4, {1.5, 2., 3.}, 10);
  // Slice 3 has 12 rows, drawn as slice 0.
  Data data = differ;
  int moved = 0;
  for (auto& slice : data.slices)
    if (slice == 0 && moved < 12) slice = 3, ++moved;
  const auto fit = fit_slice_temperatures(data.logits, data.labels, data.slices).value();
  REQUIRE(fit.slices.size() == 4);
  CHECK(fit.of(0) == Approx(1.5).epsilon(.08));
  CHECK(fit.of(1) == Approx(2.).epsilon(.08));
  CHECK(fit.of(2) == Approx(3.).epsilon(.08));
  CHECK(fit.tau == Approx(.3).margin(.25));
  CHECK(fit.of(77) == fit.temperature);
  CHECK(fit.of(-1) == fit.temperature);
  // The small slice lies between what its rows say and the common one.
  const auto& small = fit.slices[3];
  CHECK(small.count == 12);
  CHECK((small.temperature - fit.temperature) * (small.temperature - small.observed) <= 0);
  CHECK(std::abs(std::log(small.temperature / fit.temperature)) <
        .95 * std::abs(std::log(small.observed / fit.temperature)));
  CHECK(fit.report.nll_after < fit_temperature(data.logits, data.labels).value().nll_after);

  const Data same = drawn(6000, 4, {2., 2., 2., 2., 2., 2.}, 12);
  const auto pooled = fit_slice_temperatures(same.logits, same.labels, same.slices).value();
  CHECK(pooled.tau < .06);
  for (const auto& slice : pooled.slices) CHECK(slice.temperature == Approx(pooled.temperature).epsilon(.06));
  CHECK(fit_slice_temperatures(same.logits, same.labels, std::vector<std::int32_t>(5)).error().code() ==
        ErrorCode::invalid_shape);
}

TEST_CASE("calibrators refuse NaN, infinities, wrong classes and missing slices, and take no rows") {
  const Data data = drawn(500, 3, {2.}, 13);
  const auto vector = fit_calibrator(Method::vector, data.logits, data.labels).value().calibrator;
  const auto temperature = fit_calibrator(Method::temperature, data.logits, data.labels).value().calibrator;
  const auto with = [](double value) { return Tensor::from(std::vector<double>{0, value, 1}, {1, 3}).value(); };
  CHECK(vector.probabilities(with(std::nan(""))).error().code() == ErrorCode::invalid_value);
  CHECK(vector.probabilities(with(-INFINITY)).error().code() == ErrorCode::invalid_value);
  CHECK(temperature.probabilities(with(-INFINITY)).value().values<double>("p").value()[1] == 0);
  CHECK(temperature.probabilities(with(INFINITY)).error().code() == ErrorCode::invalid_value);
  CHECK(vector.probabilities(Tensor::zeros(DType::f32, {2, 4}).value()).error().code() == ErrorCode::invalid_shape);
  CHECK(vector.probabilities(Tensor::zeros(DType::f32, {0, 3}).value()).value().elements() == 0);
  const auto slices = fit_calibrator(Method::slice_temperature, data.logits, data.labels, {.slices = data.slices});
  CHECK(slices->calibrator.probabilities(data.logits).error().code() == ErrorCode::invalid_argument);
  CHECK(fit_calibrator(Method::slice_temperature, data.logits, data.labels).error().code() ==
        ErrorCode::invalid_argument);

  // Labels that always have the largest logit: the temperature would be 0.
  auto separable = data.labels;
  const auto z = data.logits.values<float>("z").value();
  for (std::size_t i = 0; i < 500; ++i)
    separable.mutable_values<std::int64_t>()[i] = std::max_element(z.begin() + static_cast<std::ptrdiff_t>(3 * i),
                                                                   z.begin() + static_cast<std::ptrdiff_t>(3 * i + 3)) -
                                                  z.begin() - static_cast<std::ptrdiff_t>(3 * i);
  const auto refused = fit_calibrator(Method::temperature, data.logits, separable);
  REQUIRE(!refused);
  CHECK(refused.error().code() == ErrorCode::insufficient_data);
  CHECK(mcomp_test::well_formed(refused.error()));
  CHECK(method_from_string("temprature").error().remedy().find("temperature") != std::string::npos);

  // Probabilities of zero are raised before the logarithm.
  const auto p = Tensor::from(std::vector<float>{1, 0}, {1, 2}).value();
  CHECK(log_probabilities(p).value().values<double>("z").value()[1] == Approx(-87.3365));
}
