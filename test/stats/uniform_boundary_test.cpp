#include "mcomp/stats/uniform_boundary.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
constexpr BoundaryTuning at_100{.variance = 100};
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
Approx near(double value) {
  return Approx(value).margin(1e-5).epsilon(0);
}
} // namespace

TEST_CASE("mixtures and their boundaries have the values of confseq") {
  // gostevehoward/confseq, test/uniform_boundaries_unittest.cpp; from a reference implementation in R.
  CHECK(TwoSidedNormalMixture::best_rho(100, .05) == near(12.60056));
  const auto two_sided = TwoSidedNormalMixture::create(at_100).value();
  CHECK(two_sided.log_mixture(10, 100) == Approx(-0.6510051907).margin(1e-9));
  CHECK(two_sided.boundary(100, .05) == Approx(30.3520899).margin(1e-7));
  const auto one_sided = OneSidedNormalMixture::create(at_100).value();
  CHECK(one_sided.log_mixture(10, 100) == near(-0.06502391));
  CHECK(one_sided.boundary(100, .05) == near(27.66071));
  const auto exponential = GammaExponentialMixture::create(at_100, 2).value();
  CHECK(exponential.log_mixture(10, 100) == near(-0.2490165));
  CHECK(exponential.boundary(100, .05) == near(33.02017));
  const auto poisson = GammaPoissonMixture::create(at_100, 2).value();
  CHECK(poisson.log_mixture(10, 100) == near(-0.06991219));
  CHECK(poisson.boundary(100, .05) == near(30.1949));
  const auto beta_two = BetaBinomialMixture::create(at_100, .2, .8, false).value();
  CHECK(beta_two.log_mixture(10, 100) == near(-0.6941012));
  CHECK(beta_two.boundary(100, .05) == near(31.4308));
  const auto beta_one = BetaBinomialMixture::create(at_100, .2, .8, true).value();
  CHECK(beta_one.log_mixture(10, 100) == near(-0.07134019));
  CHECK(beta_one.boundary(100, .05) == near(28.41238));
  CHECK(beta_one.boundary(2 * .2 * .8, .05) == near(2 * .8)); // two observations: no sum is improbable enough
}

TEST_CASE("stitched boundaries have the values of confseq") {
  CHECK(poly_stitching_boundary(100, .05, 10, 3) == near(64.48755));
  CHECK(poly_stitching_boundary(100, .05, 10, -1) == near(28.99389));
  CHECK(empirical_process_lil_boundary(1000, .05, 100, .85) == near(0.08204769));
  CHECK(std::isinf(empirical_process_lil_boundary(99, .05, 100, .85)));
  CHECK(double_stitching_boundary(.5, 1000, .05, 100) == near(68.62803));
  CHECK(double_stitching_boundary(.9, 1000, .05, 100) == near(43.72119));
  CHECK(double_stitching_boundary(.1, 1000, .05, 100) == near(59.96521));
  CHECK(poly_stitching_boundary(1, .05, 10, 3) == poly_stitching_boundary(10, .05, 10, 3));
}

TEST_CASE("at its boundary a mixture equals 1 / alpha") {
  const auto normal = OneSidedNormalMixture::create(at_100).value();
  const auto exponential = GammaExponentialMixture::create(at_100, .5).value();
  const auto poisson = GammaPoissonMixture::create(at_100, .5).value();
  const auto beta = BetaBinomialMixture::create(at_100, .5, .5, true).value();
  for (const double v : {20.0, 100.0, 1e4, 1e7})
    for (const double alpha : {0.2, 0.05, 1e-6}) {
      INFO("v " << v << " alpha " << alpha);
      const double log_inverse = -std::log(alpha);
      CHECK(normal.log_mixture(normal.boundary(v, alpha), v) == Approx(log_inverse).epsilon(1e-9));
      CHECK(exponential.log_mixture(exponential.boundary(v, alpha), v) == Approx(log_inverse).epsilon(1e-6));
      CHECK(poisson.log_mixture(poisson.boundary(v, alpha), v) == Approx(log_inverse).epsilon(1e-6));
      CHECK(beta.log_mixture(beta.boundary(v, alpha), v) == Approx(log_inverse).epsilon(1e-6));
      // A heavier tail needs a higher boundary; bounded observations a lower one than the normal.
      CHECK(exponential.boundary(v, alpha) > normal.boundary(v, alpha));
      CHECK(exponential.boundary(v, alpha) > poisson.boundary(v, alpha));
    }
}

