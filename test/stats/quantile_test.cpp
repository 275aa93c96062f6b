#include "mcomp/stats/quantile.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/stats/distributions.hpp"

using namespace mcomp;
using namespace mcomp::stats;

namespace {
/// 1, 2 .. n in an order that is not sorted.
std::vector<double> whole_numbers(int n) {
  std::vector<double> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), 1.0);
  Random(1).shuffle(std::span(values));
  return values;
}
} // namespace

TEST_CASE("quantiles follow the two rules of Hyndman and Fan") {
  const auto ten = whole_numbers(10);
  CHECK(quantile(ten, 0.5).value() == 5);
  CHECK(quantile(ten, 0.51).value() == 6);
  CHECK(quantile(ten, 0).value() == 1);
  CHECK(quantile(ten, 1).value() == 10);
  CHECK(quantile(ten, 0.5, QuantileRule::linear).value() == Approx(5.5));
  CHECK(quantile(ten, 0.9, QuantileRule::linear).value() == Approx(9.1));
  CHECK(quantile(ten, 1, QuantileRule::linear).value() == 10);
  const auto hundred = whole_numbers(100);
  for (int k = 1; k <= 100; ++k) CHECK(quantile(hundred, k / 100.0).value() == k); // no rank is lost to rounding
}

TEST_CASE("the ranks of a quantile's interval are those of the binomial distribution") {
  // n = 100, p = 1/2: P(B <= 39) = .0176, P(B <= 40) = .0284, so ranks 40 and 61 at 95%.
  const QuantileEstimate median = estimate_quantile(whole_numbers(100), 0.5).value();
  CHECK(median.value == 50);
  CHECK(median.lower.value() == 40);
  CHECK(median.upper.value() == 61);
  CHECK(median.count == 100);

  for (const double p : {0.1, 0.5, 0.9, 0.99})
    for (const int n : {6, 50, 400, 3000}) {
      const QuantileEstimate q = estimate_quantile(whole_numbers(n), p, 0.9).value();
      if (q.lower) CHECK(binomial_cdf(*q.lower - 1, n, p) <= 0.05);
      if (q.upper) CHECK(1 - binomial_cdf(*q.upper - 1, n, p) <= 0.05 + 1e-12);
      const double next = q.lower.value_or(0) + 1;
      if (next <= n) CHECK(binomial_cdf(next - 1, n, p) > 0.05);
    }
}

TEST_CASE("an interval covers the true quantile in at least its level of simulated samples") {
  // Exponential times: the p quantile is -log(1 - p). Five standard errors are .02 at 2000 samples.
  Random random(5);
  for (const double p : {0.5, 0.95}) {
    int covered = 0;
    constexpr int samples = 2000;
    for (int s = 0; s < samples; ++s) {
      std::vector<double> times(150);
      for (double& t : times) t = -std::log1p(-random.uniform());
      const QuantileEstimate q = estimate_quantile(times, p, 0.95).value();
      covered += *q.lower <= -std::log1p(-p) && -std::log1p(-p) <= *q.upper;
    }
    CHECK(static_cast<double>(covered) / samples > 0.95 - 0.02);
  }
}

TEST_CASE("a sample that is too small has no limit and says how many observations it takes") {
  // The least n with .99^n <= .025 is 368, with .95^n 72, with .5^n 6.
  CHECK(observations_for_quantile_interval(0.99).value() == 368);
  CHECK(observations_for_quantile_interval(0.01).value() == 368);
  CHECK(observations_for_quantile_interval(0.95).value() == 72);
  CHECK(observations_for_quantile_interval(0.5).value() == 6);
  for (const auto& [p, n] : {std::pair{0.99, 368}, {0.95, 72}, {0.5, 6}}) {
    CHECK(estimate_quantile(whole_numbers(n), p).value().upper.has_value());
    CHECK(estimate_quantile(whole_numbers(n), p).value().lower.has_value());
    CHECK_FALSE(estimate_quantile(whole_numbers(n - 1), p).value().upper.has_value());
  }
  // Of 100, four or more lie above p99 with probability .018, three or more with .079: rank 97.
  const auto text = fmt::format("{}", estimate_quantile(whole_numbers(100), 0.99).value());
  CHECK(text == "p99 99 [97, no upper limit: needs 368 observations, has 100]");
}

TEST_CASE("latencies are summarized in seconds and printed in a fitting unit") {
  std::vector<double> seconds = whole_numbers(1000);
  for (double& s : seconds) s *= 1e-5;
  const LatencySummary summary = summarize_latencies(seconds).value();
  CHECK(summary.count == 1000);
  CHECK(summary.mean == Approx(500.5e-5));
  CHECK(summary.p50.value == Approx(500e-5));
  CHECK(summary.p95.value == Approx(950e-5));
  CHECK(summary.p99.value == Approx(990e-5));
  CHECK(summary.p99.lower.value() < summary.p99.value);
  CHECK(summary.p99.upper.value() > summary.p99.value);
  const std::string text = fmt::format("{}", summary);
  CHECK(text.find("1000 latencies, mean 5.005 ms, 95% intervals") == 0);
  CHECK(text.find("\n  p99 9.9 ms [") != std::string::npos);
  const LatencySummary one = summarize_latencies(std::vector<double>{0.5}).value();
  CHECK(one.p99.value == 0.5);
  CHECK_FALSE(one.p50.lower.has_value());
  CHECK(fmt::format("{}", one).find("needs 368 observations, has 1") != std::string::npos);
}

TEST_CASE("observations that are no numbers, and questions that have no answer, are refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> none, bad{1, nan}, good{1, 2, 3};
  CHECK(quantile(none, 0.5).error().code() == ErrorCode::insufficient_data);
  CHECK(estimate_quantile(none, 0.5).error().code() == ErrorCode::insufficient_data);
  CHECK(summarize_latencies(none).error().code() == ErrorCode::insufficient_data);
  CHECK(quantile(bad, 0.5).error().code() == ErrorCode::invalid_value);
  CHECK(mcomp_test::well_formed(quantile(bad, 0.5).error()));
  for (const double latency : {nan, infinity, -1.0})
    CHECK(summarize_latencies(std::vector<double>{1, latency}).error().code() == ErrorCode::invalid_value);
  for (const double p : {-0.1, 1.1, nan}) CHECK(quantile(good, p).error().code() == ErrorCode::invalid_argument);
  for (const double p : {0.0, 1.0, nan}) {
    CHECK(estimate_quantile(good, p).error().code() == ErrorCode::invalid_argument);
    CHECK(estimate_quantile(good, 0.5, p).error().code() == ErrorCode::invalid_argument);
    CHECK_FALSE(observations_for_quantile_interval(p));
    CHECK_FALSE(summarize_latencies(good, p));
  }
  const std::vector<double> unbounded{1, infinity};
  CHECK(quantile(unbounded, 0, QuantileRule::linear).value() == 1);
}
