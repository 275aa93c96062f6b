#include "mcomp/cost/queue.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::cost;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T> void check_error(const Result<T>& result, ErrorCode code) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == code);
  CHECK(mcomp_test::well_formed(result.error()));
}

/// Simpson's rule.
template <class F> double integrate(double from, double to, int steps, const F& f) {
  const double h = (to - from) / (2 * steps);
  double sum = f(from) + f(to);
  for (int i = 1; i < 2 * steps; ++i) sum += (i % 2 ? 4 : 2) * f(from + i * h);
  return sum * h / 3;
}

std::vector<ServiceTime> kinds() {
  return {ServiceTime::deterministic(0.02).value(),
          ServiceTime::exponential(0.02).value(),
          ServiceTime::lognormal(0.02, 0.3).value(),
          ServiceTime::lognormal(0.02, 4).value(),
          ServiceTime::hyperexponential(0.02, 3).value(),
          ServiceTime::hyperexponential(0.02, 1).value(),
          ServiceTime::empirical(std::vector<double>{0.01, 0.04, 0.01, 0.02}).value()};
}

} // namespace

TEST_CASE("what is drawn of a service time has its distribution") {
  for (const ServiceTime& service : kinds()) {
    INFO(to_string(service));
    Random random(2), again(2);
    constexpr int n = 200'000;
    double sum = 0, squares = 0, median = 0, least = 0, partners = 0, above = 0, both = 0;
    const double half = service.quantile(0.5), t = service.mean() * 0.7;
    for (int i = 0; i < n; ++i) {
      const double x = service.draw(random);
      sum += x / n;
      squares += x * x / n;
      median += x <= half ? 1.0 / n : 0;
      least += std::min(x, t) / n;
      double partner = 0;
      const double y = service.draw(again, partner);
      partners += partner / n;
      above += partner > std::log(2) ? 1.0 / n : 0;
      both += y * partner / n;
    }
    CHECK(sum == Approx(service.mean()).epsilon(0.02));
    CHECK(squares / (sum * sum) - 1 == Approx(service.variability()).epsilon(0.12).margin(1e-9));
    CHECK(std::abs(median - service.cdf(half)) < 4 * 0.5 / std::sqrt(n));
    // E[min(X, t)] is the integral of the tail, which the residual's distribution is made of.
    CHECK(least == Approx(service.residual_cdf(t) * service.mean()).epsilon(0.01));
    CHECK(partners == Approx(1).epsilon(0.01));
    CHECK(above == Approx(0.5).epsilon(0.01));
    if (service.kind() != ServiceKind::deterministic) CHECK(both > 1.2 * service.mean()); // they grow together
  }
}

TEST_CASE("quantiles of service times invert their distribution") {
  for (const ServiceTime& service : kinds()) {
    INFO(to_string(service));
    for (const double p : {0.01, 0.3, 0.5, 0.9, 0.999}) {
      const double t = service.quantile(p);
      CHECK(service.cdf(t) >= p - 1e-12);
      CHECK(service.cdf(t * (1 - 1e-9)) <= p + 1e-6);
    }
    CHECK(std::isnan(service.quantile(1.5)));
    CHECK(std::isnan(service.cdf(std::nan(""))));
    CHECK(service.cdf(-1) == 0);
    CHECK(service.residual_cdf(0) == 0);
    CHECK(service.residual_cdf(1e6) == Approx(1));
  }
  CHECK(fmt::format("{}", kinds()[3]) == "lognormal, mean 0.02 s, squared coefficient of variation 4");
  for (const double bad : {0.0, -1.0, std::nan(""), infinity}) {
    check_error(ServiceTime::deterministic(bad), ErrorCode::invalid_value);
    check_error(ServiceTime::exponential(bad), ErrorCode::invalid_value);
    check_error(ServiceTime::lognormal(bad, 1), ErrorCode::invalid_value);
    check_error(ServiceTime::lognormal(1, bad), ErrorCode::invalid_value);
    check_error(ServiceTime::hyperexponential(1, bad), ErrorCode::invalid_value);
    check_error(ServiceTime::empirical(std::vector<double>{1, bad}), ErrorCode::invalid_value);
  }
  check_error(ServiceTime::hyperexponential(1, 0.5), ErrorCode::invalid_value);
  check_error(ServiceTime::empirical({}), ErrorCode::insufficient_data);
}

