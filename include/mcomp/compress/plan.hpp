#pragma once

#include "mcomp/compress/recipe.hpp"
#include "mcomp/compress/strategy.hpp"

// Plan, look, apply:
//
//     auto plan = mcomp::compress::plan(model, recipe, {.calibration = &samples}).value();
//     fmt::print("{}\n", plan);
//     auto small = mcomp::compress::apply(plan, model).value();

namespace mcomp::inline v0::compress {

/// Every decision of a recipe for one model.
struct Plan {
  std::string recipe;
  std::string recipe_fingerprint;
  std::string model_fingerprint;       ///< `apply` refuses another model
  std::string calibration_fingerprint; ///< of the rows that set ranges; empty without
  std::vector<Decision> decisions;
  std::int64_t bytes_before = 0;
  std::int64_t bytes_after = 0;

  friend bool operator==(const Plan&, const Plan&) = default;
};

/// A table: every subject, what happens to it, why, and its bytes.
[[nodiscard]] MCOMP_API std::string to_string(const Plan& plan);
/// Schema "mcomp-plan-1"; `plan_from_json` gives an equal value.
[[nodiscard]] MCOMP_API std::string to_json(const Plan& plan);
[[nodiscard]] MCOMP_API Result<Plan> plan_from_json(std::string_view json, const std::string& subject);

/// Decides all steps of a recipe, each on what the steps before it would make; the model is not changed. All
/// strategies, their options and their order are checked before the first one works.
/// @param registry null: the built-in strategies
/// Errors: not_found for strategies, invalid_argument for steps that make no sense where they stand, what strategies
/// report, cancelled.
[[nodiscard]] MCOMP_API Result<Plan> plan(const Model& model, const Recipe& recipe, Workbench bench,
                                          const StrategyRegistry* registry = nullptr);

/// Carries a plan out. Errors: invalid_argument where the plan was made for another model; cancelled.
[[nodiscard]] MCOMP_API Result<Model> apply(const Plan& plan, const Model& model, const Context& context = {},
                                            const StrategyRegistry* registry = nullptr);

} // namespace mcomp::inline v0::compress

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<compress::Plan> = true;
} // namespace mcomp::inline v0
