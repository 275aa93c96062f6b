#include "mcomp/cost/fleet_cost.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/cost/erlang.hpp"
#include "mcomp/stats/distributions.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

PriceCatalogue prices() {
  return {.currency = "USD",
          .date = "2026-07-20",
          .source = "test",
          .instances = {{.name = "small",
                         .vcpus = 4,
                         .on_demand_per_hour = 0.1,
                         .reserved_per_hour = 0.06,
                         .term = "1 year, no upfront"},
                        {.name = "large", .vcpus = 64, .on_demand_per_hour = 1.5}}};
}

/// The quantiles of an exponential distribution at the middle of n equal shares: a sample without noise.
std::vector<double> exponential(double mean, std::size_t n = 4000) {
  std::vector<double> seconds(n);
  for (std::size_t i = 0; i < n; ++i)
    seconds[i] = -mean * std::log1p(-(static_cast<double>(i) + 0.5) / static_cast<double>(n));
  return seconds;
}

std::vector<double> lognormal(double mean, double variability, std::size_t n, Random& random) {
  const double sigma = std::sqrt(std::log1p(variability));
  std::vector<double> seconds(n);
  for (double& x : seconds) x = mean * std::exp(sigma * random.normal() - sigma * sigma / 2);
  return seconds;
}

FleetCost small_fleet(std::vector<double> seconds, double rate, double within, double quantile = 0.99) {
  return fleet_cost({.seconds = std::move(seconds)}, {.requests_per_second = rate},
                    {.quantile = quantile, .seconds = within}, prices(), "small")
      .value();
}

/// P(T > t) in M/M/c: wait plus own service, by integration of the wait's distribution over the service time.
double sojourn_exceeds(double arrivals, double service, std::int64_t servers, double t) {
  const double mu = 1 / service, a = arrivals * service, c = erlang_c(servers, a).value();
  const double k = static_cast<double>(servers) - 1 - a;
  const double extra = std::abs(k) < 1e-12 ? mu * t : -std::expm1(-mu * t * k) / k;
  return std::exp(-mu * t) * (1 + c * extra);
}

} // namespace

TEST_CASE("one server with exponential times answers as M/M/1 does") {
  // Sojourn of M/M/1 is exponential with rate mu - lambda: p95 = ln 20 / (1 - 0.5) = 5.99 service times.
  const double exact = std::log(20.0) / 0.5;
  const FleetCost f = small_fleet(exponential(1), 0.5, 1.01 * exact, 0.95);
  CHECK(f.instances == 1);
  CHECK(f.utilisation == Approx(0.5).epsilon(2e-3));
  CHECK(f.latency_seconds == Approx(exact).epsilon(5e-3));
  CHECK(f.mean_wait_seconds == Approx(1).epsilon(0.01)); // rho / (mu - lambda)
  CHECK(small_fleet(exponential(1), 0.5, 0.98 * exact, 0.95).instances == 2);
}

TEST_CASE("with exponential times the fleet is the one of the exact M/M/c formula") {
  for (const double rate : {2.0, 17.0, 130.0, 900.0})
    for (const double within : {0.48, 0.6, 1.0}) {
      INFO(rate << " per second within " << within);
      const FleetCost f = small_fleet(exponential(0.1), rate, within);
      std::int64_t exact = static_cast<std::int64_t>(rate * 0.1) + 1;
      while (sojourn_exceeds(rate, 0.1, exact, within) > 0.01) ++exact;
      CHECK(f.instances == exact);
      CHECK(sojourn_exceeds(rate, 0.1, f.instances, f.latency_seconds) == Approx(0.01).epsilon(0.05));
      CHECK(f.latency_seconds <= within);
    }
}