TEST_CASE("one server with constant service waits as in M/D/1") {
  const SingleServer line = SingleServer::create(0.8, ServiceTime::deterministic(1).value()).value();
  CHECK(line.mean_wait() == Approx(2).epsilon(1e-14));
  CHECK(line.mean_response() == Approx(3).epsilon(1e-14));
  // Erlang's alternating sum, exact where its terms are few: (1 - rho) sum (-l (t - k))^k / k! e^{l (t - k)}.
  for (const double t : {0.0, 0.3, 0.999, 1.0, 1.5, 2.7, 4.2, 6.0}) {
    double below = 0, factorial = 1;
    for (int k = 0; k <= t; ++k) {
      if (k > 0) factorial *= k;
      below += std::pow(-0.8 * (t - k), k) / factorial * std::exp(0.8 * (t - k));
    }
    INFO(t);
    CHECK(line.exceeds(t) == Approx(1 - 0.2 * below).epsilon(1e-11));
  }
  CHECK(line.exceeds(line.wait_quantile(0.99).value()) == Approx(0.01).epsilon(1e-9));
  CHECK(integrate(0, 60, 6000, [&](double t) { return line.exceeds(t); }) == Approx(2).epsilon(1e-4));
  // E[W^2] = 2 E[W]^2 + lambda E[S^3] / (3 (1 - rho)).
  CHECK(integrate(0, 60, 6000, [&](double t) { return 2 * t * line.exceeds(t); }) ==
        Approx(8 + 0.8 / 0.6).epsilon(1e-4));
}

TEST_CASE("one server with mixed exponential service waits as in M/H2/1") {
  for (const double rho : {0.2, 0.8, 0.97})
    for (const double variability : {1.0, 1.0001, 2.0, 10.0}) {
      INFO(rho << " " << variability);
      const auto service = ServiceTime::hyperexponential(1, variability).value();
      const SingleServer line = SingleServer::create(rho, service).value();
      const double p = (1 + std::sqrt((variability - 1) / (variability + 1))) / 2;
      const double third = 6 * (p * std::pow(2 * p, -3) + (1 - p) * std::pow(2 * (1 - p), -3));
      const double mean = rho * (1 + variability) / 2 / (1 - rho),
                   square = 2 * mean * mean + rho * third / 3 / (1 - rho);
      const double end = 60 * mean / rho + 60 * variability;
      CHECK(line.exceeds(0) == Approx(rho));
      CHECK(line.mean_wait() == Approx(mean));
      CHECK(integrate(0, end, 4000, [&](double t) { return line.exceeds(t); }) == Approx(mean).epsilon(1e-5));
      CHECK(integrate(0, end, 4000, [&](double t) { return 2 * t * line.exceeds(t); }) == Approx(square).epsilon(1e-4));
      CHECK(line.exceeds(line.wait_quantile(0.995).value()) == Approx(0.005).epsilon(1e-9));
    }
  const SingleServer markov = SingleServer::create(0.8, ServiceTime::exponential(1).value()).value();
  CHECK(markov.wait_quantile(0.99).value() == Approx(std::log(80) / 0.2).epsilon(1e-12));
}

TEST_CASE("one server with any service: the geometric sum of residual services") {
  // Many quantiles of an exponential are as good as the exponential, of which the wait is known.
  std::vector<double> times;
  for (int i = 0; i < 400'000; ++i) times.push_back(-std::log1p(-(i + 0.5) / 400'000));
  const auto service = ServiceTime::empirical(times).value();
  for (const double rho : {0.3, 0.8, 0.95}) {
    const SingleServer line = SingleServer::create(rho, service).value();
    const auto exact = waiting({.arrivals_per_second = rho, .service_seconds = 1}).value();
    for (const double t : {0.1, 1.0, 5.0, 9.0}) CHECK(line.exceeds(t) == Approx(exact.exceeds(t)).epsilon(2e-3));
    CHECK(line.wait_quantile(0.99).value() == Approx(exact.quantile(0.99).value()).epsilon(2e-3));
  }
  // Equal measurements are constant service, the kinked worst case of the trapezoid rule.
  const SingleServer constant =
      SingleServer::create(0.8, ServiceTime::empirical(std::vector<double>{1, 1}).value()).value();
  const SingleServer exact = SingleServer::create(0.8, ServiceTime::deterministic(1).value()).value();
  for (const double q : {0.5, 0.95, 0.99})
    CHECK(constant.wait_quantile(q).value() == Approx(exact.wait_quantile(q).value()).epsilon(1e-3));
  // The second moment of Pollaczek and Khinchine, with E[S^3] = (1 + v)^3 of a log-normal of mean 1.
  const SingleServer line = SingleServer::create(0.7, ServiceTime::lognormal(1, 0.5).value()).value();
  const double mean = line.mean_wait(), square = 2 * mean * mean + 0.7 * std::pow(1.5, 3) / 0.9;
  CHECK(mean == Approx(0.7 * 1.5 / 2 / 0.3));
  CHECK(integrate(0, 60, 60, [&](double t) { return 2 * t * line.exceeds(t); }) == Approx(square).epsilon(2e-3));
  CHECK(line.wait_quantile(0.2).value() == 0);
}

