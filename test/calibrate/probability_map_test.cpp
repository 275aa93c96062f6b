#include "mcomp/calibrate/probability_map.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {

struct Binary {
  std::vector<double> score{};
  std::vector<std::uint8_t> outcome{};
};

/// Scores spread over (0, 1), events with probability `truth(score)`.
template <class Truth> Binary drawn(std::size_t n, std::uint64_t seed, const Truth& truth) {
  Random random(seed);
  Binary data;
  for (std::size_t i = 0; i < n; ++i) {
    data.score.push_back(1 / (1 + std::exp(-2 * random.normal())));
    data.outcome.push_back(random.uniform() < truth(data.score.back()));
  }
  return data;
}

double beta_map(double a, double b, double c, double x) {
  return 1 / (1 + std::exp(-(c + a * std::log(x) - b * std::log1p(-x))));
}

} // namespace

TEST_CASE("isotonic regression pools violators, merges ties first, and is linear between blocks") {
  // By hand: the two scores of 0.2 are one of mean 1/2; 0.4 (0) violates it: a block of mean 1/3; 0.6 and 0.8.
  const std::vector<double> score{.8, .2, .1, .4, .2, .6};
  const std::vector<std::uint8_t> outcome{1, 1, 0, 0, 0, 1};
  const auto fit = fit_isotonic(score, outcome).value();
  CHECK(fit.blocks == 3);
  CHECK(fit.map(.1) == 0);
  CHECK(fit.map(.2) == Approx(1. / 3));
  CHECK(fit.map(.3) == Approx(1. / 3));
  CHECK(fit.map(.15) == Approx(1. / 6)); // halfway between the blocks' ends
  CHECK(fit.map(.5) == Approx(2. / 3));
  CHECK(fit.map(.6) == 1);
  CHECK(fit.map(.95) == 1);
  CHECK(fit.map(0) == 0);
  CHECK(fit.mse_after == Approx((1. / 9 * 2 + 4. / 9) / 6));
  CHECK(std::isnan(fit.map(std::nan(""))));

  const auto clipped = fit_isotonic(score, outcome, {.clip = true}).value();
  CHECK(clipped.map(0) == 1. / 8);
  CHECK(clipped.map(1) == 7. / 8);
}

TEST_CASE("isotonic regression is the best monotone fit: no monotone change of a block lowers the squared error") {
  const Binary data = drawn(2000, 1, [](double x) { return x * x; });
  const auto fit = fit_isotonic(data.score, data.outcome).value();
  for (std::size_t i = 1; i < fit.map.y.size(); ++i) CHECK(fit.map.y[i] >= fit.map.y[i - 1]);
  // The optimum of least squares under monotonicity: sum (y - f) f = 0, and sum (y - f) g <= 0 for every rising g.
  double inner = 0;
  std::vector<double> steps(9);
  for (std::size_t i = 0; i < data.score.size(); ++i) {
    const double f = fit.map(data.score[i]), residual = data.outcome[i] - f;
    inner += residual * f;
    for (std::size_t s = 0; s < steps.size(); ++s)
      if (data.score[i] > static_cast<double>(s + 1) / 10) steps[s] += residual;
  }
  CHECK(std::abs(inner) < 1e-9);
  for (const double step : steps) CHECK(step < 1e-9);
}

TEST_CASE("beta calibration finds the parameters that events were drawn with, in all three families") {
  const Binary abm = drawn(60000, 2, [](double x) { return beta_map(.6, 1.4, .3, x); });
  const auto fit = fit_beta(abm.score, abm.outcome).value();
  CHECK(fit.report.optimum_reached);
  CHECK(fit.map.a == Approx(.6).margin(.05));
  CHECK(fit.map.b == Approx(1.4).margin(.05));
  CHECK(fit.map.c == Approx(.3).margin(.05));

  const auto am = fit_beta(abm.score, abm.outcome, BetaParameters::am).value();
  CHECK(am.map.a == am.map.b);
  const auto ab = fit_beta(abm.score, abm.outcome, BetaParameters::ab).value();
  CHECK(ab.map(.5) == Approx(.5).epsilon(1e-12));
  CHECK(fit.report.nll_after < am.report.nll_after);
  CHECK(fit.report.nll_after < ab.report.nll_after);
  // Platt scaling without smoothed targets is the family am.
  const auto platt = fit_platt(abm.score, abm.outcome, {.smooth_targets = false}).value();
  CHECK(platt.report.nll_after == Approx(am.report.nll_after).epsilon(1e-12));
  CHECK(platt.map.a == Approx(am.map.a).epsilon(1e-7));
}

TEST_CASE("beta calibration keeps a and b from being negative, at the optimum of the face") {
  const Binary falling = drawn(5000, 3, [](double x) { return 1 - x; });
  const auto fit = fit_beta(falling.score, falling.outcome).value();
  CHECK(fit.map.a == 0);
  CHECK(fit.map.b == 0);
  double events = 0;
  for (const auto y : falling.outcome) events += y;
  CHECK(fit.map(.7) == Approx(events / 5000).epsilon(1e-9)); // a constant: the rate of events
}

