#include "mcomp/stats/sequential_test.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/distributions.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

bool below_alpha(int alarms, int runs, double alpha = .05) {
  return alarms <= alpha * runs + 3 * std::sqrt(alpha * (1 - alpha) * runs);
}
} // namespace

namespace {
/// Stakes as the header says: .2 evenly, .8 normal around the k at which the bet is best, one octave being two k.
std::vector<double> stakes(std::size_t n, double best_k) {
  std::vector<double> weights;
  double sum = 0;
  for (std::size_t k = 0; k < n; ++k) {
    weights.push_back(std::exp(-std::pow(static_cast<double>(k) - best_k, 2) / 8));
    sum += weights.back();
  }
  for (double& w : weights) w = .8 * w / sum + .2 / static_cast<double>(n);
  return weights;
}
} // namespace

TEST_CASE("a sequential test of a proportion is the beta-binomial mixture of its counts") {
  const SequentialProportionOptions options{.null_value = .3, .planned_trials = 200};
  auto test = SequentialProportion::create(options).value();
  const auto mixture = BetaBinomialMixture::create({.variance = .21 * 200}, .3, .7, false).value();
  Random random(1);
  for (int i = 0; i < 500; ++i) test.update(random.uniform() < .4);
  const double s = static_cast<double>(test.successes()) - .3 * 500;
  CHECK(std::log(test.e_value()) == Approx(mixture.log_mixture(s, .21 * 500)).epsilon(1e-9));
  CHECK(test.rejects());
  CHECK_FALSE(test.interval().contains(.3));
  CHECK(test.interval().contains(.4));
  for (const Alternative alternative : {Alternative::greater, Alternative::less}) {
    auto one =
        SequentialProportion::create({.null_value = .3, .alternative = alternative, .planned_trials = 200}).value();
    Random same(1);
    for (int i = 0; i < 500; ++i) one.update(same.uniform() < .4);
    CHECK(one.rejects() == (alternative == Alternative::greater));
  }
  // What speaks for "greater" at .3 speaks for "less" at .7 of the failures.
  auto greater = SequentialProportion::create({.null_value = .3, .alternative = Alternative::greater}).value();
  auto less = SequentialProportion::create({.null_value = .7, .alternative = Alternative::less}).value();
  for (int i = 0; i < 60; ++i) greater.update(i % 2 == 0), less.update(i % 2 != 0);
  CHECK(greater.e_value() == Approx(less.e_value()).epsilon(1e-12));
}

TEST_CASE("a one-sided test of a proportion rejects where its boundary is crossed") {
  const auto mixture = BetaBinomialMixture::create({.variance = 1000 * .09}, .1, .9, true).value();
  Random random(12);
  int rejected = 0;
  for (int run = 0; run < 60; ++run) {
    auto test = SequentialProportion::create({.null_value = .9, .alternative = Alternative::less}).value();
    bool crossed = false;
    double failures = 0;
    for (int i = 1; i <= 300; ++i) {
      const bool success = random.uniform() < .82;
      failures += !success;
      test.update(success);
      crossed |= failures - .1 * i >= mixture.boundary(.09 * i, .05) + 1e-9;
      CHECK(test.rejects() == crossed);
    }
    rejected += crossed;
  }
  CHECK(rejected > 20);
  CHECK(rejected < 60);
}

