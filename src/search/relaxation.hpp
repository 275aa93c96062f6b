#pragma once

// The linear relaxation of the knapsack and the prices of the budgets that go with it.

#include "search/knapsack.hpp"

namespace mcomp::inline v0::search::detail {

struct Relaxation {
  PerBudget<double> prices{};      ///< loss per whole-number unit of cost, >= 0
  std::vector<std::size_t> base{}; ///< per class: the option with the least loss + prices * cost
  bool infeasible = false;         ///< even the relaxation has no allocation within the budgets
};

/// Maximizes the Lagrangian bound sum_i min_o (loss + prices . cost) - prices . capacity over prices >= 0: its dual,
/// the master problem of Dantzig and Wolfe (1960), by the revised simplex method with one row a budget and one for
/// convexity. A column is a whole choice of options; the best one for given prices is one pass over all options.
[[nodiscard]] Relaxation relax(const Knapsack& knapsack);

} // namespace mcomp::inline v0::search::detail
