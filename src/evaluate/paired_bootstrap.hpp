#pragma once

// Numbers of two models over the same rows, for all rows, every slice and every dimension at once, and how much they
// would vary on other rows like these.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcomp/core/context.hpp"
#include "mcomp/evaluate/scores.hpp"
#include "mcomp/evaluate/slices.hpp"
#include "mcomp/evaluate/verdict.hpp"

namespace mcomp::inline v0::evaluate::detail {

struct BootstrapInput {
  const RowScores& baseline;
  const RowScores& candidate;
  std::span<const std::int32_t> labels;
  const std::vector<Slicing>& slicings;
  std::vector<bool> fair; ///< by slicing: whether its groups are compared with each other
  std::optional<std::int32_t> positive_class;
  std::int64_t min_group_rows = 30;
  int ece_bins = 15;
  int resamples = 500;
  std::uint64_t seed = 0;
  double level = 0.9;
};

/// Of one set of rows; what cannot be measured is absent.
struct TargetNumbers {
  std::optional<double> baseline_ece, candidate_ece, baseline_loss, candidate_loss;
  std::optional<Increase> ece_increase, loss_increase;
};

struct BootstrapResult {
  TargetNumbers all;
  std::vector<std::vector<TargetNumbers>> slices; ///< by slicing and group
  std::vector<FairnessEvidence> fairness;         ///< of fair slicings, in their order
};

/// Does not depend on the number of threads. Error: cancelled.
[[nodiscard]] Result<BootstrapResult> paired_bootstrap(const BootstrapInput& input, const Context& context);

} // namespace mcomp::inline v0::evaluate::detail
