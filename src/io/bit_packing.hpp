#pragma once

#include <cstdint>

namespace mcomp::inline v0::io::detail {

/// Words of 32 bits that n codes of `bits` bits take when they are laid end to end.
[[nodiscard]] constexpr std::int64_t dense_words(std::int64_t n, int bits) noexcept {
  return (n * bits + 31) / 32;
}
/// And when no code crosses a word.
[[nodiscard]] constexpr std::int64_t padded_words(std::int64_t n, int bits) noexcept {
  const std::int64_t in_word = 32 / bits;
  return (n + in_word - 1) / in_word;
}

/// Code i at bit i * bits, the lowest bit first, across word boundaries. `stride` is the distance of consecutive codes
/// and of consecutive words, so that columns of a matrix can be packed as well as rows.
inline void pack_dense(const std::uint8_t* codes, std::int64_t n, std::int64_t stride, int bits, std::uint32_t* words,
                       std::int64_t word_stride) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t at = i * bits, word = at / 32;
    const int shift = static_cast<int>(at % 32);
    const std::uint64_t value = static_cast<std::uint64_t>(codes[i * stride]) << shift;
    words[word * word_stride] |= static_cast<std::uint32_t>(value);
    if (shift + bits > 32) words[(word + 1) * word_stride] |= static_cast<std::uint32_t>(value >> 32);
  }
}

/// The inverse, for either layout.
inline void unpack(const std::uint32_t* words, std::int64_t word_stride, std::int64_t n, int bits, bool dense,
                   std::uint8_t* codes, std::int64_t stride) {
  const std::int64_t in_word = 32 / bits;
  const std::uint32_t mask = (1u << bits) - 1u;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t at = dense ? i * bits : i / in_word * 32 + i % in_word * bits, word = at / 32;
    const int shift = static_cast<int>(at % 32);
    std::uint64_t pair = words[word * word_stride];
    if (shift + bits > 32) pair |= static_cast<std::uint64_t>(words[(word + 1) * word_stride]) << 32;
    codes[i * stride] = static_cast<std::uint8_t>(static_cast<std::uint32_t>(pair >> shift) & mask);
  }
}

} // namespace mcomp::inline v0::io::detail