TEST_CASE("the paired test's capital is the mean over its bets") {
  // By hand: null loss .1, observations +1, +1, 0, -1; the k-th bet risks .98 / 2^(k / 2) of what -1 or +1 would take.
  auto test = SequentialPairedDifference::create({.null_loss = .1}).value();
  const int x[] = {1, 1, 0, -1};
  double up = 0, down = 0, only_up = 0;
  const auto two_sided = stakes(24, 2 * std::log2(.98 / std::sqrt(2 * std::log(40.) / 100)));
  const auto one_sided = stakes(24, 2 * std::log2(.98 / std::sqrt(2 * std::log(20.) / 100)));
  for (int k = 0; k < 24; ++k) {
    const double part = .98 * std::pow(2, -.5 * k);
    double gain_up = 1, gain_down = 1;
    for (const int value : x) {
      gain_up *= 1 + part / 1.1 * (value - .1);
      gain_down *= 1 - part / .9 * (value - .1);
    }
    up += two_sided[static_cast<std::size_t>(k)] * gain_up;
    down += two_sided[static_cast<std::size_t>(k)] * gain_down;
    only_up += one_sided[static_cast<std::size_t>(k)] * gain_up;
  }
  test.update(true, false);
  test.update(true, false);
  test.update(true, true);
  test.update(false, true);
  CHECK(test.e_value() == Approx(.5 * (up + down)).epsilon(1e-12));
  CHECK(test.counts() ==
        PairedCounts{.both_right = 1, .only_baseline_right = 2, .only_candidate_right = 1, .both_wrong = 0});
  auto greater = SequentialPairedDifference::create({.null_loss = .1, .alternative = Alternative::greater}).value();
  for (const int value : x) greater.update(value >= 0, value <= 0);
  CHECK(greater.e_value() == Approx(only_up).epsilon(1e-12));
}

TEST_CASE("the paired interval holds what the test does not reject, and its mirror image is the other way round") {
  Random random(31);
  for (const double noise : {.02, .3}) {
    auto test = SequentialPairedDifference::create().value(), mirror = test;
    std::vector<int> x;
    for (int i = 0; i < 3000; ++i) {
      const double u = random.uniform();
      const int value = u < .6 * noise ? 1 : u < noise ? -1 : 0;
      x.push_back(value);
      test.update(value >= 0, value <= 0);
      mirror.update(value <= 0, value >= 0);
    }
    const Interval interval = test.loss_interval();
    CHECK(interval.contains(test.counts().loss()));
    CHECK(interval.lower == -mirror.loss_interval().upper);
    // Just outside an end, the one-sided test at half the level rejects; just inside it does not.
    for (const double step : {-1e-6, 1e-6}) {
      auto at_lower = SequentialPairedDifference::create(
                          {.null_loss = interval.lower + step, .alternative = Alternative::greater, .alpha = .025})
                          .value();
      auto at_upper = SequentialPairedDifference::create(
                          {.null_loss = interval.upper + step, .alternative = Alternative::less, .alpha = .025})
                          .value();
      for (const int value : x) {
        at_lower.update(value >= 0, value <= 0);
        at_upper.update(value >= 0, value <= 0);
      }
      CHECK((at_lower.e_value() >= 40) == (step < 0));
      CHECK((at_upper.e_value() >= 40) == (step > 0));
    }
  }
}

TEST_CASE("one-sided paired tests answer for the margin") {
  // True loss 1%, discordant in 9% of inputs.
  auto better = SequentialPairedDifference::create({.null_loss = .05, .alternative = Alternative::less}).value();
  auto harm = SequentialPairedDifference::create({.null_loss = .05, .alternative = Alternative::greater}).value();
  Random random(8);
  for (int i = 0; i < 4000; ++i) {
    const double u = random.uniform();
    better.update(u >= .04, u < .04 || u >= .09);
    harm.update(u < .05 || u >= .09, u >= .05);
  }
  CHECK(better.rejects());
  CHECK_FALSE(harm.rejects());
}

