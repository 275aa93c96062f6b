#include "mcomp/stats/confidence_sequence.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

Interval bernoulli(std::int64_t successes, std::int64_t trials, double planned) {
  return bernoulli_confidence_interval(successes, trials, {.planned_trials = planned}).value();
}
Approx near(double value) {
  return Approx(value).margin(1e-5).epsilon(0);
}
} // namespace

TEST_CASE("Bernoulli confidence intervals have the values of confseq") {
  // gostevehoward/confseq, test/uniform_boundaries_unittest.cpp.
  const struct {
    std::int64_t successes, trials;
    double planned, lower, upper;
  } rows[] = {{700, 1000, 100, .651629, .745949},
              {15, 50, 50, .129556, .511896},
              {5, 50, 50, .013021, .269264},
              {1, 50, 50, 0, .13489},
              {1, 2, 50, 0, 1},
              {100, 200, 1, .328923, .671076},
              {0, 1, 50, 0, 1},
              {1, 1, 50, 0, 1}};
  for (const auto& row : rows) {
    INFO(row.successes << " of " << row.trials);
    const Interval interval = bernoulli(row.successes, row.trials, row.planned);
    CHECK(interval.lower == near(row.lower));
    CHECK(interval.upper == near(row.upper));
  }
  const Interval all = bernoulli(1000, 1000, 1000), none = bernoulli(0, 1000, 1000);
  CHECK(all.upper == 1);
  CHECK(all.lower == Approx(1 - none.upper).epsilon(1e-9));
  // Exact enough for 10^12 trials.
  CHECK(bernoulli(500000000000, 1000000000000, 1e12).width() < 6e-6);
}

TEST_CASE("a p-value over time never rises, whatever comes") {
  EProcess process;
  CHECK(process.p_value() == 1);
  for (const double e : {0.5, 4.0, 1.0, 3.0}) process.update(e);
  CHECK(process.e_value() == 3);
  CHECK(process.p_value() == 0.25);
  process.update(nan_value);
  process.update(-1);
  CHECK(process.e_value() == 3);
  process.update(infinity);
  CHECK(process.p_value() == 0);
}

TEST_CASE("the asymptotic radius is that of the normal mixture, and least where it was planned") {
  const double rho2 = asymptotic_rho_squared(.05, 1000);
  CHECK(rho2 == Approx((-2 * std::log(.05) + std::log(-2 * std::log(.05) + 1)) / 1000).epsilon(1e-14));
  // At radius r the e-value is 1 / alpha: both forms are one object.
  for (const double n : {50.0, 1000.0, 1e6}) {
    const double radius = asymptotic_radius(n, rho2, .05);
    CHECK(asymptotic_log_e_value(radius, n, rho2) == Approx(std::log(20.)).epsilon(1e-12));
    CHECK(asymptotic_log_e_value(-radius, n, rho2) == Approx(std::log(20.)).epsilon(1e-12));
    // One-sided, eq. 134 is an upper bound of the exact radius; so the evidence at it is at least 1 / alpha.
    const double one_sided = asymptotic_radius(n, rho2, .05, true);
    const double log_e = asymptotic_log_e_value(one_sided, n, rho2, Alternative::greater);
    CHECK(log_e >= std::log(20.));
    CHECK(log_e < std::log(20.) + 0.1);
    CHECK(asymptotic_log_e_value(-one_sided, n, rho2, Alternative::less) == log_e);
    CHECK(one_sided < radius);
  }
  const double best = asymptotic_radius(1000, rho2, .05);
  for (const double planned : {700.0, 1400.0})
    CHECK(asymptotic_radius(1000, asymptotic_rho_squared(.05, planned), .05) > best);
  CHECK(std::isnan(asymptotic_radius(0, rho2, .05)));
  CHECK(std::isnan(asymptotic_radius(10, rho2, 1)));
}

