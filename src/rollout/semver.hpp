#pragma once

// Semantic versions (semver.org, 2.0.0) and their order; never part of the interface.

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mcomp::inline v0::rollout::detail {

struct SemverSyntax {
  bool leading_v = false; ///< "v1.2.3" is 1.2.3
  bool partial = false;   ///< "1" is 1.0.0, "1.2" is 1.2.0
};

/// Digits are kept as text, so that no number is too large.
struct Semver {
  std::string core[3];
  std::vector<std::string> prerelease; ///< empty for a release

  /// Nothing where the text is no version. Build metadata is checked and dropped: it has no part in the order.
  [[nodiscard]] static std::optional<Semver> parse(std::string_view text, SemverSyntax syntax = {});
};

[[nodiscard]] std::strong_ordering compare(const Semver& a, const Semver& b) noexcept;

} // namespace mcomp::inline v0::rollout::detail
