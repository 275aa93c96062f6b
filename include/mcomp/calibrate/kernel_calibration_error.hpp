#pragma once

// The squared kernel calibration error (Widmann, Lindsten and Zachariah, NeurIPS 2019), which needs no bins and sees
// the calibration of all classes: with h_ij = k(p_i, p_j) (e_yi - p_i)^T (e_yj - p_j) its mean over pairs of rows is
// an unbiased estimate, zero on average for a calibrated model and positive for any other. The kernel is
// k(p, q) = exp(-|p - q| / bandwidth) with the Euclidean distance.

#include <cstdint>
#include <string>

#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate {

struct KernelErrorOptions {
  /// Rows of a block, whose pairs are compared. The estimate is the mean over n / block_size blocks, for n block_size
  /// classes / 2 operations; the rows that are left over do not count. 0: all pairs, n^2 classes / 2.
  std::int64_t block_size = 32;
  double bandwidth = 0; ///< 0: the median distance of the first 1,000 pairs of neighbours; 1 where that is 0
  Executor* executor = nullptr;
};

struct KernelError {
  double value = 0;          ///< unbiased, so it may be negative
  double standard_error = 0; ///< of the mean over blocks; NaN with fewer than 2 blocks
  double p_value = 1;        ///< P(Z > value / standard_error): blocks are independent and many; NaN where the error is
  double bandwidth = 0;
  std::int64_t blocks = 0;
  std::int64_t count = 0; ///< rows that counted
};
[[nodiscard]] MCOMP_API std::string to_string(const KernelError& error);

/// Rows and labels as in measure_probabilities, and its errors; also insufficient_data with fewer than 2 rows,
/// invalid_argument for a block of 1 or a negative bandwidth.
[[nodiscard]] MCOMP_API Result<KernelError> kernel_calibration_error(const TensorView& probabilities,
                                                                     const TensorView& labels,
                                                                     const KernelErrorOptions& options = {});

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::KernelError> = true;
}
