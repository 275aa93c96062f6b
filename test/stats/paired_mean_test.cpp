#include "mcomp/stats/paired_mean.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/distributions.hpp"
#include "mcomp/stats/proportion.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

/// Two normal variables of variance 1 and correlation rho.
void correlated(Random& random, double rho, std::vector<double>& x, std::vector<double>& y, std::size_t n) {
  x.clear();
  y.clear();
  for (std::size_t i = 0; i < n; ++i) {
    x.push_back(random.normal());
    y.push_back(rho * x.back() + std::sqrt(1 - rho * rho) * random.normal());
  }
}
} // namespace

TEST_CASE("the paired mean is Student's own test") {
  // Student (Biometrika 6, 1908): hours of sleep gained with two drugs, ten patients. R's t.test(paired = TRUE):
  // mean 1.58, t = 4.0621, df = 9, p = .002833, interval [.7001142, 2.4598858].
  const std::vector<double> first{.7, -1.6, -.2, -1.2, -.1, 3.4, 3.7, .8, 0, 2};
  const std::vector<double> second{1.9, .8, 1.1, .1, -.1, 4.4, 5.5, 1.6, 4.6, 3.4};
  const PairedMean sleep = paired_mean(first, second).value();
  CHECK(sleep.mean == Approx(1.58).epsilon(1e-14));
  CHECK(sleep.mean / sleep.standard_error == Approx(4.0621).margin(5e-5));
  CHECK(sleep.p_value == Approx(.002833).margin(5e-7));
  CHECK(sleep.interval.lower == Approx(.7001142).margin(5e-8));
  CHECK(sleep.interval.upper == Approx(2.4598858).margin(5e-8));
  CHECK_FALSE(sleep.constant);
  CHECK(fmt::format("{}", sleep) == "10 pairs: mean difference 1.58 [0.7001, 2.46] (95%), p 0.00283");
}

TEST_CASE("differences that are all equal have an interval without width, and are marked") {
  const std::vector<double> a{1, 2, 3, 4}, b{1.5, 2.5, 3.5, 4.5};
  const PairedMean shifted = paired_mean(a, b).value(), same = paired_mean(a, a).value();
  CHECK(shifted.constant);
  CHECK(shifted.interval == Interval{.5, .5, .95});
  CHECK(shifted.p_value == 1); // no spread, no test
  CHECK(shifted.correlation == Approx(1));
  CHECK(same.constant);
  CHECK(same.mean == 0);
  CHECK(paired_mean(std::vector<double>{1, 1}, std::vector<double>{1, 2}).value().correlation == 0);
  // A shift that rounding spreads over several values is still no evidence.
  std::vector<double> tenth{.1, .2, .3, 1e3}, more;
  for (const double value : tenth) more.push_back(value + .1);
  CHECK(paired_mean(tenth, more).value().constant);
  CHECK(non_inferiority(shifted, 1, .95, 2).value().verdict == NonInferiority::insufficient_data);
  CHECK(non_inferiority(same, 1, .95, 2).value().verdict == NonInferiority::non_inferior);
  CHECK(non_inferiority(same, 1).value().verdict == NonInferiority::insufficient_data); // 4 pairs
}

