#include "mcomp/cost/simulate.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/cost/queue.hpp"
#include "mcomp/cost/trace.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

template <class T> void check_error(const Result<T>& result, ErrorCode code) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
}

/// Within 5 standard errors: batch means of 40 batches follow Student's t, and quantiles are only nearly normal.
void check_estimate(const Estimate& simulated, double expected, double largest_error = 0.1, double accuracy = 0) {
  INFO("simulated " << simulated.value << " +- " << simulated.standard_error << ", expected " << expected);
  CHECK(std::abs(simulated.value - expected) <= 5 * simulated.standard_error + accuracy * expected);
  CHECK(simulated.standard_error < largest_error * expected); // else the check above would mean little
}

/// A share among so many trials.
void check_share(std::int64_t count, std::int64_t trials, double expected) {
  const auto n = static_cast<double>(trials);
  INFO("counted " << count << " of " << trials << ", expected " << expected);
  // Blocking comes in clusters: three times the error of independent trials, four times over.
  CHECK(std::abs(static_cast<double>(count) / n - expected) < 12 * std::sqrt(expected * (1 - expected) / n));
}

const ServiceTime exponential = ServiceTime::exponential(1).value();

} // namespace

TEST_CASE("simulated lines wait as M/M/c, M/D/c and M/G/1 do") {
  // bench/cost/simulate_accuracy.cpp holds 200 settings to 1% and 3%; here fewer requests, against standard errors.
  Random random(17);
  for (int setting = 0; setting < 60; ++setting) {
    const double mean = std::exp(2 * random.normal()), rho = 0.3 + 0.55 * random.uniform();
    const SimulationOptions options{.requests = 200'000, .seed = static_cast<std::uint64_t>(setting)};
    const auto run = [&](const ServiceTime& service, std::int64_t servers) {
      return simulate(rho * static_cast<double>(servers) / mean, {.service = service, .servers = servers}, options)
          .value();
    };
    if (setting % 3 == 0) {
      const auto servers = static_cast<std::int64_t>(1 + random.below(6));
      INFO("M/M/" << servers << ", utilization " << rho);
      const auto result = run(ServiceTime::exponential(mean).value(), servers);
      const double rate = rho * static_cast<double>(servers) / mean;
      const auto wait = waiting({.arrivals_per_second = rate, .service_seconds = mean, .servers = servers}).value();
      const auto response = markov_response(rate, mean, servers).value();
      check_estimate(result.wait.mean, wait.mean(), 0.2);
      check_estimate(result.response.mean, response.mean());
      check_estimate(result.response.p50, response.quantile(0.5).value(), 0.1, 0.0025);
      check_estimate(result.response.p99, response.quantile(0.99).value(), 0.1, 0.0025);
      CHECK(result.utilization == Approx(rho).epsilon(0.03));
      CHECK(result.requests == 200'000);
      CHECK(result.mean_batch == 1);
    } else if (setting % 3 == 1) {
      const auto servers = static_cast<std::int64_t>(1 + random.below(4));
      INFO("M/D/" << servers << ", utilization " << rho);
      const auto result = run(ServiceTime::deterministic(mean).value(), servers);
      const double rate = rho * static_cast<double>(servers) / mean;
      check_estimate(result.wait.mean, deterministic_wait(rate, mean, servers).value(), 0.2);
      if (servers == 1) {
        const auto line = SingleServer::create(rate, ServiceTime::deterministic(mean).value()).value();
        check_estimate(result.wait.p99, line.wait_quantile(0.99).value(), 0.2, 0.0025);
      }
    } else {
      const double variability = 0.2 + 3 * random.uniform();
      const std::vector<double> measured{0.2 * mean, 0.9 * mean, mean, 1.9 * mean};
      const ServiceTime service = setting % 9 == 2   ? ServiceTime::lognormal(mean, variability).value()
                                  : setting % 9 == 5 ? ServiceTime::hyperexponential(mean, 1 + variability).value()
                                                     : ServiceTime::empirical(measured).value();
      INFO("M/G/1 with " << to_string(service) << ", utilization " << rho);
      const auto result = run(service, 1);
      const auto line = SingleServer::create(rho / mean, service).value();
      check_estimate(result.wait.mean, line.mean_wait(), 0.2);
      check_estimate(result.wait.p95, line.wait_quantile(0.95).value(), 0.2, 0.004);
      check_estimate(result.wait.p99, line.wait_quantile(0.99).value(), 0.2, 0.004);
    }
  }
}

TEST_CASE("standard errors are as large as the scatter of repeated runs") {
  std::vector<double> means, errors;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const auto run =
        simulate(0.7, {.service = exponential}, {.requests = 60'000, .warm_up = 1000, .batches = 20, .seed = seed});
    means.push_back(run.value().wait.mean.value);
    errors.push_back(run.value().wait.mean.standard_error);
  }
  const double mean = std::accumulate(means.begin(), means.end(), 0.0) / 60;
  double variance = 0;
  for (const double x : means) variance += (x - mean) * (x - mean) / 59;
  const double claimed = std::accumulate(errors.begin(), errors.end(), 0.0) / 60;
  CHECK(std::sqrt(variance) == Approx(claimed).epsilon(0.3)); // standard deviation of 60: 9%
}

TEST_CASE("a control variate removes what M/M/c explains") {
  const SimulationOptions plain{.requests = 200'000, .seed = 5};
  SimulationOptions paired = plain;
  paired.control_variate = true;
  for (const double variability : {1.5, 3.0}) {
    const ServerPool pool{.service = ServiceTime::hyperexponential(1, variability).value()};
    const auto with = simulate(0.8, pool, paired).value();
    const double exact = SingleServer::create(0.8, pool.service).value().mean_wait();
    check_estimate(with.wait.mean, exact);
    check_estimate(with.response.mean, exact + 1);
    CHECK(with.control_weight > 0);
    CHECK(simulate(0.8, pool, plain).value().control_weight == 0);
    CHECK(with.wait.mean.standard_error < 0.8 * simulate(0.8, pool, plain).value().wait.mean.standard_error);
  }
  // M/M/c is its own partner: nothing is left to chance.
  const auto own = simulate(2.4, {.service = exponential, .servers = 3}, paired).value();
  const double exact = waiting({.arrivals_per_second = 2.4, .service_seconds = 1, .servers = 3}).value().mean();
  CHECK(own.wait.mean.value == Approx(exact).epsilon(0.01));
  CHECK(own.control_weight == Approx(1).epsilon(0.05));
  check_estimate(
      simulate(3.2, {.service = ServiceTime::deterministic(1).value(), .servers = 4}, paired).value().wait.mean,
      deterministic_wait(3.2, 1, 4).value());
}

TEST_CASE("a bounded line drops what Erlang B and M/M/c/K say") {
  const auto loss =
      simulate(3, {.service = exponential, .servers = 4, .queue_limit = 0}, {.requests = 300'000}).value();
  check_share(loss.dropped, loss.dropped + loss.requests, erlang_b(4, 3).value());
  CHECK(loss.wait.mean.value == 0);
  // Erlang B holds for any service time, also above one erlang a server.
  const auto heavy = simulate(6, {.service = ServiceTime::lognormal(1, 2).value(), .servers = 4, .queue_limit = 0},
                              {.requests = 300'000})
                         .value();
  check_share(heavy.dropped, heavy.dropped + heavy.requests, erlang_b(4, 6).value());
  // M/M/1/K: P(K) = (1 - a) a^K / (1 - a^(K + 1)), K = one in service and 4 that wait.
  const auto bounded = simulate(0.9, {.service = exponential, .queue_limit = 4}, {.requests = 300'000}).value();
  check_share(bounded.dropped, bounded.dropped + bounded.requests,
              (1 - 0.9) * std::pow(0.9, 5) / (1 - std::pow(0.9, 6)));
}

TEST_CASE("batches are formed and served as bulk queues say") {
  // M/M^[b]/1, up to b at once and no wait for more (Gross et al., section 3.2): the number that waits while the server
  // is busy is geometric with the root r < 1 of mu r^(b+1) - (lambda + mu) r + lambda = 0.
  const double rate = 2.2;
  double r = 0.5;
  for (int i = 0; i < 200; ++i) r = (rate + std::pow(r, 4)) / (rate + 1);
  const double idle = 1 / rate / (1 / rate + 1 / (1 - r)); // p_idle lambda = p_0 mu
  const double waiting_mean = idle * rate * r / ((1 - r) * (1 - r));
  const auto bulk =
      simulate(rate, {.service = exponential, .batching = {.max_size = 3, .scale = {1, 1, 1}}}, {.requests = 400'000})
          .value();
  check_estimate(bulk.wait.mean, waiting_mean / rate);
  CHECK(bulk.utilization == Approx(1 - idle).epsilon(0.02));

  // Many free servers: a batch closes with its b-th request or t after its first, whichever comes first. The mean size
  // is 1 + the mean of min(Poisson(lambda t), b - 1), and the last of them is served at once.
  const Batching batching{.max_size = 3, .max_wait_seconds = 0.5, .scale = {1, 1.5, 1.75}};
  const auto formed =
      simulate(2, {.service = ServiceTime::deterministic(0.1).value(), .servers = 50, .batching = batching},
               {.requests = 300'000})
          .value();
  const double none = std::exp(-1.0), one = std::exp(-1.0);
  const double size = 1 + one + 2 * (1 - none - one);
  CHECK(formed.mean_batch == Approx(size).epsilon(0.01));
  // The first of a batch waits min(t, time until two more have come), P(> u) = (1 + 2u) e^{-2u}.
  const auto tail = [](double u) { return (1 + 2 * u) * std::exp(-2 * u); };
  double wait_first = 0;
  for (int i = 0; i < 1000; ++i) wait_first += tail((i + 0.5) / 2000) / 2000;
  // The second of a batch arrives at u < t and waits min(t - u, time of the next).
  double wait_second = 0;
  for (int i = 0; i < 1000; ++i) {
    const double u = (i + 0.5) / 2000;
    wait_second += 2 * std::exp(-2 * u) * (1 - std::exp(-2 * (0.5 - u))) / 2 / 2000;
  }
  check_estimate(formed.wait.mean, (wait_first + wait_second) / size, 0.02);
  // Service of one, two and three together.
  CHECK(formed.response.sketch.max() == Approx(0.5 + 0.1 * 1.75).epsilon(0.01));
}

TEST_CASE("servers are lost and come back") {
  // One server, nobody waits: idle, busy or away. Of the time it is up, idle : busy = (mu + xi) : lambda.
  const double rate = 0.8, loss = 0.25, boot = 3;
  const ServerPool pool{.service = exponential,
                        .interruptions = {.mean_seconds_between = 1 / loss, .retries = 0},
                        .boot_seconds = boot,
                        .queue_limit = 0};
  const auto run = simulate(rate, pool, {.requests = 200'000, .warm_up = 0}).value();
  const double up = 1 / (1 + loss * boot), busy = up * rate / (rate + 1 + loss);
  const std::int64_t all = run.requests + run.dropped + run.lost;
  CHECK(all == 200'000);
  check_share(run.dropped, all, 1 - up + busy);
  check_share(run.lost, all - run.dropped, loss / (1 + loss)); // interrupted before it ends
  CHECK(run.utilization == Approx(busy / up).epsilon(0.02));
  CHECK(static_cast<double>(run.interruptions) / run.seconds == Approx(loss * up).epsilon(0.02));
  // Requests that start anew are not lost; with constant service S the time in service until it ends at last has mean
  // (e^{xi S} - 1) / xi.
  const auto again = simulate(0.001,
                              {.service = ServiceTime::deterministic(2).value(),
                               .interruptions = {.mean_seconds_between = 4, .retries = 100},
                               .boot_seconds = 0},
                              {.requests = 100'000})
                         .value();
  CHECK(again.lost == 0);
  check_estimate(again.response.mean, (std::exp(0.5) - 1) * 4, 0.02, 2e-3);
}

TEST_CASE("servers that still boot serve later") {
  const std::vector<double> times{0, 1, 2};
  const auto run =
      simulate(times, {.service = ServiceTime::deterministic(1).value(), .boot_seconds = 10, .cold_start = true})
          .value();
  // Served at 10, 11 and 12.
  CHECK(run.wait.sketch.min() == 10);
  CHECK(run.wait.sketch.max() == 10);
  CHECK(run.response.mean.value == 11);
  CHECK(std::isinf(run.response.mean.standard_error));
  CHECK(run.seconds == 13);
}

TEST_CASE("recorded arrivals and their work are served one after the other") {
  // By hand, two servers: 0-4, 1-2, 2-3 (waits 0), then the fourth arrives at 2.5 and waits for 3.
  const std::vector<double> times{0, 1, 2, 2.5}, work{4, 1, 1, 1};
  const ServerPool pool{.service = exponential, .servers = 2};
  const auto run = simulate(times, pool, {}, work).value();
  CHECK(run.wait.mean.value == Approx(0.125));
  CHECK(run.wait.sketch.max() == 0.5);
  CHECK(run.response.mean.value == Approx((4 + 1 + 1 + 1.5) / 4));
  CHECK(run.utilization == Approx(7.0 / 8));
  // A burst is no error, though more arrives than can be served for a time.
  CHECK(simulate(std::vector<double>(1000, 0.0), pool).value().requests == 1000);
  // A Poisson stream that was recorded waits as the stream does.
  const auto stream = RequestTrace{.requests = std::vector<double>(500, 120)}.arrivals(3).value();
  check_estimate(simulate(stream, {.service = ServiceTime::exponential(0.35).value()}).value().wait.mean,
                 0.35 * 0.7 / 0.3, 0.15);
}

TEST_CASE("a recorded token service is busy with its tokens") {
  const auto path = mcomp_test::data("traffic/azure_llm_2023_conv.csv");
  if (!path) return;
  const ArrivalTrace trace = ArrivalTrace::read(*path).value();
  // A fifth of a millisecond a prompt token and 20 ms a generated one, 32 requests side by side.
  const auto work = trace.work_seconds(0.05, 0.0002, 0.02).value();
  const auto run =
      simulate(trace.seconds, {.service = ServiceTime::deterministic(1).value(), .servers = 32}, {}, work).value();
  const double total = std::accumulate(work.begin(), work.end(), 0.0);
  CHECK(run.requests == 19'366);
  CHECK(run.utilization * 32 * run.seconds == Approx(total));
  CHECK(run.response.mean.value == Approx(run.wait.mean.value + total / 19'366));
  // With a server for every request nobody waits, and a response is its work.
  const auto free =
      simulate(trace.seconds, {.service = ServiceTime::deterministic(1).value(), .servers = 2000}, {}, work).value();
  CHECK(free.wait.sketch.max() == 0);
  CHECK(free.response.mean.value == Approx(total / 19'366));
  CHECK(free.response.mean.value < run.response.mean.value);
}

TEST_CASE("the same seed gives the same simulation") {
  const ServerPool pool{.service = ServiceTime::lognormal(1, 2).value(),
                        .servers = 3,
                        .interruptions = {.mean_seconds_between = 50},
                        .boot_seconds = 5};
  const auto run = [&](std::uint64_t seed) { return simulate(2, pool, {.requests = 20'000, .seed = seed}).value(); };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
  CHECK(fmt::format("{}", run(1)).find("wait: mean") == 0);
}

TEST_CASE("pools and loads that cannot be are errors") {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  const ServerPool pool{.service = exponential};
  for (const double rate : {0.0, -1.0, nan, infinity}) check_error(simulate(rate, pool), ErrorCode::invalid_value);
  check_error(simulate(1, pool), ErrorCode::invalid_argument);    // utilization 1
  check_error(simulate(1e12, pool), ErrorCode::invalid_argument); // and far above
  check_error(simulate(0.5, pool, {.requests = 1'000'000'000'000}), ErrorCode::invalid_argument);
  check_error(simulate(0.5, pool, {.requests = 0}), ErrorCode::invalid_argument);
  check_error(simulate(0.5, pool, {.requests = 10, .warm_up = -1}), ErrorCode::invalid_argument);
  check_error(simulate(0.5, pool, {.requests = 10, .batches = 1}), ErrorCode::invalid_argument);
  check_error(simulate(0.5, pool, {.requests = 10, .relative_accuracy = 0}), ErrorCode::invalid_argument);
  // Half of the time away: no more than half of the load.
  check_error(simulate(0.6, {.service = exponential, .interruptions = {.mean_seconds_between = 9}, .boot_seconds = 9}),
              ErrorCode::invalid_argument);
  const auto with = [&](auto change) {
    ServerPool changed = pool;
    change(changed);
    return simulate(0.5, changed, {.requests = 100});
  };
  check_error(with([](auto& p) { p.servers = 0; }), ErrorCode::invalid_argument);
  check_error(with([](auto& p) { p.servers = 1'000'000'000'000; }), ErrorCode::invalid_argument);
  check_error(with([](auto& p) { p.batching.max_size = 0; }), ErrorCode::invalid_argument);
  check_error(with([](auto& p) { p.batching.max_size = 2; }), ErrorCode::invalid_shape);
  check_error(with([](auto& p) { p.batching = {.max_size = 2, .scale = {1, -1}}; }), ErrorCode::invalid_value);
  check_error(with([](auto& p) {
                p.batching = {.max_size = 2, .max_wait_seconds = -1, .scale = {1, 1}};
              }),
              ErrorCode::invalid_value);
  check_error(with([](auto& p) {
                p.batching = {.max_size = 3, .scale = {1, 1, 1}};
                p.queue_limit = 1;
              }),
              ErrorCode::invalid_argument);
  check_error(with([](auto& p) { p.queue_limit = -1; }), ErrorCode::invalid_argument);
  check_error(with([&](auto& p) { p.boot_seconds = nan; }), ErrorCode::invalid_value);
  check_error(with([&](auto& p) { p.interruptions.mean_seconds_between = -1; }), ErrorCode::invalid_value);
  check_error(with([](auto& p) { p.interruptions.retries = -1; }), ErrorCode::invalid_argument);
  for (const auto& change :
       std::vector<ServerPool>{{.service = exponential, .batching = {.max_size = 2, .scale = {1, 1}}},
                               {.service = exponential, .queue_limit = 5},
                               {.service = exponential, .interruptions = {.mean_seconds_between = 100}},
                               {.service = exponential, .boot_seconds = 1, .cold_start = true}})
    check_error(simulate(0.5, change, {.control_variate = true}), ErrorCode::invalid_argument);
  const std::vector<double> times{0, 1};
  check_error(simulate(std::vector<double>{}, pool), ErrorCode::insufficient_data);
  check_error(simulate(std::vector<double>{1, 0.5}, pool), ErrorCode::invalid_value);
  check_error(simulate(std::vector<double>{-1, 0.5}, pool), ErrorCode::invalid_value);
  check_error(simulate(std::vector<double>{0, nan}, pool), ErrorCode::invalid_value);
  check_error(simulate(times, pool, {.warm_up = 2}), ErrorCode::insufficient_data);
  check_error(simulate(times, pool, {.control_variate = true}), ErrorCode::invalid_argument);
  check_error(simulate(times, pool, {}, std::vector<double>{1}), ErrorCode::invalid_shape);
  check_error(simulate(times, pool, {}, std::vector<double>{1, -1}), ErrorCode::invalid_value);
  check_error(simulate(times, {.service = exponential, .interruptions = {.mean_seconds_between = 1e-12}}),
              ErrorCode::invalid_argument);
  // Nothing lasts long enough to be served.
  check_error(simulate(times, {.service = ServiceTime::deterministic(1).value(),
                               .interruptions = {.mean_seconds_between = 1e-3, .retries = 0}}),
              ErrorCode::insufficient_data);
}
