#include "mcomp/search/allocation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "search/core_search.hpp"

namespace mcomp::inline v0::search {

namespace {

using detail::ExactSum;
using detail::Knapsack;
using detail::MergedItem;
using detail::MergedProblem;
using detail::PerBudget;
using detail::Relaxation;

/// The allocation that takes `options[i]` of the merged problem for merged item i, with its loss and costs.
Allocation expand(const AllocationProblem& problem, const MergedProblem& merged,
                  const std::vector<std::size_t>& options) {
  Allocation allocation;
  allocation.choices.resize(problem.items.size());
  for (std::size_t i = 0; i < merged.items.size(); ++i)
    for (const std::size_t member : merged.items[i].members)
      allocation.choices[member] = detail::choice_of(problem, merged, merged.items[i], member, options[i]);
  ExactSum loss;
  PerBudget<ExactSum> costs{};
  for (std::size_t i = 0; i < problem.items.size(); ++i) {
    const Choice& choice = problem.items[i].choices[allocation.choices[i]];
    loss.add(choice.loss);
    for (std::size_t k = 0; k < merged.budgets; ++k) costs[k].add(choice.costs[k]);
  }
  allocation.loss = loss.value();
  for (std::size_t k = 0; k < merged.budgets; ++k) allocation.costs.push_back(costs[k].value());
  return allocation;
}

/// The bound that the prices give for the problem as the caller stated it.
double bound_of(const AllocationProblem& problem, const MergedProblem& merged, const std::vector<double>& prices) {
  ExactSum bound;
  for (const MergedItem& item : merged.items) {
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t o = item.first_option; o < item.first_option + item.option_count; ++o) {
      double value = merged.losses[o];
      for (std::size_t k = 0; k < merged.budgets; ++k) value += prices[k] * merged.costs[o * merged.budgets + k];
      least = std::min(least, value);
    }
    bound.add(least);
  }
  for (std::size_t k = 0; k < merged.budgets; ++k)
    if (prices[k] > 0) bound.add(-prices[k] * problem.budgets[k].limit);
  return bound.value();
}

void certify(Allocation& allocation, double lower_bound, bool optimal) {
  Certificate& c = allocation.certificate;
  c.optimal = optimal;
  c.lower_bound = optimal ? allocation.loss : std::min(lower_bound, allocation.loss);
  c.gap = allocation.loss - c.lower_bound;
  c.relative_gap = c.gap > 0 ? c.gap / std::abs(allocation.loss) : 0;
}

/// The choice of least loss of every class, where it is within the capacities.
std::vector<std::size_t> independent_choice(const Knapsack& knapsack) {
  std::vector<std::size_t> options(knapsack.classes());
  PerBudget<double> left = knapsack.capacity;
  for (std::size_t i = 0; i < options.size(); ++i) {
    options[i] = knapsack.first[i];
    for (std::size_t o = knapsack.first[i]; o < knapsack.first[i + 1]; ++o)
      if (knapsack.losses[o] < knapsack.losses[options[i]]) options[i] = o;
    for (std::size_t k = 0; k < knapsack.budgets; ++k) left[k] -= knapsack.cost(options[i])[k];
  }
  const auto end = left.begin() + static_cast<std::ptrdiff_t>(knapsack.budgets);
  if (std::any_of(left.begin(), end, [](double l) { return l < 0; })) options.clear();
  return options;
}

std::vector<std::size_t> merged_options(const Knapsack& knapsack, std::vector<std::size_t> options) {
  for (std::size_t& o : options) o = knapsack.merged_option[o];
  return options;
}

Error not_found(std::int64_t nodes) {
  return {ErrorCode::insufficient_data, "budgets",
          fmt::format("no allocation that keeps them all was found among {} nodes, and none was excluded", nodes),
          "raise the node limit or the budgets' limits"};
}

} // namespace

Result<Allocation> allocate(const AllocationProblem& problem, const AllocationOptions& options,
                            const Context& context) {
  MCOMP_CHECK(detail::check_options(options));
  MCOMP_TRY(merged, detail::merge(problem));
  MCOMP_CHECK(context.check("allocate"));
  MCOMP_TRY(knapsack, detail::reduce(problem, merged));

  if (const auto independent = independent_choice(knapsack); !independent.empty()) {
    Allocation allocation = expand(problem, merged, merged_options(knapsack, independent));
    allocation.certificate.prices.assign(merged.budgets, 0);
    allocation.certificate.relaxation_bound = bound_of(problem, merged, allocation.certificate.prices);
    certify(allocation, allocation.loss, true);
    return allocation;
  }

  const Relaxation relaxation = detail::relax(knapsack);
  if (relaxation.infeasible) return detail::infeasible(problem, merged);
  MCOMP_TRY(found, detail::search_core(knapsack, relaxation,
                                       {options.relative_gap, options.absolute_gap, options.node_limit}, context));
  if (found.options.empty()) return found.optimal ? detail::infeasible(problem, merged) : not_found(found.nodes);

  Allocation allocation = expand(problem, merged, merged_options(knapsack, found.options));
  Certificate& certificate = allocation.certificate;
  certificate.method = found.searched ? AllocationMethod::core : AllocationMethod::relaxation;
  certificate.nodes = found.nodes;
  certificate.prices.assign(merged.budgets, 0);
  for (std::size_t k = 0; k < knapsack.budgets; ++k)
    certificate.prices[knapsack.budget[k]] = relaxation.prices[k] * knapsack.units[k];
  certificate.relaxation_bound = bound_of(problem, merged, certificate.prices);
  certify(allocation, found.lower_bound, found.optimal);
  return allocation;
}

std::string to_string(AllocationMethod method) {
  switch (method) {
  case AllocationMethod::independent:
    return "independent";
  case AllocationMethod::relaxation:
    return "relaxation";
  case AllocationMethod::core:
    return "core";
  }
  return "unknown";
}

std::string to_string(const Allocation& allocation) {
  std::string text = fmt::format("loss {:.6g}", allocation.loss);
  for (std::size_t k = 0; k < allocation.costs.size(); ++k)
    text += fmt::format("{}{:.6g}", k == 0 ? ", costs " : " ", allocation.costs[k]);
  const Certificate& c = allocation.certificate;
  text +=
      c.optimal ? ", optimal" : fmt::format(", at most {:.2g} ({:.2g} %) from optimal", c.gap, 100 * c.relative_gap);
  return text + fmt::format(" ({}, {} nodes)", c.method, c.nodes);
}

} // namespace mcomp::inline v0::search
