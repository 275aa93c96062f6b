#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/evaluate/verdict.hpp"

namespace mcomp::inline v0::compress {

/// One step: which strategy, with which options.
struct RecipeStep {
  std::string strategy;
  std::string options; ///< JSON object, without the key "strategy"
  friend bool operator==(const RecipeStep&, const RecipeStep&) = default;
};

/// Declared steps and the criteria that their result must meet. JSON (schema "mcomp-recipe-1"):
///
///     {"schema": "mcomp-recipe-1", "name": "w8a8", "description": "...",
///      "calibration": {"samples": 512, "seed": 1},
///      "steps": [{"strategy": "fold_batch_norm"},
///                {"strategy": "quantize", "activations": {"observer": "mean_squared_error"}}],
///      "criteria": {"max_accuracy_loss": 0.01, "min_speedup": 1.2}}
///
/// `description`, `calibration` and `criteria` may be absent. What a step may say is in the documentation of its
/// strategy (compress/strategy.hpp).
struct Recipe {
  std::string name;
  std::string description;
  std::int64_t calibration_samples = 512; ///< drawn from the calibration set without replacement
  std::uint64_t seed = 1;                 ///< of that draw
  std::vector<RecipeStep> steps;
  evaluate::Criteria criteria; ///< what is not set is not asked

  /// Errors: not_found, io_failure, corrupt (unknown keys among it), invalid_argument; all name the file and the key.
  [[nodiscard]] MCOMP_API static Result<Recipe> read(const std::filesystem::path& path);
  [[nodiscard]] MCOMP_API static Result<Recipe> parse(std::string_view json, const std::string& subject);
  friend bool operator==(const Recipe&, const Recipe&) = default;
};

/// What `Recipe::parse` reads back to an equal value.
[[nodiscard]] MCOMP_API std::string to_json(const Recipe& recipe);
[[nodiscard]] MCOMP_API std::string to_string(const Recipe& recipe);

} // namespace mcomp::inline v0::compress

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<compress::Recipe> = true;
} // namespace mcomp::inline v0
