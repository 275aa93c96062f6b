#pragma once

#include <span>

#include "mcomp/calibrate/calibration_head.hpp"

namespace mcomp::inline v0::calibrate::detail {

/// The corrected logits of one row. `x` are features as they came.
void head_logits(const CalibrationHead& head, std::span<const double> x, std::span<const double> z,
                 std::span<double> out);

} // namespace mcomp::inline v0::calibrate::detail
