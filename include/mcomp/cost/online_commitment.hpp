#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/result.hpp"

// When to reserve if nothing can be said about the demand to come. A reservation costs a fee, holds for a term, and
// makes hours cheaper: alpha is the reserved hour's price over the on-demand one's. A machine is reserved as soon as
// the on-demand spending that the reservation would have covered within the last term passes a threshold (Wang, Li and
// Liang, To Reserve or Not to Reserve, ICAC 2013). At the break-even point, fee / (1 - alpha), the rule never costs
// more than (2 - alpha) times what perfect foresight costs, and no deterministic rule promises less. With a threshold
// drawn from a distribution, below the break-even point or never (with probability alpha / (e - 1 + alpha)), the factor
// is e / (e - 1 + alpha) in expectation: every demand, short or long, then costs just that times the optimum. Were
// "never" at the break-even point instead, demand that ends just past it would cost 1 + (1 - alpha^2) / (e - 1 + alpha)
// times the optimum, which is more.
//
//     mcomp::cost::OnlinePrices prices{.on_demand_per_hour = 0.08, .fee = 69, .reserved_per_hour = 0.039};
//     auto bound = mcomp::cost::competitive_ratios(prices).value();   // 1.5125 and 1.2323
//     auto regret = mcomp::cost::regret(machines_by_hour, prices).value();
//     // regret.offline <= regret.deterministic <= 1.5125 regret.offline

namespace mcomp::inline v0::cost {

struct OnlinePrices {
  double on_demand_per_hour = 0;
  double fee = 0;               ///< of one reservation
  double reserved_per_hour = 0; ///< of an hour used with one; below the on-demand price
  std::int64_t term_hours = 8760;
  friend bool operator==(const OnlinePrices&, const OnlinePrices&) = default;
};

struct CompetitiveRatios {
  double alpha = 0;
  double break_even = 0;       ///< on-demand spending within a term that is worth the fee: fee / (1 - alpha)
  double break_even_hours = 0; ///< the same in hours of use
  double deterministic = 0;    ///< 2 - alpha
  double randomized = 0;       ///< e / (e - 1 + alpha)
  friend bool operator==(const CompetitiveRatios&, const CompetitiveRatios&) = default;
};

/// Errors: invalid_value for prices that are not finite, an on-demand price or fee that is not > 0, a reserved price
/// outside [0, on-demand), a term of less than an hour or of more than 10 million.
[[nodiscard]] MCOMP_API Result<CompetitiveRatios> competitive_ratios(const OnlinePrices& prices);

/// The threshold (in money, like break_even) that a share `uniform` of draws does not exceed: density
/// (1 - alpha) e^(z (1 - alpha) / fee) / (fee (e - 1 + alpha)) below the break-even point, and infinity, never to
/// reserve, with the rest of the probability, alpha / (e - 1 + alpha). Draw `uniform` from [0, 1) once and keep the
/// threshold.
/// Errors: as competitive_ratios; invalid_argument for `uniform` outside [0, 1).
[[nodiscard]] MCOMP_API Result<double> random_threshold(const OnlinePrices& prices, double uniform);

/// What a rule did with a history.
struct OnlineRun {
  std::vector<std::int64_t> reserved; ///< reservations made at the start of each hour
  std::int64_t reservations = 0;
  double on_demand_hours = 0; ///< machine-hours
  double cost = 0;
  friend bool operator==(const OnlineRun&, const OnlineRun&) = default;
};

/// Runs the rule with one threshold: at every hour, as long as on-demand spending on what one more reservation would
/// have covered in the last term, this hour included, is above `threshold`, one more machine is reserved. Reservations
/// made near the end cost their whole fee. An infinite threshold never reserves. O(hours + reservations x term).
/// Errors: as competitive_ratios; insufficient_data for no hour; invalid_value for demand that is negative or beyond 10
/// million machines, a threshold that is negative or NaN, and costs that overflow.
[[nodiscard]] MCOMP_API Result<OnlineRun> reserve_online(std::span<const std::int64_t> demand,
                                                         const OnlinePrices& prices, double threshold);

/// What the best possible sequence of reservations costs to one who knows the demand: a flow of least cost along the
/// hours, exact. O(rises of the demand x hours x log hours) in the worst case; a year of hours and a hundred machines
/// take some seconds. Errors: as reserve_online.
[[nodiscard]] MCOMP_API Result<double> offline_commitment_cost(std::span<const std::int64_t> demand,
                                                               const OnlinePrices& prices);

/// The expected cost of the rule with a random threshold: the rule changes only where the threshold passes a whole
/// number of hours, so the expectation is a finite sum over these, not sampled. O(break-even hours) runs.
/// Errors: as reserve_online.
[[nodiscard]] MCOMP_API Result<double> expected_online_cost(std::span<const std::int64_t> demand,
                                                            const OnlinePrices& prices);

/// What not knowing the future costs, with this history as the future: between the offline optimum and the rules.
struct Regret {
  double offline = 0;
  double deterministic = 0; ///< threshold at the break-even point
  double randomized = 0;    ///< expected
  double on_demand = 0;     ///< without any reservation
  CompetitiveRatios ratios{};
  friend bool operator==(const Regret&, const Regret&) = default;
};

/// Errors: as reserve_online.
[[nodiscard]] MCOMP_API Result<Regret> regret(std::span<const std::int64_t> demand, const OnlinePrices& prices);

/// "100 with foresight, 120 by the rule (at most 151), 112 expected with a random threshold (at most 123)"
[[nodiscard]] MCOMP_API std::string to_string(const Regret& regret);
/// One JSON object with the members above.
[[nodiscard]] MCOMP_API std::string to_json(const Regret& regret);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::Regret> = true;
} // namespace mcomp::inline v0
