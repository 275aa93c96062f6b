#include "mcomp/stats/paired.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
/// b, c and n as papers give them.
PairedCounts counts(std::int64_t b, std::int64_t c, std::int64_t n) {
  return {.both_right = n - b - c, .only_baseline_right = b, .only_candidate_right = c, .both_wrong = 0};
}
} // namespace

TEST_CASE("pairs are counted by who is right") {
  const std::vector<std::int32_t> labels{0, 1, 2, 3, 4, 5}, baseline{0, 1, 9, 3, 9, 5}, candidate{0, 9, 2, 3, 8, 9};
  const PairedCounts expected{.both_right = 2, .only_baseline_right = 2, .only_candidate_right = 1, .both_wrong = 1};
  const PairedCounts counted = count_pairs(baseline, candidate, labels).value();
  CHECK(counted == expected);
  CHECK(counted.pairs() == 6);
  CHECK(counted.baseline_accuracy() == Approx(4. / 6));
  CHECK(counted.candidate_accuracy() == Approx(3. / 6));
  CHECK(counted.loss() == Approx(1. / 6));
  const std::vector<std::int64_t> wide{0, 1}, other{0, 2};
  CHECK(count_pairs(wide, other, wide).value() ==
        PairedCounts{.both_right = 1, .only_baseline_right = 1, .only_candidate_right = 0, .both_wrong = 0});
  PairedCounts sum = counted;
  sum += counted;
  CHECK(sum.pairs() == 12);
  CHECK(sum.only_baseline_right == 4);
  CHECK(std::isnan(PairedCounts{}.loss()));
  CHECK(fmt::format("{}", counted) == "6 pairs: baseline 66.67%, candidate 50.00%; 2 only baseline right, 1 only "
                                      "candidate right");

  const auto refused = count_pairs(baseline, std::vector<std::int32_t>{0}, labels);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::invalid_shape);
  CHECK(mcomp_test::well_formed(refused.error()));
}

TEST_CASE("McNemar's test has the values of R and of the tests of statsmodels") {
  // mcnemar.test on [[101, 121], [59, 33]] (statsmodels' own tests quote R); exact to six places there.
  const McNemar test = mcnemar({101, 121, 59, 33}).value();
  CHECK(test.corrected_statistic == Approx(20.67222).epsilon(1e-6));
  CHECK(test.corrected_p_value == Approx(5.450095e-6).epsilon(1e-6));
  CHECK(test.statistic == Approx(21.35556).epsilon(1e-6));
  CHECK(test.p_value == Approx(3.815136e-6).epsilon(1e-6));
  CHECK(test.exact_p_value == Approx(4.43445e-6).epsilon(1e-5));
  CHECK(test.mid_p_value == Approx(3.26665e-6).epsilon(1e-5));

  const McNemar first = mcnemar(counts(70, 59, 200)).value(), second = mcnemar(counts(80, 59, 200)).value();
  CHECK(first.corrected_statistic == Approx(.7751938).epsilon(1e-6));
  CHECK(first.corrected_p_value == Approx(.3786151).epsilon(1e-6));
  CHECK(first.statistic == Approx(.9379845).epsilon(1e-6));
  CHECK(first.p_value == Approx(.3327967).epsilon(1e-6));
  CHECK(first.exact_p_value == Approx(.378688).margin(5e-7));
  CHECK(second.corrected_statistic == Approx(2.87769784).epsilon(1e-8));
  CHECK(second.corrected_p_value == Approx(.08981434).epsilon(1e-6));
  CHECK(second.statistic == Approx(3.17266187).epsilon(1e-8));
  CHECK(second.p_value == Approx(.07488031).epsilon(1e-6));
  CHECK(second.exact_p_value == Approx(.089452).margin(5e-7));

  CHECK(mcnemar(counts(30, 60, 100)).value().exact_p_value == Approx(.00206).margin(5e-6));
  CHECK(mcnemar(counts(10, 30, 100)).value().exact_p_value == Approx(.002221).margin(5e-7));
  CHECK(mcnemar(counts(10, 10, 100)).value().exact_p_value == 1);
}

TEST_CASE("McNemar's test on airway hyper-responsiveness before and after transplantation") {
  // (b, c) = (1, 7); chi-squared 9/2; binomial tails 2 (1 + 8) / 256 and 2 (1 + 8 / 2) / 256.
  const McNemar test = mcnemar(counts(1, 7, 21)).value();
  CHECK(test.statistic == Approx(4.5).epsilon(1e-14));
  CHECK(test.corrected_statistic == Approx(3.125).epsilon(1e-14));
  CHECK(test.corrected_p_value == Approx(.07709987).epsilon(1e-6));
  CHECK(test.exact_p_value == Approx(.0703125).epsilon(1e-13));
  CHECK(test.mid_p_value == Approx(.0390625).epsilon(1e-13));
  CHECK_FALSE(fmt::format("{}", test).empty());
}

TEST_CASE("without disagreement no test rejects") {
  for (const auto& same : {counts(0, 0, 50), counts(4, 4, 50)}) {
    const McNemar test = mcnemar(same).value();
    CHECK(test.statistic == 0);
    CHECK(test.corrected_statistic == 0);
    CHECK(test.p_value == 1);
    CHECK(test.exact_p_value == 1);
    CHECK(test.mid_p_value == 1);
  }
}

