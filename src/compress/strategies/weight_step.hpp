#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compress/strategies/budget.hpp"
#include "compress/strategies/builtin.hpp"
#include "mcomp/compress/weight_format.hpp"

// What the step `quantize_weights` does, for every step that gives weights formats: one that chooses a format for each
// tensor fills `formats`, and hands on the decision and the model that come back.

namespace mcomp::inline v0::compress::detail {

struct WeightStepOptions {
  std::map<std::string, WeightFormat> formats{}; ///< by tensor
  std::optional<WeightFormat> format{};          ///< of all other tensors; none: they stay as they are
  WeightMethod method{};
  /// For tensors whose rows the blocks of their format do not divide: another format, or to keep them. Neither: an
  /// error.
  std::optional<WeightFormat> fallback{};
  bool fallback_keeps = false;
  std::vector<std::string> keep{};
  bool linear_only = false; ///< embedding and head stay as they are
  bool sequential = true;
  LayerTarget target = LayerTarget::own_output;
  std::optional<WeightBudget> budget{}; ///< chooses formats of the tensors that are neither kept nor in `formats`
};

/// Whether every format has the method. Errors: those of layer_method, naming the option.
[[nodiscard]] Status check_weight_step(const std::string& strategy, const WeightStepOptions& options);

/// What becomes of one tensor.
struct WeightTarget {
  std::string tensor;
  std::optional<WeightFormat> format{}; ///< none: it stays
  std::string reason{};
};

/// All weights that layers multiply by and tables that they look up, in order of the layers.
/// Errors: not_found for names that the network does not have; invalid_shape for rows that a format does not divide,
/// without a fallback; invalid_argument where nothing is left to quantize; unsupported for convolutions in groups with
/// a method that needs samples.
[[nodiscard]] Result<std::vector<WeightTarget>> weight_targets(const std::string& strategy, const Model& model,
                                                               const WeightStepOptions& options);

/// @param text the options as the recipe gave them
[[nodiscard]] Result<Decision> decide_weights(const std::string& strategy, const std::string& text, const Model& model,
                                              const WeightStepOptions& options, const Workbench& bench);

/// Carries out what `decide_weights` decided; reads the decision's parameters and tensors alone.
[[nodiscard]] Result<Model> apply_weights(const Model& model, const Decision& decision);

} // namespace mcomp::inline v0::compress::detail
