#pragma once

// A temperature for every slice of the data, shrunk towards the common one as far as the slice's rows are few:
// log T_g ~ N(log T, tau^2), with tau by empirical Bayes. A slice of a thousand rows gets its own temperature, one of
// ten almost the common one, and where slices do not differ all get it.
//
//     auto scaling = calibrate::fit_slice_temperatures(logits, labels, slices).value();
//     double T = scaling.of(slice);

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcomp/calibrate/fit_report.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::calibrate {

struct SliceTemperature {
  std::int32_t slice = 0;
  std::int64_t count = 0;
  double temperature = 1; ///< the posterior mode
  double observed = 1;    ///< what its rows alone say: their optimum, or where they have none, one Newton step from T
  double standard_error = 0; ///< of log observed

  friend bool operator==(const SliceTemperature&, const SliceTemperature&) = default;
};

struct SliceTemperatures {
  double temperature = 1;                 ///< T, of all rows together
  double tau = 0;                         ///< how far the slices' log T_g differ; 0 where no difference is seen
  std::vector<SliceTemperature> slices{}; ///< by number
  FitReport report{};

  /// The temperature of a slice; T for a number that was not among the fitted ones.
  [[nodiscard]] MCOMP_API double of(std::int32_t slice) const noexcept;
};

[[nodiscard]] MCOMP_API std::string to_string(const SliceTemperatures& scaling);

/// @param logits [samples, classes], f32 or f64, finite
/// @param slices the number of every row's slice; rows with a negative number belong to none and count for T only
/// Errors: those of fit_vector; invalid_shape where `slices` has another length; insufficient_data where T has no
/// optimum (see TemperatureOptimum).
[[nodiscard]] MCOMP_API Result<SliceTemperatures> fit_slice_temperatures(const TensorView& logits,
                                                                         const TensorView& labels,
                                                                         std::span<const std::int32_t> slices,
                                                                         Executor* executor = nullptr);

} // namespace mcomp::inline v0::calibrate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<calibrate::SliceTemperatures> = true;
}
