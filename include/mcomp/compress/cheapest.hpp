#pragma once

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/cost/objective.hpp"
#include "mcomp/search/allocation.hpp"

namespace mcomp::inline v0::compress {

/// What the choices of one layer do to the network: from compress/sensitivity.hpp, or any other measure whose sum over
/// layers tells the loss of accuracy.
struct LayerLosses {
  std::string layer;
  std::vector<double> losses; ///< one for each choice of the latency table, finite and >= 0
};

struct CheapestLimits {
  double loss = std::numeric_limits<double>::infinity();    ///< most that the losses may add up to
  double seconds = std::numeric_limits<double>::infinity(); ///< most that a request may take without waiting
};

struct CheapestChoice {
  std::vector<std::string> choices; ///< by layer of the table, by name
  double cost_per_million = 0;
  double seconds = 0;
  double loss = 0;
  search::Certificate certificate; ///< that nothing is cheaper within the limits
};

/// The choice for every layer that makes a request cheapest within a loss of accuracy and a latency; exact, by
/// search::allocate.
///
///     auto objective = cost::CostObjective::create(table, {.price_per_hour = 0.17}).value();
///     auto best = compress::cheapest(objective, losses, {.loss = 0.02, .seconds = 0.005}).value();
///
/// Errors: not_found for a layer of the table without losses; invalid_argument for a wrong number of losses, and,
/// naming the least that is possible, for limits that no choice keeps; as search::allocate.
[[nodiscard]] MCOMP_API Result<CheapestChoice> cheapest(const cost::CostObjective& objective,
                                                        std::span<const LayerLosses> losses,
                                                        const CheapestLimits& limits, const Context& context = {});

} // namespace mcomp::inline v0::compress
