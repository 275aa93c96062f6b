#pragma once

// Who gets which arm of a split, and who moves when the weights change. A unit hashes to one of 2^32 positions
// (MurmurHash3 of salt and unit); a ledger says which arm owns which positions. New weights take away from an arm only
// what it has too much, and give exactly that to those that have too little: the share that moves is the least
// possible, half the sum of the differences of all shares, for any number of arms and any order of changes. Cumulative
// ranges without memory reach that with two arms only. The price is that a ledger is a value to be kept and versioned.
//
//     rollout::Ledger ledger = rollout::Ledger::create({{"baseline", 99}, {"candidate", 1}}).value();
//     const std::string& arm = ledger.arm(rollout::unit_hash("release-7", user));
//     ledger = ledger.reweighed({{"baseline", 95}, {"candidate", 5}}).value();   // nobody leaves the candidate

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::rollout {

/// An arm of a split and its part of the whole: weight over the sum of all weights. Any sum up to 2^31 - 1 will do, and
/// an arm of weight 1 or more always owns a position.
struct ArmWeight {
  std::string arm{};
  std::uint64_t weight = 0;
  friend bool operator==(const ArmWeight&, const ArmWeight&) = default;
};

/// The position of a unit: MurmurHash3 of salt and unit, one behind the other, seed 0. A salt belongs to one split;
/// splits that share one are correlated. O(size).
[[nodiscard]] MCOMP_WORKFLOW_API std::uint32_t unit_hash(std::string_view salt, std::string_view unit) noexcept;

/// Positions begin .. end - 1 belong to arm number `arm`.
struct LedgerInterval {
  std::uint64_t begin = 0, end = 0;
  std::uint32_t arm = 0;
  friend bool operator==(const LedgerInterval&, const LedgerInterval&) = default;
};

/// Which arm owns which of the 2^32 positions.
struct Ledger {
  static constexpr std::uint64_t positions = std::uint64_t{1} << 32;
  static constexpr std::size_t most_arms = 1024;

  std::vector<std::string> arms{};         ///< names, each once
  std::vector<LedgerInterval> intervals{}; ///< in order, without gaps, neighbours of different arms
  std::int64_t revision = 1;               ///< counts the changes of weights

  /// One interval for each arm with a weight, in the order given. Errors: invalid_argument for no arm, a name that is
  /// empty or given twice, or weights that sum to 0 or to more than 2^31 - 1.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Ledger> create(std::span<const ArmWeight> weights);
  [[nodiscard]] static Result<Ledger> create(std::initializer_list<ArmWeight> weights) {
    return create(std::span(weights.begin(), weights.size()));
  }
  /// The ledger after a change of weights; arms that are not named have none any more and are forgotten. Moves as few
  /// positions as the new shares allow. The same ledger and weights give the same result everywhere. Errors as
  /// `create`.
  [[nodiscard]] MCOMP_WORKFLOW_API Result<Ledger> reweighed(std::span<const ArmWeight> weights) const;
  [[nodiscard]] Result<Ledger> reweighed(std::initializer_list<ArmWeight> weights) const {
    return reweighed(std::span(weights.begin(), weights.size()));
  }

  /// The number of the arm that owns a position. The ledger must be whole (`check`). O(log intervals).
  [[nodiscard]] MCOMP_WORKFLOW_API std::uint32_t arm_index(std::uint32_t position) const noexcept;
  [[nodiscard]] const std::string& arm(std::uint32_t position) const noexcept { return arms[arm_index(position)]; }
  /// How many positions an arm owns, 0 for one that is not here.
  [[nodiscard]] MCOMP_WORKFLOW_API std::uint64_t owned(std::string_view name) const noexcept;
  /// Whether the intervals cover every position once and name arms that exist. Error: corrupt.
  [[nodiscard]] MCOMP_WORKFLOW_API Status check(const std::string& subject = "ledger") const;

  /// Reads schema "mcomp-ledger-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Ledger> parse(std::string_view json,
                                                               const std::string& subject = "ledger");
  friend bool operator==(const Ledger&, const Ledger&) = default;
};

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Ledger& ledger);
/// "baseline 95.000 %, candidate 5.000 % (revision 2, 2 intervals)"
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const Ledger& ledger);

/// How many of the 2^32 positions have another arm, by name, in `to` than in `from`.
[[nodiscard]] MCOMP_WORKFLOW_API std::uint64_t moved_positions(const Ledger& from, const Ledger& to);
/// The fewest positions that can move where the arms own as many as they do: half the sum of the differences.
[[nodiscard]] MCOMP_WORKFLOW_API std::uint64_t fewest_moves(const Ledger& from, const Ledger& to);

/// Units that keep an arm whatever the ledger says: by unit, the arm. Only exceptions belong here.
struct StickyArms {
  std::map<std::string, std::string, std::less<>> arms{};

  /// Reads schema "mcomp-sticky-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<StickyArms> parse(std::string_view json,
                                                                   const std::string& subject = "sticky arms");
  friend bool operator==(const StickyArms&, const StickyArms&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const StickyArms& sticky);

/// What a unit got, and why.
struct Assignment {
  std::string arm{};
  std::uint32_t position = 0;
  bool sticky = false; ///< by an exception, not by the ledger

  /// Reads schema "mcomp-assignment-1". Errors: corrupt; version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Assignment> parse(std::string_view json,
                                                                   const std::string& subject = "assignment");
  friend bool operator==(const Assignment&, const Assignment&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Assignment& value);

/// The exception of the unit where it has one and that arm still owns a position, else the ledger's arm: an arm that
/// was rolled back to nothing gives up its sticky units too.
[[nodiscard]] MCOMP_WORKFLOW_API Assignment assign(const Ledger& ledger, const StickyArms& sticky,
                                                   std::string_view salt, std::string_view unit);
/// The exceptions that `units` need so that the change from one ledger to another moves none of them, beside those that
/// they have.
[[nodiscard]] MCOMP_WORKFLOW_API StickyArms keep_arms(const Ledger& from, const Ledger& to, const StickyArms& sticky,
                                                      std::string_view salt, std::span<const std::string> units);

} // namespace mcomp::inline v0::rollout

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<rollout::Ledger> = true;
} // namespace mcomp::inline v0
