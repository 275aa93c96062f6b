#pragma once

#include <cstdint>
#include <string>

#include "mcomp/core/result.hpp"

// How long requests wait for one of several equal servers (A. K. Erlang 1917; formulas as in Gross et al., Fundamentals
// of Queueing Theory, section 2.3). One server is one worker that serves one request, or one batch, at a time; waiting
// requests stand in one line and are served in order of arrival.

namespace mcomp::inline v0::cost {

/// The share of requests that find all servers busy and are turned away, M/M/c/c (Erlang B). By the recursion
/// B(k) = a B(k-1) / (k + a B(k-1)), which subtracts nothing and so loses no digits; time grows with `servers`.
/// @param load offered load a = arrival rate x mean service time, in erlangs; may exceed `servers`
/// Errors: invalid_argument for negative servers or more than 10 million, invalid_value for a load that is negative,
/// NaN or infinite.
[[nodiscard]] MCOMP_API Result<double> erlang_b(std::int64_t servers, double load);

/// The share of requests that find all servers busy and wait, M/M/c (Erlang C).
/// Errors: as erlang_b, and invalid_argument where load >= servers: then the line grows without bound.
[[nodiscard]] MCOMP_API Result<double> erlang_c(std::int64_t servers, double load);

/// A line before `servers` equal servers.
struct Queue {
  double arrivals_per_second = 0;
  double service_seconds = 0; ///< mean
  std::int64_t servers = 1;
  /// Squared coefficients of variation (variance over squared mean) of the gaps between arrivals and of the service
  /// time: 1 for exponential (M), 0 for constant (D).
  double arrival_variability = 1;
  double service_variability = 1;
};

/// The distribution of the wait: none with probability 1 - `probability`, else exponential with rate `decay`.
/// Exact for M/M/c. Elsewhere the approximation of Allen and Cunneen (Allen, Probability, Statistics, and Queueing
/// Theory, 1990, section 5.4): the mean wait of M/M/c times (arrival_variability + service_variability) / 2, here by a
/// longer conditional wait at Erlang's probability of waiting. Its mean is exact for M/G/1 (Pollaczek and Khinchine).
struct Waiting {
  double probability = 0; ///< of any wait
  double decay = 0;       ///< per second; infinite where nothing varies

  /// Mean wait in seconds, over all requests.
  [[nodiscard]] MCOMP_API double mean() const noexcept;
  /// P(wait > seconds); 1 for negative seconds, NaN for NaN.
  [[nodiscard]] MCOMP_API double exceeds(double seconds) const noexcept;
  /// The wait that a share `quantile` of all requests does not exceed. Error: invalid_argument outside [0, 1).
  [[nodiscard]] MCOMP_API Result<double> quantile(double quantile) const;

  friend bool operator==(const Waiting&, const Waiting&) = default;
};

/// Errors: invalid_value for a rate, time or variability that is negative, NaN or infinite (a mean service time must be
/// positive), invalid_argument for less than one server, more than 10 million, or a load they cannot carry.
[[nodiscard]] MCOMP_API Result<Waiting> waiting(const Queue& queue);

/// "41% wait, 0.205 s on average"
[[nodiscard]] MCOMP_API std::string to_string(const Waiting& waiting);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::Waiting> = true;
} // namespace mcomp::inline v0
