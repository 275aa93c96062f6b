#include "mcomp/core/error.hpp"

#include <stdexcept>
#include <utility>

#include "mcomp/core/format.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0 {

std::string to_string(ErrorCode code) {
  switch (code) {
  case ErrorCode::invalid_argument:
    return "invalid argument";
  case ErrorCode::invalid_shape:
    return "invalid shape";
  case ErrorCode::invalid_dtype:
    return "invalid dtype";
  case ErrorCode::invalid_value:
    return "invalid value";
  case ErrorCode::not_found:
    return "not found";
  case ErrorCode::corrupt:
    return "corrupt";
  case ErrorCode::unsupported:
    return "unsupported";
  case ErrorCode::io_failure:
    return "input/output failure";
  case ErrorCode::cancelled:
    return "cancelled";
  case ErrorCode::version_mismatch:
    return "version mismatch";
  case ErrorCode::insufficient_data:
    return "insufficient data";
  }
  return "unknown error";
}

Error::Error(ErrorCode code, std::string subject, std::string rule, std::string remedy)
    : code_(code), subject_(std::move(subject)), rule_(std::move(rule)), remedy_(std::move(remedy)),
      text_(fmt::format("{}: {}: {}; {}", to_string(code_), subject_, rule_, remedy_)) {}
Error::~Error() = default;
Error::Error(const Error&) = default;
Error::Error(Error&&) noexcept = default;
Error& Error::operator=(const Error&) = default;
Error& Error::operator=(Error&&) noexcept = default;

const char* Error::what() const noexcept {
  return text_.c_str();
}

Error Error::within(const std::string& outer) const {
  return {code_, outer + ": " + subject_, rule_, remedy_};
}

std::string to_string(const Error& error) {
  return error.what();
}

namespace detail {
void throw_error(const Error& error) {
  throw Error(error);
}
void throw_no_error() {
  throw std::logic_error("error() of a Result that holds a value");
}
} // namespace detail

} // namespace mcomp::inline v0
