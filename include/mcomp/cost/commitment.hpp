#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcomp/cost/prices.hpp"

// How many machines to reserve. Demand is a history of hours, each with the number of machines that were needed; the
// next term is taken to have the same distribution. Rates are per machine and hour, in any one currency.
//
// One resource is a newsvendor: a reserved hour costs r whether used or not, one on demand costs o, so the R-th machine
// is worth reserving as long as it is needed in more than a share r / o of hours; R is the 1 - r / o quantile of
// demand. Several offers are a stack: sort the machines by how often they are needed, and let each offer serve a range
// of them, those with cheap use at the bottom (the screening curves of power generation; Turvey, Optimal Pricing and
// Investment in Electricity Supply, 1968). The cost of each border between two ranges is convex in it, so one sweep
// over the demand levels is exact, also where the number of an offer is limited.
//
//     auto plan = mcomp::cost::commit(machines_by_hour, {{.name = "on demand", .used_per_hour = 0.204},
//                                                        {.name = "1 year", .always_per_hour = 0.1285}}).value();
//     plan.shares[1].count;               // machines to reserve

namespace mcomp::inline v0::cost {

struct Newsvendor {
  double reserved = 0;       ///< machines to reserve, the least optimal number; a value of the demand, or 0
  double cost = 0;           ///< of the whole history with them
  double on_demand_cost = 0; ///< of the whole history without any
  friend bool operator==(const Newsvendor&, const Newsvendor&) = default;
};

/// The optimal reservation of one resource against demand that is known as a distribution, in O(n log n).
/// @param demand  machines needed, or any other amount, by hour; >= 0
/// @param reserved_per_hour  above on_demand_per_hour nothing is reserved
/// Errors: insufficient_data for no hour; invalid_value for demand or rates that are negative, NaN or infinite, an
/// on-demand rate of 0, and costs that overflow.
[[nodiscard]] MCOMP_API Result<Newsvendor> newsvendor(std::span<const double> demand, double on_demand_per_hour,
                                                      double reserved_per_hour);

/// One way to have machines.
struct CommitmentOffer {
  std::string name;
  double always_per_hour = 0;         ///< paid for every hour, used or not: a fee spread over the term
  double used_per_hour = 0;           ///< paid for an hour of use only
  std::optional<std::int64_t> most{}; ///< of it, at one time: a volume tier, or what tolerates interruption
  /// The offer that must be taken to its `most` before this one can be had: the tier below in a volume discount.
  std::string after{};
  friend bool operator==(const CommitmentOffer&, const CommitmentOffer&) = default;
};

/// What of an offer to take.
struct CommitmentShare {
  std::string name;
  std::int64_t count = 0; ///< machines committed to; of an offer without fee, the most in use at one time
  double used_hours = 0;  ///< machine-hours in the history
  double cost = 0;        ///< in the history
  friend bool operator==(const CommitmentShare&, const CommitmentShare&) = default;
};

struct CommitmentPlan {
  std::vector<CommitmentShare> shares; ///< in the order of the offers
  std::int64_t hours = 0;              ///< of the history
  double cost = 0;                     ///< of the whole history
  /// With the cheapest offer alone that has no fee and no limit; absent where there is none.
  std::optional<double> uncommitted_cost{};

