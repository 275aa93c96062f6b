#include "mcomp/calibrate/calibration_error.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/calibrate/calibration_test.hpp"
#include "mcomp/calibrate/calibration_window.hpp"
#include "mcomp/calibrate/kernel_calibration_error.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/calibrate/probability_map.hpp"
#include "mcomp/calibrate/softmax.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Rows {
  Tensor logits, labels;
};

/// Labels drawn from softmax(z / T).
Rows drawn(std::int64_t rows, std::int64_t classes, double T, std::uint64_t seed) {
  Random random(seed);
  Rows data{Tensor::zeros(DType::f32, {rows, classes}).value(), Tensor::zeros(DType::int32, {rows}).value()};
  const auto z = data.logits.mutable_values<float>();
  std::vector<float> p(static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
    const auto row = z.subspan(i * p.size(), p.size());
    for (float& x : row) x = static_cast<float>(2 * random.normal());
    softmax_into(row, T, p).value();
    double u = random.uniform();
    std::size_t label = 0;
    while (label + 1 < p.size() && u >= static_cast<double>(p[label])) u -= static_cast<double>(p[label++]);
    data.labels.mutable_values<std::int32_t>()[i] = static_cast<std::int32_t>(label);
  }
  return data;
}

} // namespace

TEST_CASE("calibration errors of six rows are as worked out by hand") {
  const std::vector<double> p{.6, .7, .7, .8, .9, .95};
  const std::vector<std::uint8_t> right{1, 0, 1, 1, 1, 0};
  // Two bins of equal mass: .6 .7 .7 with accuracy 2/3, and .8 .9 .95 with 2/3.
  const double low = std::abs(2. / 3 - 2. / 3), high = 2.65 / 3 - 2. / 3;
  const auto error = [&](ErrorOptions options) { return calibration_error(p, right, options).value(); };
  CHECK(error({.binning = ErrorBinning::equal_mass, .bins = 2}) == Approx((low + high) / 2));
  CHECK(error({.binning = ErrorBinning::equal_mass, .bins = 2, .norm = infinity}) == Approx(high));
  CHECK(error({.binning = ErrorBinning::equal_mass, .bins = 2, .norm = 2}) == Approx(high / std::sqrt(2.)));
  // Debiased: the gaps' squares less acc (1 - acc) / 2 of each bin.
  const double debiased = (0 - 1. / 9 + high * high - 1. / 9) / 2;
  CHECK(debiased < 0);
  CHECK(error({.binning = ErrorBinning::equal_mass, .bins = 2, .norm = 2, .debiased = true}) == 0);
  // More bins than rows: each row its own.
  CHECK(error({.binning = ErrorBinning::equal_mass, .bins = 100}) == Approx((.4 + .7 + .3 + .2 + .1 + .95) / 6));
  // KS: sums of (right - p) are .4, then -.3 and 0 (a tie: only its end counts), .2, .3, -.65.
  CHECK(ks_calibration_error(p, right).value() == Approx(.65 / 6));
  // A sweep ends before accuracy falls: with 2 bins it is 2/3 and 2/3, with 3 bins 1/2, 1, 1/2.
  CHECK(error({.binning = ErrorBinning::sweep_mass}) == Approx(high / 2));

  const auto parts = brier_decomposition(p, right, 5).value();
  double brier = 0;
  for (std::size_t i = 0; i < p.size(); ++i) brier += (p[i] - right[i]) * (p[i] - right[i]) / 6;
  CHECK(parts.score() == Approx(brier).epsilon(1e-14));
  CHECK(parts.uncertainty == Approx(4. / 6 * 2 / 6));
  // (.4, .6]: one row, right; (.6, .8]: three, two right; (.8, 1]: two, one right.
  CHECK(parts.reliability == Approx((1 * .16 + 3 * std::pow(2.2 / 3 - 2. / 3, 2) + 2 * std::pow(.925 - .5, 2)) / 6));
  CHECK(parts.resolution == Approx((1. / 9 + 0 + 2. / 36) / 6));
}

