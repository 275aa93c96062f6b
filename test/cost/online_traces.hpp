#pragma once

// Traces that an online rule of commitment is held against, random and made to hurt it; for the test and the bench.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "mcomp/core/random.hpp"
#include "mcomp/cost/online_commitment.hpp"

namespace mcomp_test {

struct WorstRatios {
  std::int64_t traces = 0, deterministic_violations = 0, randomized_violations = 0;
  double deterministic = 0, randomized = 0; ///< largest cost / (promised ratio x optimum)
};

/// One of six kinds of trace, by `kind`. An adversary stops the demand right after the rule has reserved.
inline std::vector<std::int64_t> online_trace(mcomp::Random& random, const mcomp::cost::OnlinePrices& prices,
                                              std::uint64_t kind) {
  const auto ratios = mcomp::cost::competitive_ratios(prices).value();
  const auto break_even = static_cast<std::size_t>(ratios.break_even_hours * (1 + 1e-12));
  std::vector<std::int64_t> demand;
  const std::uint64_t machines = 1 + random.below(3);
  const auto some = [&] { return static_cast<std::int64_t>(random.below(machines + 1)); };
  switch (kind % 6) {
  case 0: // independent hours
    for (std::size_t t = 0; t < 40; ++t) demand.push_back(some());
    break;
  case 1: // sparse
    for (std::size_t t = 0; t < 60; ++t) demand.push_back(random.below(4) == 0 ? some() : 0);
    break;
  case 2: // runs of any length
    while (demand.size() < 60) demand.insert(demand.end(), 1 + random.below(2 * break_even + 2), some());
    break;
  case 3: // used just until the reservation is made, then not for a term, again and again
    for (int round = 0; round < 3; ++round) {
      demand.insert(demand.end(), break_even + 1, static_cast<std::int64_t>(machines));
      demand.insert(demand.end(), static_cast<std::size_t>(prices.term_hours), 0);
    }
    break;
  case 4: // the same, ending anywhere up to there: the adversary of a random threshold
    for (int round = 0; round < 3; ++round) {
      demand.insert(demand.end(), 1 + random.below(break_even + 1), static_cast<std::int64_t>(machines));
      demand.insert(demand.end(), static_cast<std::size_t>(prices.term_hours), 0);
    }
    break;
  default: // gaps inside the term, with levels that overlap
    for (std::size_t t = 0; t < 50; ++t)
      demand.push_back(static_cast<std::int64_t>(t / 5 % 2 * machines) + static_cast<std::int64_t>(random.below(2)));
    break;
  }
  return demand;
}

inline WorstRatios worst_ratios(std::int64_t traces, std::uint64_t seed) {
  mcomp::Random random(seed);
  WorstRatios worst{.traces = traces};
  for (std::int64_t i = 0; i < traces; ++i) {
    mcomp::cost::OnlinePrices prices{.on_demand_per_hour = 1};
    prices.fee = 0.2 + 8 * random.uniform();
    prices.reserved_per_hour = random.below(8) == 0 ? 0 : 0.8 * random.uniform();
    // A term of any length; below the break-even point reserving never pays.
    prices.term_hours = 2 + static_cast<std::int64_t>(random.below(30));
    const auto regret =
        mcomp::cost::regret(online_trace(random, prices, static_cast<std::uint64_t>(i)), prices).value();
    if (regret.offline <= 0) continue;
    const double deterministic = regret.deterministic / (regret.offline * regret.ratios.deterministic);
    const double randomized = regret.randomized / (regret.offline * regret.ratios.randomized);
    worst.deterministic = std::max(worst.deterministic, deterministic);
    worst.randomized = std::max(worst.randomized, randomized);
    worst.deterministic_violations += deterministic > 1 + 1e-12 ? 1 : 0;
    worst.randomized_violations += randomized > 1 + 1e-12 ? 1 : 0;
  }
  return worst;
}

} // namespace mcomp_test