TEST_CASE("CUPED leaves 1 - rho^2 of the variance") {
  Random random(3);
  std::vector<double> x, y, x2, y2;
  const double expected[][2] = {{.5, .75}, {.7, .51}, {.9, .19}};
  for (const auto& [rho, left] : expected) {
    correlated(random, rho, x, y, 40000);
    correlated(random, rho, x2, y2, 40000);
    const auto mean = cuped_mean(x, y, {}).value();
    CHECK(1 - mean.variance_reduction == Approx(left).margin(.015));
    CHECK(mean.theta == Approx(rho).margin(.015));
    CHECK(mean.interval.contains(0));
    const auto difference = cuped_difference({y, x}, {y2, x2}).value();
    CHECK(1 - difference.variance_reduction == Approx(left).margin(.015));
    CHECK(difference.unadjusted == Approx(difference.estimate).margin(.05));
  }
  // Worked by hand: x 1 2 3, y 1 3 2; cov 1/2, var 1, theta 1/2; y - x / 2 has squares 1.5 about its mean.
  const auto small =
      cuped_mean(std::vector<double>{1, 2, 3}, std::vector<double>{1, 3, 2}, {.baseline_mean = 2.5}).value();
  CHECK(small.theta == Approx(.5));
  CHECK(small.estimate == Approx(2.25));
  CHECK(small.standard_error == Approx(std::sqrt(1.5 / 3)));
  CHECK(small.unadjusted == Approx(2));
  // A mean over 30 inputs is an estimate itself: theta^2 var(x) / 30 more.
  const auto known = cuped_mean(std::vector<double>{1, 2, 3}, std::vector<double>{1, 3, 2},
                                {.baseline_mean = 2.5, .baseline_count = 30})
                         .value();
  CHECK(known.standard_error == Approx(std::sqrt(.5 + .25 / 30)));
}

TEST_CASE("CUPED's intervals cover, for a mean and for a difference") {
  Random random(23);
  std::vector<double> x, y, xa, ya;
  int mean_missed = 0, difference_missed = 0, paired_missed = 0;
  constexpr int runs = 2000;
  for (int run = 0; run < runs; ++run) {
    correlated(random, .9, x, y, 40);
    correlated(random, .9, xa, ya, 60);
    // The covariate's mean from 400 more inputs.
    double baseline_mean = 0;
    for (const double value : x) baseline_mean += value / 440;
    for (int i = 0; i < 400; ++i) baseline_mean += random.normal() / 440;
    mean_missed +=
        !cuped_mean(x, y, {.baseline_mean = baseline_mean, .baseline_count = 440}).value().interval.contains(0);
    difference_missed += !cuped_difference({y, x}, {ya, xa}).value().interval.contains(0);
    paired_missed += !paired_mean(x, y).value().interval.contains(0);
  }
  const double slack = 4 * std::sqrt(.05 * .95 * runs);
  CHECK(std::abs(mean_missed - .05 * runs) < slack);
  CHECK(std::abs(difference_missed - .05 * runs) < slack);
  CHECK(std::abs(paired_missed - .05 * runs) < slack);
}

TEST_CASE("a covariate that does not vary changes nothing") {
  const std::vector<double> flat{2, 2, 2, 2}, y{1, 2, 3, 5};
  const auto mean = cuped_mean(flat, y, {.baseline_mean = 7}).value();
  CHECK(mean.theta == 0);
  CHECK(mean.estimate == mean.unadjusted);
  CHECK(cuped_difference({flat, flat}, {flat, flat}).value().interval == Interval{0, 0, .95});
  CHECK(cuped_difference({flat, flat}, {flat, flat}).value().variance_reduction == 0);
}

TEST_CASE("negative flips are counted beside the net loss") {
  const PairedCounts counts{.both_right = 900, .only_baseline_right = 30, .only_candidate_right = 28, .both_wrong = 42};
  const auto flips = negative_flips(counts).value();
  CHECK(flips.flips == 30);
  CHECK(flips.positive_flips == 28);
  CHECK(flips.rate == Approx(.03));
  CHECK(flips.interval == clopper_pearson_interval(30, 1000).value());
  CHECK(fmt::format("{}", flips).find("30 negative flips of 1000 pairs") == 0);
  CHECK(negative_flips({}).error().code() == ErrorCode::insufficient_data);
  CHECK(negative_flips({-1, 0, 0, 0}).error().code() == ErrorCode::invalid_argument);
  CHECK_FALSE(negative_flips(counts, 1));
}