TEST_CASE("a debiased error of a calibrated model is about zero where the plain one is not") {
  Random random(1);
  double plain = 0, debiased_square = 0;
  constexpr int repeats = 200;
  for (int r = 0; r < repeats; ++r) {
    std::vector<double> p;
    std::vector<std::uint8_t> right;
    for (int i = 0; i < 300; ++i) {
      p.push_back(.5 + .5 * random.uniform());
      right.push_back(random.uniform() < p.back());
    }
    plain += std::pow(calibration_error(p, right, {.norm = 2}).value(), 2) / repeats;
    // The mean of the squares without the root, which hides what is negative.
    const auto bins = reliability_bins(p, right).value();
    for (const auto& bin : bins)
      if (bin.count > 1)
        debiased_square += static_cast<double>(bin.count) / 300 / repeats *
                           (std::pow(bin.accuracy - bin.confidence, 2) -
                            bin.accuracy * (1 - bin.accuracy) / static_cast<double>(bin.count - 1));
    CHECK(calibration_error(p, right, {.norm = 2, .debiased = true}).value() <=
          calibration_error(p, right, {.norm = 2}).value());
  }
  CHECK(plain > 3e-3);
  CHECK(std::abs(debiased_square) < 4e-4);
}

TEST_CASE("one pass over logits gives the same as every error by itself, whatever the type and the threads") {
  for (const std::int64_t classes : {5, 64, 203}) { // 64 and more: single precision for f32
    const Rows data = drawn(3000, classes, 2, 2);
    const auto m = measure_logits(data.logits, data.labels).value();
    const auto rows = outcomes_of_logits(data.logits, data.labels).value();
    const auto error = [&](ErrorOptions options) {
      return calibration_error(rows.confidence, rows.correct, options).value();
    };
    CHECK(m.ece == error({}));
    CHECK(m.ece_mass == error({.binning = ErrorBinning::equal_mass}));
    CHECK(m.mce_mass == error({.binning = ErrorBinning::equal_mass, .norm = infinity}));
    CHECK(m.ece_sweep == error({.binning = ErrorBinning::sweep_mass}));
    CHECK(m.rms == error({.norm = 2}));
    CHECK(m.ece_debiased == error({.norm = 2, .debiased = true}));
    CHECK(m.ks == ks_calibration_error(rows.confidence, rows.correct).value());
    CHECK(m.top_label == brier_decomposition(rows.confidence, rows.correct).value());
    ThreadPool pool(2);
    CHECK(measure_logits(data.logits, data.labels, 1, {.executor = &pool}).value() == m);

    std::vector<double> z;
    for (const float x : data.logits.values<float>("z").value()) z.push_back(static_cast<double>(x));
    const Tensor in_double = Tensor::from(z, data.logits.shape()).value();
    const auto exact = measure_logits(in_double, data.labels).value();
    const auto from_p = measure_probabilities(softmax(in_double).value(), data.labels).value();
    CHECK(m.nll == Approx(exact.nll).epsilon(1e-7));
    CHECK(m.brier == Approx(exact.brier).epsilon(1e-7));
    CHECK(m.accuracy == exact.accuracy);
    CHECK(m.ece == Approx(exact.ece).margin(1e-7));
    CHECK(m.classwise_ece == Approx(exact.classwise_ece).margin(1e-7));
    CHECK(exact.classwise_ece == Approx(from_p.classwise_ece).epsilon(1e-10));
    CHECK(exact.classwise_ece ==
          Approx(classwise_calibration_error(softmax(in_double).value(), data.labels).value()).epsilon(1e-10));
  }
}

TEST_CASE("more bins of all classes than there is room for are refused, unless classes are not asked for") {
  const Rows data = drawn(20, 64, 2, 9);
  const auto refused = measure_logits(data.logits, data.labels, 1, {.bins = 1 << 20});
  REQUIRE(!refused);
  CHECK(refused.error().code() == ErrorCode::invalid_argument);
  CHECK(mcomp_test::well_formed(refused.error()));
  const auto without = measure_logits(data.logits, data.labels, 1, {.bins = 1 << 20, .classwise = false}).value();
  CHECK(without.classwise_ece == 0);
  CHECK(without.ece > 0);
}

