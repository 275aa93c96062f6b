#include "mcomp/stats/multiple_testing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

void check_values(const std::vector<double>& values, const std::vector<double>& expected) {
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == Approx(expected[i]).epsilon(1e-12));
}
std::vector<double> adjust(const std::vector<double>& p, Correction correction) {
  return adjust_p_values(p, correction).value();
}
} // namespace

TEST_CASE("adjusted p-values are those of the definitions, worked by hand") {
  const std::vector<double> p{.01, .04, .03, .005};
  check_values(adjust(p, Correction::bonferroni), {.04, .16, .12, .02});
  // Sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, running maximum.
  check_values(adjust(p, Correction::holm), {.03, .06, .06, .02});
  // Times 4/1 4/2 4/3 4/4 = .02 .02 .04 .04, running minimum from the end.
  check_values(adjust(p, Correction::benjamini_hochberg), {.02, .04, .04, .02});
  const double h = 1 + 1. / 2 + 1. / 3 + 1. / 4;
  check_values(adjust(p, Correction::benjamini_yekutieli), {.02 * h, .04 * h, .04 * h, .02 * h});
  check_values(adjust({.9, .9, .9}, Correction::holm), {1, 1, 1});
  check_values(adjust({.02}, Correction::benjamini_yekutieli), {.02});
  CHECK(adjust({}, Correction::holm).empty());
}

TEST_CASE("Benjamini and Hochberg's own example rejects four of fifteen") {
  // JRSS B 57 (1995), section 3.2: at .05 their procedure rejects the first four, Bonferroni the first three.
  const std::vector<double> p{.0001, .0004, .0019, .0095, .0201, .0278, .0298, .0344,
                              .0459, .3240, .4262, .5719, .6528, .7590, 1};
  const auto rejected = [&](Correction correction) {
    const auto adjusted = adjust(p, correction);
    return std::count_if(adjusted.begin(), adjusted.end(), [](double q) { return q <= .05; });
  };
  CHECK(rejected(Correction::benjamini_hochberg) == 4);
  CHECK(rejected(Correction::bonferroni) == 3);
  CHECK(rejected(Correction::holm) == 3);
}

TEST_CASE("corrections keep the order of p-values and of each other, and ties stay ties") {
  Random random(2);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<double> p(1 + random.below(40));
    for (double& x : p) x = std::round(100 * std::pow(random.uniform(), 3)) / 100;
    const auto bonferroni = adjust(p, Correction::bonferroni), holm = adjust(p, Correction::holm);
    const auto bh = adjust(p, Correction::benjamini_hochberg), by = adjust(p, Correction::benjamini_yekutieli);
    for (std::size_t i = 0; i < p.size(); ++i) {
      CHECK((p[i] <= bh[i] && bh[i] <= holm[i] + 1e-15 && holm[i] <= bonferroni[i] && bh[i] <= by[i] && by[i] <= 1));
      for (std::size_t j = 0; j < p.size(); ++j) {
        if (p[i] == p[j]) CHECK((holm[i] == holm[j] && bh[i] == bh[j] && by[i] == by[j]));
        if (p[i] < p[j]) CHECK((holm[i] <= holm[j] && bh[i] <= bh[j]));
      }
    }
  }
}

TEST_CASE("e-BH rejects the k largest e-values where the k-th is at least n / (alpha k)") {
  const std::vector<double> e{100, 3, 41, 0, 60}; // n / alpha = 100: thresholds 100, 50, 33.3, 25, 20
  CHECK(e_benjamini_hochberg(e).value() == std::vector<bool>{true, false, true, false, true});
  check_values(adjust_e_values(e).value(), {5. / 123, 5. / 12, 5. / 123, 1, 5. / 123});
  CHECK(e_benjamini_hochberg(std::vector<double>{99, 0, 0, 0, 0}).value() == std::vector<bool>(5, false));
  CHECK(adjust_e_values(std::vector<double>{infinity, 1}).value() == std::vector<double>{0, 1});
  CHECK(e_benjamini_hochberg({}).value().empty());
}

