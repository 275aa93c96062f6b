#pragma once

// Semantic versions (semver.org, 2.0.0) and their order; never part of the interface.

#include <compare>
#include <optional>
#include <string_view>

namespace mcomp::inline v0::rollout::detail {

struct SemverSyntax {
  bool leading_v = false; ///< "v1.2.3" is 1.2.3
  bool partial = false;   ///< "1" is 1.0.0, "1.2" is 1.2.0
};

/// Looks into the text that it was read from. Digits stay text, so that no number is too large.
struct Semver {
  std::string_view core[3];
  std::string_view prerelease; ///< identifiers between dots; empty for a release

  /// Nothing where the text is no version. Build metadata is checked and dropped: it has no part in the order. No
  /// allocation.
  [[nodiscard]] static std::optional<Semver> parse(std::string_view text, SemverSyntax syntax = {}) noexcept;
};

[[nodiscard]] std::strong_ordering compare(const Semver& a, const Semver& b) noexcept;

} // namespace mcomp::inline v0::rollout::detail
