#include "mcomp/cost/fleet.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/queue.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

template <class T> void check_error(const Result<T>& result, ErrorCode code) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
}

const ServiceTime exponential = ServiceTime::exponential(1).value();

} // namespace

TEST_CASE("the least number of M/M/c servers is found exactly") {
  for (const double rate : {0.1, 0.9, 7.0, 180.0})
    for (const double p99 : {4.7, 5.0, 8.0, 40.0}) {
      INFO(rate << " a second, p99 of " << p99 << " s");
      const FleetSize fleet = smallest_fleet(rate, {.service = exponential}, {.p99_seconds = p99}).value();
      // By trying one after the other.
      auto expected = static_cast<std::int64_t>(rate) + 1;
      while (markov_response(rate, 1, expected).value().quantile(0.99).value() > p99) ++expected;
      CHECK(fleet.servers == expected);
      CHECK(fleet.exact);
      CHECK(fleet.p99.standard_error == 0);
      CHECK(fleet.p99.value <= p99);
      CHECK(fleet.utilization == Approx(rate / static_cast<double>(expected)));
    }
  // M/M/1 answers within t with probability 1 - e^{-(1 - a) t}: by hand a = 1 - ln 100 / 10 = .539.
  CHECK(smallest_fleet(0.53, {.service = exponential}, {.p99_seconds = 10}).value().servers == 1);
  CHECK(smallest_fleet(0.55, {.service = exponential}, {.p99_seconds = 10}).value().servers == 2);
  // The tightest of several objectives decides.
  const auto only = smallest_fleet(7, {.service = exponential}, {.p99_seconds = 5}).value();
  const auto both = smallest_fleet(7, {.service = exponential}, {.p50_seconds = 100, .p99_seconds = 5}).value();
  CHECK(only == both);
  CHECK(smallest_fleet(7, {.service = exponential}, {.p50_seconds = 0.6935, .p99_seconds = 5}).value().servers >
        only.servers);
  CHECK(fmt::format("{}", only).find("(exact)") != std::string::npos);
}

TEST_CASE("a simulated search finds the same number as the exact one") {
  // Objectives in the middle between the quantiles of neighbouring numbers, so that chance does not decide.
  for (const std::int64_t servers : {3, 4, 6}) {
    const double rate = 0.6 * static_cast<double>(servers);
    const double p99 = (markov_response(rate, 1, servers).value().quantile(0.99).value() +
                        markov_response(rate, 1, servers - 1).value().quantile(0.99).value()) /
                       2;
    const auto exact = smallest_fleet(rate, {.service = exponential}, {.p99_seconds = p99}).value();
    const auto simulated = smallest_fleet(rate, {.service = exponential}, {.p99_seconds = p99},
                                          {.requests = 200'000, .simulate_always = true})
                               .value();
    CHECK(simulated.servers == exact.servers);
    CHECK(exact.servers == servers);
    CHECK_FALSE(simulated.exact);
    CHECK(simulated.p99.standard_error > 0);
    CHECK(simulated.p99.value <= p99);
  }
}

TEST_CASE("constant service needs one server where M/D/1 keeps the objective") {
  const auto constant = ServiceTime::deterministic(1).value();
  const double wait = SingleServer::create(0.7, constant).value().wait_quantile(0.95).value();
  const FleetSearch search{.requests = 300'000};
  CHECK(smallest_fleet(0.7, {.service = constant}, {.p95_seconds = 1.1 * (1 + wait)}, search).value().servers == 1);
  CHECK(smallest_fleet(0.7, {.service = constant}, {.p95_seconds = 0.9 * (1 + wait)}, search).value().servers == 2);
}

TEST_CASE("batches carry more with fewer servers") {
  const ServerPool single{.service = ServiceTime::deterministic(1).value()};
  ServerPool batched = single;
  batched.batching = {.max_size = 4, .scale = {1, 1.2, 1.4, 1.6}};
  const FleetSearch search{.requests = 100'000};
  const auto one = smallest_fleet(20, single, {.p95_seconds = 4}, search).value();
  const auto four = smallest_fleet(20, batched, {.p95_seconds = 4}, search).value();
  CHECK(one.servers > 20);
  CHECK(four.servers >= 9); // 4 / 1.6 = 2.5 a second and server, above 8 for 20
  CHECK(four.servers <= 11);
}

TEST_CASE("fleets that cannot be are errors") {
  const ServerPool pool{.service = exponential};
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    check_error(smallest_fleet(bad, pool, {.p99_seconds = 10}), ErrorCode::invalid_value);
    check_error(smallest_fleet(1, pool, {.p99_seconds = bad}), ErrorCode::invalid_value);
  }
  check_error(smallest_fleet(1, pool, {}), ErrorCode::invalid_argument);
  check_error(smallest_fleet(1, pool, {.p99_seconds = 4.6}), ErrorCode::invalid_argument); // service alone: 4.605
  check_error(smallest_fleet(1e12, pool, {.p99_seconds = 10}), ErrorCode::invalid_argument);
  check_error(smallest_fleet(100, pool, {.p99_seconds = 10}, {.max_servers = 100}), ErrorCode::invalid_argument);
  check_error(smallest_fleet(1, pool, {.p99_seconds = 10}, {.max_servers = 0}), ErrorCode::invalid_argument);
  check_error(smallest_fleet(1, pool, {.p99_seconds = 10}, {.margin_errors = -1}), ErrorCode::invalid_argument);
  check_error(smallest_fleet(1, pool, {.p99_seconds = 10}, {.requests = 0, .simulate_always = true}),
              ErrorCode::invalid_argument);
  check_error(smallest_fleet(1, {.service = exponential, .batching = {.max_size = 2}}, {.p99_seconds = 10}),
              ErrorCode::invalid_shape);
}
