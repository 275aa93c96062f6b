#include "core/closest_name.hpp"

#include <algorithm>
#include <numeric>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::detail {

namespace {
/// Levenshtein distance, one row of the table at a time.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row.back();
}
} // namespace

std::string did_you_mean(std::string_view name, const std::vector<std::string>& known) {
  constexpr std::size_t longest_name = 256; // keeps a hostile name from costing quadratic time
  if (name.size() <= longest_name) {
    std::size_t best = std::max<std::size_t>(name.size() / 3, 1) + 1;
    const std::string* closest = nullptr;
    for (const std::string& candidate : known) {
      if (candidate.size() > longest_name) continue;
      if (const std::size_t distance = edit_distance(name, candidate); distance < best) {
        best = distance;
        closest = &candidate;
      }
    }
    if (closest) return fmt::format("did you mean '{}'?", *closest);
  }
  if (known.empty()) return "there are no names to choose from";
  constexpr std::size_t most_shown = 20;
  std::string list;
  for (std::size_t i = 0; i < known.size() && i < most_shown; ++i)
    list += fmt::format("{}{}", i == 0 ? "" : ", ", known[i]);
  return fmt::format("use one of {}{}", list, known.size() > most_shown ? " ..." : "");
}

} // namespace mcomp::inline v0::detail
