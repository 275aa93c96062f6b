#pragma once

// Recipes that come with the library, for the common cases: each was tried on trained networks, and says with what
// result. A team takes them into its catalogue and goes on from there.
//
//     catalog::install_shipped_recipes(catalog, "ana", now).value();
//     auto candidates = catalog.find({.kind = "recipe", .status = "standard", .links_to = "family/decoder"}).value();

#include <cstdint>
#include <string>
#include <vector>

#include "mcomp/catalog/records.hpp"

namespace mcomp::inline v0::catalog {

struct ShippedRecipe {
  std::string id; ///< "classifier-int8", ...
  RecipeEntry entry;
  friend bool operator==(const ShippedRecipe&, const ShippedRecipe&) = default;
};

/// Those of a family by falling size of what they make: the first is the most careful one. Their JSON is what
/// `compress::Recipe::parse` reads; the criteria in it are those that were met where they were tried.
[[nodiscard]] MCOMP_WORKFLOW_API const std::vector<ShippedRecipe>& shipped_recipes();

/// Owner of recipes as they are shipped.
inline constexpr std::string_view shipped_owner = "mcomp";

/// Puts those that the catalogue does not have, and the next version of those that have changed since and that nobody
/// has changed there; the records that were put. A record of a shipped recipe's id with another owner or status is the
/// team's own and stays. Errors: those of `Catalog::put`.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<Record>>
install_shipped_recipes(Catalog& catalog, const std::string& author, std::int64_t time);

} // namespace mcomp::inline v0::catalog
