#include "mcomp/calibrate/conformal.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/calibrate/softmax.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {

struct Rows {
  Tensor p, labels;
};

/// Probabilities of a model that is overconfident, and labels of the truth.
Rows drawn(std::int64_t rows, std::int64_t classes, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> p, z(static_cast<std::size_t>(classes)), q(z.size()), truth(z.size());
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (double& x : z) x = 3 * random.normal();
    softmax_into(z, 1, q).value();
    softmax_into(z, 2, truth).value();
    p.insert(p.end(), q.begin(), q.end());
    double u = random.uniform();
    std::size_t label = 0;
    while (label + 1 < truth.size() && u >= truth[label]) u -= truth[label++];
    labels.push_back(static_cast<std::int64_t>(label));
  }
  return {Tensor::from(p, {rows, classes}).value(), Tensor::from(labels, {rows}).value()};
}

} // namespace

TEST_CASE("the threshold is the exact order statistic") {
  // Scores 1 - p of the labels: .1 .2 ... .9; n = 9, alpha = .1: the 9th smallest; alpha = .05: more than there are.
  std::vector<double> p;
  for (int i = 1; i <= 9; ++i) p.insert(p.end(), {1 - i / 10., i / 10.});
  const auto probabilities = Tensor::from(p, {9, 2}).value();
  const auto labels = Tensor::from(std::vector<std::int32_t>(9, 0), {9}).value();
  CHECK(fit_conformal(probabilities, labels, {.miscoverage = .1})->threshold == Approx(.9));
  CHECK(fit_conformal(probabilities, labels, {.miscoverage = .2})->threshold == Approx(.8));
  CHECK(fit_conformal(probabilities, labels, {.miscoverage = .95})->threshold == Approx(.1));
  const auto all = fit_conformal(probabilities, labels, {.miscoverage = .05}).value();
  CHECK(std::isinf(all.threshold));
  const auto sets = prediction_sets(all, probabilities).value();
  for (std::int64_t i = 0; i < 9; ++i) CHECK(sets.of(i).size() == 2);
}

TEST_CASE("scores are as worked out by hand") {
  const auto p = Tensor::from(std::vector<double>{.2, .5, .3}, {1, 3}).value();
  const auto of = [&](ConformalOptions options, std::int32_t label) {
    options.miscoverage = .5; // one row: its score
    return fit_conformal(p, Tensor::from(std::vector<std::int32_t>{label}, {1}).value(), options)->threshold;
  };
  CHECK(of({.score = ConformalScore::lac}, 2) == Approx(.7));
  CHECK(of({.score = ConformalScore::aps, .randomized = false}, 1) == Approx(.5));
  CHECK(of({.score = ConformalScore::aps, .randomized = false}, 2) == Approx(.8));
  CHECK(of({.score = ConformalScore::aps, .randomized = false}, 0) == Approx(1));
  const ConformalOptions raps{
      .score = ConformalScore::raps, .randomized = false, .rank_penalty = .1, .free_classes = 1};
  CHECK(of(raps, 1) == Approx(.5));
  CHECK(of(raps, 0) == Approx(1.2)); // rank 3, one free
  const double random = of({.score = ConformalScore::aps}, 2);
  CHECK(random > .5);
  CHECK(random < .8);
}

TEST_CASE("sets cover as often as promised, over many fits, for each score") {
  // Coverage of one fit on n rows is Beta((n + 1)(1 - alpha), (n + 1) alpha); its mean over fits is 1 - alpha.
  for (const auto score : {ConformalScore::lac, ConformalScore::aps, ConformalScore::raps}) {
    double coverage = 0, size = 0;
    constexpr int repeats = 60;
    for (int r = 0; r < repeats; ++r) {
      const Rows fit = drawn(199, 6, 10 + static_cast<std::uint64_t>(r)),
                 use = drawn(400, 6, 5000 + static_cast<std::uint64_t>(r));
      const auto predictor =
          fit_conformal(fit.p, fit.labels, {.score = score, .seed = static_cast<std::uint64_t>(r)}).value();
      const auto metrics = measure_sets(prediction_sets(predictor, use.p).value(), use.labels).value();
      coverage += metrics.coverage / repeats;
      size += metrics.mean_size / repeats;
    }
    INFO(to_string(score));
    // The standard deviation of the mean: sqrt((.9 .1 / 200 + .9 .1 / 400) / 60) = .0034.
    CHECK(coverage == Approx(.9).margin(.0102));
    CHECK(size < 5);
  }
}

TEST_CASE("sets are ordered, can be asked for a row at a time, and are never empty where that is asked for") {
  const Rows fit = drawn(300, 5, 1), use = drawn(50, 5, 2);
  const auto predictor =
      fit_conformal(fit.p, fit.labels, {.score = ConformalScore::aps, .miscoverage = .5, .seed = 9}).value();
  const auto sets = prediction_sets(predictor, use.p).value();
  const auto p = use.p.values<double>("p").value();
  int empty = 0;
  for (std::int64_t i = 0; i < 50; ++i) {
    const auto set = sets.of(i);
    empty += set.empty();
    for (std::size_t j = 1; j < set.size(); ++j)
      CHECK(p[static_cast<std::size_t>(i * 5 + set[j])] <= p[static_cast<std::size_t>(i * 5 + set[j - 1])]);
    const auto one =
        prediction_sets(predictor, use.p.view().rows(i, i + 1).value(), static_cast<std::uint64_t>(i)).value();
    CHECK(std::equal(set.begin(), set.end(), one.members.begin(), one.members.end()));
  }
  CHECK(empty > 0);
  ConformalPredictor full = predictor;
  full.options.allow_empty = false;
  const auto metrics = measure_sets(prediction_sets(full, use.p).value(), use.labels).value();
  CHECK(metrics.empty == 0);
  std::vector<std::int32_t> slices(50, 1);
  slices[0] = 0;
  const auto by_slice = measure_sets_by_slice(sets, use.labels, slices, 3).value();
  CHECK(by_slice[0].count == 1);
  CHECK(by_slice[1].count == 49);
  CHECK(by_slice[2].count == 0);
  CHECK(by_slice[2].coverage == 0);
}

TEST_CASE("conformal prediction refuses wrong input by name") {
  const Rows data = drawn(20, 3, 3);
  for (const double alpha : {0., 1., std::nan("")})
    CHECK(fit_conformal(data.p, data.labels, {.miscoverage = alpha}).error().code() == ErrorCode::invalid_argument);
  CHECK(fit_conformal(data.p, data.labels, {.rank_penalty = -1}).error().code() == ErrorCode::invalid_argument);
  auto nan = data.p;
  nan.mutable_values<double>()[4] = std::nan("");
  const auto error = fit_conformal(nan, data.labels).error();
  CHECK(error.code() == ErrorCode::invalid_value);
  CHECK(mcomp_test::well_formed(error));
  const auto predictor = fit_conformal(data.p, data.labels).value();
  CHECK(prediction_sets(predictor, drawn(5, 4, 1).p).error().code() == ErrorCode::invalid_shape);
  const auto outside = Tensor::from(std::vector<std::int32_t>(20, 3), {20}).value();
  CHECK(fit_conformal(data.p, outside).error().code() == ErrorCode::invalid_value);
}