TEST_CASE("asymptotic sequences follow their formula, for one stream and for two") {
  auto mean = AsymptoticMeanSequence::create({.planned_observations = 500, .first_look = 10, .null_value = 1}).value();
  auto difference = AsymptoticDifferenceSequence::create({.planned_observations = 500, .first_look = 10}).value();
  Random random(5);
  std::vector<double> a, b;
  double last = 1;
  for (int i = 0; i < 400; ++i) {
    const double x = 1 + random.normal(), y = 1.3 + 2 * random.normal();
    mean.update(x);
    a.push_back(x);
    if (i % 3 == 0) {
      b.push_back(y);
      difference.update_candidate(y);
    }
    difference.update_baseline(x);
    CHECK(difference.p_value() <= last);
    last = difference.p_value();
    if (i == 3) CHECK(std::isinf(mean.interval().upper));
  }
  const auto moments = [](const std::vector<double>& values) {
    double sum = 0, squares = 0;
    for (const double v : values) sum += v;
    sum /= static_cast<double>(values.size());
    for (const double v : values) squares += (v - sum) * (v - sum);
    return std::pair{sum, squares / static_cast<double>(values.size() - 1)};
  };
  const auto [mean_a, var_a] = moments(a);
  const auto [mean_b, var_b] = moments(b);
  CHECK(mean.moments().mean() == Approx(mean_a).epsilon(1e-12));
  CHECK(mean.moments().variance() == Approx(var_a).epsilon(1e-12));
  const double rho2 = asymptotic_rho_squared(.05, 500), n = static_cast<double>(a.size() + b.size());
  CHECK(mean.interval().width() == Approx(2 * std::sqrt(var_a) * asymptotic_radius(400, rho2, .05)).epsilon(1e-10));
  const double deviation = std::sqrt(n * (var_a / 400 + var_b / static_cast<double>(b.size())));
  CHECK(difference.interval().lower ==
        Approx(mean_b - mean_a - deviation * asymptotic_radius(n, rho2, .05)).epsilon(1e-10));
  CHECK(std::log(difference.e_value()) ==
        Approx(asymptotic_log_e_value((mean_b - mean_a) / deviation, n, rho2)).epsilon(1e-9));
}

TEST_CASE("a one-sided asymptotic sequence looks one way") {
  for (const Alternative alternative : {Alternative::greater, Alternative::less}) {
    auto sequence = AsymptoticMeanSequence::create({.first_look = 20, .alternative = alternative}).value();
    Random random(9);
    for (int i = 0; i < 500; ++i) sequence.update(0.5 + random.normal());
    CHECK(sequence.rejects() == (alternative == Alternative::greater));
    CHECK(std::isinf(sequence.interval().upper) == (alternative == Alternative::greater));
    CHECK(std::isinf(sequence.interval().lower) == (alternative == Alternative::less));
  }
}

TEST_CASE("the empirical Bernstein sequence follows its recurrence") {
  // Waudby-Smith and Ramdas, Theorem 2, step by step for 1, 0, 1/2.
  const double alpha = .05, l = std::log(2 / alpha);
  const double x[] = {1, 0, 0.5};
  double squares = 0.25, sum = 0.5, weights = 0, weighted = 0, cost = 0;
  auto sequence = EmpiricalBernsteinSequence::create().value();
  for (int t = 1; t <= 3; ++t) {
    const double variance = squares / t, mean = sum / t, value = x[t - 1];
    const double lambda = std::min(std::sqrt(2 * l / (variance * t * std::log(1. + t))), 0.5);
    weights += lambda;
    weighted += lambda * value;
    cost += 4 * (value - mean) * (value - mean) * (-std::log(1 - lambda) - lambda) / 4;
    sum += value;
    squares += std::pow(value - sum / (t + 1), 2);
    sequence.update(value);
  }
  CHECK(sequence.interval().lower == std::max(0.0, (weighted - l - cost) / weights));
  CHECK(sequence.interval().upper == std::min(1.0, (weighted + l + cost) / weights));
  CHECK(sequence.mean() == 0.5);
}

TEST_CASE("sequences for bounded means cover at all times at once, and narrow where the variance is small") {
  constexpr int runs = 400, steps = 1500;
  Random random(21);
  int missed_bernstein = 0, missed_betting = 0;
  double width_bernstein = 0, width_betting = 0;
  for (int run = 0; run < runs; ++run) {
    auto bernstein = EmpiricalBernsteinSequence::create().value();
    auto betting = BettingSequence::create({.grid = 5000}).value();
    for (int i = 0; i < steps; ++i) {
      const double u = random.uniform(), value = u * u * u; // mean 1/4
      bernstein.update(value);
      if (run < 100) betting.update(value);
    }
    // Both are intersections over time: what they contain now they always contained.
    missed_bernstein += !bernstein.interval().contains(.25);
    width_bernstein += run < 100 ? bernstein.interval().width() : 0;
    if (run < 100) {
      missed_betting += !betting.interval().contains(.25);
      width_betting += betting.interval().width();
    }
  }
  CHECK(missed_bernstein <= .05 * runs + 3 * std::sqrt(.05 * .95 * runs));
  CHECK(missed_betting <= 5 + 3 * std::sqrt(4.75));
  CHECK(width_betting < width_bernstein); // the paper's point

  auto constant = EmpiricalBernsteinSequence::create().value(), noisy = constant;
  auto constant_bet = BettingSequence::create({.grid = 5000}).value();
  for (int i = 0; i < 2000; ++i) {
    constant.update(.7);
    constant_bet.update(.7);
    noisy.update(i % 10 < 7);
  }
  CHECK(constant.interval().contains(.7));
  CHECK(constant_bet.interval().contains(.7));
  CHECK(constant.interval().width() < 0.25 * noisy.interval().width());
  CHECK(constant_bet.interval().width() < 0.03);
}