TEST_CASE("Tango's interval has its published values") {
  // R packages contingencytables and ratesci; printed there as -.517, -.026.
  const Interval airway = tango_interval(counts(1, 7, 21)).value();
  CHECK(airway.lower == Approx(-.517232).margin(5e-7));
  CHECK(airway.upper == Approx(-.026003).margin(5e-7));
  // The example of R's PropCIs.
  const Interval example = tango_interval(counts(40, 20, 160)).value();
  CHECK(example.lower == Approx(.0308645331).margin(1e-9));
  CHECK(example.upper == Approx(.2180642442).margin(1e-9));
  CHECK(tango_statistic(counts(40, 20, 160), 0).value() == Approx(2.5819889).epsilon(1e-7));
  CHECK(fmt::format("{}", example) == "[0.03086, 0.2181] (95%)");
}

TEST_CASE("Tango's statistic at no loss is McNemar's, and its interval is where it crosses the normal quantile") {
  constexpr double z = 1.959963984540054;
  Random random(3);
  for (int trial = 0; trial < 200; ++trial) {
    const auto b = static_cast<std::int64_t>(random.below(20)), c = static_cast<std::int64_t>(random.below(20));
    const auto n = b + c + static_cast<std::int64_t>(random.below(100)) + 1;
    INFO("b " << b << " c " << c << " n " << n);
    const double t = tango_statistic(counts(b, c, n), 0).value();
    CHECK(t * t == Approx(mcnemar(counts(b, c, n)).value().statistic).margin(1e-12));
    const Interval interval = tango_interval(counts(b, c, n)).value(), mirror = tango_interval(counts(c, b, n)).value();
    CHECK(interval.contains(counts(b, c, n).loss()));
    CHECK(interval.lower == -mirror.upper);
    CHECK(tango_statistic(counts(b, c, n), interval.lower).value() == Approx(z).epsilon(1e-9));
    CHECK(tango_statistic(counts(b, c, n), interval.upper).value() == Approx(-z).epsilon(1e-9));
    CHECK(tango_upper_limit(counts(b, c, n), 0.975).value() == Approx(interval.upper).margin(1e-12));
  }
}

TEST_CASE("with no disagreement, or nothing else, Tango's limits have a closed form") {
  const double z2 = std::pow(1.959963984540054, 2);
  const Interval none = tango_interval(counts(0, 0, 100)).value();
  CHECK(none.upper == Approx(z2 / (100 + z2)).epsilon(1e-12)); // the root of n d^2 = z^2 d (1 - d)
  CHECK(none.lower == Approx(-z2 / (100 + z2)).epsilon(1e-12));
  CHECK(tango_interval(counts(10, 0, 10)).value().upper == 1);
  CHECK(tango_interval(counts(0, 10, 10)).value().lower == -1);
}

TEST_CASE("Tango's interval covers the true loss in about its level of simulated experiments") {
  // 4000 experiments of 100 pairs, P(b) .12, P(c) .05; five standard errors of the coverage are .017.
  Random random(17);
  int covered = 0;
  constexpr int experiments = 4000, n = 100;
  for (int e = 0; e < experiments; ++e) {
    std::int64_t b = 0, c = 0;
    for (int i = 0; i < n; ++i) {
      const double u = random.uniform();
      b += u < 0.12;
      c += u >= 0.12 && u < 0.17;
    }
    covered += tango_interval(counts(b, c, n)).value().contains(0.07);
  }
  CHECK(std::abs(static_cast<double>(covered) / experiments - 0.95) < 0.017);
}

TEST_CASE("the smallest resolvable margin is the limit of an even split, and shrinks with the pairs") {
  CHECK(smallest_resolvable_margin(counts(40, 20, 160)).value() ==
        Approx(tango_upper_limit(counts(30, 30, 160)).value()).epsilon(1e-14));
  CHECK(smallest_resolvable_margin(counts(0, 0, 100)).value() == tango_upper_limit(counts(0, 0, 100)).value());
  const double few = smallest_resolvable_margin(counts(3, 2, 100)).value();
  const double many = smallest_resolvable_margin(counts(300, 200, 10000)).value();
  CHECK(many < few / 5);
  // A large sample: z sqrt(b + c) / n.
  CHECK(smallest_resolvable_margin(counts(5000, 5000, 1000000)).value() ==
        Approx(1.644853626951473 * 100 / 1e6).epsilon(1e-3));
}

TEST_CASE("counts, levels and losses that cannot be are refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(mcnemar({}).error().code() == ErrorCode::insufficient_data);
  CHECK(tango_interval({}).error().code() == ErrorCode::insufficient_data);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  for (const auto& bad : {PairedCounts{-1, 1, 1, 1}, PairedCounts{huge, huge, 1, 1}}) {
    CHECK(mcnemar(bad).error().code() == ErrorCode::invalid_argument);
    CHECK(tango_upper_limit(bad).error().code() == ErrorCode::invalid_argument);
    CHECK(smallest_resolvable_margin(bad).error().code() == ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(mcnemar(bad).error()));
  }
  const auto good = counts(1, 2, 10);
  for (const double level : {0.0, 1.0, -1.0, nan}) {
    CHECK(tango_interval(good, level).error().code() == ErrorCode::invalid_argument);
    CHECK(tango_upper_limit(good, level).error().code() == ErrorCode::invalid_argument);
    CHECK(smallest_resolvable_margin(good, level).error().code() == ErrorCode::invalid_argument);
  }
  for (const double delta : {1.0, -1.0, nan}) CHECK_FALSE(tango_statistic(good, delta));
}
