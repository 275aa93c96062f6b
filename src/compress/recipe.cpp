#include "mcomp/compress/recipe.hpp"

#include "core/json.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {
constexpr const char* schema = "mcomp-recipe-1";
}

Result<Recipe> Recipe::read(const std::filesystem::path& path) {
  constexpr std::int64_t largest = 16 << 20;
  MCOMP_TRY(text, read_file(path, largest));
  return parse(text, path.string());
}

Result<Recipe> Recipe::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  ObjectReader reader(json, subject);
  if (const std::string found = reader.text("schema"); found != schema)
    reader.fail("schema", fmt::format("'{}' is not '{}'", found, schema), "give a recipe of that schema");
  Recipe recipe;
  recipe.name = reader.text("name");
  recipe.description = reader.text("description", "");
  if (const Json* calibration = reader.child("calibration")) {
    ObjectReader part(*calibration, reader.where("calibration"));
    recipe.calibration_samples = part.integer("samples", recipe.calibration_samples);
    const std::int64_t seed = part.integer("seed", 1);
    if (recipe.calibration_samples < 1)
      part.fail("samples", fmt::format("{} samples", recipe.calibration_samples), "use at least one");
    if (seed < 0) part.fail("seed", fmt::format("{}", seed), "give a number of zero or more");
    recipe.seed = static_cast<std::uint64_t>(seed);
    MCOMP_CHECK(part.finish());
  }
  for (const Json& entry : reader.array("steps")) {
    const std::string where = fmt::format("{}: step {}", subject, recipe.steps.size());
    if (!entry.is_object() || !entry.contains("strategy") || !entry["strategy"].is_string())
      return Error(ErrorCode::corrupt, where, "it does not name its strategy", R"(write {"strategy": "..."})");
    Json options = entry;
    options.erase("strategy");
    recipe.steps.push_back({entry["strategy"].get<std::string>(), options.dump()});
  }
  if (const Json* criteria = reader.child("criteria")) {
    MCOMP_TRY(value, evaluate::criteria_from_json(criteria->dump(), reader.where("criteria")));
    recipe.criteria = value;
  }
  MCOMP_CHECK(reader.finish());
  if (recipe.name.empty()) return Error(ErrorCode::corrupt, subject + ": name", "the name is empty", "name the recipe");
  return recipe;
}

std::string to_json(const Recipe& recipe) {
  Json json;
  json["schema"] = schema;
  json["name"] = recipe.name;
  if (!recipe.description.empty()) json["description"] = recipe.description;
  json["calibration"] = {{"samples", recipe.calibration_samples}, {"seed", recipe.seed}};
  json["steps"] = Json::array();
  for (const RecipeStep& step : recipe.steps) {
    Json entry{{"strategy", step.strategy}};
    // Options that are not JSON cannot come from `parse`; a hand-made recipe is refused when it is planned.
    const Json options = Json::parse(step.options, nullptr, false);
    if (options.is_object()) entry.update(options);
    json["steps"].push_back(std::move(entry));
  }
  if (recipe.criteria != evaluate::Criteria{})
    json["criteria"] = Json::parse(evaluate::to_json(recipe.criteria), nullptr, false);
  return json.dump(2);
}

std::string to_string(const Recipe& recipe) {
  std::string text = fmt::format("{}:", recipe.name);
  for (const RecipeStep& step : recipe.steps) text += fmt::format(" {}", step.strategy);
  return text;
}

} // namespace mcomp::inline v0::compress