TEST_CASE("a two-sided beta-binomial mixture is the mean likelihood ratio over a beta prior") {
  // g = h = 1/2 with fair coins: the marginal probability of k heads, b(k + a, n - k + a) / b(a, a) 2^n.
  const auto mixture = BetaBinomialMixture::create({.variance = 10}, .5, .5, false).value();
  const double rho = TwoSidedNormalMixture::best_rho(10, .05), a = (rho - .25) / .5;
  const auto log_b = [](double x, double y) { return std::lgamma(x) + std::lgamma(y) - std::lgamma(x + y); };
  for (const int k : {0, 3, 10, 20}) {
    const double expected = 20 * std::log(2.) + log_b(k + a, 20 - k + a) - log_b(a, a);
    CHECK(mixture.log_mixture(k - 10, 20 * .25) == Approx(expected).epsilon(1e-10));
  }
  CHECK(std::isnan(mixture.log_mixture(11, 20 * .25)));
}

TEST_CASE("a fair random walk crosses a boundary of 5% at any of 1,000 looks in at most 5% of runs") {
  const auto normal = TwoSidedNormalMixture::create(at_100).value();
  const auto beta = BetaBinomialMixture::create(at_100, 1, 1, true).value();
  constexpr int runs = 4000, steps = 1000;
  // One boundary for all runs; a sum of +-1 is sub-Gaussian with variance 1 a step.
  std::vector<double> two_sided(steps), one_sided(steps);
  for (int t = 0; t < steps; ++t) {
    two_sided[static_cast<std::size_t>(t)] = normal.boundary(t + 1, .05);
    one_sided[static_cast<std::size_t>(t)] = beta.boundary(t + 1, .05);
  }
  int crossed_two = 0, crossed_one = 0, naive = 0;
  Random random(11);
  for (int run = 0; run < runs; ++run) {
    int s = 0;
    bool two = false, one = false, z = false;
    for (int t = 0; t < steps; ++t) {
      s += random.next() >> 63 ? 1 : -1;
      two |= std::abs(s) >= two_sided[static_cast<std::size_t>(t)];
      one |= s >= one_sided[static_cast<std::size_t>(t)] && s < t + 1;
      z |= t >= 30 && std::abs(s) > 1.96 * std::sqrt(t + 1);
    }
    crossed_two += two;
    crossed_one += one;
    naive += z;
  }
  const double most = .05 + 3 * std::sqrt(.05 * .95 / runs);
  CHECK(static_cast<double>(crossed_two) / runs <= most);
  CHECK(static_cast<double>(crossed_one) / runs <= most);
  CHECK(static_cast<double>(crossed_two) / runs > .01); // not by being useless
  CHECK(static_cast<double>(naive) / runs > .3);        // what repeated testing does
}

TEST_CASE("boundaries refuse what has no meaning") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -1.0, nan_value, infinity}) {
    const auto refused = TwoSidedNormalMixture::create({.variance = bad});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(refused.error()));
    CHECK_FALSE(GammaExponentialMixture::create(at_100, bad));
    CHECK_FALSE(GammaPoissonMixture::create(at_100, bad));
    CHECK_FALSE(BetaBinomialMixture::create(at_100, bad, 1, false));
    CHECK_FALSE(BetaBinomialMixture::create(at_100, 1, bad, false));
  }
  CHECK_FALSE(OneSidedNormalMixture::create({.variance = 1, .alpha = .5}));
  CHECK_FALSE(TwoSidedNormalMixture::create({.variance = 1, .alpha = 1}));
  const auto normal = TwoSidedNormalMixture::create(at_100).value();
  CHECK(std::isnan(normal.log_mixture(1, -1)));
  CHECK(std::isnan(normal.boundary(1, 0)));
  CHECK(std::isnan(normal.boundary(nan_value, .05)));
  CHECK(std::isnan(poly_stitching_boundary(1, .05, 0)));
  CHECK(std::isnan(poly_stitching_boundary(1, 1, 1)));
  CHECK(std::isnan(double_stitching_boundary(0, 1, .05, 1)));
  CHECK(std::isnan(empirical_process_lil_boundary(10, .05, 1, .7)));
}
