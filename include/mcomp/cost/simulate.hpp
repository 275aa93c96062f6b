#pragma once

// A pool of servers, request by request: what no formula covers (batching with a wait, heavy tails on several servers,
// loss of machines, bounded lines, recorded traffic).
//
//     mcomp::cost::ServerPool pool{.service = mcomp::cost::ServiceTime::lognormal(0.02, 2).value(), .servers = 8};
//     auto run = mcomp::cost::simulate(320, pool, {.requests = 2'000'000, .seed = 7}).value();
//     double p99 = run.response.p99.value, error = run.response.p99.standard_error;

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/cost/service_time.hpp"
#include "mcomp/stats/sketch.hpp"

namespace mcomp::inline v0::cost {

/// Requests that a server takes together. A free server starts as soon as `max_size` requests wait or the first of them
/// has waited `max_wait_seconds`, with all that wait then, at most max_size.
struct Batching {
  std::int64_t max_size = 1; ///< at most 65536
  double max_wait_seconds = 0;
  /// scale[n - 1]: service time of a batch of n over that of one request. As many as max_size; may be empty where
  /// max_size is 1.
  std::vector<double> scale{};

  friend bool operator==(const Batching&, const Batching&) = default;
};

/// Loss of servers at random moments, busy or not (machine failures, spot interruptions). A new server stands in its
/// place after the pool's boot_seconds. Requests that were in service go back to the head of the line and start anew.
struct Interruptions {
  double mean_seconds_between = 0; ///< of one server, exponential; 0 for none
  std::int64_t retries = 3;        ///< of a request, before it counts as lost

  friend bool operator==(const Interruptions&, const Interruptions&) = default;
};

/// Equal servers before which one line stands, first come first served.
struct ServerPool {
  ServiceTime service;
  std::int64_t servers = 1; ///< at most 10^6
  Batching batching{};
  Interruptions interruptions{};
  double boot_seconds = 0;                   ///< from the loss of a server to its replacement
  bool cold_start = false;                   ///< true: the first servers come after boot_seconds too
  std::optional<std::int64_t> queue_limit{}; ///< requests beyond it are dropped; at least batching.max_size - 1

  friend bool operator==(const ServerPool&, const ServerPool&) = default;
};

struct SimulationOptions {
  std::int64_t requests = 1'000'000; ///< that are counted, of a Poisson stream; at most 10^10. A trace counts whole
  /// Requests before those, which are not counted: the line starts empty. Absent: a tenth of them for a Poisson stream,
  /// none for a trace.
  std::optional<std::int64_t> warm_up{};
  std::int64_t batches = 40;         ///< of successive requests, for standard errors; within 10 and 1000
  double relative_accuracy = 0.0025; ///< of quantiles (stats/sketch.hpp)
  /// Corrects the mean wait by what M/M/c, driven by the same random numbers, deviates from its exact mean. For Poisson
  /// arrivals without batching, interruptions and queue limit.
  bool control_variate = false;
  std::uint64_t seed = 1;
};

struct Estimate {
  double value = 0;
  /// By the scatter of successive batches (batch means), which must be long against the memory of the line: at 95%
  /// utilization that is thousands of service times. Infinite with fewer than 10 full batches.
  double standard_error = 0;

  friend bool operator==(const Estimate&, const Estimate&) = default;
};

/// Seconds, over all counted requests that were answered.
struct TimeSummary {
  Estimate mean{}, p50{}, p95{}, p99{};
  stats::QuantileSketch sketch; ///< for other quantiles

  friend bool operator==(const TimeSummary&, const TimeSummary&) = default;
};

struct Simulation {
  std::int64_t requests = 0; ///< answered
  std::int64_t dropped = 0;  ///< found the line full
  std::int64_t lost = 0;     ///< interrupted more often than they are retried
  std::int64_t interruptions = 0;
  double seconds = 0;        ///< of simulated time, warm-up included
  double utilization = 0;    ///< busy share of the servers that were up, warm-up included
  double mean_batch = 0;     ///< requests a service
  TimeSummary wait;          ///< from arrival to the start of the service that ended
  TimeSummary response;      ///< from arrival to the end of service
  double control_weight = 0; ///< of the control variate; 0 without

  friend bool operator==(const Simulation&, const Simulation&) = default;
};

/// Poisson arrivals. The same seed gives the same bytes. Errors: invalid_value for a rate, time or scale that is not
/// finite and in its range; zero traffic is one, since then nothing can be measured; invalid_argument for counts out of
/// range, for a utilization >= 1 without queue_limit, for more than 10^10 interruptions, and for a control variate
/// where there is none; insufficient_data where no counted request is answered.
[[nodiscard]] MCOMP_API Result<Simulation> simulate(double arrivals_per_second, const ServerPool& pool,
                                                    const SimulationOptions& options = {});

/// Arrivals at given times in seconds, ascending from 0 on. The servers may be overloaded for a time.
/// @param work_seconds service time of each request alone, in place of pool.service; of a batch the longest counts.
///   Empty: pool.service
/// Errors: as above; invalid_value for times that descend, invalid_shape for work of another number of requests.
[[nodiscard]] MCOMP_API Result<Simulation> simulate(std::span<const double> arrival_seconds, const ServerPool& pool,
                                                    const SimulationOptions& options = {},
                                                    std::span<const double> work_seconds = {});

/// Two lines: wait and response with standard errors; then drops and losses, where there are any.
[[nodiscard]] MCOMP_API std::string to_string(const Simulation& simulation);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::Simulation> = true;
}
