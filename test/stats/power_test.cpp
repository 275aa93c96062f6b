#include "mcomp/stats/power.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/paired.hpp"

using namespace mcomp;
using namespace mcomp::stats;

TEST_CASE("sample sizes and power for two proportions are those of R's power.prop.test") {
  // help(power.prop.test): n = 50, p = .50 and .75: power .740; power .90: n = 76.7.
  CHECK(power_proportions(50, .50, .75).value() == Approx(.740).margin(5e-4));
  CHECK(sample_size_proportions(.50, .75, {.power = .9}).value() == 77);
  CHECK(sample_size_proportions(.75, .50, {.power = .9}).value() == 77);
}

TEST_CASE("sample sizes for means have their closed form, and power inverts them") {
  // (1.959964 + 1.281552)^2 = 10.5074.
  CHECK(sample_size_mean(.1, 1, {.power = .9}).value() == 1051);
  CHECK(sample_size_means(.1, 1, 1, {.power = .9}).value() == 2102);
  CHECK(sample_size_means(.1, .6, .8, {.power = .9}).value() == 1051);
  CHECK(power_mean(1051, .1, 1).value() == Approx(.9).margin(1e-3));
  CHECK(power_mean(1051, .1, 1).value() >= .9);
  CHECK(power_mean(1050, .1, 1).value() < .9);
  CHECK(power_means(2102, -.1, 1, 1).value() == Approx(.9).margin(1e-3));
  // One-sided: (1.644854 + .841621)^2 = 6.1826.
  CHECK(sample_size_mean(.1, 1, {.two_sided = false}).value() == 619);
}

TEST_CASE("paired sample sizes give the power that simulated comparisons have") {
  Random random(14);
  const auto simulate = [&](const PairedProportions& truth, std::int64_t n, auto rejects) {
    constexpr int runs = 3000;
    int rejected = 0;
    for (int run = 0; run < runs; ++run) {
      PairedCounts counts;
      for (std::int64_t i = 0; i < n; ++i) {
        const double u = random.uniform(), b = .5 * (truth.discordant + truth.loss);
        ++(u < b ? counts.only_baseline_right : u < truth.discordant ? counts.only_candidate_right : counts.both_right);
      }
      rejected += rejects(counts);
    }
    return static_cast<double>(rejected) / runs;
  };
  const PairedProportions loss{.discordant = .2, .loss = .06};
  const auto n = sample_size_paired(loss).value();
  CHECK(simulate(loss, n, [](const PairedCounts& c) { return mcnemar(c).value().p_value <= .05 && c.loss() > 0; }) ==
        Approx(.8).margin(.03));
  CHECK(power_paired(n, loss).value() >= .8);
  CHECK(power_paired(n - 1, loss).value() < .8);
  const PairedProportions margin{.discordant = .1, .loss = .01, .margin = .05};
  const auto m = sample_size_paired(margin).value();
  CHECK(simulate(margin, m, [](const PairedCounts& c) { return tango_upper_limit(c).value() < .05; }) ==
        Approx(.8).margin(.04));
  // Connor's formula with the numbers written out.
  const double expected =
      std::pow(1.959963984540054 * std::sqrt(.2) + .8416212335729143 * std::sqrt(.2 - .0036), 2) / .0036;
  CHECK(static_cast<double>(n) == std::ceil(expected));
}

TEST_CASE("a paired comparison of alike models takes a fraction of the unpaired one") {
  // Accuracies .91 and .90 that disagree on 3% of the inputs.
  const auto pairs = sample_size_paired({.discordant = .03, .loss = .01}).value();
  const auto each = sample_size_proportions(.91, .90).value();
  CHECK(2 * each > 10 * pairs);
}

TEST_CASE("questions about power without an answer are refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, nan, infinity}) {
    CHECK(sample_size_mean(bad, 1).error().code() == ErrorCode::invalid_argument);
    CHECK(sample_size_mean(1, bad).error().code() == ErrorCode::invalid_argument);
    CHECK(sample_size_means(1, 1, bad).error().code() == ErrorCode::invalid_argument);
  }
  for (const double bad : {0.0, 1.0, nan, -1.0}) {
    CHECK(mcomp_test::well_formed(sample_size_mean(1, 1, {.alpha = bad}).error()));
    CHECK_FALSE(sample_size_mean(1, 1, {.power = bad}));
    CHECK_FALSE(sample_size_proportions(bad, .5));
    CHECK_FALSE(sample_size_paired({.discordant = bad, .loss = .01}));
  }
  CHECK_FALSE(sample_size_proportions(.5, .5));
  CHECK_FALSE(sample_size_paired({.discordant = .01, .loss = .02}));
  CHECK_FALSE(sample_size_paired({.discordant = .1, .loss = .05, .margin = .05}));
  CHECK_FALSE(sample_size_paired({.discordant = .1}));
  CHECK_FALSE(sample_size_mean(1e-12, 1));
  CHECK_FALSE(power_mean(1, 1, 1));
}