TEST_CASE("several servers with constant service") {
  for (const double rho : {0.1, 0.5, 0.8, 0.95, 0.999})
    CHECK(deterministic_wait(rho, 1, 1).value() == Approx(rho / (1 - rho) / 2).epsilon(1e-6));
  CHECK(deterministic_wait(0, 1, 3).value() == 0);
  // Heavy traffic: half of the wait of M/M/c.
  CHECK(deterministic_wait(4.995, 1, 5).value() ==
        Approx(waiting({.arrivals_per_second = 4.995, .service_seconds = 1, .servers = 5}).value().mean() / 2)
            .epsilon(1e-2));
  // In turn each server gets every c-th request: simulated by Lindley's recursion for Erlang gaps.
  Random random(3);
  double wait = 0, sum = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    double gap = 0;
    for (int k = 0; k < 3; ++k) gap -= std::log1p(-random.uniform()) / 2.4;
    wait = std::max(0.0, wait + 1 - gap);
    sum += wait;
  }
  CHECK(deterministic_wait(2.4, 1, 3).value() == Approx(sum / 1e6).epsilon(0.02));
}

TEST_CASE("Erlang C for large pools has its exact values to 1e-12") {
  // Rational numbers by exact arithmetic, rounded to twenty digits.
  CHECK(erlang_c(100, 90).value() == Approx(0.21694048090636637927).epsilon(1e-12));
  CHECK(erlang_c(1000, 960).value() == Approx(0.13369178006291227442).epsilon(1e-12));
}

TEST_CASE("the response of M/M/c is the wait and the service") {
  // M/M/1: exponential with rate mu - lambda.
  const MarkovResponse one = markov_response(0.8, 1, 1).value();
  for (const double t : {0.0, 0.5, 3.0, 40.0}) CHECK(one.exceeds(t) == Approx(std::exp(-0.2 * t)));
  CHECK(one.mean() == Approx(5));
  CHECK(one.quantile(0.99).value() == Approx(std::log(100) / 0.2));
  // c = 2, a = 1: the wait's rate equals the service's.
  const MarkovResponse equal = markov_response(1, 1, 2).value();
  CHECK(equal.exceeds(2) == Approx(std::exp(-2.0) * (1 + 2.0 / 3)));
  const MarkovResponse many = markov_response(8, 1, 10).value();
  CHECK(integrate(0, 60, 3000, [&](double t) { return many.exceeds(t); }) == Approx(1.204590075).epsilon(1e-7));
  // A wait that is much longer than the service.
  const MarkovResponse slow = markov_response(9999.5, 1e-4, 1).value();
  CHECK(slow.exceeds(1) == Approx(std::exp(-0.5)).epsilon(1e-9));
  CHECK(markov_response(0, 2, 1).value().mean() == 2);
  CHECK(std::isnan(many.exceeds(std::nan(""))));
}

TEST_CASE("lines that cannot be are errors, empty ones are not") {
  const auto service = ServiceTime::exponential(1).value();
  for (const double rate : {1.0, 1.5, 1e12}) {
    check_error(SingleServer::create(rate, service), ErrorCode::invalid_argument);
    check_error(markov_response(rate, 1, 1), ErrorCode::invalid_argument);
    check_error(deterministic_wait(rate, 1, 1), ErrorCode::invalid_argument);
  }
  for (const double rate : {-1.0, std::nan(""), infinity}) {
    check_error(SingleServer::create(rate, service), ErrorCode::invalid_value);
    check_error(markov_response(rate, 1, 1), ErrorCode::invalid_value);
    check_error(deterministic_wait(rate, 1, 1), ErrorCode::invalid_value);
  }
  for (const auto& kind : kinds()) {
    const SingleServer idle = SingleServer::create(0, kind).value();
    CHECK(idle.mean_wait() == 0);
    CHECK(idle.exceeds(0) == 0);
    CHECK(idle.wait_quantile(0.999).value() == 0);
    CHECK(idle.exceeds(-1) == 1);
    for (const double q : {-0.1, 1.0, std::nan("")}) check_error(idle.wait_quantile(q), ErrorCode::invalid_argument);
  }
  check_error(markov_response(0.5, 1, 1).value().quantile(1), ErrorCode::invalid_argument);
}
