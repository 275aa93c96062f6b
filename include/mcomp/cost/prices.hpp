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
//         "reserved_per_hour": 0.1285, "term": "1 year, no upfront",
//         "reserved": [{"months": 12, "payment": "no upfront", "kind": "standard", "per_hour": 0.1285}],
//         "spot": {"per_hour": 0.07, "interrupted_per_month": [0.05, 0.1]}}],
//      "storage": [{"name": "ssd", "per_gib_month": 0.08}],
//      "egress": [{"from_gib": 0, "per_gib": 0}, {"from_gib": 100, "per_gib": 0.09}]}
//
// Currency, date, source, instances and of each the name and the on-demand price are needed, all else may be left out;
// a key that is not known is an Error, so that a misspelt price is not silently absent. "reserved_per_hour" and "term"
// are the one reserved price that a forecast uses, "reserved" is all that are for sale. Lists of providers are read by
// cost/price_import.hpp.

namespace mcomp::inline v0::cost {

/// How much of a reservation is paid at its start.
enum class Payment { no_upfront, partial_upfront, all_upfront };
/// "no upfront"
[[nodiscard]] MCOMP_API std::string to_string(Payment payment);

/// A machine for a term, paid whether it runs or not.
struct ReservedPrice {
  std::int64_t months = 12;
  Payment payment = Payment::no_upfront;
  std::string kind = "standard"; ///< the provider's word: "standard", "convertible"
  double per_hour = 0;           ///< what an hour of the whole term costs, upfront payments spread over it

  friend bool operator==(const ReservedPrice&, const ReservedPrice&) = default;
};

/// A machine that the provider may take back at any time.
struct SpotPrice {
  double per_hour = 0;
  /// Between which shares of these machines are taken back within a month; 0 and 1 where nothing is known.
  double interrupted_lower = 0, interrupted_upper = 1;

  friend bool operator==(const SpotPrice&, const SpotPrice&) = default;
};

/// One type of machine.
struct InstancePrice {
  std::string name;
  std::optional<std::int64_t> vcpus{}; ///< absent where the price list does not say
  std::optional<double> memory_gib{};
  double on_demand_per_hour = 0;
  std::optional<double> reserved_per_hour{}; ///< what an hour of the whole term costs, upfront payments spread over it
  std::string term{};                        ///< what the reservation binds to; empty where there is no reserved price
  std::vector<ReservedPrice> reserved{};     ///< every term and payment for sale, in any order
  std::optional<SpotPrice> spot{};

  friend bool operator==(const InstancePrice&, const InstancePrice&) = default;
};

struct StoragePrice {
  std::string name;
  double per_gib_month = 0;
  friend bool operator==(const StoragePrice&, const StoragePrice&) = default;
};

/// What a GiB sent out costs from `from_gib` of a month on, up to where the next tier begins.
struct EgressTier {
  double from_gib = 0;
  double per_gib = 0;
  friend bool operator==(const EgressTier&, const EgressTier&) = default;
};

/// The prices of one provider on one day.
struct PriceCatalogue {
  std::string currency; ///< three capital letters (ISO 4217)
  std::string date;     ///< year-month-day of the price list
  std::string source;
  double hours_per_month = 730; ///< 8760 hours of a year over 12, as providers count
  std::vector<InstancePrice> instances{};
  std::vector<StoragePrice> storage{};
  std::vector<EgressTier> egress{}; ///< ascending, the first from 0; empty where nothing is known

  /// Errors: not_found, io_failure, corrupt for content that breaks the rules above.
  [[nodiscard]] MCOMP_API static Result<PriceCatalogue> read(const std::filesystem::path& path);
  /// The same from text. @param subject what the text is, for messages
  [[nodiscard]] MCOMP_API static Result<PriceCatalogue> parse(std::string_view json, const std::string& subject);

  /// The rules of a price file, for a catalogue that was filled by hand: positive finite prices, unique names, a date.
  /// Errors: invalid_value, naming `subject` and the instance.
  [[nodiscard]] MCOMP_API Status check(const std::string& subject) const;
  /// Error: not_found, naming the instance and one that was probably meant.
  [[nodiscard]] MCOMP_API Result<InstancePrice> find(std::string_view instance) const;

  /// What it costs to keep `gib` for a month. Errors: not_found for the name, invalid_value for a size that is negative
  /// or not finite, or a cost that overflows.
  [[nodiscard]] MCOMP_API Result<double> storage_per_month(std::string_view name, double gib) const;
  /// What it costs to send `gib` within one month, each tier at its own price. Errors: not_found where the catalogue
  /// has no egress prices, invalid_value as above.
  [[nodiscard]] MCOMP_API Result<double> egress_per_month(double gib) const;

  friend bool operator==(const PriceCatalogue&, const PriceCatalogue&) = default;
};

/// How often one spot machine is taken back, if takebacks come at a constant rate: -log(1 - s) / hours_per_month, with
/// s the middle of the interrupted shares. Errors: invalid_value for shares outside [0, 1] or hours that are not > 0.
[[nodiscard]] MCOMP_API Result<double> interruptions_per_hour(const SpotPrice& spot, double hours_per_month = 730);

/// A price file that `parse` reads as the same catalogue.
[[nodiscard]] MCOMP_API std::string to_json(const PriceCatalogue& catalogue);
/// "260 instances, USD, 2026-07-20, provider's price list"
[[nodiscard]] MCOMP_API std::string to_string(const PriceCatalogue& catalogue);
/// "a1.2xlarge: 8 vCPUs, 0.204 per hour, reserved 0.1285 (1 year, no upfront)"
[[nodiscard]] MCOMP_API std::string to_string(const InstancePrice& price);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::Payment> = true;
template <> inline constexpr bool enable_format<cost::InstancePrice> = true;
template <> inline constexpr bool enable_format<cost::PriceCatalogue> = true;
} // namespace mcomp::inline v0