TEST_CASE("adaptive classwise errors leave out what is below the threshold") {
  const auto p = Tensor::from(std::vector<double>{.9, .1, .6, .4, .2, .8, .5, .5}, {4, 2}).value();
  const auto labels = Tensor::from(std::vector<std::int32_t>{0, 1, 1, 0}, {4}).value();
  // Class 0: sorted .2 (0), .5 (1) | .6 (0), .9 (1); class 1 is its mirror image.
  const double by_hand = (std::abs(.35 - .5) + std::abs(.75 - .5)) / 2;
  CHECK(classwise_calibration_error(p, labels, {.bins = 2, .equal_mass = true}).value() == Approx(by_hand));
  // Above .45 class 0 keeps .5 (1), .6 (0), .9 (1): bins of 2 and 1; class 1 keeps .5 (0) and .8 (1).
  const double zero = (2 * std::abs(.55 - .5) + .1) / 3, one = (.5 + .2) / 2;
  CHECK(classwise_calibration_error(p, labels, {.bins = 2, .equal_mass = true, .threshold = .45}).value() ==
        Approx((zero + one) / 2));
  CHECK(classwise_calibration_error(p, labels, {.threshold = 1}).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("the kernel calibration error of two rows is as worked out by hand, and unbiased") {
  const auto p = Tensor::from(std::vector<double>{.8, .2, .3, .7}, {2, 2}).value();
  const auto labels = Tensor::from(std::vector<std::int32_t>{0, 0}, {2}).value();
  // (e_0 - p_1)(e_0 - p_2) = .2 .7 + .2 .7, distance .5 sqrt 2, bandwidth 2.
  const auto two = kernel_calibration_error(p, labels, {.block_size = 0, .bandwidth = 2}).value();
  CHECK(two.value == Approx(std::exp(-.5 * std::sqrt(2.) / 2) * .28));
  CHECK(two.blocks == 1);
  CHECK(std::isnan(two.standard_error));

  // Calibrated: z-scores of the block estimate are standard normal. Overconfident: found.
  int rejected = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Rows data = drawn(600, 3, 1, 100 + seed);
    rejected +=
        kernel_calibration_error(softmax(data.logits).value(), data.labels, {.block_size = 8}).value().p_value < .05;
  }
  CHECK(rejected <= 12); // 5 expected, 12 is 3 sigma above
  const Rows wrong = drawn(2000, 3, 2.5, 3);
  const auto found = kernel_calibration_error(softmax(wrong.logits).value(), wrong.labels).value();
  CHECK(found.value > 0);
  CHECK(found.p_value < 1e-6);
  ThreadPool pool(2);
  CHECK(kernel_calibration_error(softmax(wrong.logits).value(), wrong.labels, {.executor = &pool}).value().value ==
        found.value);
  CHECK(kernel_calibration_error(p, labels, {.block_size = 1}).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("slices have the metrics of their rows, and one without rows has zeros") {
  const Rows data = drawn(900, 4, 2, 4);
  std::vector<std::int32_t> slices(900);
  for (std::size_t i = 0; i < 900; ++i) slices[i] = i < 300 ? 0 : i < 850 ? 2 : -1;
  const auto by_slice = measure_logits_by_slice(data.logits, data.labels, slices, 3).value();
  REQUIRE(by_slice.size() == 3);
  const auto first =
      measure_logits(data.logits.view().rows(0, 300).value(), data.labels.view().rows(0, 300).value()).value();
  CHECK(by_slice[0] == first);
  CHECK(by_slice[1].count == 0);
  CHECK(by_slice[1].ece == 0);
  CHECK(by_slice[1].bins.size() == 15);
  CHECK(by_slice[2].count == 550);
  const auto p = measure_probabilities_by_slice(softmax(data.logits).value(), data.labels, slices, 3).value();
  CHECK(p[2].nll == Approx(by_slice[2].nll).epsilon(1e-6));
  CHECK(measure_logits_by_slice(data.logits, data.labels, {}, 3).error().code() == ErrorCode::invalid_shape);
  CHECK(measure_logits_by_slice(data.logits, data.labels, slices, -1).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("errors have defined results without rows, for ties and for one outcome, and refuse what is no confidence") {
  CHECK(calibration_error({}, {}).value() == 0);
  CHECK(calibration_error({}, {}, {.binning = ErrorBinning::sweep_mass}).value() == 0);
  CHECK(ks_calibration_error({}, {}).value() == 0);
  CHECK(brier_decomposition({}, {}).value().score() == 0);
  CHECK(metrics_of({}).value().count == 0);
  const std::vector<double> ties(5000, .75);
  std::vector<std::uint8_t> right(5000, 1);
  for (const auto binning : {ErrorBinning::equal_width, ErrorBinning::equal_mass, ErrorBinning::sweep_mass})
    CHECK(calibration_error(ties, right, {.binning = binning}).value() == Approx(.25));
  CHECK(ks_calibration_error(ties, right).value() == Approx(.25));

  const std::vector<std::uint8_t> one{1};
  for (const double bad : {std::nan(""), -.1, 1.1, infinity}) {
    const std::vector<double> p{bad};
    const auto error = calibration_error(p, one, {.binning = ErrorBinning::equal_mass}).error();
    CHECK(error.code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(error));
    CHECK(ks_calibration_error(p, one).error().code() == ErrorCode::invalid_value);
  }
  CHECK(calibration_error(ties, one).error().code() == ErrorCode::invalid_shape);
  CHECK(calibration_error(ties, right, {.norm = .5}).error().code() == ErrorCode::invalid_argument);
  CHECK(calibration_error(ties, right, {.debiased = true}).error().code() == ErrorCode::invalid_argument);
  CHECK(calibration_error(ties, right, {.bins = 0}).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("many classes in single precision keep NaN, infinities and ties apart as double precision does") {
  std::vector<float> z(100, 0.F);
  const auto label = Tensor::from(std::vector<std::int32_t>{3}, {1}).value();
  const auto metrics = [&] { return measure_logits(Tensor::from(z, {1, 100}).value(), label); };
  CHECK(metrics()->accuracy == 0); // the first of equals is predicted
  CHECK(metrics()->nll == Approx(std::log(100.)));
  z[3] = 50;
  CHECK(metrics()->accuracy == 1);
  z[0] = 50;
  CHECK(metrics()->accuracy == 0);
  z[0] = -std::numeric_limits<float>::infinity();
  CHECK(metrics()->accuracy == 1);
  z[3] = z[0];
  CHECK(metrics()->nll == infinity);
  z[99] = std::numeric_limits<float>::quiet_NaN();
  CHECK(metrics().error().code() == ErrorCode::invalid_value);
  z[99] = std::numeric_limits<float>::infinity();
  CHECK(metrics().error().code() == ErrorCode::invalid_value);
  std::fill(z.begin(), z.end(), 3e38F);
  z[3] = -3e38F;
  CHECK(metrics()->nll == Approx(6e38).epsilon(1e-6));
}

TEST_CASE("a window has the metrics of its last rows, however many there were before") {
  const Rows data = drawn(5000, 6, 2, 5);
  const auto rows = outcomes_of_logits(data.logits, data.labels).value();
  const auto z = data.logits.values<float>("z").value();
  const auto labels = data.labels.values<std::int32_t>("labels").value();
  CalibrationWindow window(700), from_logits(700);
  CHECK(window.metrics().count == 0);
  CHECK(window.metrics().ece == 0);
  for (std::size_t i = 0; i < 5000; ++i) {
    window.add(rows.confidence[i], rows.correct[i] != 0, rows.nll[i], rows.brier[i]).value();
    from_logits.add(z.subspan(i * 6, 6), labels[i]).value();
    if (i != 300 && i != 699 && i != 700 && i != 1399 && i != 2222 && i != 4999) continue;
    const std::size_t first = i < 700 ? 0 : i - 699, count = i + 1 - first;
    const auto expected =
        measure_logits(
            data.logits.view().rows(static_cast<std::int64_t>(first), static_cast<std::int64_t>(i + 1)).value(),
            data.labels.view().rows(static_cast<std::int64_t>(first), static_cast<std::int64_t>(i + 1)).value())
            .value();
    for (const CalibrationWindow* w : {&window, &from_logits}) {
      const WindowMetrics m = w->metrics();
      CHECK(m.count == static_cast<std::int64_t>(count));
      CHECK(m.accuracy == Approx(expected.accuracy).epsilon(1e-12));
      CHECK(m.confidence == Approx(expected.confidence).epsilon(1e-12));
      CHECK(m.nll == Approx(expected.nll).epsilon(1e-11));
      CHECK(m.brier == Approx(expected.brier).epsilon(1e-11));
      CHECK(m.ece == Approx(expected.ece).epsilon(1e-10));
      CHECK(m.mce == Approx(expected.mce).epsilon(1e-10));
    }
    const auto bins = window.bins();
    for (std::size_t b = 0; b < bins.size(); ++b) CHECK(bins[b].count == expected.bins[b].count);
  }
  // An infinite score leaves with its row.
  window.add(1, false, infinity, 2).value();
  CHECK(window.metrics().nll == infinity);
  for (int i = 0; i < 700; ++i) window.add(.5, i % 2 == 0, std::log(2.), .5).value();
  CHECK(window.metrics().nll == Approx(std::log(2.)).epsilon(1e-12));
  CHECK(window.metrics().ece == Approx(0).margin(1e-14));
  window.clear();
  CHECK(window.metrics().count == 0);
}

TEST_CASE("a window refuses what is out of range and stays as it was") {
  CalibrationWindow window(3, 10);
  window.add(.8, true, .2, .1).value();
  const float nan[] = {0, std::numeric_limits<float>::quiet_NaN()}, good[] = {0, 1};
  CHECK(window.add(std::nan(""), true, .2, .1).error().code() == ErrorCode::invalid_value);
  CHECK(window.add(1.5, true, .2, .1).error().code() == ErrorCode::invalid_value);
  CHECK(window.add(.8, true, -1, .1).error().code() == ErrorCode::invalid_value);
  CHECK(window.add(.8, true, .1, std::nan("")).error().code() == ErrorCode::invalid_value);
  CHECK(window.add(nan, 0).error().code() == ErrorCode::invalid_value);
  CHECK(window.add(good, 2).error().code() == ErrorCode::invalid_value);
  CHECK(window.add(good, -1).error().code() == ErrorCode::invalid_value);
  CHECK(window.add(good, 0, 0).error().code() == ErrorCode::invalid_argument);
  CHECK(window.add(std::span<const float>(), 0).error().code() == ErrorCode::invalid_shape);
  CHECK(window.metrics().count == 1);
  CHECK(window.metrics().ece == Approx(.2));
  CHECK(CalibrationWindow(-5).capacity() == 1);
}

TEST_CASE("ten million rows are measured, tested and mapped", "[slow]") {
  constexpr std::size_t n = 10'000'000;
  Random random(6);
  RowOutcomes rows;
  for (std::size_t i = 0; i < n; ++i) {
    const double p = .5 + .5 * random.uniform();
    rows.confidence.push_back(p);
    rows.correct.push_back(random.uniform() < p);
    rows.nll.push_back(-std::log(rows.correct.back() ? p : 1 - p));
    rows.brier.push_back(0);
  }
  const auto m = metrics_of(rows).value();
  CHECK(m.count == static_cast<std::int64_t>(n));
  CHECK(m.accuracy == Approx(.75).margin(1e-3));
  CHECK(m.ece < 1e-3); // chance: about .43 / sqrt(n / 8) a bin
  CHECK(m.ks < 1e-3);
  const auto test = calibration_test(rows.confidence, rows.correct, CalibrationStatistic::ks, {.resamples = 9}).value();
  CHECK(test.statistic == Approx(m.ks).epsilon(1e-9));
  CHECK(test.p_value > .05);
  const auto isotonic = fit_isotonic(rows.confidence, rows.correct).value();
  CHECK(isotonic.mse_after <= isotonic.mse_before);
  CHECK(isotonic.map(.75) == Approx(.75).margin(.02));
}
