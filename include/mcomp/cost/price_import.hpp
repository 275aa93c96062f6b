#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/cost/prices.hpp"

// Price lists as others publish them, read into the one format of cost/prices.hpp.
//
//     auto prices = mcomp::cost::import_prices("aws_us-east-1_ondemand_2026-07-20.csv").value();
//     write_file("prices.json", to_json(prices.catalogue));
//
// Three kinds of list are known, told apart by their content:
//   on-demand CSV   columns instance_type and CURRENCY_per_hour_ondemand_SYSTEM ("usd_per_hour_ondemand_linux")
//   monthly CSV     columns Instance-Type, Memory, CPUs, "Linux On Demand cost" and "Linux Reserved cost", with cells
//   such
//                   as "16.0 GiB", "8 vCPUs", "$148.92 monthly"; an hour is a month over 730. The list does not say
//                   what its reserved price binds to: it is taken as one year without upfront payment, and the
//                   catalogue's source says so.
//   terms JSON      one instance type, or an array of them, with its prices by region and system: on-demand, reserved
//                   as yrTerm1Standard.noUpfront and the like (per hour), spot average and share of interruptions
// Other columns and keys are left alone. A cell that says "unavailable", is empty or null is an absent price. A type
// without an on-demand price is not taken into the catalogue but named in `without_on_demand`.

namespace mcomp::inline v0::cost {

struct PriceImportOptions {
  std::string date{};                     ///< of the list; empty: the year-month-day in the file's name
  std::string region = "us-east-1";       ///< of a terms JSON, which holds them all
  std::string operating_system = "linux"; ///< of a terms JSON
  std::string currency = "USD";           ///< of a terms JSON, which does not say
};

struct PriceImport {
  PriceCatalogue catalogue;
  std::vector<std::string> without_on_demand{}; ///< in the order of the list

  friend bool operator==(const PriceImport&, const PriceImport&) = default;
};

/// Errors: not_found and io_failure for the file; invalid_argument where neither its name nor the options tell the
/// date; not_found for a region or system that no type of the list has, with those that there are; corrupt, with file
/// and line (of JSON: the type and key), for a missing column, a row of another length, a number that is none, a price
/// that is not finite and > 0, a type that stands twice, an unknown term, and content of none of the three kinds.
[[nodiscard]] MCOMP_API Result<PriceImport> import_prices(const std::filesystem::path& path,
                                                          const PriceImportOptions& options = {});
/// The same from text. @param subject what the text is, for messages and the catalogue's source; its date is looked up
/// here too
[[nodiscard]] MCOMP_API Result<PriceImport> parse_price_list(std::string_view text, const std::string& subject,
                                                             const PriceImportOptions& options = {});

/// "1367 instances, USD, 2026-07-20, aws.csv; 9 without an on-demand price"
[[nodiscard]] MCOMP_API std::string to_string(const PriceImport& prices);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::PriceImport> = true;
} // namespace mcomp::inline v0
