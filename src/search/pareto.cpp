#include <algorithm>
#include <optional>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "search/knapsack.hpp"

namespace mcomp::inline v0::search {

namespace {

using detail::ExactSum;
using detail::MergedItem;
using detail::MergedProblem;

Status check_budget(const AllocationProblem& problem, std::size_t budget) {
  if (budget < problem.budgets.size()) return {};
  return Error(ErrorCode::invalid_argument, "budget",
               fmt::format("{} is not the index of one of {} budgets", budget, problem.budgets.size()),
               "pass the index of the budget whose trade-off is asked for");
}

/// An option of one merged item on its lower convex hull.
struct Corner {
  std::size_t option = 0;
  double cost = 0;
  double loss = 0;
};

/// From the cheapest option (of these the one of least loss) down along the hull to the option of least loss.
std::vector<Corner> hull_of(const MergedProblem& merged, const MergedItem& item, std::size_t budget) {
  std::vector<Corner> options;
  for (std::size_t o = item.first_option; o < item.first_option + item.option_count; ++o)
    options.push_back({o, merged.costs[o * merged.budgets + budget], merged.losses[o]});
  std::stable_sort(options.begin(), options.end(), [](const Corner& a, const Corner& b) {
    return a.cost != b.cost ? a.cost < b.cost : a.loss < b.loss;
  });
  std::vector<Corner> hull;
  for (const Corner& next : options) {
    if (!hull.empty() && next.loss >= hull.back().loss) continue;
    while (hull.size() >= 2) {
      const Corner& a = hull[hull.size() - 2];
      const Corner& b = hull.back();
      // b is above the line from a to next
      if ((b.loss - a.loss) * (next.cost - a.cost) < (next.loss - a.loss) * (b.cost - a.cost)) break;
      hull.pop_back();
    }
    hull.push_back(next);
  }
  return hull;
}

struct Step {
  double saved_per_cost = 0;
  std::size_t merged_item = 0;
  Corner from, to;
};

} // namespace

Result<std::vector<Allocation>> pareto_front(const AllocationProblem& problem, std::size_t budget,
                                             std::span<const double> limits, const AllocationOptions& options,
                                             const Context& context) {
  MCOMP_CHECK(check_budget(problem, budget));
  if (limits.empty())
    return Error(ErrorCode::invalid_argument, "limits", "there are none", "pass the limits to solve for");
  MCOMP_CHECK(detail::check_options(options));
  MCOMP_TRY(checked, detail::merge(problem));
  (void)checked;

  std::vector<std::optional<Result<Allocation>>> solved(limits.size());
  context.executor_or_serial().run(limits.size(), [&](std::size_t i) {
    AllocationProblem limited = problem;
    limited.budgets[budget].limit = limits[i];
    // Progress is reported from here alone: the sink need not be safe for threads.
    Context inner;
    inner.cancellation = context.cancellation;
    solved[i] = allocate(limited, options, inner);
  });
  context.report("pareto_front", static_cast<std::int64_t>(limits.size()), static_cast<std::int64_t>(limits.size()));

  std::vector<Allocation> front;
  std::optional<Error> unkept;
  for (auto& result : solved) {
    if (*result)
      front.push_back(std::move(**result));
    else if (result->error().code() == ErrorCode::invalid_argument)
      unkept = result->error(); // the problem itself was checked above, so these limits are what cannot be kept
    else
      return result->error();
  }
  if (front.empty()) return *unkept;
  std::stable_sort(front.begin(), front.end(), [budget](const Allocation& a, const Allocation& b) {
    return a.costs[budget] != b.costs[budget] ? a.costs[budget] < b.costs[budget] : a.loss < b.loss;
  });
  std::vector<Allocation> undominated;
  for (Allocation& a : front)
    if (undominated.empty() || a.loss < undominated.back().loss) undominated.push_back(std::move(a));
  return undominated;
}

Result<Hull> convex_hull(const AllocationProblem& problem, std::size_t budget) {
  MCOMP_CHECK(check_budget(problem, budget));
  MCOMP_TRY(merged, detail::merge(problem));
  Hull hull;
  hull.cheapest.resize(problem.items.size());
  std::vector<Step> steps;
  ExactSum cost, loss;
  for (std::size_t i = 0; i < merged.items.size(); ++i) {
    const MergedItem& item = merged.items[i];
    const std::vector<Corner> corners = hull_of(merged, item, budget);
    for (const std::size_t member : item.members)
      hull.cheapest[member] = detail::choice_of(problem, merged, item, member, corners.front().option);
    cost.add(corners.front().cost);
    loss.add(corners.front().loss);
    for (std::size_t c = 1; c < corners.size(); ++c)
      steps.push_back({(corners[c - 1].loss - corners[c].loss) / (corners[c].cost - corners[c - 1].cost), i,
                       corners[c - 1], corners[c]});
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.saved_per_cost > b.saved_per_cost; });
  hull.points.push_back({cost.value(), loss.value(), {}});
  for (const Step& step : steps) {
    cost.add(step.to.cost - step.from.cost);
    loss.add(step.to.loss - step.from.loss);
    const MergedItem& item = merged.items[step.merged_item];
    hull.points.push_back({cost.value(), loss.value(), {}});
    for (const std::size_t member : item.members)
      hull.points.back().changes.push_back({member, detail::choice_of(problem, merged, item, member, step.to.option)});
  }
  return hull;
}

std::vector<std::size_t> Hull::choices_at(std::size_t point) const {
  std::vector<std::size_t> choices = cheapest;
  for (std::size_t p = 0; p <= point && p < points.size(); ++p)
    for (const ChoiceChange& change : points[p].changes) choices[change.item] = change.choice;
  return choices;
}

} // namespace mcomp::inline v0::search
