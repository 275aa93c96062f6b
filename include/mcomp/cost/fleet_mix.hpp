#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/result.hpp"

// The cheapest mix of machine types for a load whose requests differ: a short prompt is served cheapest by a small
// accelerator, a long one by a large one (Melange; Griggs et al. 2024, arXiv 2404.14527). Requests come in classes; a
// machine of type j serves classes at rates r_i with a utilization of the sum of r_i / throughput_ij, so
//
//     minimize  sum_j price_j n_j   subject to   sum_i share_ij rate_i / throughput_ij <= n_j,  sum_j share_ij = 1,
//
// with whole n_j, and every class cut into `slices` equal parts that are assigned whole. Solved exactly.
//
//     std::vector<double> rates{6, 3, 15, 6};
//     std::vector<mcomp::cost::MachineType> types{
//         {.name = "A10G", .price_per_hour = 1.01, .throughput = {2, 1, 5, 2}},
//         {.name = "A100", .price_per_hour = 3.67, .throughput = {20, 20, 40, 20}}};
//     auto mix = mcomp::cost::fleet_mix(rates, types).value();
//     mix.price_per_hour;                 // 6.70: three A10G and one A100

namespace mcomp::inline v0::cost {

/// A type of machine and how fast it serves every class within the latency objective.
struct MachineType {
  std::string name;
  double price_per_hour = 0;
  std::vector<double> throughput; ///< [classes], requests per second of one machine with nothing else; 0: not at all
  std::optional<std::int64_t> most{}; ///< machines that can be had
};

struct FleetMixOptions {
  std::int64_t slices = 1; ///< parts of a class that may go to different types
  /// Partial assignments looked at before giving up; a few million take about a second.
  std::int64_t most_steps = 50'000'000;
};

struct FleetShare {
  std::string name;
  std::int64_t machines = 0;
  double utilization = 0;            ///< of them all, 0 to 1; 0 where there are none
  std::vector<double> class_share{}; ///< [classes], the share of each that it serves
  friend bool operator==(const FleetShare&, const FleetShare&) = default;
};

struct FleetMix {
  std::vector<FleetShare> shares; ///< in the order of the types
  double price_per_hour = 0;
  std::int64_t steps = 0; ///< partial assignments looked at
  friend bool operator==(const FleetMix&, const FleetMix&) = default;
};

/// By branch and bound over the slices, the largest classes first; the bound lets what is left be served at the least
/// price per request and pays for whole machines only where they are needed already. Exponential in the worst case,
/// small for a few types and some dozen slices.
/// @param rates  [classes], requests per second; a class of rate 0 needs nothing
/// Errors: insufficient_data for no class or no type; invalid_value for rates, prices, throughputs that are negative,
/// NaN or infinite, a price of 0, a load of more than 10 million machines; invalid_argument for throughputs of another
/// number than classes, a class that no type serves, slices outside 1 .. 1000, limits that no assignment fits;
/// unsupported where `most_steps` did not suffice.
[[nodiscard]] MCOMP_API Result<FleetMix> fleet_mix(std::span<const double> rates, std::span<const MachineType> types,
                                                   const FleetMixOptions& options = {});

/// "3 x A10G (100%), 1 x A100 (75%): 6.7 per hour"
[[nodiscard]] MCOMP_API std::string to_string(const FleetMix& mix);
/// One JSON object with the members above.
[[nodiscard]] MCOMP_API std::string to_json(const FleetMix& mix);

} // namespace mcomp::inline v0::cost

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<cost::FleetMix> = true;
} // namespace mcomp::inline v0
