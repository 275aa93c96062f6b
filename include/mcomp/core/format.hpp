#pragma once

#include <string>
#include <type_traits>

#include <fmt/format.h>

namespace mcomp::inline v0 {

/// True for the values of this library that print: those have `std::string to_string(const T&)` beside them.
/// A specialization to true is all that a new value needs to work with `fmt::format`.
template <class T> inline constexpr bool enable_format = false;

} // namespace mcomp::inline v0

/// Prints every mcomp value through its `to_string`; takes the format options of strings (width, fill, alignment).
template <class T>
requires(mcomp::enable_format<T>) struct fmt::formatter<T, char> : fmt::formatter<fmt::string_view, char> {
  template <class Context> auto format(const T& value, Context& context) const {
    const std::string text = to_string(value);
    return fmt::formatter<fmt::string_view, char>::format(fmt::string_view(text), context);
  }
};
