#pragma once

// Features and experiments of GrowthBook, decided in process as its SDKs do (docs.growthbook.io/lib/build-your-own,
// cases.json of specification 0.7). For teams whose flags live there; mcomp's own are in flags.hpp. Values are JSON.
//
//     auto flags = rollout::GrowthBook::parse(features_and_saved_groups).value();
//     auto user = flags.with_attributes(R"({"id": "u1", "country": "CH"})").value();
//     if (user.feature("new-ranker").value().on) ...

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::rollout {

/// What an experiment gave a user.
struct GrowthBookResult {
  std::string feature_id;     ///< empty for an experiment that was run for itself
  std::string value = "null"; ///< JSON of the variation; of the first one where the user is not in the experiment
  int variation = 0;
  std::string key;  ///< of the variation
  std::string name; ///< of the variation, where it has one
  bool in_experiment = false;
  bool hash_used = false;
  bool passthrough = false;
  std::string hash_attribute = "id";
  std::string hash_value = "\"\""; ///< JSON
  std::optional<double> bucket;
  std::string bandit; ///< JSON of leafId, variationWeights and banditVersion, where a contextual bandit decided
};

struct GrowthBookFeature {
  std::string value = "null"; ///< JSON
  bool on = false;            ///< whether JavaScript takes the value for true
  std::string source;         ///< unknownFeature, defaultValue, force, experiment, prerequisite or cyclicPrerequisite
  std::string rule_id;
  std::string experiment; ///< JSON, where source is experiment
  std::optional<GrowthBookResult> result;
};
/// In the shape of the SDKs' results.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const GrowthBookResult& result);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const GrowthBookFeature& feature);

/// Features and the attributes of a user; copies share the features, any number of threads may ask.
class MCOMP_WORKFLOW_API GrowthBook {
 public:
  /// Reads an SDK's context: features, attributes, savedGroups, forcedVariations, url, enabled, qaMode,
  /// contextualBandits; all may be absent, unknown keys are passed over. Error: corrupt, naming the key.
  [[nodiscard]] static Result<GrowthBook> parse(std::string_view context, const std::string& subject = "GrowthBook");
  /// The same features asked for another user. Error: corrupt.
  [[nodiscard]] Result<GrowthBook> with_attributes(std::string_view attributes) const;

  /// Error: unsupported, where prerequisites lead to more than 10,000 evaluations.
  [[nodiscard]] Result<GrowthBookFeature> feature(std::string_view key) const;
  /// Runs an experiment for itself. One that targets pages (urlPatterns) includes nobody. Errors: corrupt; unsupported.
  [[nodiscard]] Result<GrowthBookResult> run(std::string_view experiment) const;

 private:
  struct Context;
  friend class GrowthBookEvaluation;
  explicit GrowthBook(std::shared_ptr<const Context> context) : context_(std::move(context)) {}
  std::shared_ptr<const Context> context_;
};

/// Whether attributes fulfil a targeting condition (MongoDB's syntax). `saved_groups` is an object of arrays. Regular
/// expressions are those that an automaton can follow; others never match. Error: corrupt.
[[nodiscard]] MCOMP_WORKFLOW_API Result<bool>
growthbook_condition(std::string_view condition, std::string_view attributes, std::string_view saved_groups = "{}");

} // namespace mcomp::inline v0::rollout
