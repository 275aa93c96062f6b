#include "mcomp/stats/group_sequential.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/distributions.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {

std::vector<double> even(int looks) {
  std::vector<double> information;
  for (int k = 1; k <= looks; ++k) information.push_back(static_cast<double>(k) / looks);
  return information;
}

void check_values(const std::vector<double>& values, const std::vector<double>& expected, double margin) {
  REQUIRE(values.size() == expected.size());
  for (std::size_t k = 0; k < values.size(); ++k) {
    INFO("look " << k + 1);
    CHECK(values[k] == Approx(expected[k]).margin(margin).epsilon(0));
  }
}

GroupSequentialDesign make(const GroupSequentialOptions& options) {
  return design_group_sequential(options).value();
}

constexpr ErrorSpending hsd(double gamma) {
  return {SpendingFamily::hwang_shih_decani, gamma};
}
constexpr ErrorSpending kim_demets(double rho) {
  return {SpendingFamily::power, rho};
}

} // namespace

TEST_CASE("designs have the values of rpact's own tests") {
  const auto of = make({.alpha = .025, .information = even(3), .classical = ClassicalBoundary::obrien_fleming});
  check_values(of.efficacy, {3.47109144, 2.4544323, 2.00403558}, 5e-9);
  check_values(of.alpha_spent, {.00025917372, .0071600594, .02499999}, 2e-8);

  const auto linear = make({.alpha = .03, .power = .86, .information = {.2, .4, 1}, .alpha_spending = hsd(0)});
  check_values(linear.efficacy, {2.5121443, 2.4228747, 2.0280392}, 1e-7);
  check_values(linear.power_by, {.12783451, .34055165, .86}, 1e-8);
  CHECK(linear.inflation == Approx(1.0788327).margin(1e-7));
  CHECK(linear.fixed_information == Approx(8.7681899).margin(1e-7));
  CHECK(linear.expected_alternative == Approx(.83081135).margin(1e-8));

  const auto both = make(
      {.alpha = .07, .power = .86, .information = {.2, .4, 1}, .alpha_spending = hsd(-1), .beta_spending = hsd(-2)});
  check_values(both.efficacy, {2.364813, 2.1928805, 1.5660474}, 1e-6);
  check_values(both.futility, {-1.1063623, -.35992438, both.efficacy[2]}, 1e-7);
  CHECK(both.beta_spent.back() == Approx(.14).margin(1e-9));

  const auto power = make({.alpha = .03,
                           .power = .66,
                           .information = {.3, .7, 1},
                           .alpha_spending = kim_demets(2.2),
                           .beta_spending = kim_demets(3.2)});
  check_values(power.efficacy, {2.8594012, 2.2435708, 1.9735737}, 1e-7);
  check_values(power.futility, {-1.1558435, .72836893, power.efficacy[2]}, 1e-7);
}

TEST_CASE("designs have the values that gsDesign and Jennison and Turnbull print") {
  const auto hwang = make({.alpha = .025, .power = .9, .information = even(5), .alpha_spending = hsd(-4)});
  check_values(hwang.efficacy, {3.25, 2.99, 2.69, 2.37, 2.03}, .005);
  std::vector<double> spent = hwang.alpha_spent;
  for (std::size_t k = 4; k > 0; --k) spent[k] -= spent[k - 1];
  check_values(spent, {.0006, .0013, .0028, .0063, .0140}, 5.1e-5);
  CHECK(hwang.inflation == Approx(1.023).margin(5e-4));
  CHECK(hwang.expected_alternative == Approx(.7366).margin(5e-5));

  const auto of =
      make({.alpha = .05, .two_sided = true, .information = even(4), .classical = ClassicalBoundary::obrien_fleming});
  check_values(of.efficacy, {4.04859, 2.86279, 2.33746, 2.02430}, 5e-6);
  const auto inflation = [](int looks, double power, ClassicalBoundary shape) {
    return 100 * make({.alpha = .05, .two_sided = true, .power = power, .information = even(looks), .classical = shape})
                     .inflation;
  };
  CHECK(inflation(5, .8, ClassicalBoundary::obrien_fleming) == Approx(102.8).margin(.05));
  CHECK(inflation(20, .9, ClassicalBoundary::obrien_fleming) == Approx(104.5).margin(.05));

  const auto pocock = make(
      {.alpha = .05, .two_sided = true, .power = .8, .information = even(4), .classical = ClassicalBoundary::pocock});
  CHECK(100 * pocock.inflation == Approx(120.2).margin(.05));
  const double expected[] = {117.5, 108.8, 80.5, 52.2}; // at 0, 1/2, 1, 3/2 of the effect
  for (int i = 0; i < 4; ++i) {
    const auto outcome = evaluate_design(pocock, .5 * i * pocock.drift).value();
    CHECK(100 * outcome.expected_information * pocock.inflation == Approx(expected[i]).margin(.05));
  }
  CHECK(pocock.expected_null == Approx(1.175).margin(5e-4));
}

