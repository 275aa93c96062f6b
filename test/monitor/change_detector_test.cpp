// The e-detector: its bound on false alarms, and where it sees a change begin.

#include "mcomp/monitor/change_detector.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

TEST_CASE("values at the mean are worth one each: the alarm comes with the run length itself") {
  // Every factor is 1, so that M = n by hand.
  auto detector = ChangeDetector::create({.mean = 0.25, .run_length = 50}).value();
  for (int n = 1; n < 50; ++n) {
    CHECK_FALSE(detector.add(0.25));
    CHECK(detector.evidence() == Approx(n).epsilon(1e-12));
  }
  CHECK(detector.add(0.25));
  CHECK(detector.alarms() == 1);
  CHECK_FALSE(detector.add(0.25)); // anew
  CHECK(detector.evidence() == Approx(1));
}

TEST_CASE("false alarms come no sooner than the run length, whatever the distribution is") {
  Random random(8);
  constexpr double mean = 0.1, run_length = 200;
  for (const int kind : {0, 1, 2}) {
    auto detector = ChangeDetector::create({.mean = mean, .run_length = run_length}).value();
    constexpr int values = 200000;
    double before = 0;
    for (int i = 0; i < values; ++i) {
      // Of two values, of a uniform, and one whose spread follows the value before; each has the mean of .1.
      const double u = random.uniform();
      const double value = kind == 0   ? (u < mean ? 1.0 : 0.0)
                           : kind == 1 ? 2 * mean * u
                                       : (before > mean ? (u < 0.2 ? 0.5 : 0.0) : 2 * mean * u);
      before = value;
      detector.add(value);
    }
    // Runs are independent: their mean length, against three standard deviations of it.
    CHECK(static_cast<double>(detector.alarms()) <= values / run_length + 3 * std::sqrt(values / run_length));
  }
  // Within n values an alarm has a probability of at most n / run length.
  int alarms = 0;
  for (int round = 0; round < 2000; ++round) {
    auto detector = ChangeDetector::create({.mean = mean, .run_length = 1000}).value();
    for (int i = 0; i < 100; ++i) detector.add(random.uniform() < mean ? 1.0 : 0.0);
    alarms += detector.alarms() > 0;
  }
  CHECK(alarms <= 200 + 3 * std::sqrt(180.0));
}

TEST_CASE("a rise is found soon, and its begin is located") {
  Random random(9);
  std::vector<std::int64_t> delays, errors;
  for (int round = 0; round < 200; ++round) {
    auto detector = ChangeDetector::create({.mean = 0.1, .run_length = 1e6}).value();
    bool found = false;
    for (int i = 0; i < 3000 && !found; ++i) {
      const double p = i < 1000 ? 0.05 : 0.3;
      if (!detector.add(random.uniform() < p ? 1.0 : 0.0)) continue;
      found = true;
      delays.push_back(i - 1000);
      errors.push_back(std::abs(detector.since() - 1000));
    }
    REQUIRE(found);
  }
  // Most begins are exact within a few values; a streak just before the change may be taken for its begin.
  std::ranges::sort(delays);
  std::ranges::sort(errors);
  CHECK(delays.front() > 0);
  // log(run length) over the relative entropy of .3 to .1, .1537, is 90 values; the grid and the mixture take some
  // more.
  CHECK(delays[100] < 130);
  CHECK(errors[100] <= 5);
  CHECK(errors[180] <= 40);
}

TEST_CASE("detectors of change refuse what they cannot take") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  auto detector = ChangeDetector::create({.mean = 0.1, .run_length = 10}).value();
  for (const double bad : {nan, -0.1, 1.1, HUGE_VAL}) CHECK_FALSE(detector.add(bad));
  CHECK(detector.rejected() == 4);
  CHECK(detector.values() == 0);
  for (const ChangeDetectorOptions& bad :
       {ChangeDetectorOptions{.mean = 0}, ChangeDetectorOptions{.mean = 1}, ChangeDetectorOptions{.mean = nan},
        ChangeDetectorOptions{.run_length = 1}, ChangeDetectorOptions{.run_length = nan}}) {
    const auto made = ChangeDetector::create(bad);
    REQUIRE_FALSE(made);
    CHECK(mcomp_test::well_formed(made.error()));
  }
}
