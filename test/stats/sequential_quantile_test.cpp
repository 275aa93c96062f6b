#include "mcomp/stats/sequential_quantile.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/confidence_sequence.hpp"
#include "mcomp/stats/uniform_boundary.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
std::vector<double> from(double first, std::size_t n = 1000) {
  std::vector<double> values(n);
  std::iota(values.begin(), values.end(), first);
  return values;
}
constexpr SequentialQuantileOptions planned_100{.planned_count = 100};
} // namespace

TEST_CASE("the sequential quantile test has the p-values of confseq") {
  // gostevehoward/confseq, QuantileABTest: 1 .. 1000 against the same shifted; tolerance there 1e-5.
  const double rows[][3] = {{.5, 70, .814704}, {.5, 85, .0838055}, {.5, 100, .0054947}, {.9, 55, .0340463}};
  for (const auto& [p, offset, expected] : rows) {
    INFO("p " << p << " offset " << offset);
    const auto test = quantile_ab_test(from(1), from(1 + offset), p, planned_100).value();
    CHECK(test.p_value == Approx(expected).margin(1e-5).epsilon(0));
    // The streams may be exchanged, and the order of observations does not matter.
    std::vector<double> shuffled = from(1 + offset);
    Random(3).shuffle(std::span(shuffled));
    CHECK(quantile_ab_test(shuffled, from(1), p, planned_100).value() == test);
  }
}

TEST_CASE("the quantile test takes the least evidence over all values, whether observed or between") {
  // Brute force over every observation and every gap, with ties.
  Random random(6);
  for (int trial = 0; trial < 30; ++trial) {
    std::vector<double> a(20 + random.below(30)), b(20 + random.below(30));
    for (double& x : a) x = static_cast<double>(random.below(15));
    for (double& x : b) x = static_cast<double>(random.below(15) + random.below(4));
    const double p = .6;
    const auto test = quantile_ab_test(a, b, p, planned_100).value();
    const auto mixture = BetaBinomialMixture::create({.variance = 100 * p * (1 - p)}, p, 1 - p, false).value();
    const auto evidence = [&](const std::vector<double>& values, double x, bool with) {
      double count = 0;
      for (const double v : values) count += with ? v <= x : v < x;
      const auto n = static_cast<double>(values.size());
      return mixture.log_mixture(count - p * n, p * (1 - p) * n);
    };
    double least = 1e300;
    for (double x = -1; x < 20; x += 1)
      for (const bool first : {false, true})
        for (const bool second : {false, true}) least = std::min(least, evidence(a, x, first) + evidence(b, x, second));
    // Shares between the two counts at a tie may do a little better still.
    CHECK(std::log(test.e_value) <= least + 1e-9);
    CHECK(std::log(test.e_value) >= least - 1);
  }
}

TEST_CASE("a quantile test looked at repeatedly keeps its level, and finds a slower stream") {
  constexpr int runs = 120, looks = 20;
  Random random(15);
  int alarms = 0, found = 0;
  for (int run = 0; run < runs; ++run) {
    std::vector<double> a, b, slower;
    EProcess same, different;
    for (int look = 0; look < looks; ++look) {
      for (int i = 0; i < 50; ++i) {
        a.push_back(-std::log1p(-random.uniform()));
        b.push_back(-std::log1p(-random.uniform()));
        slower.push_back(-1.35 * std::log1p(-random.uniform()));
      }
      same.update(quantile_ab_test(a, b, .5).value().e_value);
      different.update(quantile_ab_test(a, slower, .5).value().e_value);
    }
    alarms += same.p_value() <= .05;
    found += different.p_value() <= .05;
  }
  CHECK(alarms <= .05 * runs + 3 * std::sqrt(.05 * .95 * runs));
  CHECK(found > runs / 2);
}

TEST_CASE("the quantile test on sketches is a little more careful than on the values") {
  Random random(33);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<double> a, b;
    auto sketch_a = QuantileSketch::create().value(), sketch_b = sketch_a;
    for (int i = 0; i < 800; ++i) {
      a.push_back(std::exp(random.normal()));
      b.push_back((1 + .03 * trial) * std::exp(random.normal()));
      sketch_a.add(a.back());
      sketch_b.add(b.back());
    }
    const auto exact = quantile_ab_test(a, b, .75).value(),
               sketched = quantile_ab_test(sketch_a, sketch_b, .75).value();
    CHECK(sketched.e_value <= exact.e_value * (1 + 1e-9));
    CHECK(std::log(sketched.e_value) > std::log(exact.e_value) - 1.5);
  }
  auto empty = QuantileSketch::create().value(), other = QuantileSketch::create({.max_bins = 99}).value();
  CHECK(quantile_ab_test(empty, empty, .5).error().code() == ErrorCode::insufficient_data);
  CHECK(quantile_ab_test(empty, other, .5).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("a sequential quantile covers at all sample sizes at once") {
  constexpr int runs = 300;
  Random random(2);
  int missed = 0;
  for (int run = 0; run < runs; ++run) {
    std::vector<double> values;
    bool covered = true;
    for (int look = 0; look < 12; ++look) {
      for (int i = 0; i < 40; ++i) values.push_back(random.uniform());
      const auto estimate = sequential_quantile(values, .9).value();
      covered &= estimate.lower.value_or(0) <= .9 && .9 <= estimate.upper.value_or(1);
    }
    missed += !covered;
  }
  CHECK(missed <= .05 * runs + 3 * std::sqrt(.05 * .95 * runs));
  const auto wide = sequential_quantile(from(1), .5).value(), fixed = estimate_quantile(from(1), .5).value();
  CHECK(*wide.lower < *fixed.lower);
  CHECK(*wide.upper > *fixed.upper);
  CHECK(*wide.upper - *wide.lower < 2 * (*fixed.upper - *fixed.lower));
  CHECK_FALSE(sequential_quantile(from(1, 3), .99).value().upper.has_value());
}

TEST_CASE("quantile tests refuse what has no order, and answer for the smallest samples") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> none, bad{1, nan}, good{1, 2, 3}, one{4}, unsorted{2, 1}, endless{1, infinity, infinity};
  CHECK(quantile_ab_test(none, good, .5).error().code() == ErrorCode::insufficient_data);
  CHECK(quantile_ab_test(good, bad, .5).error().code() == ErrorCode::invalid_value);
  CHECK(quantile_ab_test_sorted(good, unsorted, .5).error().code() == ErrorCode::invalid_value);
  CHECK(mcomp_test::well_formed(quantile_ab_test_sorted(good, unsorted, .5).error()));
  for (const double p : {0.0, 1.0, nan}) {
    CHECK(quantile_ab_test(good, good, p).error().code() == ErrorCode::invalid_argument);
    CHECK(quantile_ab_test(good, good, .5, {.level = p}).error().code() == ErrorCode::invalid_argument);
    CHECK(sequential_quantile(good, p).error().code() == ErrorCode::invalid_argument);
  }
  CHECK(quantile_ab_test(good, good, .5, {.planned_count = 0}).error().code() == ErrorCode::invalid_argument);
  CHECK(quantile_ab_test(one, one, .5).value().p_value == 1);
  CHECK(quantile_ab_test(one, good, .5).value().p_value == 1);
  CHECK(quantile_ab_test(endless, good, .99).value().p_value == 1); // late beyond all limits is still ordered
  const std::vector<double> ties(500, 7.0);
  CHECK(quantile_ab_test(ties, ties, .5).value().p_value == 1);
  CHECK(sequential_quantile(ties, .5).value().lower.value() == 7);
}