TEST_CASE("classical constants are those of the tables") {
  const struct {
    int looks;
    double obrien_fleming, pocock;
  } rows[] = {{2, 1.97743096, 2.17827209},
              {3, 2.00403558, 2.28947806},
              {4, 2.02429550, 2.36129789},
              {5, 2.04007317, 2.41317622},
              {10, 2.08650218, 2.55501277}};
  for (const auto& row : rows) {
    const GroupSequentialOptions options{.alpha = .05, .two_sided = true, .information = even(row.looks)};
    auto of = options, pocock = options;
    of.classical = ClassicalBoundary::obrien_fleming;
    pocock.classical = ClassicalBoundary::pocock;
    CHECK(make(of).efficacy.back() == Approx(row.obrien_fleming).margin(1e-8).epsilon(0));
    CHECK(make(pocock).efficacy.back() == Approx(row.pocock).margin(1e-8).epsilon(0));
    CHECK(make(pocock).efficacy.front() == make(pocock).efficacy.back());
  }
}

TEST_CASE("Lan and DeMets' spending functions give their published boundaries") {
  const auto of = make({.alpha = .025, .information = even(5)});
  check_values(of.efficacy, {4.876885, 3.357012, 2.680280, 2.289817, 2.031032}, 1e-6);
  check_values(of.alpha_spent, {5.4e-7, 3.9415e-4, 3.80806e-3, .01221179, .025}, 5e-9);
  const auto pocock = make({.alpha = .025, .information = even(5), .alpha_spending = {SpendingFamily::pocock}});
  check_values(pocock.efficacy, {2.437977, 2.426814, 2.410194, 2.396649, 2.386000}, 1e-6);
  // A two-sided design spends half of alpha on each side.
  CHECK(make({.alpha = .05, .two_sided = true, .information = even(5)}).efficacy[4] ==
        Approx(of.efficacy[4]).margin(1e-5));
}

TEST_CASE("a 5% test repeated is no 5% test") {
  const double expected[][2] = {{1, .05},    {2, .08312},  {3, .10726}, {4, .12617},
                                {5, .14169}, {10, .19336}, {20, .24791}};
  for (const auto& [looks, error] : expected)
    CHECK(repeated_test_error(even(static_cast<int>(looks)), 1.959963984540054).value() ==
          Approx(error).margin(5.1e-6).epsilon(0));
}

TEST_CASE("one look is the fixed-sample test, and two have the bivariate normal's closed form") {
  const auto one = make({.alpha = .025, .power = .9, .information = {1}});
  CHECK(one.efficacy[0] == Approx(1.959963984540054).epsilon(1e-12));
  CHECK(one.inflation == Approx(1).epsilon(1e-10));
  CHECK(one.expected_alternative == Approx(1).epsilon(1e-9));
  CHECK(repeated_test_error({1}, 1).value() == Approx(2 * normal_cdf(-1)).epsilon(1e-13));
  // Sheppard: P(Z1 < 0, Z2 < 0) = 1/4 + asin(r) / (2 pi) with r = sqrt(t1 / t2).
  const GroupSequentialDesign zero{.information = {.36, 1}, .efficacy = {0, 0}};
  const auto outcome = evaluate_design(zero, 0).value();
  CHECK(outcome.accept[1] == Approx(.25 + std::asin(.6) / (2 * 3.141592653589793)).epsilon(1e-12));
  CHECK(outcome.reject[0] == Approx(.5).epsilon(1e-14));
}

TEST_CASE("binding futility lowers the boundary and keeps alpha only where it is obeyed") {
  const GroupSequentialOptions free{.information = even(4), .alpha_spending = hsd(-4), .beta_spending = hsd(-2)};
  auto bound = free;
  bound.binding_futility = true;
  const auto f = make(free), b = make(bound);
  CHECK(b.efficacy.back() < f.efficacy.back());
  CHECK(b.inflation < f.inflation);
  CHECK(b.alpha_spent.back() == Approx(.025).margin(1e-9));
  CHECK(f.alpha_spent.back() == Approx(.025).margin(1e-9));
  CHECK(evaluate_design(f, 0).value().power < .025);
  CHECK(evaluate_design(b, b.drift).value().power == Approx(.9).margin(1e-9));
  CHECK(f.expected_null < make({.information = even(4), .alpha_spending = hsd(-4)}).expected_null);
  auto ignored = b;
  ignored.futility.clear();
  CHECK(evaluate_design(ignored, 0).value().power > .0251);
}

