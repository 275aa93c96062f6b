#include "mcomp/cost/erlang.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T> void check_error(const Result<T>& result, ErrorCode code) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
}

} // namespace

TEST_CASE("Erlang C has its exact values") {
  // Rational numbers by exact arithmetic; (10, 6) is "about .10" in textbooks.
  struct Case {
    std::int64_t servers;
    double load, expected;
  };
  for (const auto& [servers, load, expected] : std::vector<Case>{{3, 2, 4.0 / 9},
                                                                 {2, 2.0 / 3, 1.0 / 6},
                                                                 {2, 1, 1.0 / 3},
                                                                 {5, 4, 128.0 / 231},
                                                                 {10, 6, 1458.0 / 14393},
                                                                 {10, 8, 4194304.0 / 10250507},
                                                                 {1, 0.7, 0.7}}) {
    INFO(servers << " servers, load " << load);
    CHECK(erlang_c(servers, load).value() == Approx(expected).epsilon(1e-14));
  }
  CHECK(erlang_c(100, 90).value() == Approx(0.216940480906).epsilon(1e-11));
}

TEST_CASE("Erlang B is its sum, also where the sum's terms would overflow") {
  // B = (a^c / c!) / sum_k a^k / k!, by hand for small c.
  CHECK(erlang_b(0, 5).value() == 1);
  CHECK(erlang_b(1, 1).value() == 0.5);
  CHECK(erlang_b(2, 1).value() == Approx(1.0 / 5));
  CHECK(erlang_b(3, 2).value() == Approx((8.0 / 6) / (1 + 2 + 2 + 8.0 / 6)));
  CHECK(erlang_b(3, 0).value() == 0);
  // Heavy traffic a = c: B sqrt(pi c / 2) tends to 1 with error 2/3 sqrt(2 / (pi c)) (Jagerman 1974).
  const double c = 1e6;
  CHECK(erlang_b(1'000'000, c).value() * std::sqrt(M_PI * c / 2) == Approx(1).epsilon(1e-3));
  CHECK(erlang_b(1000, 1).value() == 0); // 1/1000! is below every double
}

TEST_CASE("waits in M/M/c have their exact values") {
  // c = 10, a = 8, mu = 1: exact arithmetic.
  const Waiting w = waiting({.arrivals_per_second = 8, .service_seconds = 1, .servers = 10}).value();
  CHECK(w.mean() == Approx(0.204590075).epsilon(1e-8));
  CHECK(w.exceeds(0.5) == Approx(0.150528965).epsilon(1e-8));
  CHECK(w.exceeds(1) == Approx(0.055376512).epsilon(1e-7));
  CHECK(w.exceeds(2) == Approx(0.007494396).epsilon(1e-6));
  CHECK(w.quantile(0.95).value() == Approx(1.051066).epsilon(1e-6));
  CHECK(w.quantile(0.99).value() == Approx(1.855785).epsilon(1e-6));
  CHECK(w.quantile(0.5).value() == 0); // fewer than half wait at all
  CHECK(w.exceeds(0) == w.probability);
  CHECK(w.exceeds(-1) == 1);
  CHECK(std::isnan(w.exceeds(not_a_number)));
  CHECK(fmt::format("{}", w) == "40.9% wait, 0.205 s on average");
  // Hillier and Lieberman, Introduction to Operations Research: lambda = 2, mu = 3, s = 2 gives L_q = 1/12.
  const Waiting hospital = waiting({.arrivals_per_second = 2, .service_seconds = 1.0 / 3, .servers = 2}).value();
  CHECK(2 * hospital.mean() == Approx(1.0 / 12));
}

TEST_CASE("the mean wait of M/G/1 is that of Pollaczek and Khinchine") {
  // rho = .8: 4 service times for M/M/1, 2 for M/D/1, and (1 + cv^2) / 2 between.
  for (const auto& [variability, expected] : std::vector<std::pair<double, double>>{{1, 4}, {0, 2}, {0.5, 3}, {3, 8}})
    CHECK(waiting({.arrivals_per_second = 0.8, .service_seconds = 1, .servers = 1, .service_variability = variability})
              .value()
              .mean() == Approx(expected));
}

