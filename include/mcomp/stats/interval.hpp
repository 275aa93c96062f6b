#pragma once

#include <string>

#include "mcomp/core/export.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::stats {

/// A two-sided confidence interval, both ends included.
struct Interval {
  double lower = 0;
  double upper = 0;
  double level = 0; ///< of both sides together: 0.95

  [[nodiscard]] double width() const noexcept { return upper - lower; }
  [[nodiscard]] bool contains(double value) const noexcept { return lower <= value && value <= upper; }
  friend bool operator==(const Interval&, const Interval&) = default;
};

/// "[0.0309, 0.218] (95%)"
[[nodiscard]] MCOMP_API std::string to_string(const Interval& interval);

} // namespace mcomp::inline v0::stats

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<stats::Interval> = true;
}