TEST_CASE("costs are instances times hours times price") {
  // Constant times never wait long with light traffic: 100/s x 0.01 s is one busy server; two suffice for 0.05 s.
  const FleetCost f = small_fleet(std::vector<double>(100, 0.01), 100, 0.05);
  CHECK(f.instances == 2);
  CHECK(f.utilisation == Approx(0.5));
  CHECK(f.on_demand.per_month == Approx(2 * 730 * 0.1));
  CHECK(f.reserved.value().per_month == Approx(2 * 730 * 0.06));
  // 100/s for an hour are 0.36 million requests for two machine hours.
  CHECK(f.on_demand.per_million_requests == Approx(0.2 / 0.36));
  CHECK(f.reserved->per_million_requests == Approx(0.12 / 0.36));
  CHECK(f.on_demand.per_month_interval == stats::Interval{f.on_demand.per_month, f.on_demand.per_month, 0.95});
  const FleetCost spare = fleet_cost({.seconds = std::vector<double>(100, 0.01)}, {.requests_per_second = 100},
                                     {.seconds = 0.05}, prices(), "small", {.spare_instances = 1})
                              .value();
  CHECK(spare.instances == 3);
  CHECK(spare.utilisation == f.utilisation);
  CHECK(spare.on_demand.per_month == Approx(1.5 * f.on_demand.per_month));
}

TEST_CASE("several workers on an instance share one line") {
  const ServiceSamples four{.seconds = exponential(0.1), .threads = 1, .servers_per_instance = 4};
  const FleetCost f = fleet_cost(four, {.requests_per_second = 100}, {.seconds = 0.6}, prices(), "small").value();
  const FleetCost single = small_fleet(exponential(0.1), 100, 0.6);
  CHECK(f.instances == (single.instances + 3) / 4);
  const auto crowded = fleet_cost({.seconds = exponential(0.1), .threads = 2, .servers_per_instance = 3},
                                  {.requests_per_second = 1}, {.seconds = 1}, prices(), "small");
  REQUIRE_FALSE(crowded);
  CHECK(crowded.error().code() == ErrorCode::invalid_argument);
  CHECK(crowded.error().rule().find("processors") != std::string::npos);
}

TEST_CASE("more traffic never needs fewer instances, and faster service never costs more") {
  Random random(5);
  for (int round = 0; round < 60; ++round) {
    const double mean = 0.001 * std::exp(4 * random.uniform());
    std::vector<double> seconds = lognormal(mean, 0.05 + 2 * random.uniform(), 300, random);
    const double within = 1.05 * *std::max_element(seconds.begin(), seconds.end()) * (1 + random.uniform());
    const double rate = 50 * std::exp(4 * random.uniform());
    const FleetCost f = small_fleet(seconds, rate, within);
    INFO("round " << round << ": " << to_string(f));
    CHECK(f.utilisation < 1);
    CHECK(f.latency_seconds <= within * (1 + 1e-9));
    CHECK(f.on_demand.per_month_interval.contains(f.on_demand.per_month));
    CHECK(small_fleet(seconds, rate * (1 + random.uniform()), within).instances >= f.instances);
    CHECK(small_fleet(seconds, rate, within * (1 + random.uniform())).instances <= f.instances);
    const double faster = 0.3 + 0.7 * random.uniform();
    for (double& x : seconds) x *= faster;
    CHECK(small_fleet(seconds, rate, within).on_demand.per_month <= f.on_demand.per_month);
  }
}

TEST_CASE("one instance less than fleet_cost says would miss the objective") {
  // The samples are drawn again by hand: P(wait + service > t) as a mean over them.
  Random random(6);
  const std::vector<double> seconds = lognormal(0.02, 0.4, 500, random);
  const FleetCost f = small_fleet(seconds, 500, 0.1);
  const auto exceeds = [&](std::int64_t servers) {
    const Waiting w = waiting({.arrivals_per_second = 500,
                               .service_seconds = f.mean_service_seconds,
                               .servers = servers,
                               .service_variability = f.service_variability})
                          .value();
    double sum = 0;
    for (const double x : seconds) sum += w.exceeds(0.1 - x) / 500;
    return sum;
  };
  CHECK(exceeds(f.instances) <= 0.01);
  if (static_cast<double>(f.instances - 1) > 500 * f.mean_service_seconds) CHECK(exceeds(f.instances - 1) > 0.01);
}

