#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string_view>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "search/knapsack.hpp"

namespace mcomp::inline v0::search::detail {

namespace {

std::string name_of(const AllocationProblem& problem, std::size_t item) {
  const std::string& name = problem.items[item].name;
  return name.empty() ? fmt::format("item {}", item) : name;
}

std::string name_of_budget(const AllocationProblem& problem, std::size_t budget) {
  const std::string& name = problem.budgets[budget].name;
  return name.empty() ? fmt::format("budget {}", budget) : name;
}

Status check_choice(const AllocationProblem& problem, const Choice& choice, const std::string& subject) {
  if (!std::isfinite(choice.loss))
    return Error(ErrorCode::invalid_value, subject, fmt::format("a loss of {} is not finite", choice.loss),
                 "leave out choices that are impossible");
  if (choice.costs.size() != problem.budgets.size())
    return Error(ErrorCode::invalid_argument, subject,
                 fmt::format("{} costs for {} budgets", choice.costs.size(), problem.budgets.size()),
                 "give one cost for every budget, in the same order");
  for (std::size_t k = 0; k < choice.costs.size(); ++k)
    if (!(choice.costs[k] >= 0) || !std::isfinite(choice.costs[k]))
      return Error(
          ErrorCode::invalid_value, subject,
          fmt::format("a cost of {} for {} is not finite and >= 0", choice.costs[k], name_of_budget(problem, k)),
          "leave out choices that are impossible; add a constant to costs that may be negative");
  return {};
}

Status check_item(const AllocationProblem& problem, std::size_t i) {
  const Item& item = problem.items[i];
  const std::string subject = name_of(problem, i);
  if (item.choices.empty())
    return Error(ErrorCode::invalid_argument, subject, "it has no choices", "give every item at least one choice");
  const bool named = !item.choices.front().name.empty();
  std::set<std::string_view> names;
  for (std::size_t c = 0; c < item.choices.size(); ++c) {
    const Choice& choice = item.choices[c];
    if (choice.name.empty() == named)
      return Error(ErrorCode::invalid_argument, subject, "some of its choices have names and some have none",
                   "name all choices of an item or none");
    if (named && !names.insert(choice.name).second)
      return Error(ErrorCode::invalid_argument, subject, fmt::format("two choices are named {}", choice.name),
                   "give every choice of an item its own name");
    MCOMP_CHECK(
        check_choice(problem, choice,
                     named ? fmt::format("{}: {}", subject, choice.name) : fmt::format("{}: choice {}", subject, c)));
  }
  return {};
}

Status check(const AllocationProblem& problem) {
  if (problem.items.empty())
    return Error(ErrorCode::invalid_argument, "allocation", "there are no items", "give at least one item");
  if (problem.budgets.size() > max_budgets)
    return Error(ErrorCode::invalid_argument, "allocation",
                 fmt::format("{} budgets are more than {}", problem.budgets.size(), max_budgets),
                 "leave out budgets that others imply");
  for (std::size_t k = 0; k < problem.budgets.size(); ++k)
    if (std::isnan(problem.budgets[k].limit))
      return Error(ErrorCode::invalid_value, name_of_budget(problem, k), "its limit is NaN",
                   "give a number, or infinity for no limit");
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < problem.items.size(); ++i) {
    const std::string& name = problem.items[i].name;
    if (!name.empty() && !names.insert(name).second)
      return Error(ErrorCode::invalid_argument, name, "two items have this name", "give every item its own name");
    MCOMP_CHECK(check_item(problem, i));
  }
  return {};
}

std::size_t index_of(const Item& item, std::string_view name) {
  const auto found =
      std::find_if(item.choices.begin(), item.choices.end(), [&](const Choice& c) { return c.name == name; });
  return static_cast<std::size_t>(found - item.choices.begin());
}

/// The choice of `item` that is taken together with choice `c` of `leader`, or its number of choices where none is.
std::size_t partner(const Item& leader, std::size_t c, const Item& item) {
  const std::string& name = leader.choices[c].name;
  return name.empty() ? c : index_of(item, name);
}

Status check_tie(const AllocationProblem& problem, const std::vector<std::size_t>& members) {
  const Item& leader = problem.items[members.front()];
  const bool named = !leader.choices.front().name.empty();
  for (const std::size_t member : members) {
    const Item& item = problem.items[member];
    if (item.choices.front().name.empty() == named)
      return Error(ErrorCode::invalid_argument, leader.tie,
                   fmt::format("the choices of {} and {} are tied, and only one of them has names",
                               name_of(problem, members.front()), name_of(problem, member)),
                   "name the choices of all tied items or of none");
    if (!named && item.choices.size() != leader.choices.size())
      return Error(ErrorCode::invalid_argument, leader.tie,
                   fmt::format("{} has {} choices and {} has {}", name_of(problem, members.front()),
                               leader.choices.size(), name_of(problem, member), item.choices.size()),
                   "give tied items the same number of choices, or name the choices");
  }
  return {};
}

/// Adds the options that all members offer.
Status add_options(const AllocationProblem& problem, MergedItem& item, MergedProblem& merged) {
  const Item& leader = problem.items[item.members.front()];
  item.first_option = merged.losses.size();
  for (std::size_t c = 0; c < leader.choices.size(); ++c) {
    ExactSum loss;
    PerBudget<ExactSum> costs{};
    bool offered = true;
    for (const std::size_t member : item.members) {
      const Item& other = problem.items[member];
      const std::size_t o = partner(leader, c, other);
      if (!(offered = o < other.choices.size())) break;
      loss.add(other.choices[o].loss);
      for (std::size_t k = 0; k < merged.budgets; ++k) costs[k].add(other.choices[o].costs[k]);
    }
    if (!offered) continue;
    merged.losses.push_back(loss.value());
    for (std::size_t k = 0; k < merged.budgets; ++k) merged.costs.push_back(costs[k].value());
    merged.choices.push_back(c);
  }
  item.option_count = merged.losses.size() - item.first_option;
  if (item.option_count == 0)
    return Error(ErrorCode::invalid_argument, leader.tie, "the items of this tie have no choice in common",
                 "offer at least one choice of the same name in all of them");
  return {};
}

} // namespace

