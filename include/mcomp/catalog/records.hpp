#pragma once

// What a team records in its catalogue beside artifacts: trials, targets, decisions, recipes, investigations and
// benchmark suites, as plain values. Each has a JSON form with a schema version, and becomes a record by `draft`.
//
//     catalog.put(catalog::draft(experiment, {.id = "e42", .author = "search", .time = now}).value()).value();
//     auto before = catalog::parse_experiment(catalog.get("experiment", "e42").value().body).value();
//     auto same   = catalog::already_run(catalog, experiment).value();

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/catalog.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::catalog {

using Metrics = std::map<std::string, double>;

/// A trial, and what became of it.
struct Experiment {
  std::string name;
  std::string owner{};
  std::string status = "running";                   ///< "running", "won", "lost", "failed"
  std::map<std::string, std::string> parameters{};  ///< what was chosen
  std::map<std::string, std::string> inputs{};      ///< fingerprints of model, data, recipe, device profile, by name
  Metrics metrics{};                                ///< over everything
  std::map<std::string, Metrics> slices{};          ///< by slice
  std::map<std::string, std::string> environment{}; ///< processor, library version, instruction-set cap, ...
  double duration_seconds = 0;
  std::string parent{};        ///< id of the trial that this one continues
  std::string investigation{}; ///< id of the investigation that it belongs to
  std::string artifact{};      ///< id of what came out
  std::string attribution{};   ///< what made it win or fail
  friend bool operator==(const Experiment&, const Experiment&) = default;
};

/// What must hold of a model, since when, and why: a later judgement knows which target was in force.
struct Target {
  std::string name;
  std::string owner{};
  std::string status = "proposed"; ///< "proposed", "in force", "retired"
  std::string metric;              ///< "accuracy", "latency_p99_seconds", "ece", "monthly_cost", ...
  std::string slice{};             ///< empty: everything
  std::string bound = "at least";  ///< "at least", "at most"
  double value = 0;
  std::string suite{};  ///< id of the benchmark suite on which it is measured
  std::string source{}; ///< "product", "user feedback", "hardware", ...
  std::string reason{};
  friend bool operator==(const Target&, const Target&) = default;
};

/// Why something was done.
struct Decision {
  std::string title;
  std::string owner{};
  std::string status = "proposed"; ///< "proposed", "accepted", "rejected", "superseded"
  std::string context{};
  std::vector<std::string> options{};
  std::vector<std::string> evidence{}; ///< ids of experiments, artifacts, events
  std::string rationale{};
  std::string consequences{};
  std::int64_t review_by = 0; ///< seconds since 1970; 0: never
  friend bool operator==(const Decision&, const Decision&) = default;
};

/// A recipe of the team's own catalogue.
struct RecipeEntry {
  struct Use {
    std::string where;  ///< model or service
    std::string result; ///< what came of it
    friend bool operator==(const Use&, const Use&) = default;
  };
  std::string name;
  std::string owner{};
  std::string status = "proposed"; ///< "proposed", "standard", "retired"
  std::string recipe;              ///< its JSON, as `compress::Recipe` reads it
  std::string change{};            ///< what is new in this version
  std::string reason{};            ///< why it was retired
  std::vector<Use> uses{};
  /// Kinds of models that it is for: "image-classifier", "decoder". As a link "family/NAME".
  std::vector<std::string> families{};
  bool together =
      false; ///< its changes belong together: it is tried though more than one step differs from what serves
  friend bool operator==(const RecipeEntry&, const RecipeEntry&) = default;
};

/// A question, and the trials that are to answer it.
struct Investigation {
  std::string question;
  std::string owner{};
  std::string status = "open"; ///< "open", "concluded"
  std::vector<std::string> trials{};
  std::string conclusion{};
  friend bool operator==(const Investigation&, const Investigation&) = default;
};

/// A frozen suite by its fingerprint.
struct BenchmarkSuite {
  std::string name;
  std::string owner{};
  std::string status = "frozen"; ///< "frozen", "retired"
  std::string fingerprint;       ///< of `evaluate::Suite`
  std::int64_t rows = 0;
  std::string purpose{};
  friend bool operator==(const BenchmarkSuite&, const BenchmarkSuite&) = default;
};

// Canonical JSON, schemas "mcomp-experiment-1", "mcomp-target-1", "mcomp-decision-1", "mcomp-recipe-entry-1",
// "mcomp-investigation-1", "mcomp-suite-1". Errors: invalid_argument for a value without name, question or title, or
// with a status that is none; invalid_value for numbers that are not finite and text that is not UTF-8; corrupt for a
// recipe that is no JSON object.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const Experiment& experiment);
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const Target& target);
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const Decision& decision);
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const RecipeEntry& recipe);
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const Investigation& investigation);
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const BenchmarkSuite& suite);