TEST_CASE("a block of an A/B test is judged by Fisher's noncentral hypergeometric distribution") {
  // One block: baseline 8 trials 2 successes, candidate 10 trials 7 successes, candidate first; total 9.
  auto test = SequentialABTest::create({.alternative = Alternative::greater}).value();
  for (int i = 0; i < 10; ++i) test.update_candidate(i < 7);
  CHECK(test.e_value() == 1);
  for (int i = 0; i < 8; ++i) test.update_baseline(i < 2);
  const auto choose = [](int n, int k) {
    return std::round(std::exp(-std::log(n + 1.) - log_beta(n - k + 1., k + 1.)));
  };
  double expected = 0;
  const auto weights = stakes(20, 2 * std::log2(4 / std::sqrt(2 * std::log(20.) / 90)));
  for (int k = 0; k < 20; ++k) {
    const double odds = std::exp(4 * std::pow(2, -.5 * k));
    double central = 0, noncentral = 0;
    for (int s = 1; s <= 9; ++s) {
      const double ways = choose(10, s) * choose(8, 9 - s);
      central += ways;
      noncentral += ways * std::pow(odds, s);
    }
    expected += weights[static_cast<std::size_t>(k)] * std::pow(odds, 7) * central / noncentral;
  }
  CHECK(test.e_value() == Approx(expected).epsilon(1e-10));
  CHECK(test.candidate_successes() == 7);
  CHECK(test.baseline_trials() == 8);
  // The next block starts anew; one with a single possible table says nothing.
  const double before = test.e_value();
  for (int i = 0; i < 8; ++i) test.update_baseline(true), test.update_candidate(true);
  CHECK(test.e_value() == before);
}

TEST_CASE("at a null hypothesis looked at after every observation false alarms stay below alpha") {
  // The short form of bench/stats/guarantees.cpp.
  constexpr int runs = 1500, steps = 2000;
  for (const double accuracy : {.5, .9, .99}) {
    Random random(static_cast<std::uint64_t>(1000 * accuracy));
    int one = 0, paired = 0, ab = 0, skewed = 0, naive = 0;
    for (int run = 0; run < runs; ++run) {
      auto proportion = SequentialProportion::create({.null_value = accuracy}).value();
      auto difference = SequentialPairedDifference::create().value();
      auto split = SequentialABTest::create().value(), canary = split;
      std::int64_t b = 0, c = 0;
      bool z = false;
      for (int i = 0; i < steps; ++i) {
        const bool first = random.uniform() < accuracy, second = random.uniform() < accuracy;
        proportion.update(first);
        difference.update(first, second);
        random.next() >> 63 ? split.update_baseline(first) : split.update_candidate(first);
        i % 20 ? canary.update_baseline(second) : canary.update_candidate(second);
        b += first && !second;
        c += second && !first;
        const auto d = static_cast<double>(b - c);
        z |= b + c >= 10 && d * d > 3.8415 * static_cast<double>(b + c);
      }
      one += proportion.rejects();
      paired += difference.rejects();
      ab += split.rejects();
      skewed += canary.rejects();
      naive += z;
    }
    INFO("accuracy " << accuracy << ": " << one << " " << paired << " " << ab << " " << skewed << " naive " << naive);
    CHECK(below_alpha(one, runs));
    CHECK(below_alpha(paired, runs));
    CHECK(below_alpha(ab, runs));
    CHECK(below_alpha(skewed, runs));
    CHECK_FALSE(below_alpha(naive, runs)); // McNemar's test after every observation
  }
}

TEST_CASE("sequential intervals cover at every one of the looks") {
  constexpr int runs = 300;
  Random random(77);
  int missed_loss = 0, missed_difference = 0;
  for (int run = 0; run < runs; ++run) {
    auto paired = SequentialPairedDifference::create().value();
    auto ab = SequentialABTest::create({.planned_observations = 400}).value();
    bool loss = true, difference = true;
    for (int i = 1; i <= 600; ++i) {
      const double u = random.uniform();
      paired.update(u >= .05, u < .05 || u >= .15); // loss .05
      ab.update_baseline(random.uniform() < .8);
      ab.update_candidate(random.uniform() < .7);
      if (i % 60 == 0) {
        loss &= paired.loss_interval().contains(.05);
        difference &= ab.difference_interval().contains(-.1);
      }
    }
    missed_loss += !loss;
    missed_difference += !difference;
  }
  CHECK(below_alpha(missed_loss, runs));
  CHECK(below_alpha(missed_difference, runs));
}

