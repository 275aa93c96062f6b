#include "catalog/random_text.hpp"

#include <array>

#include <openssl/rand.h>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog::detail {

Result<std::string> random_text() {
  std::array<unsigned char, 16> bytes;
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    return Error(ErrorCode::io_failure, "random numbers", "libcrypto has none", "check the system's source of them");
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

} // namespace mcomp::inline v0::catalog::detail
