#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/try.hpp"
#include "search/knapsack.hpp"

namespace mcomp::inline v0::search::detail {

namespace {

/// Totals stay below 2^52, so that sums and differences of them are exact doubles.
constexpr int total_bits = 52;

/// An option of the merged problem that may still be taken.
struct Candidate {
  std::size_t merged_option = 0;
  double loss = 0;
  PerBudget<double> cost{};
};
using Candidates = std::vector<std::vector<Candidate>>;

Candidates candidates_of(const MergedProblem& merged, const Knapsack& knapsack) {
  Candidates classes(merged.items.size());
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const MergedItem& item = merged.items[i];
    classes[i].resize(item.option_count);
    for (std::size_t o = 0; o < item.option_count; ++o) {
      Candidate& c = classes[i][o];
      c.merged_option = item.first_option + o;
      c.loss = merged.losses[c.merged_option];
      for (std::size_t k = 0; k < knapsack.budgets; ++k)
        c.cost[k] = merged.costs[c.merged_option * merged.budgets + knapsack.budget[k]];
    }
  }
  return classes;
}

double least(const std::vector<Candidate>& options, std::size_t k) {
  double cheapest = options.front().cost[k];
  for (const Candidate& o : options) cheapest = std::min(cheapest, o.cost[k]);
  return cheapest;
}

double sum_of_least(const Candidates& classes, std::size_t k) {
  ExactSum sum;
  for (const auto& options : classes) sum.add(least(options, k));
  return sum.value();
}

/// Drops options that alone exceed what the least costs of the others leave of a limit. False where a class is empty.
/// @param slack admits options that exceed a limit by this share, where costs are not exact yet
bool drop_unaffordable(Candidates& classes, std::span<const double> limits, double slack) {
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t k = 0; k < limits.size(); ++k) {
      const double left = limits[k] - sum_of_least(classes, k) + slack * std::abs(limits[k]);
      for (auto& options : classes) {
        const double cheapest = least(options, k);
        const auto removed = std::erase_if(options, [&](const Candidate& o) { return o.cost[k] - cheapest > left; });
        changed = changed || removed > 0;
        if (options.empty()) return false;
      }
    }
  }
  return true;
}

/// Replaces costs by whole numbers and returns the limit in these units.
double to_whole_numbers(Candidates& classes, std::size_t k, double limit, double& units) {
  ExactSum sum;
  for (const auto& options : classes) {
    double most = 0;
    for (const Candidate& o : options) most = std::max(most, o.cost[k]);
    sum.add(most);
  }
  const double total = sum.value();
  const int exponent = total > 0 ? std::min(total_bits - 1 - std::ilogb(total), 1000) : 0;
  units = std::ldexp(1.0, exponent);
  bool exact = true;
  for (auto& options : classes)
    for (Candidate& o : options) {
      const double scaled = o.cost[k] * units;
      o.cost[k] = std::nearbyint(scaled);
      exact = exact && o.cost[k] == scaled;
    }
  const double scaled_limit = std::floor(std::min(limit, 2 * total) * units);
  // Rounded costs, and a limit that is a rounded sum of them, differ by less than a unit an item.
  return exact ? scaled_limit : scaled_limit + static_cast<double>(classes.size());
}

/// No allocation with `a` is worse when it takes `b` instead.
bool dominates(const Candidate& b, const Candidate& a, std::size_t budgets) {
  if (b.loss > a.loss) return false;
  bool equal = b.loss == a.loss;
  for (std::size_t k = 0; k < budgets; ++k) {
    if (b.cost[k] > a.cost[k]) return false;
    equal = equal && b.cost[k] == a.cost[k];
  }
  return !equal || b.merged_option < a.merged_option;
}

void drop_dominated(std::vector<Candidate>& options, std::size_t budgets) {
  std::vector<Candidate> kept;
  for (const Candidate& a : options)
    if (std::none_of(options.begin(), options.end(),
                     [&](const Candidate& b) { return &a != &b && dominates(b, a, budgets); }))
      kept.push_back(a);
  options = std::move(kept);
}

/// Costs above the least of their class; the capacity comes down to a multiple of what all costs are multiples of.
double from_least(Candidates& classes, std::size_t k, double limit) {
  double capacity = limit - sum_of_least(classes, k);
  std::int64_t divisor = 0;
  for (auto& options : classes) {
    const double cheapest = least(options, k);
    for (Candidate& o : options) {
      o.cost[k] -= cheapest;
      divisor = std::gcd(divisor, static_cast<std::int64_t>(o.cost[k]));
    }
  }
  if (divisor > 0) capacity -= std::fmod(capacity, static_cast<double>(divisor));
  return capacity;
}

} // namespace

Result<Knapsack> reduce(const AllocationProblem& problem, const MergedProblem& merged) {
  Knapsack knapsack;
  std::vector<double> limits;
  for (std::size_t k = 0; k < merged.budgets; ++k) {
    const double limit = problem.budgets[k].limit;
    if (limit == std::numeric_limits<double>::infinity()) continue;
    if (limit < 0) return infeasible(problem, merged);
    knapsack.budget[knapsack.budgets++] = k;
    limits.push_back(limit);
  }
  Candidates classes = candidates_of(merged, knapsack);
  // First the outliers, which would make the units coarse, then exactly.
  if (!drop_unaffordable(classes, limits, 1e-9)) return infeasible(problem, merged);
  for (std::size_t k = 0; k < knapsack.budgets; ++k)
    limits[k] = to_whole_numbers(classes, k, limits[k], knapsack.units[k]);
  if (!drop_unaffordable(classes, limits, 0)) return infeasible(problem, merged);
  for (auto& options : classes) drop_dominated(options, knapsack.budgets);
  for (std::size_t k = 0; k < knapsack.budgets; ++k) knapsack.capacity[k] = from_least(classes, k, limits[k]);

  knapsack.first.push_back(0);
  for (const auto& options : classes) {
    for (const Candidate& o : options) {
      knapsack.losses.push_back(o.loss);
      knapsack.costs.insert(knapsack.costs.end(), o.cost.begin(),
                            o.cost.begin() + static_cast<std::ptrdiff_t>(knapsack.budgets));
      knapsack.merged_option.push_back(o.merged_option);
    }
    knapsack.first.push_back(knapsack.losses.size());
  }
  return knapsack;
}

} // namespace mcomp::inline v0::search::detail
