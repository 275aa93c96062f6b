#pragma once

// Parts of a set of rows that are looked at on their own: cohorts, regions, latency tiers, edge cases, protected
// groups.
//
//     auto region = evaluate::slice_by("region", regions_by_row).value();
//     auto both = evaluate::intersect(region, cohort).value(); // "region & cohort=eu & new"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::evaluate {

/// One way to divide rows into groups.
struct Slicing {
  std::string dimension{};           ///< what divides them: "region"
  std::vector<std::string> groups{}; ///< names; groups without rows are allowed
  std::vector<std::int32_t> group{}; ///< by row: index into `groups`, or -1 for a row that belongs to none

  [[nodiscard]] std::int64_t rows() const noexcept { return static_cast<std::int64_t>(group.size()); }
  friend bool operator==(const Slicing&, const Slicing&) = default;
};

/// "region: eu 120, us 80, in none 3"
[[nodiscard]] MCOMP_API std::string to_string(const Slicing& slicing);

/// The name of a slice in criteria and evaluations: "region=eu".
[[nodiscard]] MCOMP_API std::string slice_name(const Slicing& slicing, std::size_t group);

/// Errors: invalid_argument for a dimension or a group without a name, or two groups of one name; invalid_value for an
/// index that is no group's; invalid_shape where there are not `rows` of them.
[[nodiscard]] MCOMP_API Status check(const Slicing& slicing, std::int64_t rows);

/// Groups by name, in alphabetical order; a row with an empty name belongs to none. Error: invalid_argument for an
/// empty dimension.
[[nodiscard]] MCOMP_API Result<Slicing> slice_by(std::string dimension, std::span<const std::string> name_by_row);

/// Every group of one with every group of the other that have a row in common: dimension "region & cohort", groups
/// "eu & new". Errors: those of `check`.
[[nodiscard]] MCOMP_API Result<Slicing> intersect(const Slicing& a, const Slicing& b);

/// Rows of a group, in order; empty for an index that is no group's.
[[nodiscard]] MCOMP_API std::vector<std::int64_t> rows_of(const Slicing& slicing, std::size_t group);

/// Rows of all groups in one pass.
[[nodiscard]] MCOMP_API std::vector<std::vector<std::int64_t>> rows_by_group(const Slicing& slicing);

} // namespace mcomp::inline v0::evaluate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<evaluate::Slicing> = true;
} // namespace mcomp::inline v0
