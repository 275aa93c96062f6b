#pragma once

#include <cstdint>
#include <string>

#include "mcomp/core/export.hpp"
#include "mcomp/core/printable.hpp"

namespace mcomp::inline v0::calibrate {

/// What a fit by maximum likelihood did, on the rows that it was fitted on. They flatter: judge on others.
struct FitReport {
  std::int64_t count = 0;       ///< rows
  std::int64_t parameters = 0;  ///< that were fitted
  double nll_before = 0;        ///< mean negative log-likelihood in nats, of the input as it came
  double nll_after = 0;         ///< of the calibrated probabilities, without penalty
  double penalty = 0;           ///< what regularization adds to it at the optimum
  double gradient_norm = 0;     ///< largest component of the gradient of mean NLL + penalty; 0 for closed forms
  int iterations = 0;           ///< of Newton's method or L-BFGS; 0 for closed forms
  bool optimum_reached = false; ///< the objective cannot fall by more than 1e-12; for a network: a stationary point

  friend bool operator==(const FitReport&, const FitReport&) = default;
};

/// "5000 rows, 110 parameters: NLL 1.3494 -> 1.2701, optimum reached in 9 iterations"
[[nodiscard]] MCOMP_API std::string to_string(const FitReport& report);

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::FitReport> = true;
}