namespace {

/// Latencies of requests in a simulated fleet: one line, full batches, service times drawn anew from the samples.
std::vector<double> simulate(const ServiceSamples& samples, double rate, std::int64_t instances, std::size_t requests,
                             std::uint64_t seed) {
  Random random(seed);
  std::priority_queue<double, std::vector<double>, std::greater<>> free_at;
  for (std::int64_t i = 0; i < instances * samples.servers_per_instance; ++i) free_at.push(0);
  std::vector<double> latencies, waiting_arrivals;
  double now = 0;
  while (latencies.size() < requests) {
    now += -std::log1p(-random.uniform()) / rate;
    waiting_arrivals.push_back(now);
    if (waiting_arrivals.size() < static_cast<std::size_t>(samples.batch_size)) continue;
    const double end = std::max(now, free_at.top()) + samples.seconds[random.below(samples.seconds.size())];
    free_at.pop();
    free_at.push(end);
    for (const double arrival : waiting_arrivals) latencies.push_back(end - arrival);
    waiting_arrivals.clear();
  }
  return latencies;
}

double quantile_of(std::vector<double> values, double quantile) {
  const auto rank = static_cast<std::ptrdiff_t>(quantile * static_cast<double>(values.size()));
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<std::size_t>(rank)];
}

} // namespace

TEST_CASE("the predicted latency is that of a simulated fleet") {
  // The M/G/c formula is an approximation; this is how good it is for the variabilities of measured services.
  Random random(8);
  for (const double variability : {0.05, 0.3, 1.0, 2.0})
    for (const double rate : {60.0, 700.0})
      for (const double slack : {1.3, 4.0}) {
        const ServiceSamples samples{.seconds = lognormal(0.02, variability, 2000, random)};
        const double within = slack * quantile_of(samples.seconds, 0.99);
        const FleetCost f =
            fleet_cost(samples, {.requests_per_second = rate}, {.seconds = within}, prices(), "small").value();
        const double simulated = quantile_of(simulate(samples, rate, f.instances, 1'000'000, 9), 0.99);
        INFO(to_string(f) << "\nsimulated " << simulated);
        CHECK(f.latency_seconds == Approx(simulated).epsilon(variability <= 1 ? 0.08 : 0.15));
      }
}