TEST_CASE("non-inferiority is shown, refuted, or not decided") {
  const auto counts = [](std::int64_t b, std::int64_t c, std::int64_t n) { return PairedCounts{n - b - c, b, c, 0}; };
  const auto shown = non_inferiority(counts(120, 118, 10000), .01).value();
  CHECK(shown.verdict == NonInferiority::non_inferior);
  CHECK(shown.upper_limit == tango_upper_limit(counts(120, 118, 10000)).value());
  CHECK(fmt::format("{}", shown).find("non-inferior: loss 0.0002, at most 0.00") == 0);
  CHECK(non_inferiority(counts(400, 100, 10000), .01).value().verdict == NonInferiority::inferior);
  const auto open = non_inferiority(counts(12, 12, 300), .01).value();
  CHECK(open.verdict == NonInferiority::insufficient_data);
  CHECK(open.resolvable_margin > .01);
  CHECK(fmt::format("{}", open).find("these data resolve a margin of") != std::string::npos);
  const auto interval = tango_interval(counts(12, 9, 300), .9).value();
  const auto both = non_inferiority(counts(12, 9, 300), .01).value();
  CHECK(both.lower_limit == Approx(interval.lower).epsilon(1e-12));
  CHECK(both.upper_limit == Approx(interval.upper).epsilon(1e-12));

  PairedMean mean{.pairs = 100, .mean = .02, .standard_error = .01};
  CHECK(non_inferiority(mean, .05).value().verdict == NonInferiority::non_inferior);
  CHECK(non_inferiority(mean, .03).value().verdict == NonInferiority::insufficient_data);
  CHECK(non_inferiority(mean, .001).value().verdict == NonInferiority::inferior);
  CHECK(non_inferiority(mean, .05).value().upper_limit == Approx(.02 + .01 * student_t_quantile(.95, 99)));

  for (const double bad : {0.0, -1.0, nan_value}) {
    CHECK(non_inferiority(counts(1, 1, 10), bad).error().code() == ErrorCode::invalid_argument);
    CHECK(non_inferiority(mean, bad).error().code() == ErrorCode::invalid_argument);
  }
  CHECK_FALSE(non_inferiority(counts(1, 1, 10), .1, .4));
  CHECK_FALSE(non_inferiority(mean, .1, 1));
  CHECK_FALSE(non_inferiority(PairedMean{}, .1));
  CHECK(non_inferiority(PairedCounts{}, .1).error().code() == ErrorCode::insufficient_data);
}

TEST_CASE("pairs that do not fit, or are no numbers, are refused") {
  const std::vector<double> two{1, 2}, three{1, 2, 3}, bad{1, nan_value, 3},
      endless{1, 2, std::numeric_limits<double>::infinity()};
  CHECK(paired_mean(two, three).error().code() == ErrorCode::invalid_shape);
  CHECK(paired_mean({}, {}).error().code() == ErrorCode::insufficient_data);
  CHECK(paired_mean(std::vector<double>{1}, std::vector<double>{1}).error().code() == ErrorCode::insufficient_data);
  for (const auto& values : {bad, endless}) {
    CHECK(paired_mean(three, values).error().code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(cuped_mean(values, three, {}).error()));
    CHECK(cuped_difference({three, three}, {three, values}).error().code() == ErrorCode::invalid_value);
  }
  CHECK(cuped_mean(two, two, {}).error().code() == ErrorCode::insufficient_data);
  CHECK(cuped_mean(three, three, {.baseline_mean = nan_value}).error().code() == ErrorCode::invalid_argument);
  CHECK(cuped_mean(three, three, {.baseline_count = 2}).error().code() == ErrorCode::invalid_argument);
  for (const double level : {0.0, 1.0, nan_value}) {
    CHECK_FALSE(paired_mean(three, three, level));
    CHECK_FALSE(cuped_mean(three, three, {.level = level}));
    CHECK_FALSE(cuped_difference({three, three}, {three, three}, level));
  }
}
