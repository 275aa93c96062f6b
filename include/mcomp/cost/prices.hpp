#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"

// What machines cost. Prices are an input with a date and a source, never a hidden constant. A price file is JSON:
//
//     {"currency": "USD", "date": "2026-07-20", "source": "provider's price list, us-east-1, Linux",
//      "hours_per_month": 730,
//      "instances": [
//        {"name": "a1.2xlarge", "vcpus": 8, "memory_gib": 16, "on_demand_per_hour": 0.204,
//         "reserved_per_hour": 0.1285, "term": "1 year, no upfront"}]}
//
// "hours_per_month", "memory_gib" and the pair "reserved_per_hour", "term" may be left out; all else is needed, and a
// key that is not known is an Error, so that a misspelt price is not silently absent.

namespace mcomp::inline v0::cost {

/// One type of machine.
struct InstancePrice {
  std::string name;
  std::int64_t vcpus = 0;
  std::optional<double> memory_gib{};
  double on_demand_per_hour = 0;
  std::optional<double> reserved_per_hour{}; ///< what an hour of the whole term costs, upfront payments spread over it
  std::string term{};                        ///< what the reservation binds to; empty where there is no reserved price

  friend bool operator==(const InstancePrice&, const InstancePrice&) = default;
};

/// The prices of one provider on one day.
struct PriceCatalogue {
  std::string currency; ///< three capital letters (ISO 4217)
  std::string date;     ///< year-month-day of the price list
  std::string source;
  double hours_per_month = 730; ///< 8760 hours of a year over 12, as providers count
  std::vector<InstancePrice> instances{};

  /// Errors: not_found, io_failure, corrupt for content that breaks the rules above.
  [[nodiscard]] MCOMP_API static Result<PriceCatalogue> read(const std::filesystem::path& path);
  /// The same from text. @param subject what the text is, for messages
  [[nodiscard]] MCOMP_API static Result<PriceCatalogue> parse(std::string_view json, const std::string& subject);

  /// The rules of a price file, for a catalogue that was filled by hand: positive finite prices, unique names, a date.
  /// Errors: invalid_value, naming `subject` and the instance.
  [[nodiscard]] MCOMP_API Status check(const std::string& subject) const;
  /// Error: not_found, naming the instance and one that was probably meant.
  [[nodiscard]] MCOMP_API Result<InstancePrice> find(std::string_view instance) const;

  friend bool operator==(const PriceCatalogue&, const PriceCatalogue&) = default;
};

/// A price file that `parse` reads as the same catalogue.
[[nodiscard]] MCOMP_API std::string to_json(const PriceCatalogue& catalogue);
/// "260 instances, USD, 2026-07-20, provider's price list"
[[nodiscard]] MCOMP_API std::string to_string(const PriceCatalogue& catalogue);
/// "a1.2xlarge: 8 vCPUs, 0.204 per hour, reserved 0.1285 (1 year, no upfront)"
[[nodiscard]] MCOMP_API std::string to_string(const InstancePrice& price);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::InstancePrice> = true;
template <> inline constexpr bool enable_format<cost::PriceCatalogue> = true;
} // namespace mcomp::inline v0