Status check_options(const AllocationOptions& options) {
  if (!(options.relative_gap >= 0) || !(options.absolute_gap >= 0))
    return Error(ErrorCode::invalid_argument, "allocation options",
                 fmt::format("the gaps {} and {} are not both >= 0", options.relative_gap, options.absolute_gap),
                 "pass 0 to prove optimality");
  if (options.node_limit < 0)
    return Error(ErrorCode::invalid_argument, "allocation options",
                 fmt::format("a limit of {} nodes is negative", options.node_limit), "pass 0 for the relaxation alone");
  return {};
}

Result<MergedProblem> merge(const AllocationProblem& problem) {
  MCOMP_CHECK(check(problem));
  MergedProblem merged;
  merged.budgets = problem.budgets.size();
  std::map<std::string_view, std::size_t> ties;
  for (std::size_t i = 0; i < problem.items.size(); ++i) {
    const std::string& tie = problem.items[i].tie;
    const auto known = tie.empty() ? ties.end() : ties.find(tie);
    if (known != ties.end()) {
      merged.items[known->second].members.push_back(i);
      continue;
    }
    if (!tie.empty()) ties.emplace(tie, merged.items.size());
    merged.items.push_back({.members = {i}});
  }
  ExactSum magnitude;
  for (MergedItem& item : merged.items) {
    MCOMP_CHECK(check_tie(problem, item.members));
    MCOMP_CHECK(add_options(problem, item, merged));
  }
  // Totals that overflow would make every comparison meaningless.
  for (const double loss : merged.losses) magnitude.add(std::abs(loss));
  for (const double cost : merged.costs) magnitude.add(cost);
  if (!(std::abs(magnitude.value()) < 1e300))
    return Error(ErrorCode::invalid_value, "allocation", "the sums of losses or costs exceed 1e300",
                 "measure them in a larger unit");
  return merged;
}

std::size_t choice_of(const AllocationProblem& problem, const MergedProblem& merged, const MergedItem& item,
                      std::size_t member, std::size_t option) {
  return partner(problem.items[item.members.front()], merged.choices[option], problem.items[member]);
}

Error infeasible(const AllocationProblem& problem, const MergedProblem& merged) {
  std::string least;
  for (std::size_t k = 0; k < merged.budgets; ++k) {
    ExactSum total;
    for (const MergedItem& item : merged.items) {
      double cheapest = merged.costs[item.first_option * merged.budgets + k];
      for (std::size_t o = 0; o < item.option_count; ++o)
        cheapest = std::min(cheapest, merged.costs[(item.first_option + o) * merged.budgets + k]);
      total.add(cheapest);
    }
    least += fmt::format("{}{} {} of {}", least.empty() ? "" : ", ", name_of_budget(problem, k), total.value(),
                         problem.budgets[k].limit);
  }
  return {ErrorCode::invalid_argument, "budgets",
          fmt::format("no allocation keeps them all; each one alone needs at least: {}", least),
          "raise the limits or offer cheaper choices"};
}

} // namespace mcomp::inline v0::search::detail