TEST_CASE("Platt scaling smooths its targets, so that separable scores have an optimum") {
  const std::vector<double> score{.1, .2, .8, .9};
  const std::vector<std::uint8_t> outcome{0, 0, 1, 1};
  const auto fit = fit_platt(score, outcome).value();
  CHECK(fit.report.optimum_reached);
  // At the optimum the mean of the fitted probabilities is that of the targets 1/4 and 3/4.
  CHECK(fit.map(.1) + fit.map(.2) + fit.map(.8) + fit.map(.9) == Approx(2).epsilon(1e-10));
  for (const auto& refused : {fit_platt(score, outcome, {.smooth_targets = false}), fit_beta(score, outcome)}) {
    REQUIRE(!refused);
    CHECK(refused.error().code() == ErrorCode::insufficient_data);
    CHECK(mcomp_test::well_formed(refused.error()));
  }
}

TEST_CASE("histogram binning gives the fraction of each bin, and its prior where a bin is empty") {
  const std::vector<double> score{.05, .15, .15, .95};
  const std::vector<std::uint8_t> outcome{0, 1, 0, 1};
  const auto plain =
      fit_histogram(score, outcome, {.bins = 10, .binning = Binning::equal_width, .pseudo_count = 0}).value();
  CHECK(plain.map(.1) == 0);
  CHECK(plain.map(.11) == .5);
  CHECK(plain.map(.2) == .5);
  CHECK(plain.map(.55) == Approx(.55)); // empty: the middle
  CHECK(plain.map(1) == 1);
  const auto mass = fit_histogram(score, outcome, {.bins = 2, .pseudo_count = 0}).value();
  CHECK(mass.blocks == 2); // equal scores share a bin: three rows and one
  CHECK(mass.map(.1) == Approx(1. / 3));
  CHECK(mass.map(.95) == 1);
  const auto prior = fit_histogram(score, outcome, {.bins = 2}).value();
  CHECK(prior.map(.95) == Approx((1 + .95) / 2));
}

TEST_CASE("every map comes close to the truth behind many rows") {
  const auto truth = [](double x) { return beta_map(.3, .6, -.5, x); };
  const Binary data = drawn(40000, 4, truth);
  const auto far = [&](const ProbabilityMap& map) {
    double sum = 0;
    for (std::size_t i = 0; i < 2000; ++i) sum += std::abs(map(data.score[i]) - truth(data.score[i])) / 2000;
    return sum;
  };
  double identity = 0;
  for (std::size_t i = 0; i < 2000; ++i) identity += std::abs(data.score[i] - truth(data.score[i])) / 2000;
  CHECK(identity > .1);
  CHECK(far(fit_beta(data.score, data.outcome).value().map) < .01);
  CHECK(far(fit_isotonic(data.score, data.outcome).value().map) < .02);
  CHECK(far(fit_histogram(data.score, data.outcome).value().map) < .03);
  CHECK(far(fit_bbq(data.score, data.outcome).value().map) < .03);
  CHECK(far(fit_scaling_binning(data.score, data.outcome).value().map) < .04);
  const auto spline = fit_spline(data.score, data.outcome).value();
  CHECK(far(spline.map) < .02);
  CHECK(spline.map.x.size() <= 1024);
}

TEST_CASE("Bayesian binning averages over binnings: of one row it is the prior and that row") {
  // One bin of middle 1/2, prior of strength 2: (1 + 2 / 2) / (1 + 2).
  const auto one = fit_bbq(std::vector<double>{.7}, std::vector<std::uint8_t>{1}).value();
  CHECK(one.map(.7) == Approx(2. / 3));
  // Rows of one score cannot be split.
  const auto tied = fit_bbq(std::vector<double>(50, .4), std::vector<std::uint8_t>(50, 0)).value();
  CHECK(tied.blocks == 1);
  CHECK(tied.map(.4) == Approx(1. / 52));
}

TEST_CASE("maps of probabilities have defined results for one outcome only and equal scores, and errors for the rest") {
  const std::vector<double> tied(20, .5);
  const std::vector<std::uint8_t> never(20, 0);
  CHECK(fit_isotonic(tied, never).value().map(.5) == 0);
  CHECK(fit_isotonic(tied, never, {.clip = true}).value().map(.5) == Approx(1. / 22));
  CHECK(fit_histogram(tied, never).value().map(.5) == Approx(.5 / 21));
  CHECK(fit_platt(tied, never).value().map(.5) == Approx(1. / 22).epsilon(1e-6));
  CHECK(fit_spline(tied, never).value().map(.5) == Approx(1. / 22));
  CHECK(fit_scaling_binning(tied, never).value().map(.5) == Approx(1. / 12).epsilon(1e-6));
  CHECK(fit_beta(tied, never).error().code() == ErrorCode::insufficient_data);

  const std::vector<std::uint8_t> two{0, 1};
  for (const auto& scores : {std::vector<double>{.5, std::nan("")}, {.5, 1.5}, {-.1, .5}}) {
    const auto error = fit_isotonic(scores, two).error();
    CHECK(error.code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(error));
  }
  CHECK(fit_isotonic({}, {}).error().code() == ErrorCode::insufficient_data);
  CHECK(fit_isotonic(tied, two).error().code() == ErrorCode::invalid_shape);
  CHECK(fit_histogram(tied, never, {.bins = 0}).error().code() == ErrorCode::invalid_argument);
  CHECK(fit_histogram(tied, never, {.pseudo_count = -1}).error().code() == ErrorCode::invalid_argument);
  CHECK(fit_spline(tied, never, 2).error().code() == ErrorCode::invalid_argument);
  CHECK(fit_spline(std::vector<double>{.1, .2}, two).error().code() == ErrorCode::insufficient_data);
  CHECK(fit_scaling_binning(std::vector<double>{.1, .2}, two).error().code() == ErrorCode::insufficient_data);
}
