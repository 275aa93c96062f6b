#include "mcomp/stats/proportion.hpp"

#include <cmath>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/stats/distributions.hpp"

using namespace mcomp;
using namespace mcomp::stats;

TEST_CASE("intervals of a proportion are those of Newcombe's comparison") {
  // Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, methods 3 (score) and 5 (Clopper-Pearson).
  const struct {
    int k, n;
    double wilson[2], exact[2];
  } rows[] = {{81, 263, {.2553, .3662}, {.2527, .3676}},
              {15, 148, {.0624, .1605}, {.0578, .1617}},
              {0, 20, {0, .1611}, {0, .1684}},
              {1, 29, {.0061, .1718}, {.0009, .1776}}};
  for (const auto& row : rows) {
    const Interval w = wilson_interval(row.k, row.n).value(), c = clopper_pearson_interval(row.k, row.n).value();
    CHECK(w.lower == Approx(row.wilson[0]).margin(5e-5));
    CHECK(w.upper == Approx(row.wilson[1]).margin(5e-5));
    CHECK(c.lower == Approx(row.exact[0]).margin(5e-5));
    CHECK(c.upper == Approx(row.exact[1]).margin(5e-5));
  }
}

TEST_CASE("Clopper-Pearson covers with at least its level, exactly enumerated") {
  constexpr int n = 25;
  for (double p = 0.02; p < 1; p += 0.07) {
    double covered = 0;
    for (int k = 0; k <= n; ++k)
      if (clopper_pearson_interval(k, n, 0.9).value().contains(p)) covered += binomial_probability(k, n, p);
    CHECK(covered >= 0.9);
  }
}

TEST_CASE("the extreme counts reach the ends of the scale") {
  for (const auto interval : {wilson_interval, clopper_pearson_interval}) {
    CHECK(interval(0, 7, 0.95).value().lower == 0);
    CHECK(interval(7, 7, 0.95).value().upper == 1);
    const Interval low = interval(2, 7, 0.95).value(), high = interval(5, 7, 0.95).value();
    CHECK(low.lower == Approx(1 - high.upper).epsilon(1e-12));
    CHECK(low.upper == Approx(1 - high.lower).epsilon(1e-12));
  }
  CHECK(clopper_pearson_interval(0, 10).value().upper == Approx(1 - std::pow(0.025, 0.1)).epsilon(1e-12));
}

TEST_CASE("counts and levels that cannot be are refused") {
  for (const auto interval : {wilson_interval, clopper_pearson_interval}) {
    CHECK(interval(0, 0, 0.95).error().code() == ErrorCode::insufficient_data);
    for (const auto& bad : {interval(3, 2, 0.95), interval(-1, 2, 0.95), interval(1, 2, 0), interval(1, 2, 1),
                            interval(1, 2, std::nan(""))}) {
      REQUIRE_FALSE(bad);
      CHECK(bad.error().code() == ErrorCode::invalid_argument);
      CHECK(mcomp_test::well_formed(bad.error()));
    }
  }
}
