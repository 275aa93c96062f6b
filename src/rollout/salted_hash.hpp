#pragma once

// MurmurHash3 of salt and unit, where the salt's part is done once; never part of the interface.

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mcomp::inline v0::rollout::detail {

[[nodiscard]] constexpr std::uint32_t murmur3_scrambled(std::uint32_t k) noexcept {
  return std::rotl(k * 0xcc9e2d51U, 15) * 0x1b873593U;
}
[[nodiscard]] constexpr std::uint32_t murmur3_mixed(std::uint32_t h, std::uint32_t k) noexcept {
  return std::rotl(h ^ murmur3_scrambled(k), 13) * 5 + 0xe6546b64U;
}
[[nodiscard]] constexpr std::uint32_t murmur3_finished(std::uint32_t h) noexcept {
  h = (h ^ (h >> 16)) * 0x85ebca6bU;
  h = (h ^ (h >> 13)) * 0xc2b2ae35U;
  return h ^ (h >> 16);
}

/// Four bytes, and up to four of them; one load where the processor is little-endian.
[[nodiscard]] inline std::uint32_t little_endian(const char* bytes) noexcept {
  std::uint32_t word = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&word, bytes, 4);
  } else {
    for (std::size_t i = 0; i < 4; ++i) word |= std::uint32_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return word;
}
[[nodiscard]] inline std::uint32_t little_endian(const char* bytes, std::size_t count) noexcept {
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < count; ++i) word |= std::uint32_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return word;
}

/// Equals murmur3_32(salt + unit).
class SaltedHash {
 public:
  SaltedHash() = default;
  explicit SaltedHash(std::string_view salt) noexcept : size_(static_cast<std::uint32_t>(salt.size())) {
    for (; salt.size() >= 4; salt.remove_prefix(4)) h_ = murmur3_mixed(h_, little_endian(salt.data()));
    bits_ = static_cast<unsigned>(8 * salt.size());
    carry_ = little_endian(salt.data(), salt.size());
  }
  [[nodiscard]] std::uint32_t operator()(std::string_view unit) const noexcept {
    std::uint32_t h = h_;
    // The salt's last bytes and the unit's next ones make a block; what is over waits in 64 bits.
    std::uint64_t waiting = carry_;
    const char* p = unit.data();
    std::size_t left = unit.size();
    for (; left >= 4; left -= 4, p += 4) {
      waiting |= std::uint64_t{little_endian(p)} << bits_;
      h = murmur3_mixed(h, static_cast<std::uint32_t>(waiting));
      waiting >>= 32;
    }
    waiting |= std::uint64_t{little_endian(p, left)} << bits_;
    std::size_t bits = bits_ + 8 * left;
    if (bits >= 32) {
      h = murmur3_mixed(h, static_cast<std::uint32_t>(waiting));
      waiting >>= 32;
      bits -= 32;
    }
    if (bits > 0) h ^= murmur3_scrambled(static_cast<std::uint32_t>(waiting));
    return murmur3_finished(h ^ (size_ + static_cast<std::uint32_t>(unit.size())));
  }

 private:
  std::uint32_t h_ = 0, carry_ = 0, size_ = 0;
  unsigned bits_ = 0;
};

} // namespace mcomp::inline v0::rollout::detail
