#include "mcomp/compress/cheapest.hpp"

#include <algorithm>
#include <cmath>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress {

Result<CheapestChoice> cheapest(const cost::CostObjective& objective, std::span<const LayerLosses> losses,
                                const CheapestLimits& limits, const Context& context) {
  const cost::LatencyTable& table = objective.table();
  search::AllocationProblem problem{.budgets = {{.name = "loss", .limit = limits.loss},
                                                {.name = "seconds", .limit = limits.seconds - table.other_seconds}}};
  for (const cost::LayerChoices& layer : table.layers) {
    const auto found =
        std::find_if(losses.begin(), losses.end(), [&](const LayerLosses& l) { return l.layer == layer.layer; });
    if (found == losses.end())
      return Error(ErrorCode::not_found, fmt::format("layer '{}'", layer.layer), "its losses are not given",
                   "measure what its choices cost, or leave it out of the latency table");
    if (found->losses.size() != layer.choices.size())
      return Error(ErrorCode::invalid_argument, fmt::format("layer '{}'", layer.layer),
                   fmt::format("{} losses for {} choices", found->losses.size(), layer.choices.size()),
                   "give one for each choice of the latency table");
    search::Item item{.name = layer.layer};
    for (std::size_t i = 0; i < layer.choices.size(); ++i)
      item.choices.push_back({.name = layer.choices[i].name,
                              .loss = objective.per_million_seconds() * layer.choices[i].seconds,
                              .costs = {found->losses[i], layer.choices[i].seconds}});
    problem.items.push_back(std::move(item));
  }
  MCOMP_TRY(allocation, search::allocate(problem, {}, context));
  CheapestChoice result{.choices = {}, .loss = allocation.costs[0], .certificate = allocation.certificate};
  for (std::size_t i = 0; i < table.layers.size(); ++i)
    result.choices.push_back(table.layers[i].choices[allocation.choices[i]].name);
  MCOMP_TRY(seconds, objective.seconds(allocation.choices));
  MCOMP_TRY(money, objective(allocation.choices));
  result.seconds = seconds;
  result.cost_per_million = money;
  return result;
}

} // namespace mcomp::inline v0::compress
