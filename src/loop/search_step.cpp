#include "mcomp/loop/search_step.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/json.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/compress/recipe.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::loop {

namespace {

using mcomp::detail::Json;

constexpr std::int64_t most_recipes = 1000, most_trials = 1000; ///< that are looked at

struct Success {
  double won = 0, lost = 0;
  bool lost_here = false; ///< on this model
  [[nodiscard]] double promise() const { return (1 + won) / (2 + won + lost); }
};

Result<Success> success_of(const catalog::Catalog& catalog, const std::string& fingerprint, const std::string& model,
                           double other_models) {
  Success success;
  bool decided_here = false;
  catalog::RecordQuery query{.kind = "experiment"};
  query.links_to = fingerprint, query.limit = most_trials;
  MCOMP_TRY(records, catalog.find(query));
  for (const catalog::Record& record : records) {
    if (record.redacted) continue;
    MCOMP_TRY(experiment, catalog::parse_experiment(record.body));
    const auto input = experiment.inputs.find("model");
    const bool here = input != experiment.inputs.end() && input->second == model;
    const double weight = here ? 1 : other_models;
    if (experiment.status == "won") success.won += weight;
    if (experiment.status == "lost" || experiment.status == "failed") success.lost += weight;
    // Trials come newest first: the newest one on this model says what to expect of the next.
    if (here && !decided_here && (experiment.status == "won" || experiment.status == "lost")) {
      success.lost_here = experiment.status == "lost";
      decided_here = true;
    }
  }
  return success;
}

std::string fingerprint_of(const std::string& recipe) {
  const auto mark = catalog::fingerprint(catalog::RecipeEntry{.name = "recipe", .recipe = recipe});
  return mark ? *mark : std::string();
}

/// The budget of bits in a step of a recipe, or null.
Json* budget_of(Json& step) {
  if (const auto weights = step.find("weights"); weights != step.end() && weights->is_object())
    return budget_of(*weights);
  const auto budget = step.find("budget");
  if (budget == step.end() || !budget->is_object()) return nullptr;
  const auto bits = budget->find("bits_per_weight");
  return bits != budget->end() && bits->is_number() ? &*bits : nullptr;
}

} // namespace

SearchStep::~SearchStep() = default;

Result<int> differing_steps(std::string_view first, std::string_view second) {
  MCOMP_TRY(a, compress::Recipe::parse(first, "recipe in service"));
  MCOMP_TRY(b, compress::Recipe::parse(second, "recipe"));
  // The edit distance of two lists: a step that has changed counts once.
  std::vector<int> row(b.steps.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.steps.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (std::size_t j = 1; j < row.size(); ++j) {
      const int changed = diagonal + (a.steps[i - 1] == b.steps[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row.back();
}

Result<std::vector<Proposal>> RecipeSearch::propose(const catalog::Catalog& catalog,
                                                    const SearchRequest& request) const {
  if (request.family.empty() || request.limit < 0)
    return Error(ErrorCode::invalid_argument, "search", "the family is empty, or the limit negative",
                 "say what kind of model it is, as recipes do");
  struct Ranked {
    Proposal proposal;
    bool standard = false, front = false;
  };
  std::vector<Ranked> found;
  std::set<std::string> seen = request.tried;
  if (!request.recipe.empty()) seen.insert(fingerprint_of(request.recipe));
  std::vector<std::string> statuses = {"standard"};
  if (options_.proposed_too) statuses.emplace_back("proposed");
  for (const std::string& status : statuses) {
    catalog::RecordQuery query{.kind = "recipe", .status = status};
    query.links_to = "family/" + request.family, query.limit = most_recipes;
    MCOMP_TRY(records, catalog.find(query));
    for (const catalog::Record& record : records) {
      if (record.redacted || !seen.insert(record.fingerprint).second) continue;
      MCOMP_TRY(entry, catalog::parse_recipe_entry(record.body));
      Proposal proposal{.recipe_id = record.id, .recipe = entry.recipe, .fingerprint = record.fingerprint};
      if (!request.recipe.empty()) {
        const auto changes = differing_steps(request.recipe, entry.recipe);
        // A recipe that nothing can read is nothing to try; the catalogue takes any JSON.
        if (!changes && changes.error().subject().starts_with("recipe in service")) return changes.error();
        if (!changes) continue;
        proposal.changes = *changes;
        if (options_.one_change && proposal.changes > 1 && !entry.together) continue;
      }
      MCOMP_TRY(success, success_of(catalog, record.fingerprint, request.model, options_.other_models));
      if (success.lost_here) continue;
      proposal.promise = success.promise();
      proposal.reason =
          fmt::format("{} recipe of the catalogue, won {:g} and lost {:g} of its trials{}", status, success.won,
                      success.lost, proposal.changes > 1 ? ", whose changes belong together" : "");
      found.push_back({std::move(proposal), status == "standard", false});
    }
  }
  if (!request.recipe.empty()) {
    MCOMP_TRY(json, mcomp::detail::parse_json(request.recipe, "recipe in service"));
    const auto steps = json.find("steps");
    for (std::size_t i = 0; steps != json.end() && steps->is_array() && i < steps->size(); ++i) {
      if (!(*steps)[i].is_object() || !budget_of((*steps)[i])) continue;
      for (const double more : options_.budget_steps) {
        Json variant = json;
        Json& bits = *budget_of(variant["steps"][i]);
        const double before = bits.get<double>();
        bits = before + more;
        if (variant.contains("name") && variant["name"].is_string())
          variant["name"] = fmt::format("{} at {:g} bits", variant["name"].get<std::string>(), before + more);
        const std::string text = variant.dump();
        const std::string mark = fingerprint_of(text);
        if (before + more < 1 || !compress::Recipe::parse(text, "recipe") || !seen.insert(mark).second) continue;
        MCOMP_TRY(success, success_of(catalog, mark, request.model, options_.other_models));
        if (success.lost_here) continue;
        Proposal proposal{.recipe = text, .fingerprint = mark, .changes = 1, .promise = success.promise()};
        proposal.reason =
            fmt::format("the recipe in service with {:g} in place of {:g} bits a weight", before + more, before);
        found.push_back({std::move(proposal), false, true});
      }
    }
  }
  std::ranges::stable_sort(found, [](const Ranked& a, const Ranked& b) {
    if (a.proposal.promise != b.proposal.promise) return a.proposal.promise > b.proposal.promise;
    if (a.standard != b.standard) return a.standard;
    if (a.front != b.front) return a.front;
    if (a.proposal.changes != b.proposal.changes) return a.proposal.changes < b.proposal.changes;
    return a.proposal.recipe_id < b.proposal.recipe_id;
  });
  std::vector<Proposal> proposals;
  for (Ranked& ranked : found) {
    if (std::ssize(proposals) >= request.limit) break;
    proposals.push_back(std::move(ranked.proposal));
  }
  return proposals;
}

} // namespace mcomp::inline v0::loop
