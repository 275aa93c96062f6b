#pragma once

#include "mcomp/calibrate/calibration_error.hpp"
#include "mcomp/calibrate/metrics.hpp"

namespace mcomp::inline v0::calibrate::detail {

/// Confidences in rising order with prefix sums, from which every error follows in O(bins).
class SortedConfidences {
 public:
  SortedConfidences(std::span<const double> confidences, std::span<const std::uint8_t> correct);

  [[nodiscard]] std::size_t size() const noexcept { return confidence_.size(); }
  /// Bins of about equal mass; empty ones are left out.
  [[nodiscard]] std::vector<ReliabilityBin> equal_mass(std::size_t bins) const;
  [[nodiscard]] std::vector<ReliabilityBin> equal_width(std::size_t bins) const;
  /// The last number of bins, from 1, with rising accuracy.
  [[nodiscard]] std::vector<ReliabilityBin> sweep(bool mass) const;
  [[nodiscard]] double ks() const;

 private:
  [[nodiscard]] ReliabilityBin between(std::size_t begin, std::size_t end) const;

  std::vector<double> confidence_{};
  std::vector<double> sum_{0}, right_{0}; ///< of the first i rows
};

[[nodiscard]] double error_of(std::span<const ReliabilityBin> bins, double norm, bool debiased);
[[nodiscard]] BrierDecomposition decompose(std::span<const double> confidences, std::span<const std::uint8_t> correct,
                                           std::span<const ReliabilityBin> bins);

} // namespace mcomp::inline v0::calibrate::detail
