#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compress/strategies/builtin.hpp"
#include "mcomp/compress/sensitivity.hpp"
#include "mcomp/compress/weight_format.hpp"

// The part of a step's options that is called "budget": formats are chosen for each tensor.

namespace mcomp::inline v0::compress::detail {

struct WeightBudget {
  double bits_per_weight = 0;
  std::vector<WeightFormat> formats{}; ///< to choose from
  SensitivityMeasure measure = SensitivityMeasure::output_divergence;
  std::int64_t samples = 32; ///< for the divergence
};

/// @param formats what to choose from where the recipe does not say
/// @param measure what a loss is where it does not say
/// Errors: corrupt, invalid_argument, naming the key.
[[nodiscard]] Result<WeightBudget> read_budget(const mcomp::detail::Json& json, const std::string& where,
                                               const std::vector<std::string>& formats, SensitivityMeasure measure);

/// What the budget was spent on.
struct BudgetChoice {
  std::map<std::string, WeightFormat> formats; ///< by tensor
  std::map<std::string, std::string> reasons;
  MixedPrecision mixed;
};

/// Measures every format on every tensor, quantized by `method`, and allocates. Needs calibration samples.
[[nodiscard]] Result<BudgetChoice> spend(const WeightBudget& budget, const std::vector<std::string>& tensors,
                                         const WeightMethod& method, const Model& model, const Workbench& bench);

/// "own_output", "original_output", "residual_sum"
[[nodiscard]] LayerTarget read_target(mcomp::detail::ObjectReader& reader, LayerTarget fallback);

} // namespace mcomp::inline v0::compress::detail
