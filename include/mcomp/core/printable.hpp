#pragma once

namespace mcomp::inline v0 {

/// True for the values of this library that print: those have `std::string to_string(const T&)` beside them, and
/// `mcomp/core/format.hpp` teaches `fmt::format` to use it.
template <class T> inline constexpr bool enable_format = false;

} // namespace mcomp::inline v0
