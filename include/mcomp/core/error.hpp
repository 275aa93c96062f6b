#pragma once

#include <exception>
#include <string>

#include "mcomp/core/export.hpp"
#include "mcomp/core/printable.hpp"

namespace mcomp::inline v0 {

/// What kind of rule was broken. A caller branches on the code and shows the text.
enum class ErrorCode {
  invalid_argument,  ///< an option or a combination of options that cannot be served
  invalid_shape,     ///< a tensor has another shape than the operation or the file says
  invalid_dtype,     ///< a tensor has another element type than the operation takes
  invalid_value,     ///< NaN, infinity or a number outside the documented range in the caller's data
  not_found,         ///< a file, tensor, layer or key that is named but absent
  corrupt,           ///< a file that breaks the rules of its format
  unsupported,       ///< valid, but not available in this build or on this processor
  io_failure,        ///< the operating system refused to read or write
  cancelled,         ///< the caller's cancellation token was set
  version_mismatch,  ///< a file or a linked library of another, incompatible version
  insufficient_data, ///< not enough samples for a result that means anything
};

[[nodiscard]] MCOMP_API std::string to_string(ErrorCode code);

/// An error as a value: which kind, about what, which rule, and what to do.
/// `Result<T>::value()` throws it, for callers that prefer exceptions.
class MCOMP_API Error final : public std::exception {
 public:
  /// @param subject the tensor, file, layer or option that is at fault, by the caller's name for it
  /// @param rule    what must hold and does not, with the numbers
  /// @param remedy  what the caller can do about it
  Error(ErrorCode code, std::string subject, std::string rule, std::string remedy);
  ~Error() override;
  Error(const Error&);
  Error(Error&&) noexcept;
  Error& operator=(const Error&);
  Error& operator=(Error&&) noexcept;

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }
  [[nodiscard]] const std::string& subject() const noexcept { return subject_; }
  [[nodiscard]] const std::string& rule() const noexcept { return rule_; }
  [[nodiscard]] const std::string& remedy() const noexcept { return remedy_; }
  /// "code: subject: rule; remedy"
  [[nodiscard]] const char* what() const noexcept override;

  /// The same error about a subject inside another one: "outer: subject".
  [[nodiscard]] Error within(const std::string& outer) const;

 private:
  ErrorCode code_;
  std::string subject_, rule_, remedy_, text_;
};

[[nodiscard]] MCOMP_API std::string to_string(const Error& error);

template <> inline constexpr bool enable_format<ErrorCode> = true;
template <> inline constexpr bool enable_format<Error> = true;

} // namespace mcomp::inline v0
