#pragma once

// The exact search: a dynamic program over the classes whose option is in doubt.

#include "search/relaxation.hpp"

namespace mcomp::inline v0::search::detail {

struct SearchLimits {
  double relative_gap = 0;
  double absolute_gap = 0;
  std::int64_t node_limit = 0;
};

struct SearchOutcome {
  std::vector<std::size_t> options{}; ///< per class; empty where none within the capacities was found
  double lower_bound = 0;             ///< of the sum of losses
  bool optimal = false;               ///< or, where `options` is empty, none exists
  bool searched = false;              ///< the relaxation alone did not suffice
  std::int64_t nodes = 0;
};

/// Errors: cancelled.
[[nodiscard]] Result<SearchOutcome> search_core(const Knapsack& knapsack, const Relaxation& relaxation,
                                                const SearchLimits& limits, const Context& context);

/// A choice within the capacities made from `options` by single changes: first the cheapest repairs of what exceeds a
/// capacity, then improvements. Empty where the repairs end in a dead end.
[[nodiscard]] std::vector<std::size_t> repair_and_improve(const Knapsack& knapsack, const Relaxation& relaxation,
                                                          std::vector<std::size_t> options);

} // namespace mcomp::inline v0::search::detail
