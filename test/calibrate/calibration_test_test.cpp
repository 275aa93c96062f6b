#include "mcomp/calibrate/calibration_test.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/calibrate/reliability_diagram.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {

/// Rows whose probability of being right is confidence - `over`.
RowOutcomes drawn(std::size_t n, double over, std::uint64_t seed) {
  Random random(seed);
  RowOutcomes rows;
  for (std::size_t i = 0; i < n; ++i) {
    const double p = .5 + .5 * random.uniform();
    rows.confidence.push_back(p);
    rows.correct.push_back(random.uniform() < p - over);
    rows.nll.push_back(-std::log(rows.correct.back() ? p : 1 - p));
    rows.brier.push_back(2 * (rows.correct.back() - p) * (rows.correct.back() - p));
  }
  return rows;
}

} // namespace

TEST_CASE("the test of calibration rejects a calibrated model as often as its level says, and finds another") {
  int rejected_ks = 0, rejected_ece = 0;
  constexpr int repeats = 400;
  for (int r = 0; r < repeats; ++r) {
    const RowOutcomes rows = drawn(200, 0, 1000 + static_cast<std::uint64_t>(r));
    const ResamplingOptions options{.resamples = 99, .seed = static_cast<std::uint64_t>(r)};
    rejected_ks += calibration_test(rows.confidence, rows.correct, CalibrationStatistic::ks, options)->p_value <= .1;
    rejected_ece += calibration_test(rows.confidence, rows.correct, CalibrationStatistic::ece, options)->p_value <= .1;
  }
  // 40 expected; the standard deviation is 6.
  for (const int rejected : {rejected_ks, rejected_ece}) {
    CHECK(rejected >= 22);
    CHECK(rejected <= 58);
  }
  const RowOutcomes wrong = drawn(2000, .05, 5);
  const auto test = calibration_test(wrong.confidence, wrong.correct).value();
  CHECK(test.p_value == 1. / 1000); // the least that 999 resamples give
  CHECK(test.statistic > 2 * test.expected);
  CHECK(fmt::format("{}", test).find("p = 0.001 (2000 rows, 999 resamples)") != std::string::npos);
  ThreadPool pool(2);
  CHECK(calibration_test(wrong.confidence, wrong.correct, CalibrationStatistic::ks, {.executor = &pool})->expected ==
        test.expected);
}

TEST_CASE("bootstrap intervals of means agree with the normal ones, and cover") {
  const RowOutcomes rows = drawn(1000, .1, 6);
  const auto intervals = bootstrap_intervals(rows).value();
  double right = 0;
  for (const auto c : rows.correct) right += c / 1000.;
  const double half = 1.96 * std::sqrt(right * (1 - right) / 1000);
  CHECK(intervals.accuracy.lower == Approx(right - half).margin(.006));
  CHECK(intervals.accuracy.upper == Approx(right + half).margin(.006));
  CHECK(intervals.ece_debiased.contains(.1));
  CHECK(intervals.confidence.width() < intervals.accuracy.width());
  ThreadPool pool(2);
  CHECK(bootstrap_intervals(rows, {.executor = &pool})->ks == intervals.ks);
  CHECK(bootstrap_intervals(rows, {.seed = 2})->ks != intervals.ks);

  int covered = 0;
  constexpr int repeats = 200;
  for (int r = 0; r < repeats; ++r) {
    const auto part =
        bootstrap_intervals(drawn(150, 0, 2000 + static_cast<std::uint64_t>(r)), {.resamples = 199, .level = .9});
    covered += part->accuracy.contains(.75);
  }
  CHECK(covered >= 162); // 180 expected, standard deviation 4.2; the percentile interval is a little short
}

TEST_CASE("intervals of a constant are a point, also where it is infinite, and no rows are an error") {
  RowOutcomes rows{.confidence = std::vector<double>(50, 1.),
                   .correct = std::vector<std::uint8_t>(50, 1),
                   .nll = std::vector<double>(50, 0.),
                   .brier = std::vector<double>(50, 0.)};
  const auto sure = bootstrap_intervals(rows, {.resamples = 50}).value();
  CHECK(sure.accuracy == stats::Interval{1, 1, .95});
  CHECK(sure.nll == stats::Interval{0, 0, .95});
  CHECK(sure.ece == stats::Interval{0, 0, .95});
  CHECK(calibration_test(rows.confidence, rows.correct)->p_value == 1);
  rows.nll.assign(50, INFINITY);
  CHECK(bootstrap_intervals(rows, {.resamples = 50})->nll.lower == INFINITY);
  // One wrong row among certain ones cannot be chance.
  rows.correct[7] = 0;
  CHECK(calibration_test(rows.confidence, rows.correct)->p_value == 1. / 1000);

  for (const auto& error :
       {bootstrap_intervals({}).error(), calibration_test({}, {}).error(), consistency_bands({}).error()}) {
    CHECK(error.code() == ErrorCode::insufficient_data);
    CHECK(mcomp_test::well_formed(error));
  }
  CHECK(bootstrap_intervals(rows, {.resamples = 0}).error().code() == ErrorCode::invalid_argument);
  CHECK(bootstrap_intervals(rows, {.level = 1}).error().code() == ErrorCode::invalid_argument);
  rows.nll.pop_back();
  CHECK(bootstrap_intervals(rows).error().code() == ErrorCode::invalid_shape);
}

TEST_CASE("consistency bands hold the accuracy of a calibrated model's bins") {
  // One bin of 100 rows at confidence 0.9: the 2.5 % and 97.5 % points of Binomial(100, 0.9) are .84 and .95.
  const auto bands = consistency_bands(std::vector<double>(100, .9), {.resamples = 4000, .bins = 10}).value();
  REQUIRE(bands.size() == 10);
  CHECK(bands[8].lower == Approx(.84).margin(.0101));
  CHECK(bands[8].upper == Approx(.95).margin(.0101));
  CHECK(std::isnan(bands[0].lower));
}

TEST_CASE("a diagram is a well-formed picture with its numbers, whatever the title, and also without rows") {
  const RowOutcomes rows = drawn(1234, .1, 7);
  const auto diagram = reliability_diagram(rows, {.title = "a < b & \x01\"c\""}).value();
  CHECK(diagram.bands.size() == 15);
  const std::string svg = to_svg(diagram);
  CHECK(svg.find("<svg xmlns=\"http://www.w3.org/2000/svg\"") == 0);
  CHECK(svg.find("a &lt; b &amp; \uFFFD&quot;c&quot;") != std::string::npos);
  CHECK(svg.find(fmt::format("ECE {:.4f} (15 bins)", diagram.metrics.ece)) != std::string::npos);
  CHECK(svg.find("1,234 rows") != std::string::npos);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
  // Every element that is opened is closed.
  const auto count = [&](const std::string& text) {
    std::size_t found = 0;
    for (auto at = svg.find(text); at != std::string::npos; at = svg.find(text, at + 1)) ++found;
    return found;
  };
  for (const std::string name : {"svg", "g", "text", "tspan"})
    CHECK(count("<" + name + " ") + count("<" + name + ">") == count("</" + name + ">"));
  const auto empty = reliability_diagram({}).value();
  CHECK(to_svg(empty).find("no rows") != std::string::npos);
  const ReliabilityDiagram both[] = {diagram, empty};
  CHECK(to_svg(both).size() > svg.size());
}