// Errors: corrupt; version_mismatch for another schema.
[[nodiscard]] MCOMP_WORKFLOW_API Result<Experiment> parse_experiment(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<Target> parse_target(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<Decision> parse_decision(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<RecipeEntry> parse_recipe_entry(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<Investigation> parse_investigation(std::string_view json);
[[nodiscard]] MCOMP_WORKFLOW_API Result<BenchmarkSuite> parse_benchmark_suite(std::string_view json);

/// SHA-256 of parameters and inputs: trials with the same one are the same trial, whoever ran them, under what name,
/// and however they wrote a number ("4", "4.0"). Error: invalid_value for text that is not UTF-8.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> fingerprint(const Experiment& experiment);
/// SHA-256 of the recipe's canonical JSON: what an experiment names among its inputs, so that it can be asked where a
/// recipe was used and with what result. Error: corrupt.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> fingerprint(const RecipeEntry& recipe);

/// Trials that are the same as this one, those with an outcome first: to be asked before it is run. Errors: those of
/// `fingerprint` and `Catalog::find`.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<Record>> already_run(const Catalog& catalog,
                                                                         const Experiment& experiment);

/// What is different between two trials. Values that only one of them has are absent on the other side.
struct ExperimentComparison {
  struct Choice {
    std::string name;
    std::optional<std::string> first, second;
    friend bool operator==(const Choice&, const Choice&) = default;
  };
  struct Measure {
    std::string slice; ///< empty: everything
    std::string metric;
    std::optional<double> first, second;
    friend bool operator==(const Measure&, const Measure&) = default;
  };
  std::vector<Choice> parameters, inputs, environment; ///< those that differ, by name
  std::vector<Measure> metrics;                        ///< all of them, by slice and name
  friend bool operator==(const ExperimentComparison&, const ExperimentComparison&) = default;
};

[[nodiscard]] MCOMP_WORKFLOW_API ExperimentComparison compare(const Experiment& first, const Experiment& second);
/// A line for each choice that differs, and each metric with both values and their difference.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const ExperimentComparison& comparison);

/// A trial, the one that it continues, and so on to the first; newest versions. Errors: not_found for an id that is not
/// there; corrupt for parents that go in a circle.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<Record>> lineage(const Catalog& catalog,
                                                                     const std::string& experiment);

/// What a value does not know itself about the record that it becomes.
struct DraftInfo {
  std::string id;
  std::string author;
  std::int64_t time = 0;
  std::int64_t expected_version = 0;
  bool personal = false; ///< may hold data of a person; see RecordDraft
};

// Drafts of the kinds "experiment", "target", "decision", "recipe", "investigation" and "suite". The fingerprint is
// that of an experiment's parameters, of a recipe's JSON, and of a suite. Links: an experiment's artifact, inputs,
// parent and investigation, a target's suite, a decision's evidence, an investigation's trials, a recipe's families.
// Errors: those of `to_json`.
[[nodiscard]] MCOMP_WORKFLOW_API Result<RecordDraft> draft(const Experiment& experiment, const DraftInfo& info);
[[nodiscard]] MCOMP_WORKFLOW_API Result<RecordDraft> draft(const Target& target, const DraftInfo& info);
[[nodiscard]] MCOMP_WORKFLOW_API Result<RecordDraft> draft(const Decision& decision, const DraftInfo& info);
[[nodiscard]] MCOMP_WORKFLOW_API Result<RecordDraft> draft(const RecipeEntry& recipe, const DraftInfo& info);
[[nodiscard]] MCOMP_WORKFLOW_API Result<RecordDraft> draft(const Investigation& investigation, const DraftInfo& info);
[[nodiscard]] MCOMP_WORKFLOW_API Result<RecordDraft> draft(const BenchmarkSuite& suite, const DraftInfo& info);

} // namespace mcomp::inline v0::catalog

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<catalog::ExperimentComparison> = true;
} // namespace mcomp::inline v0
