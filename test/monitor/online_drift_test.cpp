#include "mcomp/monitor/online_drift.hpp"

#include <limits>
#include <numeric>
#include <random>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/core/sha256.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

namespace {

// The streams of river's own tests, drawn as numpy's legacy generator draws them from seed 12345 (std::mt19937 is the
// same generator); sums and SHA-256 of the digits show that they are the same.

/// 1,000 of 0 or 1, then 1,000 of 0 to 7.
std::vector<double> integers() {
  std::mt19937 twister(12345);
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(static_cast<double>(twister() & 1U));
  for (int i = 0; i < 1000; ++i) values.push_back(static_cast<double>(twister() & 7U));
  return values;
}

/// 2,000 of 0 or 1 from seed 0, those from 999 on replaced by 4 to 7.
std::vector<double> steps() {
  std::mt19937 twister(0);
  std::vector<double> values;
  for (int i = 0; i < 2000; ++i) values.push_back(static_cast<double>(twister() & 1U));
  for (std::size_t i = 999; i < 2000; ++i) values[i] = static_cast<double>(4 + (twister() & 3U));
  return values;
}

/// 1,000 errors of chance .2, then 1,000 of chance .8.
std::vector<double> errors() {
  std::mt19937 twister(12345);
  const auto uniform = [&] { // 53 bits of two words
    const auto high = static_cast<double>(twister() >> 5), low = static_cast<double>(twister() >> 6);
    return (high * 67108864.0 + low) / 9007199254740992.0;
  };
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(uniform() > 0.8 ? 1 : 0);
  for (int i = 0; i < 1000; ++i) values.push_back(uniform() > 0.8 ? 0 : 1);
  return values;
}

void check_stream(const std::vector<double>& values, double sum, const std::string& hash) {
  std::string digits;
  for (const double value : values) digits += static_cast<char>('0' + static_cast<int>(value));
  CHECK(std::accumulate(values.begin(), values.end(), 0.0) == sum);
  CHECK(sha256(digits).substr(0, hash.size()) == hash);
}

template <class Detector> std::vector<std::size_t> alarms(Detector& detector, const std::vector<double>& values) {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (detector.add(values[i])) result.push_back(i);
  return result;
}

} // namespace

TEST_CASE("alarms of published streams") {
  check_stream(integers(), 3985, "246c3421338c8604");
  check_stream(errors(), 1000, "36baba1c7236c509");
  Adwin river = Adwin::create({.variant = AdwinVariant::river}).value();
  CHECK(alarms(river, integers()) == std::vector<std::size_t>{1055});
  CHECK(river.detections() == 1);
  Adwin moa = Adwin::create({.delta = 0.001}).value();
  check_stream(steps(), 6067, "9654e2baab159e96");
  CHECK(alarms(moa, steps()) == std::vector<std::size_t>{1023, 1055});
  PageHinkley page = PageHinkley::create().value();
  CHECK(alarms(page, integers()) == std::vector<std::size_t>{1020, 1991});
  DriftDetectionMethod ddm = DriftDetectionMethod::create().value();
  std::vector<std::size_t> drifts;
  const auto stream = errors();
  for (std::size_t i = 0; i < stream.size(); ++i)
    if (ddm.add(stream[i] == 1) == DriftLevel::drift) drifts.push_back(i);
  CHECK(drifts == std::vector<std::size_t>{1049});
}

TEST_CASE("adwin's window is the tail of the stream, and its moments are those of the tail") {
  Random random(1);
  Adwin adwin = Adwin::create().value();
  std::vector<double> values;
  bool found = false;
  for (int i = 0; i < 5000; ++i) {
    values.push_back((i < 3000 ? 0.2 : 0.6) + 0.1 * random.normal());
    found = adwin.add(values.back()) || found;
  }
  CHECK(found);
  CHECK(adwin.width() <= 2100); // what is older than the change is gone, up to a bucket
  CHECK(adwin.width() >= 1800);
  const std::vector<double> tail(values.end() - adwin.width(), values.end());
  const double n = static_cast<double>(tail.size());
  const double mean = std::accumulate(tail.begin(), tail.end(), 0.0) / n;
  double spread = 0;
  for (const double value : tail) spread += (value - mean) * (value - mean);
  CHECK(adwin.mean() == Approx(mean).epsilon(1e-9));
  CHECK(adwin.variance() == Approx(spread / n).epsilon(1e-6));
}

TEST_CASE("false alarms on streams that do not change are within the promise") {
  int alarmed = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(9, seed);
    Adwin adwin = Adwin::create({.delta = 0.05}).value();
    bool any = false;
    for (int i = 0; i < 2000; ++i) any = adwin.add(random.uniform() < 0.3 ? 1 : 0) || any;
    alarmed += any ? 1 : 0;
  }
  CHECK(alarmed <= 5 + 7); // 5 of 100 at most, and three standard errors
}

TEST_CASE("the run length of a cusum is the published one, and a shift is placed") {
  // Two-sided, slack .5, limit 5, normal values: 465 in control, 10.4 with a shift of one deviation (Montgomery, table
  // 9.3, for limit 5).
  double in_control = 0, shifted = 0;
  constexpr int trials = 400;
  for (std::uint64_t seed = 0; seed < trials; ++seed) {
    Random random(3, seed);
    for (const double mean : {0.0, 1.0}) {
      Cusum cusum = Cusum::create({.mean = 2, .deviation = 3}).value();
      double length = 1;
      while (cusum.add(2 + 3 * (mean + random.normal())) == Shift::none) ++length;
      (mean == 0 ? in_control : shifted) += length / trials;
    }
  }
  CHECK(in_control == Approx(465).epsilon(0.15)); // three standard errors
  CHECK(shifted == Approx(10.4).epsilon(0.1));
  Cusum cusum = Cusum::create({}).value();
  for (int i = 0; i < 50; ++i) CHECK(cusum.add(i % 2 == 0 ? 0.4 : -0.4) == Shift::none);
  int count = 0;
  while (cusum.add(-2) == Shift::none) ++count;
  CHECK(cusum.shift_length() == count + 1);
  CHECK(count == 3); // 1.5 a value beyond a limit of 5
}

TEST_CASE("options out of range are errors, and numbers that are none are counted") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(Adwin::create({.delta = 0}));
  CHECK_FALSE(Adwin::create({.delta = nan}));
  CHECK_FALSE(Adwin::create({.clock = 0}));
  CHECK_FALSE(Adwin::create({.least_part = 0}));
  CHECK_FALSE(Adwin::create({.buckets_a_row = 1}));
  CHECK_FALSE(PageHinkley::create({.threshold = 0}));
  CHECK_FALSE(PageHinkley::create({.forgetting = 1.5}));
  CHECK_FALSE(PageHinkley::create({.tolerance = nan}));
  CHECK_FALSE(DriftDetectionMethod::create({.warning = 3, .drift = 2}));
  CHECK_FALSE(DriftDetectionMethod::create({.least = 0}));
  CHECK_FALSE(Cusum::create({.deviation = 0}));
  CHECK_FALSE(Cusum::create({.limit = nan}));
  CHECK(mcomp_test::well_formed(Cusum::create({.slack = -1}).error()));
  Adwin adwin = Adwin::create().value();
  CHECK_FALSE(adwin.add(nan));
  CHECK(adwin.rejected() == 1);
  CHECK(adwin.width() == 0);
  Cusum cusum = Cusum::create({}).value();
  CHECK(cusum.add(std::numeric_limits<double>::infinity()) == Shift::none);
  CHECK(cusum.rejected() == 1);
}
