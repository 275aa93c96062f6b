// Two independent groups against a margin.

#include "mcomp/stats/sequential_difference.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/sequential_test.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {

double binomial(std::int64_t n, std::int64_t k, double p) {
  return std::exp(std::lgamma(static_cast<double>(n + 1)) - std::lgamma(static_cast<double>(k + 1)) -
                  std::lgamma(static_cast<double>(n - k + 1)) + static_cast<double>(k) * std::log(p) +
                  static_cast<double>(n - k) * std::log1p(-p));
}

SuccessCounts drawn(std::int64_t trials, double p, Random& random) {
  SuccessCounts counts{.successes = 0, .trials = trials};
  for (std::int64_t i = 0; i < trials; ++i) counts.successes += random.uniform() < p;
  return counts;
}

/// The exact mean of the e-value after one more block, by that before.
double mean_growth(const SequentialDifferenceTest& before, std::int64_t n1, std::int64_t n2, double p1, double p2) {
  double sum = 0;
  for (std::int64_t k1 = 0; k1 <= n1; ++k1)
    for (std::int64_t k2 = 0; k2 <= n2; ++k2) {
      SequentialDifferenceTest after = before;
      REQUIRE(after.update({k1, n1}, {k2, n2}));
      sum += binomial(n1, k1, p1) * binomial(n2, k2, p2) * after.e_value();
    }
  return sum / before.e_value();
}

/// Looks until it rejects, 0 for none.
int looks(const SequentialDifferenceOptions& options, std::int64_t n1, std::int64_t n2, double p1, double p2, int most,
          Random& random) {
  auto test = SequentialDifferenceTest::create(options).value();
  for (int look = 1; look <= most; ++look) {
    test.update(drawn(n1, p1, random), drawn(n2, p2, random)).value();
    if (test.rejects()) return look;
  }
  return 0;
}

} // namespace

TEST_CASE("The mean of the evidence is at most 1 for every pair of accuracies within the margin") {
  // Enumerated, not simulated: all outcomes of a block, the first one and one after a history.
  for (const double null : {0.0, 0.05, -0.1})
    for (const Alternative alternative : {Alternative::greater, Alternative::less, Alternative::two_sided})
      for (const auto& [n1, n2] : {std::pair<std::int64_t, std::int64_t>{8, 8}, {8, 31}, {25, 8}}) {
        auto test = SequentialDifferenceTest::create({.null_loss = null, .alternative = alternative}).value();
        for (const bool history : {false, true}) {
          if (history) REQUIRE(test.update({70, 80}, {33, 40}));
          double largest = 0;
          for (const double p : {0.11, 0.3, 0.6, 0.85, 0.89}) {
            largest = std::max(largest, mean_growth(test, n1, n2, p, p - null));
            // Inside of the null hypothesis too.
            if (alternative == Alternative::greater) CHECK(mean_growth(test, n1, n2, p - 0.1, p - null) <= 1 + 1e-9);
            if (alternative == Alternative::less) CHECK(mean_growth(test, n1, n2, p, p - null - 0.005) <= 1 + 1e-9);
          }
          CHECK(largest <= 1 + 1e-9);
          CHECK(largest > 0.9); // and it gives little away
        }
      }
}

TEST_CASE("Two groups at the margin are told apart no more often than alpha, at any ratio") {
  Random random(3);
  constexpr int rounds = 400;
  for (const auto& [n1, n2] : {std::pair<std::int64_t, std::int64_t>{30, 30}, {198, 2}, {5, 95}}) {
    int rejected = 0;
    for (int i = 0; i < rounds; ++i)
      rejected += looks({.null_loss = 0.03, .alpha = 0.05}, n1, n2, 0.9, 0.87, 150, random) > 0;
    CHECK(rejected <= 20 + 3 * std::sqrt(19.0));
  }
  // The level of both groups may drift, as the traffic of a day does.
  int rejected = 0;
  for (int i = 0; i < rounds; ++i) {
    auto test = SequentialDifferenceTest::create({.null_loss = 0.03}).value();
    for (int look = 0; look < 150; ++look) {
      const double p = 0.8 + 0.15 * std::sin(0.1 * look);
      test.update(drawn(30, p, random), drawn(20, p - 0.03, random)).value();
    }
    rejected += test.rejects();
  }
  CHECK(rejected <= 20 + 3 * std::sqrt(19.0));
}

