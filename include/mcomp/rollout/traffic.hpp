#pragma once

// How the traffic of one release is spread: a split for everybody, other splits for regions, cohorts, tiers or devices,
// a part of the units that keeps the old version whatever happens, so that the two stay comparable after the full
// release, and a part whose requests the candidate answers too without anybody seeing it (shadow traffic). A plan is
// data; it becomes two flags, and goes live and back with the snapshot that holds them.
//
//     auto plan = rollout::TrafficPlan{.key = "ranker", .baseline = "r41", .candidate = "r42",
//         .split = rollout::Ledger::create({{"r41", 95}, {"r42", 5}}).value(), .holdback = 1000, .shadow = 10000};
//     store.publish(rollout::FlagSnapshot::compile({.flags = plan.flags().value()}).value());
//     const auto route = rollout::route(*reader.pin(), "ranker", {.unit = user, .attributes = who});

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/rollout/flags.hpp"

namespace mcomp::inline v0::rollout {

/// Units that fulfil the conditions are split otherwise.
struct TrafficSegment {
  std::string id{};
  std::vector<Condition> conditions{}; ///< region, cohort, tier, device, ...
  Ledger split{};
  friend bool operator==(const TrafficSegment&, const TrafficSegment&) = default;
};

struct TrafficPlan {
  std::string key{};                      ///< of the release
  std::string baseline{};                 ///< arm that is there already
  std::string candidate{};                ///< arm that is new
  std::vector<TrafficSegment> segments{}; ///< the first that fits decides
  Ledger split{};                         ///< of all others
  std::uint32_t holdback = 0;             ///< parts in 100,000 of the units that keep the baseline
  std::uint32_t shadow = 0;               ///< parts in 100,000 of the units whose requests the candidate answers unseen

  /// The flag of the key, whose variants are the arms with "baseline", "candidate" or "other" as values, and the one of
  /// key + ".shadow" ("on", "off"). All splits hash alike, so that a unit that enters a segment keeps its position; who
  /// is held back or shadowed depends on the key alone. Errors: invalid_argument, as FlagSnapshot::compile, and where
  /// baseline and candidate are one.
  [[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<Flag>> flags() const;
  /// Reads schema "mcomp-traffic-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<TrafficPlan> parse(std::string_view json,
                                                                    const std::string& subject = "traffic plan");
  friend bool operator==(const TrafficPlan&, const TrafficPlan&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const TrafficPlan& plan);

/// Who answers a request. Names belong to the snapshot.
struct Route {
  std::string_view arm;     ///< empty where the snapshot holds no such plan
  bool shadow = false;      ///< the candidate is to answer too, and its answer to be kept from the user
  bool held_back = false;   ///< the unit keeps the baseline
  std::string_view segment; ///< id of the segment that decided
};
/// Schema "mcomp-route-1", for logs: it is written only, since the names belong to a snapshot.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Route& route);
/// No allocation for keys up to 120 bytes.
[[nodiscard]] MCOMP_WORKFLOW_API Route route(const FlagSnapshot& snapshot, std::string_view key,
                                             const FlagContext& context);

} // namespace mcomp::inline v0::rollout
