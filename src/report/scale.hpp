#pragma once

// Numbers and axes as people read them; never part of the interface.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mcomp/report/chart.hpp"

namespace mcomp::inline v0::report::detail {

/// A unit that suits numbers of a size: a value is shown as value * factor, with `name` behind it.
struct ShownUnit {
  double factor = 1;
  std::string name;
};
[[nodiscard]] ShownUnit shown_unit(const std::string& unit, double largest);

/// "1,250", "12.3 M", "0.25", "1.2e-05"; "not known".
[[nodiscard]] std::string compact(double value, int digits = 4);
/// A value in a unit that was chosen for its whole column or axis, without the unit.
[[nodiscard]] std::string in_unit(double value, const ShownUnit& unit, int digits = 4);
/// As `format_number`, with other than four digits.
[[nodiscard]] std::string number_text(double value, const std::string& unit, int digits);

// Times are seconds since 1970; outside of the years 1 .. 9999 they are "not known".
[[nodiscard]] std::string date_of(double seconds);   ///< "2026-07-20"
[[nodiscard]] std::string time_of(double seconds);   ///< "2026-07-20 14:05"
[[nodiscard]] std::string moment_of(double seconds); ///< a date at midnight, else with the time

struct Tick {
  double value = 0;
  std::string label;
};

/// An axis in pixels: `begin` and `end` may descend.
class AxisScale {
 public:
  /// @param lower,upper  of the data; an axis without any gets 0 .. 1
  /// @param most_ticks   that have room
  AxisScale(const Axis& axis, double lower, double upper, double begin, double end, int most_ticks);

  [[nodiscard]] double at(double value) const;
  [[nodiscard]] bool shows(double value) const; ///< finite, and not <= 0 where that has no place
  [[nodiscard]] double lower() const noexcept { return lower_; }
  [[nodiscard]] double upper() const noexcept { return upper_; }
  [[nodiscard]] const std::vector<Tick>& ticks() const noexcept { return ticks_; }
  [[nodiscard]] const ShownUnit& unit() const noexcept { return unit_; }
  /// "p99, ms"
  [[nodiscard]] const std::string& label() const noexcept { return label_; }

 private:
  void linear(const Axis& axis, int most_ticks);
  void logarithmic(int most_ticks);
  void times(int most_ticks);

  Scale scale_;
  double lower_, upper_, begin_, end_;
  ShownUnit unit_;
  std::string label_;
  std::vector<Tick> ticks_;
};

/// The least and greatest of numbers that an axis can show.
struct Range {
  double lower = 0, upper = 0;
  bool any = false;
  void add(double value, Scale scale = Scale::linear);
};

} // namespace mcomp::inline v0::report::detail
