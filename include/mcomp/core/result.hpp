#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "mcomp/core/error.hpp"

namespace mcomp::inline v0 {

namespace detail {
/// Throws `error`. Compiled inside the library, so that a consumer built without exceptions can use `Result`.
[[noreturn]] MCOMP_API void throw_error(const Error& error);
/// Reports `error()` of a result that holds a value: a defect of the caller, so std::logic_error.
[[noreturn]] MCOMP_API void throw_no_error();
} // namespace detail

/// Either a value or an `Error`.
///
///     auto file = mcomp::io::read_safetensors("model.safetensors");
///     if (!file) return report(file.error());
///     use(*file);                         // or: use(file.value()), which throws the Error
template <class T> class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws the `Error` where there is none.
  T& value() & { return checked(), *std::get_if<0>(&state_); }
  const T& value() const& { return checked(), *std::get_if<0>(&state_); }
  T value() && { return checked(), std::move(*std::get_if<0>(&state_)); }

  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T operator*() && { return std::move(*this).value(); }
  [[nodiscard]] T* operator->() { return &value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }

  [[nodiscard]] T value_or(T fallback) const& { return has_value() ? *std::get_if<0>(&state_) : std::move(fallback); }

  /// The error; throws std::logic_error where there is a value.
  [[nodiscard]] const Error& error() const {
    if (has_value()) detail::throw_no_error();
    return *std::get_if<1>(&state_);
  }

 private:
  void checked() const {
    if (!has_value()) detail::throw_error(*std::get_if<1>(&state_));
  }
  std::variant<T, Error> state_;
};

/// Success without a value, or an `Error`.
template <> class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return !error_.has_value(); }
  [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }
  /// Throws the `Error` where there is one.
  void value() const {
    if (error_) detail::throw_error(*error_);
  }
  [[nodiscard]] const Error& error() const {
    if (!error_) detail::throw_no_error();
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

} // namespace mcomp::inline v0
