#include "mcomp/evaluate/slices.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::evaluate {

std::string slice_name(const Slicing& slicing, std::size_t group) {
  return fmt::format("{}={}", slicing.dimension, group < slicing.groups.size() ? slicing.groups[group] : "?");
}

std::vector<std::vector<std::int64_t>> rows_by_group(const Slicing& slicing) {
  std::vector<std::vector<std::int64_t>> rows(slicing.groups.size());
  for (std::size_t i = 0; i < slicing.group.size(); ++i)
    if (const auto g = static_cast<std::size_t>(slicing.group[i]); slicing.group[i] >= 0 && g < rows.size())
      rows[g].push_back(static_cast<std::int64_t>(i));
  return rows;
}

std::vector<std::int64_t> rows_of(const Slicing& slicing, std::size_t group) {
  std::vector<std::int64_t> rows;
  if (group >= slicing.groups.size()) return rows;
  for (std::size_t i = 0; i < slicing.group.size(); ++i)
    if (slicing.group[i] == static_cast<std::int32_t>(group)) rows.push_back(static_cast<std::int64_t>(i));
  return rows;
}

std::string to_string(const Slicing& slicing) {
  std::string text = slicing.dimension + ":";
  const auto rows = rows_by_group(slicing);
  std::size_t placed = 0;
  for (std::size_t g = 0; g < rows.size(); ++g) {
    text += fmt::format("{} {} {}", g == 0 ? "" : ",", slicing.groups[g], rows[g].size());
    placed += rows[g].size();
  }
  if (placed != slicing.group.size())
    text += fmt::format("{} in none {}", rows.empty() ? "" : ",", slicing.group.size() - placed);
  return text;
}

Status check(const Slicing& slicing, std::int64_t rows) {
  const std::string subject = "slicing '" + slicing.dimension + "'";
  if (slicing.dimension.empty())
    return Error(ErrorCode::invalid_argument, "slicing", "it has no dimension", "name what divides the rows");
  std::set<std::string_view> names;
  for (const std::string& name : slicing.groups) {
    if (name.empty()) return Error(ErrorCode::invalid_argument, subject, "a group has no name", "name every group");
    if (!names.insert(name).second)
      return Error(ErrorCode::invalid_argument, subject, fmt::format("two groups are called '{}'", name),
                   "give every group its own name");
  }
  if (slicing.rows() != rows)
    return Error(ErrorCode::invalid_shape, subject,
                 fmt::format("{} rows are divided, there are {}", slicing.rows(), rows),
                 "give the group of every row, -1 for none");
  for (std::size_t i = 0; i < slicing.group.size(); ++i)
    if (slicing.group[i] < -1 || slicing.group[i] >= static_cast<std::int64_t>(slicing.groups.size()))
      return Error(ErrorCode::invalid_value, subject,
                   fmt::format("row {} is in group {}, there are {}", i, slicing.group[i], slicing.groups.size()),
                   "use indices of the groups, -1 for none");
  return {};
}

Result<Slicing> slice_by(std::string dimension, std::span<const std::string> name_by_row) {
  std::map<std::string_view, std::int32_t> number;
  for (const std::string& name : name_by_row)
    if (!name.empty()) number.emplace(name, 0);
  Slicing slicing{.dimension = std::move(dimension)};
  for (auto& [name, index] : number) {
    index = static_cast<std::int32_t>(slicing.groups.size());
    slicing.groups.emplace_back(name);
  }
  slicing.group.reserve(name_by_row.size());
  for (const std::string& name : name_by_row) slicing.group.push_back(name.empty() ? -1 : number.at(name));
  MCOMP_CHECK(check(slicing, slicing.rows()));
  return slicing;
}

Result<Slicing> intersect(const Slicing& a, const Slicing& b) {
  MCOMP_CHECK(check(a, a.rows()));
  MCOMP_CHECK(check(b, a.rows()));
  const std::size_t rows = a.group.size();
  std::map<std::pair<std::int32_t, std::int32_t>, std::int32_t> number;
  for (std::size_t i = 0; i < rows; ++i)
    if (a.group[i] >= 0 && b.group[i] >= 0) number.emplace(std::pair(a.group[i], b.group[i]), 0);
  Slicing both{.dimension = a.dimension + " & " + b.dimension};
  for (auto& [pair, index] : number) {
    index = static_cast<std::int32_t>(both.groups.size());
    both.groups.push_back(a.groups[static_cast<std::size_t>(pair.first)] + " & " +
                          b.groups[static_cast<std::size_t>(pair.second)]);
  }
  both.group.reserve(rows);
  for (std::size_t i = 0; i < rows; ++i)
    both.group.push_back(a.group[i] >= 0 && b.group[i] >= 0 ? number.at({a.group[i], b.group[i]}) : -1);
  return both;
}

} // namespace mcomp::inline v0::evaluate
