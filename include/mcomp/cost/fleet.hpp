#pragma once

// The least number of servers that keeps response times at their objective: by formula where one is exact, else by
// simulation.
//
//     mcomp::cost::ServerPool pool{.service = mcomp::cost::ServiceTime::empirical(seconds).value()};
//     auto fleet = mcomp::cost::smallest_fleet(320, pool, {.p95_seconds = 0.05, .p99_seconds = 0.1}).value();

#include <cstdint>
#include <optional>
#include <string>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/cost/simulate.hpp"

namespace mcomp::inline v0::cost {

/// What a share of requests must be answered within, wait and service together; at least one of them.
struct ResponseObjectives {
  std::optional<double> p50_seconds{}, p95_seconds{}, p99_seconds{};

  friend bool operator==(const ResponseObjectives&, const ResponseObjectives&) = default;
};

struct FleetSearch {
  std::int64_t requests = 1'000'000; ///< of each simulation
  /// A simulated quantile counts as kept where it is below the objective by so many standard errors.
  double margin_errors = 2;
  std::int64_t max_servers = 100'000; ///< at most 10^6
  bool simulate_always = false;       ///< true: also where a formula is exact
  std::uint64_t seed = 1;
};

struct FleetSize {
  std::int64_t servers = 0;
  Estimate p50{}, p95{}, p99{}; ///< of the response with so many servers; standard errors are 0 where exact
  double utilization = 0;
  double drop_share = 0; ///< of requests that find the line full
  bool exact = false;    ///< by the formula of M/M/c

  friend bool operator==(const FleetSize&, const FleetSize&) = default;
};

/// `pool.servers` does not matter. M/M/c (exponential service, no batching, interruptions or queue limit) is solved
/// exactly, all else simulated at every number that the search looks at: doubling from the least number that can carry
/// the load, then bisection, which takes responses to become shorter with every server. Dropped and lost requests have
/// no response; look at `drop_share` where the line is bounded. Errors: as `simulate`, zero traffic among them;
/// invalid_value for objectives that are not finite and > 0; invalid_argument for none of them, for options out of
/// range, and where no number of servers keeps the objective, since the service alone takes longer or max_servers are
/// not enough.
[[nodiscard]] MCOMP_API Result<FleetSize> smallest_fleet(double arrivals_per_second, const ServerPool& pool,
                                                         const ResponseObjectives& objectives,
                                                         const FleetSearch& search = {});

/// "12 servers, 81% busy: p50 0.0203, p95 0.0471, p99 0.0688 s (exact)"
[[nodiscard]] MCOMP_API std::string to_string(const FleetSize& fleet);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::FleetSize> = true;
}