TEST_CASE("probabilities of a design add up, at uneven looks and for any drift") {
  const auto design = make({.alpha = .1,
                            .power = .8,
                            .information = {.05, .051, .4, .9, 1},
                            .alpha_spending = kim_demets(1),
                            .beta_spending = kim_demets(1.5)});
  for (const double drift : {-2.0, 0.0, 1.0, design.drift, 8.0}) {
    const auto outcome = evaluate_design(design, drift).value();
    double sum = 0;
    for (std::size_t k = 0; k < 5; ++k) sum += outcome.reject[k] + outcome.accept[k];
    CHECK(sum == Approx(1).epsilon(1e-10));
  }
  const auto two_sided = make({.alpha = .05, .two_sided = true, .power = .8, .information = even(3)});
  const auto up = evaluate_design(two_sided, 1.3).value(), down = evaluate_design(two_sided, -1.3).value();
  double sum = 0;
  for (std::size_t k = 0; k < 3; ++k) {
    CHECK(up.reject[k] == Approx(down.reject_low[k]).epsilon(1e-12));
    sum += up.reject[k] + up.reject_low[k] + up.accept[k];
  }
  CHECK(sum == Approx(1).epsilon(1e-11));
}

TEST_CASE("simulated rollouts have the power and the length that the design states") {
  const auto design = make({.power = .8, .information = {.3, .6, 1}, .beta_spending = hsd(-2)});
  constexpr int runs = 20000;
  Random random(12);
  int rejected = 0;
  double used = 0;
  for (int run = 0; run < runs; ++run) {
    double score = 0, before = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      const double t = design.information[k], step = t - before;
      score += design.drift * step + std::sqrt(step) * random.normal();
      before = t;
      const double z = score / std::sqrt(t);
      if (z >= design.efficacy[k] || z < design.futility[k] || k == 2) {
        rejected += z >= design.efficacy[k];
        used += t;
        break;
      }
    }
  }
  CHECK(static_cast<double>(rejected) / runs == Approx(.8).margin(4 * std::sqrt(.16 / runs)));
  CHECK(used / runs * design.inflation == Approx(design.expected_alternative).margin(.01));
}

TEST_CASE("spending functions start at nothing and end with everything") {
  for (const ErrorSpending& spending : {ErrorSpending{}, ErrorSpending{SpendingFamily::pocock}, hsd(-4), hsd(0), hsd(1),
                                        kim_demets(1), kim_demets(3)}) {
    CHECK(spending.spent(0, .05) == 0);
    CHECK(spending.spent(1, .05) == .05);
    CHECK(spending.spent(2, .05) == .05);
    double before = 0;
    for (double t = .05; t < 1; t += .05) {
      CHECK(spending.spent(t, .05) > before);
      before = spending.spent(t, .05);
    }
    CHECK(std::isnan(spending.spent(-1, .05)));
    CHECK(std::isnan(spending.spent(.5, 1)));
  }
  CHECK(hsd(1e-13).spent(.5, .05) == Approx(.025));
  CHECK(std::isnan(kim_demets(0).spent(.5, .05)));
  // A first look so early that it may spend next to nothing has no boundary.
  CHECK(std::isinf(make({.information = {.01, 1}}).efficacy[0]));
}

TEST_CASE("designs that cannot be are refused with the reason") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const auto refused = [](const GroupSequentialOptions& options) {
    const auto result = design_group_sequential(options);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  for (const double bad : {0.0, 1.0, nan, -.1}) {
    refused({.alpha = bad});
    refused({.power = bad});
  }
  refused({.alpha = .3, .power = .2});
  refused({.information = {}});
  refused({.information = {.5, .5, 1}});
  refused({.information = {.5, .4, 1}});
  refused({.information = {nan, 1}});
  refused({.information = {.5, .9}});
  refused({.information = {.9999, 1}});
  refused({.information = std::vector<double>(101, 1)});
  refused({.information = {.2, 1}, .classical = ClassicalBoundary::pocock});
  refused({.two_sided = true, .beta_spending = hsd(0)});
  refused({.alpha_spending = kim_demets(0)});
  refused({.beta_spending = hsd(infinity)});
  refused({.classical = ClassicalBoundary::pocock, .beta_spending = hsd(0), .binding_futility = true});
  CHECK_FALSE(evaluate_design(make({}), nan));
  CHECK_FALSE(evaluate_design({}, 0));
  CHECK_FALSE(evaluate_design({.information = {.5, 1}, .efficacy = {1, 1}, .futility = {2, 1}}, 0));
  CHECK_FALSE(repeated_test_error({.5, 1}, 0));
  CHECK(fmt::format("{}", make({.beta_spending = hsd(0)})).find("give up below") != std::string::npos);
}