TEST_CASE("where nothing varies nothing waits") {
  const Waiting w = waiting({.arrivals_per_second = 1.9,
                             .service_seconds = 1,
                             .servers = 2,
                             .arrival_variability = 0,
                             .service_variability = 0})
                        .value();
  CHECK(w.mean() == 0);
  CHECK(w.exceeds(0) == 0);
  CHECK(w.exceeds(1) == 0);
  CHECK(w.quantile(0.999).value() == 0);
  const Waiting idle = waiting({.arrivals_per_second = 0, .service_seconds = 1, .servers = 1}).value();
  CHECK(idle.probability == 0);
  CHECK(idle.quantile(0.99).value() == 0);
}

TEST_CASE("arguments outside the domain are errors") {
  check_error(erlang_b(-1, 1), ErrorCode::invalid_argument);
  check_error(erlang_b(1'000'000'000'000, 1), ErrorCode::invalid_argument);
  for (const double load : {-1.0, not_a_number, infinity, -infinity}) {
    check_error(erlang_b(1, load), ErrorCode::invalid_value);
    check_error(erlang_c(1, load), ErrorCode::invalid_value);
    check_error(waiting({.arrivals_per_second = load, .service_seconds = 1}), ErrorCode::invalid_value);
    check_error(waiting({.arrivals_per_second = 0.5, .service_seconds = load}), ErrorCode::invalid_value);
    check_error(waiting({.arrivals_per_second = 0.5, .service_seconds = 1, .arrival_variability = load}),
                ErrorCode::invalid_value);
    check_error(waiting({.arrivals_per_second = 0.5, .service_seconds = 1, .service_variability = load}),
                ErrorCode::invalid_value);
  }
  check_error(erlang_c(2, 2), ErrorCode::invalid_argument);
  check_error(erlang_c(0, 0), ErrorCode::invalid_argument);
  check_error(waiting({.arrivals_per_second = 3, .service_seconds = 1, .servers = 3}), ErrorCode::invalid_argument);
  check_error(waiting({.arrivals_per_second = 0, .service_seconds = 1, .servers = 0}), ErrorCode::invalid_argument);
  check_error(waiting({.arrivals_per_second = 1, .service_seconds = 0}), ErrorCode::invalid_value);
  const Waiting w = waiting({.arrivals_per_second = 0.5, .service_seconds = 1}).value();
  for (const double quantile : {-0.1, 1.0, 1.5, not_a_number})
    check_error(w.quantile(quantile), ErrorCode::invalid_argument);
}

TEST_CASE("a simulated M/M/10 queue waits as predicted") {
  const Queue queue{.arrivals_per_second = 8, .service_seconds = 1, .servers = 10};
  const Waiting w = waiting(queue).value();
  // Waits are correlated, so the standard error comes from the means of 40 batches, each long against the relaxation
  // time of the queue.
  constexpr std::size_t batches = 40, batch_size = 20'000;
  Random random(11);
  const auto exponential = [&](double mean) { return -mean * std::log1p(-random.uniform()); };
  std::priority_queue<double, std::vector<double>, std::greater<>> free_at;
  for (std::int64_t i = 0; i < queue.servers; ++i) free_at.push(0);
  double now = 0;
  const auto next_wait = [&] {
    now += exponential(1 / queue.arrivals_per_second);
    const double start = std::max(now, free_at.top());
    free_at.pop();
    free_at.push(start + exponential(queue.service_seconds));
    return start - now;
  };
  for (std::size_t i = 0; i < 20'000; ++i) next_wait();
  const std::vector<double> quantiles{0.8, 0.95, 0.99};
  std::vector<std::vector<double>> share(quantiles.size(), std::vector<double>(batches, 0));
  std::vector<double> mean(batches, 0);
  for (std::size_t batch = 0; batch < batches; ++batch)
    for (std::size_t i = 0; i < batch_size; ++i) {
      const double wait = next_wait();
      mean[batch] += wait / batch_size;
      for (std::size_t q = 0; q < quantiles.size(); ++q)
        share[q][batch] += wait > w.quantile(quantiles[q]).value() ? 1.0 / batch_size : 0;
    }
  const auto check = [&](const std::vector<double>& values, double expected) {
    double m = 0, variance = 0;
    for (const double x : values) m += x / batches;
    for (const double x : values) variance += (x - m) * (x - m) / (batches - 1);
    const double error = std::sqrt(variance / batches);
    INFO("simulated " << m << " +- " << error << ", predicted " << expected);
    CHECK(std::abs(m - expected) < 4 * error);
    CHECK(error < 0.15 * expected); // else the check above would mean little
  };
  check(mean, w.mean());
  for (std::size_t q = 0; q < quantiles.size(); ++q) check(share[q], 1 - quantiles[q]);
}