TEST_CASE("the A/B interval shrinks with the observations, and starts with everything") {
  auto test = SequentialABTest::create({.planned_observations = 20000}).value();
  CHECK(test.difference_interval() == Interval{-1, 1, .95});
  test.update_candidate(true);
  CHECK(test.difference_interval() == Interval{-1, 1, .95});
  Random random(4);
  for (int i = 0; i < 10000; ++i) {
    test.update_baseline(random.uniform() < .9);
    test.update_candidate(random.uniform() < .88);
  }
  const Interval interval = test.difference_interval();
  CHECK(interval.contains(-.02));
  CHECK(interval.width() < .036); // the fixed-sample interval has .0174
  CHECK(interval.width() > .0174);
}

TEST_CASE("evidence saturates instead of overflowing, and tests are copied as values") {
  auto paired = SequentialPairedDifference::create().value();
  auto ab = SequentialABTest::create().value();
  auto proportion = SequentialProportion::create().value();
  for (int i = 0; i < 20000; ++i) {
    paired.update(true, false);
    ab.update_baseline(true);
    ab.update_candidate(false);
    proportion.update(true);
  }
  for (const double p : {paired.p_value(), ab.p_value(), proportion.p_value()}) {
    CHECK(p >= 0);
    CHECK(p < 1e-200);
  }
  CHECK(std::isfinite(paired.e_value()));
  CHECK(std::isfinite(ab.e_value()));
  CHECK(paired.loss_interval().upper == 1);
  CHECK(paired.loss_interval().lower > .99);
  const auto copy = paired;
  paired.update(false, true);
  CHECK(copy.counts().pairs() == 20000);
}

TEST_CASE("tests refuse options without meaning, and say everything is possible before the first observation") {
  for (const double bad : {0.0, 1.0, nan_value, -3.0}) {
    CHECK(SequentialProportion::create({.null_value = bad}).error().code() == ErrorCode::invalid_argument);
    CHECK(SequentialProportion::create({.alpha = bad}).error().code() == ErrorCode::invalid_argument);
    CHECK(SequentialPairedDifference::create({.alpha = bad}).error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(SequentialABTest::create({.alpha = bad}).error()));
  }
  for (const double bad : {-1.0, 1.0, nan_value}) CHECK_FALSE(SequentialPairedDifference::create({.null_loss = bad}));
  CHECK_FALSE(SequentialProportion::create({.planned_trials = 0}));
  CHECK_FALSE(SequentialABTest::create({.planned_observations = nan_value}));
  CHECK_FALSE(SequentialABTest::create({.expected_success = 1}));
  CHECK_FALSE(SequentialPairedDifference::create({.planned_pairs = 0}));
  CHECK_FALSE(SequentialPairedDifference::create({.expected_disagreement = 0}));
  CHECK(SequentialProportion::create().value().interval() == Interval{0, 1, .95});
  CHECK(SequentialPairedDifference::create().value().loss_interval() == Interval{-1, 1, .95});
}

TEST_CASE("Many pairs at once are as many one by one") {
  for (const double null : {0.0, 0.02}) {
    auto one = SequentialPairedDifference::create({.null_loss = null}).value(), many = one;
    Random random(12);
    for (int look = 0; look < 20; ++look) {
      PairedCounts counts;
      for (int i = 0; i < 40; ++i) {
        const bool baseline = random.uniform() < 0.9, candidate = random.uniform() < 0.8;
        one.update(baseline, candidate);
        ++(baseline ? (candidate ? counts.both_right : counts.only_baseline_right)
                    : (candidate ? counts.only_candidate_right : counts.both_wrong));
      }
      REQUIRE(many.update(counts));
      CHECK(many.counts() == one.counts());
      CHECK(many.e_value() == Approx(one.e_value()).epsilon(1e-10));
    }
    CHECK_FALSE(many.update(PairedCounts{.both_right = -1}));
    CHECK(many.counts() == one.counts());
    // Whatever comes, the evidence is a number.
    REQUIRE(many.update(PairedCounts{.only_baseline_right = std::int64_t{1} << 50}));
    CHECK(std::isfinite(many.e_value()));
    CHECK(many.rejects());
  }
}
