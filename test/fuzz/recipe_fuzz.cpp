// libFuzzer program for recipes, with their criteria.

#include "mcomp/compress/recipe.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mcomp::compress::Recipe;
  mcomp_fuzz::round_trip(
      mcomp_fuzz::text(data, size), [](std::string_view text) { return Recipe::parse(text, "fuzz"); },
      [](const Recipe& recipe) { return to_json(recipe); });
  return 0;
}