TEST_CASE("A loss beyond the margin is found soon") {
  // The best a test of known accuracies could do: log(1 / alpha) over the relative entropy per pair of trials between
  // (.9, .85) and the nearest pair within the margin of .025, (.8886, .8636) for equal groups: some 2,900 of each.
  Random random(5);
  const SequentialDifferenceOptions options{.null_loss = 0.025, .alpha = 0.01};
  double sum = 0;
  int found = 0;
  constexpr int rounds = 100;
  for (int i = 0; i < rounds; ++i) {
    const int look = looks(options, 20, 20, 0.9, 0.85, 1000, random);
    found += look > 0;
    sum += look;
  }
  CHECK(found == rounds);
  CHECK(20 * sum / rounds < 1.6 * 2900);
  // With a baseline that is known well the candidate needs half as many.
  sum = 0;
  for (int i = 0; i < rounds; ++i) sum += looks(options, 400, 8, 0.9, 0.85, 2000, random);
  CHECK(8 * sum / rounds < 1.6 * 1650);
}

TEST_CASE("To show that the loss is less is to show that the other group's is greater") {
  // Groups that change places, with the same guess of what the first succeeds at and a guess of one half, where the
  // stakes are the same on both sides.
  Random random(6);
  auto less = SequentialDifferenceTest::create({.alternative = Alternative::less, .expected_success = 0.5}).value();
  auto greater = SequentialDifferenceTest::create({.expected_success = 0.5}).value();
  for (int look = 0; look < 50; ++look) {
    const SuccessCounts a = drawn(40, 0.9, random), b = drawn(15, 0.93, random);
    less.update(a, b).value();
    greater.update(b, a).value();
    CHECK(less.e_value() == Approx(greater.e_value()).epsilon(1e-9));
  }
  CHECK(less.p_value() < 0.5);
  // Two-sided is the mean of the evidence of both sides, each at half of alpha.
  auto both =
      SequentialDifferenceTest::create({.alternative = Alternative::two_sided, .alpha = 0.1, .expected_success = 0.5})
          .value();
  auto first = SequentialDifferenceTest::create({.expected_success = 0.5}).value();
  auto second = SequentialDifferenceTest::create({.alternative = Alternative::less, .expected_success = 0.5}).value();
  for (SequentialDifferenceTest* test : {&both, &first, &second}) test->update({40, 50}, {30, 50}).value();
  CHECK(both.e_value() == Approx(0.5 * (first.e_value() + second.e_value())).epsilon(1e-9));
}

TEST_CASE("Blocks wait for both groups, and counts that cannot be are refused") {
  auto test = SequentialDifferenceTest::create({}).value();
  CHECK(std::isnan(test.loss()));
  test.update({90, 100}, {3, 7}).value();
  CHECK(test.e_value() == 1);
  CHECK(test.baseline() == SuccessCounts{90, 100});
  test.update({0, 0}, {0, 1}).value();
  CHECK(test.e_value() > 1);
  CHECK(test.loss() == Approx(0.9 - 3.0 / 8));
  const double before = test.e_value();
  for (const SuccessCounts& bad :
       {SuccessCounts{-1, 5}, SuccessCounts{6, 5}, SuccessCounts{0, std::int64_t{1} << 41}}) {
    CHECK_FALSE(test.update(bad, {1, 10}));
    CHECK_FALSE(test.update({1, 10}, bad));
  }
  CHECK(test.e_value() == before);
  CHECK(test.baseline().trials == 100);
  // Whatever comes, the evidence is a number.
  test.update({std::int64_t{1} << 40, std::int64_t{1} << 40}, {0, std::int64_t{1} << 40}).value();
  CHECK(std::isfinite(test.e_value()));
  CHECK(test.rejects());
  const auto refused = [](const SequentialDifferenceOptions& options) {
    const auto made = SequentialDifferenceTest::create(options);
    return !made && mcomp_test::well_formed(made.error());
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refused({.null_loss = 1}));
  CHECK(refused({.null_loss = nan}));
  CHECK(refused({.alpha = 0}));
  CHECK(refused({.planned_trials = nan}));
  CHECK(refused({.expected_success = 1}));
}
