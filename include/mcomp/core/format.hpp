#pragma once

#include <string>

#include <fmt/format.h>

#include "mcomp/core/printable.hpp"

// Includes fmt, and prints every value of this library with it. `mcomp/mcomp.hpp` includes it; a source that takes single
// headers and prints adds it. It stands apart because fmt is a third of what a header like `tensor.hpp` would cost.
//
//     #include <mcomp/core/format.hpp>
//     fmt::print("{}: {:>24}\n", tensor, shape);

/// Prints every mcomp value through its `to_string`; takes the format options of strings (width, fill, alignment).
template <class T>
requires(mcomp::enable_format<T>) struct fmt::formatter<T, char> : fmt::formatter<fmt::string_view, char> {
  template <class Context> auto format(const T& value, Context& context) const {
    const std::string text = to_string(value);
    return fmt::formatter<fmt::string_view, char>::format(fmt::string_view(text), context);
  }
};
