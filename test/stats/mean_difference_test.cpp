#include "mcomp/stats/mean_difference.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/confidence_sequence.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
Approx near(double value) {
  return Approx(value).margin(5.1e-6).epsilon(0);
}
SampleMoments candidate() {
  return SampleMoments::from_sums(3461, 2422.7, 134698.29).value();
}
SampleMoments baseline(std::int64_t n) {
  return SampleMoments::from_sums(n, 1396.87, 52377.9767).value();
}
} // namespace

TEST_CASE("Welch's test has the values of GrowthBook's own tests") {
  // growthbook, packages/stats/tests/frequentist/test_tests.py; five decimals.
  const auto relative = compare_means(baseline(3407), candidate(), {.relative = true}).value();
  CHECK(relative.estimate == near(.70732));
  CHECK(relative.standard_error == near(.37879));
  CHECK(relative.interval.lower == near(-.03526));
  CHECK(relative.interval.upper == near(1.44989));
  CHECK(relative.p_value == near(.06191));
  const auto absolute = compare_means(baseline(3407), candidate()).value();
  CHECK(absolute.estimate == near(.29));
  CHECK(absolute.standard_error == near(.12478));
  CHECK(absolute.interval.lower == near(.04538));
  CHECK(absolute.interval.upper == near(.53462));
  CHECK(absolute.p_value == near(.02016));
  const auto proportions = compare_means(SampleMoments::from_successes(14, 28).value(),
                                         SampleMoments::from_successes(16, 30).value(), {.relative = true})
                               .value();
  CHECK(proportions.estimate == near(.06667));
  CHECK(proportions.interval.lower == near(-.47767));
  CHECK(proportions.interval.upper == near(.61101));
  CHECK(proportions.p_value == near(.80707));

  const auto greater =
      compare_means(baseline(3000), candidate(), {.relative = true, .alternative = Alternative::greater}).value();
  CHECK(greater.interval.lower == Approx(-0.045136675850396046).epsilon(1e-9));
  CHECK(std::isinf(greater.interval.upper));
  CHECK(greater.p_value == Approx(0.06558262868467746).epsilon(1e-9));
  const auto less =
      compare_means(baseline(3000), candidate(), {.relative = true, .alternative = Alternative::less}).value();
  CHECK(less.interval.upper == Approx(1.0518588475628676).epsilon(1e-9));
  CHECK(less.p_value == Approx(0.9344173713153225).epsilon(1e-9));
}

TEST_CASE("the sequential comparison has the values of GrowthBook's own tests") {
  const auto means = compare_means_sequentially(baseline(3000), candidate(), 1000, {.relative = true}).value();
  CHECK(means.estimate == near(.50336));
  CHECK(means.standard_error == near(.33341));
  CHECK(means.interval.lower == near(-.55844));
  CHECK(means.interval.upper == near(1.56516));
  CHECK(means.p_value == 1);
  const auto proportions =
      compare_means_sequentially(SampleMoments::from_successes(1396, 3000).value(),
                                 SampleMoments::from_successes(2422, 3461).value(), 5000, {.relative = true})
          .value();
  CHECK(proportions.estimate == near(.50386));
  CHECK(proportions.interval.lower == near(.40098));
  CHECK(proportions.interval.upper == near(.60675));
  CHECK(proportions.p_value < 5e-6);
  const auto side = [](Alternative alternative) {
    return compare_means_sequentially(baseline(3000), candidate(), 5000, {.relative = true, .alternative = alternative})
        .value()
        .interval;
  };
  CHECK(side(Alternative::greater).lower == near(-.42356));
  CHECK(side(Alternative::less).upper == near(1.43029));
  CHECK(compare_means_sequentially(baseline(3000), candidate(), 5000, {.alternative = Alternative::greater})
            .value()
            .interval.lower == Approx(-0.12656844172804982).epsilon(1e-9));
}

TEST_CASE("sums give the moments, and the sequence is that of single observations") {
  Random random(3);
  auto sequence = AsymptoticDifferenceSequence::create({.planned_observations = 300}).value();
  double sums[2][2] = {};
  for (int i = 0; i < 200; ++i) {
    const double x = random.normal(), y = random.normal() + .5;
    sequence.update_baseline(x);
    sequence.update_candidate(y);
    sums[0][0] += x, sums[0][1] += x * x, sums[1][0] += y, sums[1][1] += y * y;
  }
  const auto first = SampleMoments::from_sums(200, sums[0][0], sums[0][1]).value();
  const auto second = SampleMoments::from_sums(200, sums[1][0], sums[1][1]).value();
  const auto result = compare_means_sequentially(first, second, 300).value();
  CHECK(result.interval.lower == Approx(sequence.interval().lower).epsilon(1e-9));
  CHECK(result.p_value == Approx(1 / sequence.e_value()).epsilon(1e-7));
  const auto mirrored = compare_means(second, first).value();
  CHECK(mirrored.p_value == compare_means(first, second).value().p_value);
}

TEST_CASE("moments that cannot be are refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  CHECK(SampleMoments::from_sums(1, 1, 1).error().code() == ErrorCode::insufficient_data);
  CHECK(SampleMoments::from_sums(3, nan, 1).error().code() == ErrorCode::invalid_value);
  CHECK(SampleMoments::from_sums(3, 3, 1).error().code() == ErrorCode::invalid_value);
  CHECK(mcomp_test::well_formed(SampleMoments::from_sums(3, 3, infinity).error()));
  CHECK(SampleMoments::from_sums(3, .3, .03).value().variance == Approx(0).margin(1e-17)); // three times .1
  CHECK(SampleMoments::from_successes(0, 0).error().code() == ErrorCode::insufficient_data);
  CHECK_FALSE(SampleMoments::from_successes(3, 2));
  CHECK_FALSE(SampleMoments::from_successes(1, (std::int64_t{1} << 53) + 1));
  const SampleMoments good{10, 1, 1}, constant{10, 1, 0}, centred{10, 0, 1}, bad{10, 1, nan}, one{1, 1, 0};
  CHECK(compare_means(constant, constant).error().code() == ErrorCode::insufficient_data);
  CHECK(compare_means(one, good).error().code() == ErrorCode::insufficient_data);
  CHECK(compare_means(good, bad).error().code() == ErrorCode::invalid_value);
  CHECK(compare_means(centred, good, {.relative = true}).error().code() == ErrorCode::invalid_value);
  CHECK(compare_means(good, good, {.level = 1}).error().code() == ErrorCode::invalid_argument);
  CHECK(compare_means_sequentially(good, good, 0).error().code() == ErrorCode::invalid_argument);
  CHECK_FALSE(compare_means_sequentially(good, good, 10, {.level = .4, .alternative = Alternative::less}));
  CHECK(compare_means(constant, good).value().degrees_of_freedom == Approx(9));
}