TEST_CASE("false discoveries stay below alpha for dependent tests, naive ones do not") {
  // 20 hypotheses of which 5 are false; all share a common shock.
  Random random(4);
  constexpr int runs = 2000, n = 20, wrong = 5;
  double naive = 0, bh = 0, by = 0, ebh = 0, family = 0;
  for (int run = 0; run < runs; ++run) {
    std::vector<double> p, e;
    const double shock = random.normal();
    for (int i = 0; i < n; ++i) {
      const double z = .7 * shock + std::sqrt(.51) * random.normal() + (i < wrong ? 3 : 0);
      p.push_back(.5 * std::erfc(z / std::sqrt(2.)));
      e.push_back(std::exp(3 * z - 4.5)); // the likelihood ratio of mean 3
    }
    const auto proportion = [](const auto& rejected) {
      double all = 0, false_ones = 0;
      for (std::size_t i = 0; i < n; ++i) {
        all += rejected(i);
        false_ones += rejected(i) && i >= wrong;
      }
      return all == 0 ? 0 : false_ones / all;
    };
    const auto below = [&](const std::vector<double>& q) {
      return proportion([&](std::size_t i) { return q[i] <= .05; });
    };
    naive += below(p);
    bh += below(adjust(p, Correction::benjamini_hochberg));
    by += below(adjust(p, Correction::benjamini_yekutieli));
    ebh += below(adjust_e_values(e).value());
    family += below(adjust(p, Correction::holm)) > 0;
  }
  const double slack = 3 * std::sqrt(.05 * .95 / runs);
  CHECK(bh / runs <= .05 + slack);
  CHECK(by / runs <= .05 + slack);
  CHECK(ebh / runs <= .05 + slack);
  CHECK(family / runs <= .05 + slack);
  CHECK(naive / runs > .05 + slack);
}

TEST_CASE("e-values merge by their mean, or by their product where independent") {
  const std::vector<double> e{4, 0.5, 3};
  CHECK(mean_e_value(e).value() == Approx(2.5));
  CHECK(product_e_value(e).value() == Approx(6));
  CHECK(mean_e_value(e, std::vector<double>{.5, .5, 0}).value() == Approx(2.25));
  CHECK(mean_e_value({}).value() == 1);
  CHECK(product_e_value({}).value() == 1);
  CHECK(product_e_value(std::vector<double>{0, infinity}).value() == 0);
  CHECK(mean_e_value(std::vector<double>{infinity, 2}, std::vector<double>{0, 1}).value() == 2);
  CHECK(p_value_of_e_value(20) == .05);
  CHECK(p_value_of_e_value(.3) == 1);
  CHECK(p_value_of_e_value(infinity) == 0);
  CHECK(e_value_of_p_value(.01) == Approx(5));
  // An e-value has mean 1 over uniform p-values: the integral of kappa p^(kappa - 1).
  double mean = 0;
  for (int i = 0; i < 100000; ++i) mean += e_value_of_p_value((i + .5) / 100000, .7) / 100000;
  CHECK(mean == Approx(1).epsilon(1e-3));
}

TEST_CASE("what is no p-value or e-value is refused") {
  for (const double bad : {-.1, 1.1, nan_value}) {
    const auto refused = adjust_p_values(std::vector<double>{.1, bad});
    CHECK(refused.error().code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(refused.error()));
    CHECK(std::isnan(e_value_of_p_value(bad)));
  }
  for (const double bad : {-.1, nan_value}) {
    const std::vector<double> e{1, bad};
    CHECK(mean_e_value(e).error().code() == ErrorCode::invalid_value);
    CHECK(product_e_value(e).error().code() == ErrorCode::invalid_value);
    CHECK(adjust_e_values(e).error().code() == ErrorCode::invalid_value);
    CHECK(std::isnan(p_value_of_e_value(bad)));
  }
  const std::vector<double> e{1, 2};
  CHECK_FALSE(e_benjamini_hochberg(e, 1));
  CHECK_FALSE(mean_e_value(e, std::vector<double>{1}));
  CHECK_FALSE(mean_e_value(e, std::vector<double>{.7, .7}));
  CHECK_FALSE(mean_e_value(e, std::vector<double>{2, -1}));
  CHECK_FALSE(mean_e_value(e, std::vector<double>{nan_value, 1}));
}