  friend bool operator==(const CommitmentPlan&, const CommitmentPlan&) = default;
};

/// The cheapest mix of `offers` that serves every hour of `demand`, exact: O(hours + levels x offers), and as often as
/// there are choices of tiers to open. A tier may be filled with machines that are not needed, where the price of the
/// next one is worth it. Of equally cheap mixes one with fewer commitments. Errors: insufficient_data for no hour or no
/// offer; invalid_value for rates that are negative, NaN or infinite, a negative demand or one beyond 10 million
/// machines, a negative limit, costs that overflow; invalid_argument where the limits together do not serve the largest
/// demand, for names that are empty or stand twice, and for `after` that names no offer with a limit, leads back to
/// itself, or stands in more than 10 offers.
[[nodiscard]] MCOMP_API Result<CommitmentPlan> commit(std::span<const std::int64_t> demand,
                                                      std::span<const CommitmentOffer> offers);

/// Several families of machines, each with its demand and its offers; a size within a family counts as so many machines
/// of the smallest (the provider's normalization factor), since reservations move freely within a family and not
/// between families. The total is then the sum of the families' optima.
struct CommitmentFamily {
  std::string name;
  std::vector<std::int64_t> demand;
  std::vector<CommitmentOffer> offers;
};

struct FamilyPlan {
  std::string name;
  CommitmentPlan plan;
  friend bool operator==(const FamilyPlan&, const FamilyPlan&) = default;
};

struct FamiliesPlan {
  std::vector<FamilyPlan> families;
  double cost = 0;
  friend bool operator==(const FamiliesPlan&, const FamiliesPlan&) = default;
};

/// Errors: as `commit`, named by family; invalid_argument where the histories differ in length.
[[nodiscard]] MCOMP_API Result<FamiliesPlan> commit_families(std::span<const CommitmentFamily> families);

struct OfferOptions {
  /// How long the demand will last. A term is bought as often as it takes to cover that, and what reaches beyond is
  /// lost: a three-year term for a need of two costs 36 / 24 of its rate.
  std::int64_t horizon_months = 36;
  /// What money costs, 0.08 for 8% a year. Every payment is discounted to today (upfront ones at the start of each
  /// term, half of a partial one; the rest monthly, in arrears) and spread again over the horizon, so that rates
  /// compare.
  double annual_interest = 0;
  /// What one interruption of a spot machine costs: lost work, and on-demand time until another one runs.
  double cost_per_interruption = 0;
  std::optional<std::int64_t> most_spot{}; ///< machines whose work tolerates interruption; absent: no spot offer
};

/// The offers of a price list's instance: on demand first, then every reserved term and payment ("12 months, no
/// upfront, standard"), then spot with its interruptions in its rate where `most_spot` allows it. Errors: invalid_value
/// for prices out of range, invalid_argument for options, or spot asked for where there is none.
[[nodiscard]] MCOMP_API Result<std::vector<CommitmentOffer>> offers(const InstancePrice& price,
                                                                    const OfferOptions& options = {});

// Reservations expire, and a compressed model is about to need fewer machines.

struct ExpiryQuestion {
  std::vector<std::int64_t> demand; ///< machines by hour, as it is now
  std::int64_t staying = 0;         ///< reservations that do not expire; they are paid and stay in use for the term
  std::int64_t expiring = 0;        ///< reservations that may be renewed or not
  double on_demand_per_hour = 0;
  double reserved_per_hour = 0; ///< of a renewed one
  double term_months = 12;      ///< that a renewal binds for; also the period that is counted
  double reduction = 0;         ///< share of the demand that the candidate saves, x; [0, 1)
  double probability = 0;       ///< that it will be adopted, p
  double months_until = 0;      ///< when, t; what comes at or after the end of the term changes nothing
  double hours_per_month = 730;
  /// At t, when the outcome is known, more may be reserved at the same rate until the end of the term. False where a
  /// new reservation would bind for a whole term and so is no remedy.
  bool reserve_again = false;
};

struct ExpiryAdvice {
  std::int64_t renew = 0;      ///< the optimum; of equally cheap numbers the least
  std::int64_t let_expire = 0; ///< the others
  double expected_cost = 0;    ///< over the term, of the renewed ones and of all on-demand hours
  double cost_if_adopted = 0;  ///< the same with `renew`, in either future
  double cost_if_not = 0;
  std::int64_t renew_uninformed = 0; ///< the optimum for someone who believes that demand stays
  double expected_cost_uninformed = 0;
  double expected_cost_all_renewed = 0;
  double expected_cost_none_renewed = 0;
  double at_stake = 0; ///< expected_cost_uninformed - expected_cost: what knowing of the candidate is worth
  friend bool operator==(const ExpiryAdvice&, const ExpiryAdvice&) = default;
};

/// How many reservations to renew when a candidate may cut demand: the expectation over the two futures, exact. In the
/// future with the candidate an hour that needs D machines needs (1 - x) D from t on, rounded up to whole ones.
/// Without `reserve_again` this is the newsvendor of the mixture of D, with weight 1 - p (1 - t / T), and (1 - x) D.
/// Errors: insufficient_data for no hour; invalid_value for negative, NaN, infinite or too large numbers, and costs
/// that overflow.
[[nodiscard]] MCOMP_API Result<ExpiryAdvice> advise_expiry(const ExpiryQuestion& question);

/// "40 of on demand, 20 of 1 year: 392 for 16 hours, 474 without commitment"
[[nodiscard]] MCOMP_API std::string to_string(const CommitmentPlan& plan);
/// "renew 12, let 8 expire: 392 expected over the term, 15 less than without knowing of the candidate"
[[nodiscard]] MCOMP_API std::string to_string(const ExpiryAdvice& advice);
/// One JSON object with the members above; what is absent is null.
[[nodiscard]] MCOMP_API std::string to_json(const CommitmentPlan& plan);
[[nodiscard]] MCOMP_API std::string to_json(const ExpiryAdvice& advice);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::CommitmentPlan> = true;
template <> inline constexpr bool enable_format<cost::ExpiryAdvice> = true;
} // namespace mcomp::inline v0
