#pragma once

#include "mcomp/calibrate/probability_map.hpp"

namespace mcomp::inline v0::calibrate::detail {

/// Errors: those of every fit of a ProbabilityMap.
[[nodiscard]] Status check_scores(std::span<const double> scores, std::span<const std::uint8_t> outcomes);
/// The fit with its NLL and squared errors on these rows.
[[nodiscard]] MapFit judged(ProbabilityMap map, std::span<const double> scores, std::span<const std::uint8_t> outcomes,
                            std::int64_t parameters);

/// Rows by score, those of equal score merged.
struct ScoreGroup {
  double score = 0, count = 0, events = 0;
};
[[nodiscard]] std::vector<ScoreGroup> merge_ties(std::span<const double> scores,
                                                 std::span<const std::uint8_t> outcomes);
/// Ends (exclusive) of at most `bins` bins of groups with about equally many rows.
[[nodiscard]] std::vector<std::size_t> equal_mass_ends(std::span<const ScoreGroup> groups, std::size_t bins);

/// log of a score and of its complement, held within [1e-38, 1 - 2^-53].
[[nodiscard]] double log_score(double score) noexcept;
[[nodiscard]] double log_complement(double score) noexcept;

} // namespace mcomp::inline v0::calibrate::detail
