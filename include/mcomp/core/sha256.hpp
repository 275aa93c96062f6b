#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "mcomp/core/tensor_store.hpp"

namespace mcomp::inline v0 {

/// SHA-256 (FIPS 180-4), for fingerprints of data and artifacts. Uses the processor's SHA instructions where present.
///
///     mcomp::Sha256 hash;
///     hash.update(bytes);
///     std::string fingerprint = mcomp::to_hex(hash.finish());
class MCOMP_API Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;

  Sha256() noexcept;
  void update(std::span<const std::byte> bytes) noexcept;
  void update(std::string_view text) noexcept { update(std::as_bytes(std::span(text.data(), text.size()))); }
  /// The digest of all that was given; the object starts anew.
  [[nodiscard]] Digest finish() noexcept;

 private:
  std::array<std::uint32_t, 8> state_;
  std::array<std::uint8_t, 64> block_;
  std::uint64_t length_;
};

/// Lower-case hexadecimal digits.
[[nodiscard]] MCOMP_API std::string to_hex(const Sha256::Digest& digest);
/// Hexadecimal SHA-256 of a string of bytes.
[[nodiscard]] MCOMP_API std::string sha256(std::string_view bytes);
/// Hexadecimal SHA-256 over dtype, shape and elements of a tensor. Strided tensors hash as their contiguous copy.
[[nodiscard]] MCOMP_API std::string fingerprint(const TensorView& tensor);
/// Hexadecimal SHA-256 over the names and fingerprints of all tensors, in order of their names.
[[nodiscard]] MCOMP_API std::string fingerprint(const TensorStore& store);

namespace detail {
/// The compression function without processor extensions, so that a test can hold the fast one against it.
MCOMP_API void sha256_blocks_portable(std::uint32_t* state, const std::uint8_t* data, std::size_t blocks) noexcept;
/// The compression function that this processor uses.
MCOMP_API void sha256_blocks(std::uint32_t* state, const std::uint8_t* data, std::size_t blocks) noexcept;
} // namespace detail

} // namespace mcomp::inline v0