TEST_CASE("batches wait to be full, and the prediction errs on the safe side") {
  Random random(10);
  for (const std::int64_t batch : {2, 8, 32}) {
    const ServiceSamples samples{.seconds = lognormal(0.1, 0.1, 1000, random), .batch_size = batch};
    const double rate = 400;
    const FleetCost f = fleet_cost(samples, {.requests_per_second = rate}, {.seconds = 0.4}, prices(), "small").value();
    const double simulated = quantile_of(simulate(samples, rate, f.instances, 400'000, 11), 0.99);
    INFO(to_string(f) << "\nsimulated " << simulated);
    CHECK(f.latency_seconds > simulated);
    CHECK(f.latency_seconds < 1.15 * simulated);
    CHECK(f.utilisation == Approx(rate / static_cast<double>(batch * f.instances) * f.mean_service_seconds));
  }
}

TEST_CASE("an objective that service alone exceeds is an error, whatever the number of instances") {
  const auto check = [](const ServiceSamples& samples, double rate, const Objective& objective, const char* word) {
    const auto result = fleet_cost(samples, {.requests_per_second = rate}, objective, prices(), "small");
    INFO(word);
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::invalid_argument);
    CHECK(result.error().rule().find(word) != std::string::npos);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  check({.seconds = exponential(0.1)}, 1, {.quantile = 0.99, .seconds = 0.4}, "without any wait");
  check({.seconds = std::vector<double>(100, 0.1)}, 1, {.seconds = 0.0999}, "100%");
  // A batch of 8 at one request a second takes 7 seconds to fill.
  check({.seconds = std::vector<double>(100, 0.1), .batch_size = 8}, 1, {.seconds = 1}, "to fill");
  check({.seconds = std::vector<double>(100, 10.0)}, 1e7, {.seconds = 100}, "fleet");
}

TEST_CASE("exactly the allowed share of slow requests is within the objective") {
  std::vector<double> seconds(200, 0.01);
  seconds[0] = seconds[1] = 1;
  CHECK(small_fleet(seconds, 10, 0.5).latency_seconds <= 0.5);
  seconds[2] = 1;
  CHECK_FALSE(fleet_cost({.seconds = seconds}, {.requests_per_second = 10}, {.seconds = 0.5}, prices(), "small"));
}

TEST_CASE("the interval of the cost contains the true cost as often as it says") {
  // Truth: the fleet for the lognormal's own mean, from a sample without noise; the objective is wide, so that the mean
  // decides. 400 repetitions of 60 samples: 95% has a standard error of 1.1%; the skew of small samples takes 1 or 2%
  // more.
  const double mean = 0.05, variability = 0.5, rate = 2000, within = 2;
  const double sigma = std::sqrt(std::log1p(variability));
  std::vector<double> exact(4000);
  for (std::size_t i = 0; i < exact.size(); ++i)
    exact[i] =
        mean * std::exp(sigma * stats::normal_quantile((static_cast<double>(i) + 0.5) / 4000) - sigma * sigma / 2);
  const double truth = small_fleet(exact, rate, within, 0.9).on_demand.per_month;
  Random random(12);
  int contained = 0;
  for (int repetition = 0; repetition < 400; ++repetition)
    contained += small_fleet(lognormal(mean, variability, 60, random), rate, within, 0.9)
                     .on_demand.per_month_interval.contains(truth);
  INFO(contained);
  CHECK(contained > 400 * 0.91);
  CHECK(contained < 400); // it is not simply wide
}

TEST_CASE("an interval has no upper end where slower service could not meet the objective at all") {
  std::vector<double> seconds = exponential(0.1, 100);
  const FleetCost f = small_fleet(seconds, 10, 1.02 * seconds[98]);
  CHECK(f.on_demand.per_month_interval.upper == infinity);
  CHECK(f.on_demand.per_month_interval.lower > 0);
  CHECK(to_json(f).find("\"upper\": null") != std::string::npos);
  const Comparison c = compare(f, f).value();
  CHECK(c.on_demand.per_month_interval.lower == -infinity);
  CHECK(c.on_demand.per_month_interval.upper == infinity);
  CHECK(c.on_demand.relative_interval.upper == 1);
  CHECK(c.on_demand.relative_interval.lower == -infinity);
}

TEST_CASE("a comparison is the difference of two fleet costs, and what is clear is told from what is not") {
  const FleetCost slow = small_fleet(std::vector<double>(100, 0.04), 1000, 0.2);
  const FleetCost fast = small_fleet(std::vector<double>(100, 0.01), 1000, 0.2);
  const Comparison c = compare(slow, fast).value();
  CHECK(c.baseline_instances == slow.instances);
  CHECK(c.candidate_instances == fast.instances);
  CHECK(c.on_demand.per_month == Approx(slow.on_demand.per_month - fast.on_demand.per_month));
  CHECK(c.on_demand.relative == Approx(1 - static_cast<double>(fast.instances) / static_cast<double>(slow.instances)));
  CHECK(c.reserved.value().per_month == Approx(0.6 * c.on_demand.per_month));
  CHECK(c.on_demand.per_month_interval.level == Approx(0.9));
  CHECK(c.on_demand.per_month_interval.lower > 0);
  const Comparison back = compare(fast, slow).value();
  CHECK(back.on_demand.per_month == -c.on_demand.per_month);
  CHECK(back.on_demand.relative < 0);
  // The same service measured twice with much noise: no saving is claimed.
  Random random(13);
  const Comparison same = compare(small_fleet(lognormal(0.05, 1, 100, random), 2000, 2, 0.9),
                                  small_fleet(lognormal(0.05, 1, 100, random), 2000, 2, 0.9))
                              .value();
  CHECK(same.on_demand.per_month_interval.contains(0));
  CHECK(same.on_demand.relative_interval.contains(0));
}

TEST_CASE("costs under different conditions are not compared") {
  const FleetCost a = small_fleet(exponential(0.1), 10, 1);
  const auto check = [&](auto change) {
    FleetCost b = a;
    change(b);
    const auto result = compare(a, b);
    REQUIRE_FALSE(result);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  check([](FleetCost& b) { b.traffic.requests_per_second = 11; });
  check([](FleetCost& b) { b.objective.seconds = 2; });
  check([](FleetCost& b) { b.currency = "EUR"; });
  check([](FleetCost& b) { b.price_date = "2025-01-01"; });
  check([](FleetCost& b) { b.on_demand.per_month = 0; });
  check([](FleetCost& b) { b.on_demand.per_month = not_a_number; });
  FleetCost without = a;
  without.reserved.reset();
  CHECK_FALSE(compare(a, without).value().reserved);
}

TEST_CASE("input that cannot be served is an error that names it") {
  const ServiceSamples samples{.seconds = exponential(0.1)};
  const auto check = [&](const Result<FleetCost>& result, ErrorCode code) {
    REQUIRE_FALSE(result);
    INFO(result.error().what());
    CHECK(result.error().code() == code);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  const Traffic traffic{.requests_per_second = 10};
  const Objective objective{.seconds = 1};
  const PriceCatalogue list = prices();
  REQUIRE(fleet_cost(samples, traffic, objective, list, "small"));
  for (const double bad : {0.0, -1.0, not_a_number, infinity}) {
    check(fleet_cost(samples, {.requests_per_second = bad}, objective, list, "small"), ErrorCode::invalid_value);
    check(fleet_cost(samples, traffic, {.seconds = bad}, list, "small"), ErrorCode::invalid_value);
    ServiceSamples broken = samples;
    broken.seconds[7] = bad;
    check(fleet_cost(broken, traffic, objective, list, "small"), ErrorCode::invalid_value);
    PriceCatalogue wrong = list;
    wrong.instances[1].on_demand_per_hour = bad;
    check(fleet_cost(samples, traffic, objective, wrong, "small"), ErrorCode::invalid_value);
  }
  for (const double bad : {-1.0, not_a_number, infinity})
    check(fleet_cost(samples, {.requests_per_second = 1, .arrival_variability = bad}, objective, list, "small"),
          ErrorCode::invalid_value);
  for (const double bad : {0.0, 1.0, -0.5, not_a_number}) {
    check(fleet_cost(samples, traffic, {.quantile = bad, .seconds = 1}, list, "small"), ErrorCode::invalid_value);
    check(fleet_cost(samples, traffic, objective, list, "small", {.level = bad}), ErrorCode::invalid_argument);
  }
  check(fleet_cost(samples, traffic, objective, list, "small", {.spare_instances = -1}), ErrorCode::invalid_argument);
  check(fleet_cost(samples, traffic, objective, list, "smal"), ErrorCode::not_found);
  check(fleet_cost({.seconds = samples.seconds, .batch_size = 0}, traffic, objective, list, "small"),
        ErrorCode::invalid_argument);
  check(fleet_cost({.seconds = samples.seconds, .threads = 0}, traffic, objective, list, "small"),
        ErrorCode::invalid_argument);
  check(fleet_cost({.seconds = samples.seconds, .servers_per_instance = 1LL << 40}, traffic, objective, list, "small"),
        ErrorCode::invalid_argument);
  check(fleet_cost({.seconds = {}}, traffic, objective, list, "small"), ErrorCode::insufficient_data);
  check(fleet_cost({.seconds = std::vector<double>(99, 0.1)}, traffic, objective, list, "small"),
        ErrorCode::insufficient_data);
  CHECK(fleet_cost({.seconds = std::vector<double>(100, 0.1)}, traffic, objective, list, "small"));
  std::vector<double> scattered(100, 1e-9);
  scattered[0] = 0.1; // one sample is the whole mean: its standard error is as large as the mean
  check(fleet_cost({.seconds = scattered}, traffic, objective, list, "small"), ErrorCode::insufficient_data);
  std::vector<double> huge(100, 1e308);
  check(fleet_cost({.seconds = huge}, traffic, objective, list, "small"), ErrorCode::invalid_value);
}

TEST_CASE("a fleet cost prints and serializes with its reserved price, or without") {
  const FleetCost f = small_fleet(std::vector<double>(100, 0.01), 100, 0.05);
  const std::string text = fmt::format("{}", f);
  CHECK(text.find("2 x small for 100 requests/s, p99 within 0.05 s") == 0);
  CHECK(text.find("on demand: 146.00 USD per month [146.00, 146.00]") != std::string::npos);
  CHECK(text.find("reserved (1 year, no upfront): 87.60 USD") != std::string::npos);
  CHECK(to_json(f).find("\"instances\": 2") != std::string::npos);
  const FleetCost large = fleet_cost({.seconds = std::vector<double>(100, 0.01)}, {.requests_per_second = 100},
                                     {.seconds = 0.05}, prices(), "large", {.spare_instances = 1})
                              .value();
  CHECK_FALSE(large.reserved);
  CHECK(to_json(large).find("reserved") == std::string::npos);
  CHECK(fmt::format("{}", large).find("3 x large (1 spare)") == 0);
  const Comparison c = compare(f, large).value();
  CHECK(fmt::format("{}", c).find("3 instances instead of 2") == 0);
  CHECK(to_json(c).find("\"candidate_instances\": 3") != std::string::npos);
  CHECK(to_json(compare(f, f).value()).find("reserved") != std::string::npos);
}
