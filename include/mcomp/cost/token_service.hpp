#pragma once

// Services that read a prompt and generate tokens, with continuous batching: requests join and leave a running batch
// between steps (iteration-level scheduling; Yu et al., Orca, OSDI 2022; prompts in chunks beside decoding: Agrawal et
// al., Sarathi-Serve, OSDI 2024).
//
//     auto trace = mcomp::cost::ArrivalTrace::read("requests.csv").value();
//     mcomp::cost::TokenReplica replica{.prefill_seconds_per_token = 2e-4, .step_seconds = 0.02, .max_batch = 32};
//     auto run = mcomp::cost::simulate_tokens(trace, replica, 4).value();
//     auto fleet = mcomp::cost::smallest_token_fleet(trace, replica, {.first_token_p99_seconds = 1}).value();

#include <cstdint>
#include <optional>
#include <string>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/cost/trace.hpp"

namespace mcomp::inline v0::cost {

/// One copy of the model. A step generates one token for every request whose prompt has been read, reads up to
/// prefill_tokens_per_step tokens of other prompts in order of arrival, and takes
///
///     step_seconds + step_seconds_per_request x (requests that generate) + prefill_seconds_per_token x (prompt tokens)
///
/// The step that ends a prompt gives its first token.
struct TokenReplica {
  double prefill_seconds_per_token = 0;
  double step_seconds = 0;                     ///< weights are read once for the whole batch
  double step_seconds_per_request = 0;         ///< what one more request in the batch costs
  std::int64_t max_batch = 32;                 ///< requests at a time; at most 65536
  std::int64_t prefill_tokens_per_step = 2048; ///< at least 1
  /// Most prompt and generated tokens of all requests of the batch, which are reserved when a request joins; 0: no
  /// limit.
  std::int64_t cache_tokens = 0;

  friend bool operator==(const TokenReplica&, const TokenReplica&) = default;
};

/// Seconds; 0 where nothing was counted.
struct TokenTimes {
  double mean = 0, p50 = 0, p95 = 0, p99 = 0;
  friend bool operator==(const TokenTimes&, const TokenTimes&) = default;
};

struct TokenSimulation {
  std::int64_t requests = 0;
  std::int64_t replicas = 0;
  std::int64_t prompt_tokens = 0, generated_tokens = 0;
  TokenTimes wait{};        ///< from arrival until the request joins a batch
  TokenTimes first_token{}; ///< from arrival to the first token (of requests without one: to the end of the prompt)
  TokenTimes per_output_token{}; ///< after the first, of requests that have more than one
  TokenTimes response{};         ///< from arrival to the last token
  double seconds = 0;            ///< from the first arrival to the last token
  double utilization = 0;        ///< share of that time in which a replica computes, mean over replicas
  double mean_batch = 0;         ///< requests in a batch while it computes, mean over time
  double generated_per_second = 0;
  friend bool operator==(const TokenSimulation&, const TokenSimulation&) = default;
};

/// An arrival goes to the replica with the fewest unfinished requests, and waits there in order of arrival.
/// Deterministic. Time grows with arrivals x replicas, joins and leaves of batches and steps that read prompts, not
/// with generated tokens. Errors: as ArrivalTrace::check; invalid_argument without columns of tokens, for replicas
/// below 1 or above 10^5, or members out of range; invalid_value for a request that does not fit the cache.
[[nodiscard]] MCOMP_API Result<TokenSimulation> simulate_tokens(const ArrivalTrace& trace, const TokenReplica& replica,
                                                                std::int64_t replicas = 1);

/// At least one of them.
struct TokenObjectives {
  std::optional<double> first_token_p99_seconds{};
  std::optional<double> per_output_token_p99_seconds{};
  std::optional<double> response_p99_seconds{};
};

/// The least number of replicas that keeps the objectives, by doubling and bisection, which takes times to become
/// shorter with every replica. Errors: as above; invalid_argument for no objective or one that is not > 0, and where
/// `most` replicas do not keep them.
[[nodiscard]] MCOMP_API Result<TokenSimulation> smallest_token_fleet(const ArrivalTrace& trace,
                                                                     const TokenReplica& replica,
                                                                     const TokenObjectives& objectives,
                                                                     std::int64_t most = 1000);

/// Money for a million tokens, read and generated together, of a fleet that is paid for the time of the simulation.
/// Errors: invalid_value for a price that is not finite and > 0, or no tokens.
[[nodiscard]] MCOMP_API Result<double> cost_per_million_tokens(const TokenSimulation& run,
                                                               double replica_price_per_hour);

/// Three lines: load, times, throughput.
[[nodiscard]] MCOMP_API std::string to_string(const TokenSimulation& run);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::TokenSimulation> = true;
}
