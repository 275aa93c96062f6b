#pragma once

#include <string>

#include "core/try.hpp"

namespace mcomp::inline v0::catalog::detail {

/// 128 bits that nobody can guess, in hexadecimal: nonces and salts. Error: io_failure, where there are no random
/// numbers.
[[nodiscard]] Result<std::string> random_text();

} // namespace mcomp::inline v0::catalog::detail
