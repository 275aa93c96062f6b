#pragma once

// Exact results about lines of requests, beside those of cost/erlang.hpp: one server with any service time (Pollaczek
// and Khinchine), constant service times on any number of servers (Crommelin 1932), and the response time, which is the
// wait and the service together. What has no exact result here is simulated: cost/simulate.hpp.
//
//     auto service = mcomp::cost::ServiceTime::lognormal(0.02, 2).value();
//     auto line = mcomp::cost::SingleServer::create(40, service).value();
//     double mean = line.mean_wait(), p99 = line.wait_quantile(0.99).value();

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/cost/erlang.hpp"
#include "mcomp/cost/service_time.hpp"

namespace mcomp::inline v0::cost {

/// M/G/1: Poisson arrivals, one server, any service time, served in order of arrival. P(W > t) is a closed form for
/// exponential and hyperexponential service (one and two exponentials) and for constant service the positive sum of
/// Franx (Operations Research Letters 29, 2001), all to 1e-12; else Pollaczek and Khinchine's geometric sum of residual
/// services, by the trapezoid rule on 4,000 points, to about 1e-4 of itself.
class MCOMP_API SingleServer {
 public:
  /// Errors: invalid_value for a rate that is negative or not finite; invalid_argument for a utilization >= 1.
  [[nodiscard]] static Result<SingleServer> create(double arrivals_per_second, const ServiceTime& service);

  /// Share of time that the server is busy; the share of requests that wait at all is the same.
  [[nodiscard]] double utilization() const noexcept { return utilization_; }
  /// Exact, in seconds: utilization / (1 - utilization) x mean service x (1 + variability) / 2.
  [[nodiscard]] double mean_wait() const noexcept;
  [[nodiscard]] double mean_response() const noexcept { return mean_wait() + service_.mean(); }
  /// P(W > seconds); 1 for negative seconds, NaN for NaN.
  [[nodiscard]] double exceeds(double seconds) const;
  /// The wait that a share `quantile` does not exceed. Error: invalid_argument outside [0, 1).
  [[nodiscard]] Result<double> wait_quantile(double quantile) const;

 private:
  SingleServer(double rate, ServiceTime service);
  /// P(W > k step), k = 0 .. points.
  [[nodiscard]] std::vector<double> tail(double step, std::size_t points) const;

  double rate_ = 0, utilization_ = 0;
  ServiceTime service_;
  struct Exponential {
    double weight = 0, rate = 0;
  };
  std::vector<Exponential> terms_; ///< of the closed form, where there is one
};

/// Mean wait in seconds of M/D/c, exact to 1e-6 of itself at any utilization and to 1e-12 below .9: each server gets
/// every c-th request as if in turn, and Spitzer's identity gives the mean as a sum over Erlang distributions.
/// Errors: as `waiting`.
[[nodiscard]] MCOMP_API Result<double> deterministic_wait(double arrivals_per_second, double service_seconds,
                                                          std::int64_t servers);

/// The response time (wait and service) of M/M/c.
struct MarkovResponse {
  double probability = 0; ///< of waiting
  double decay = 0;       ///< per second, of the wait of those who wait
  double service_seconds = 0;

  [[nodiscard]] MCOMP_API double mean() const noexcept;
  /// P(response > seconds); 1 for negative seconds, NaN for NaN.
  [[nodiscard]] MCOMP_API double exceeds(double seconds) const noexcept;
  /// Error: invalid_argument outside [0, 1).
  [[nodiscard]] MCOMP_API Result<double> quantile(double quantile) const;

  friend bool operator==(const MarkovResponse&, const MarkovResponse&) = default;
};
/// Errors: as `waiting`.
[[nodiscard]] MCOMP_API Result<MarkovResponse> markov_response(double arrivals_per_second, double service_seconds,
                                                               std::int64_t servers);

} // namespace mcomp::inline v0::cost