TEST_CASE("the betting sequence is the same from a value that was copied") {
  auto first = BettingSequence::create({.level = .9, .grid = 50}).value();
  for (int i = 0; i < 30; ++i) first.update(.2);
  auto second = first;
  for (int i = 0; i < 30; ++i) first.update(.4), second.update(.4);
  CHECK(first.interval() == second.interval());
  CHECK(first.count() == 60);
}

TEST_CASE("what is no observation is counted and changes nothing") {
  auto mean = AsymptoticMeanSequence::create({.first_look = 2}).value();
  auto bernstein = EmpiricalBernsteinSequence::create().value();
  auto betting = BettingSequence::create({.grid = 5000}).value();
  auto difference = AsymptoticDifferenceSequence::create({.first_look = 2}).value();
  for (const double bad : {nan_value, infinity, -infinity}) {
    mean.update(bad);
    bernstein.update(bad);
    betting.update(bad);
    difference.update_baseline(bad);
  }
  bernstein.update(1.5);
  betting.update(-0.1);
  CHECK(mean.rejected() == 3);
  CHECK(bernstein.rejected() == 4);
  CHECK(betting.rejected() == 4);
  CHECK(difference.rejected() == 3);
  CHECK(mean.moments().count() == 0);
  CHECK(bernstein.interval() == Interval{0, 1, .95});
  CHECK(betting.interval() == Interval{0, 1, .95});
  CHECK(std::isinf(mean.interval().lower));
  // One value, and zero variance: no interval can be given before `first_look`; then it has no width and no evidence.
  mean.update(3);
  CHECK(std::isinf(mean.interval().lower));
  mean.update(3);
  CHECK(mean.interval() == Interval{3, 3, .95});
  CHECK(mean.p_value() == 1);
}

TEST_CASE("sequences refuse options without meaning") {
  for (const double bad : {0.0, 1.0, -1.0, nan_value}) {
    CHECK(EmpiricalBernsteinSequence::create({.level = bad}).error().code() == ErrorCode::invalid_argument);
    CHECK(BettingSequence::create({.level = bad}).error().code() == ErrorCode::invalid_argument);
    CHECK(AsymptoticMeanSequence::create({.level = bad}).error().code() == ErrorCode::invalid_argument);
    CHECK(bernoulli_confidence_interval(1, 2, {.level = bad}).error().code() == ErrorCode::invalid_argument);
  }
  for (const double bad : {0.0, -1.0, nan_value, infinity}) {
    CHECK(mcomp_test::well_formed(AsymptoticMeanSequence::create({.planned_observations = bad}).error()));
    CHECK(mcomp_test::well_formed(bernoulli_confidence_interval(1, 2, {.planned_trials = bad}).error()));
  }
  CHECK_FALSE(AsymptoticMeanSequence::create({.first_look = 1}));
  CHECK_FALSE(AsymptoticMeanSequence::create({.null_value = nan_value}));
  CHECK_FALSE(AsymptoticMeanSequence::create({.level = .4, .alternative = Alternative::less}));
  CHECK_FALSE(AsymptoticDifferenceSequence::create({.level = 2}));
  CHECK_FALSE(BettingSequence::create({.grid = 1}));
  CHECK(bernoulli_confidence_interval(0, 0).error().code() == ErrorCode::insufficient_data);
  CHECK_FALSE(bernoulli_confidence_interval(3, 2));
  CHECK_FALSE(bernoulli_confidence_interval(-1, 2));
  CHECK_FALSE(bernoulli_confidence_interval(1, (std::int64_t{1} << 53) + 1));
}
