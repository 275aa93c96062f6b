#pragma once

// What a cycle tries, and in which order. A search step is an interface; `RecipeSearch` is the one that is here: the
// recipes of the catalogue for the model's family, in order of what they have achieved before, and a front of bit
// budgets around the recipe in service.
//
//     loop::RecipeSearch search;
//     auto proposals = search.propose(catalog, {.family = "image-classifier", .model = fingerprint}).value();

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/catalog.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::loop {

/// One thing to try.
struct Proposal {
  std::string recipe_id{};   ///< in the catalogue; empty where the search has made the recipe up
  std::string recipe{};      ///< its JSON, as `compress::Recipe` reads it
  std::string fingerprint{}; ///< catalog::fingerprint of it
  std::string reason{};      ///< why it is tried, and why at this place
  int changes = 0;           ///< steps that differ from the recipe in service; 0 also where there is none
  double promise = 0.5;      ///< expected share of wins, of what was tried before
  friend bool operator==(const Proposal&, const Proposal&) = default;
};

struct SearchRequest {
  std::string family{};          ///< of the model, as recipes name it: "image-classifier", "decoder"
  std::string model{};           ///< fingerprint of what is to be compressed
  std::string recipe{};          ///< JSON of the recipe in service; empty: none
  std::set<std::string> tried{}; ///< fingerprints of recipes that this cycle has tried
  std::int64_t limit = 8;
};

class MCOMP_WORKFLOW_API SearchStep {
 public:
  virtual ~SearchStep();
  /// In the order in which they are to be tried. Reads the catalogue, and gives the same proposals for the same
  /// records.
  [[nodiscard]] virtual Result<std::vector<Proposal>> propose(const catalog::Catalog& catalog,
                                                              const SearchRequest& request) const = 0;
};

struct RecipeSearchOptions {
  /// Small reversible steps: recipes that differ from the one in service by more than one step are left out, unless
  /// their entry says that its changes belong together (RecipeEntry::together).
  bool one_change = true;
  bool proposed_too = true; ///< recipes of status "proposed", behind those of status "standard"
  /// Weight of trials on other models of the family against those on this one.
  double other_models = 0.5;
  /// Bits a weight added to the budget of the recipe in service, where it has one; empty: no such front.
  std::vector<double> budget_steps = {0.5, -0.5, 1, -1};
};

/// Success is the mean of a beta distribution over won against lost and failed trials (experiments that name the
/// recipe's fingerprint among their inputs), which starts at 1 to 1. A recipe that was lost on this very model is not
/// tried again; one that is retired never is.
class MCOMP_WORKFLOW_API RecipeSearch final : public SearchStep {
 public:
  explicit RecipeSearch(RecipeSearchOptions options = {}) : options_(std::move(options)) {}
  /// Errors: invalid_argument for a request without family or with a negative limit; corrupt for a recipe in service
  /// that is none; those of the catalogue.
  [[nodiscard]] Result<std::vector<Proposal>> propose(const catalog::Catalog& catalog,
                                                      const SearchRequest& request) const override;

 private:
  RecipeSearchOptions options_;
};

/// Steps of two recipes that differ: those that one of them has alone, and those with other options, by the shortest
/// way from one to the other. Error: corrupt, where one is no recipe.
[[nodiscard]] MCOMP_WORKFLOW_API Result<int> differing_steps(std::string_view first, std::string_view second);

} // namespace mcomp::inline v0::loop
