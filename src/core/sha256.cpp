#include "mcomp/core/sha256.hpp"

#include <bit>
#include <cstring>

#include "mcomp/core/cpu.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define MCOMP_X86 1
#endif

namespace mcomp::inline v0 {

namespace {

// FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
alignas(64) constexpr std::array<std::uint32_t, 64> K{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

constexpr std::array<std::uint32_t, 8> initial_state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

std::uint32_t big_endian(const std::uint8_t* p) {
  return (std::uint32_t{p[0]} << 24) | (std::uint32_t{p[1]} << 16) | (std::uint32_t{p[2]} << 8) | p[3];
}

#ifdef MCOMP_X86
/// The SHA extensions work on two rounds at a time with the state as (A B E F) and (C D G H).
__attribute__((target("sha,sse4.1,ssse3"))) void sha256_blocks_shani(std::uint32_t* state, const std::uint8_t* data,
                                                                     std::size_t blocks) noexcept {
  const __m128i byte_order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i low = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0xb1);
  __m128i high = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4)), 0x1b);
  __m128i abef = _mm_alignr_epi8(low, high, 8);
  __m128i cdgh = _mm_blend_epi16(high, low, 0xf0);
  for (; blocks > 0; --blocks, data += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; ++i)
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 16 * i)), byte_order);
    for (int i = 0; i < 16; ++i) {
      const __m128i current = w[i % 4];
      __m128i wk = _mm_add_epi32(current, _mm_load_si128(reinterpret_cast<const __m128i*>(K.data() + 4 * i)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
      wk = _mm_shuffle_epi32(wk, 0x0e);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, wk);
      if (i < 12) { // W[t] = s1(W[t-2]) + W[t-7] + s0(W[t-15]) + W[t-16]
        const __m128i next = w[(i + 1) % 4], last = w[(i + 3) % 4];
        const __m128i w_minus_7 = _mm_alignr_epi8(last, w[(i + 2) % 4], 4);
        w[i % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(current, next), w_minus_7), last);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  low = _mm_shuffle_epi32(abef, 0x1b);
  high = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(low, high, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(high, low, 8));
}
#endif

} // namespace

namespace detail {

void sha256_blocks_portable(std::uint32_t* state, const std::uint8_t* data, std::size_t blocks) noexcept {
  for (; blocks > 0; --blocks, data += 64) {
    std::uint32_t w[64];
    for (int t = 0; t < 16; ++t) w[t] = big_endian(data + 4 * t);
    for (int t = 16; t < 64; ++t) {
      const std::uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ (w[t - 15] >> 3);
      const std::uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ (w[t - 2] >> 10);
      w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    std::uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    std::uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (std::size_t t = 0; t < 64; ++t) {
      const std::uint32_t S1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const std::uint32_t t1 = h + S1 + ((e & f) ^ (~e & g)) + K[t] + w[t];
      const std::uint32_t S0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const std::uint32_t t2 = S0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

void sha256_blocks(std::uint32_t* state, const std::uint8_t* data, std::size_t blocks) noexcept {
#ifdef MCOMP_X86
  if (cpu_features().sha) return sha256_blocks_shani(state, data, blocks);
#endif
  sha256_blocks_portable(state, data, blocks);
}

} // namespace detail

Sha256::Sha256() noexcept : state_(initial_state), block_{}, length_(0) {}

void Sha256::update(std::span<const std::byte> bytes) noexcept {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  std::size_t size = bytes.size();
  const std::size_t filled = length_ % 64;
  length_ += size;
  if (filled != 0) {
    const std::size_t taken = std::min(size, 64 - filled);
    if (taken != 0) std::memcpy(block_.data() + filled, data, taken);
    data += taken;
    size -= taken;
    if (filled + taken < 64) return;
    detail::sha256_blocks(state_.data(), block_.data(), 1);
  }
  detail::sha256_blocks(state_.data(), data, size / 64);
  if (size % 64 != 0) std::memcpy(block_.data(), data + size / 64 * 64, size % 64);
}

Sha256::Digest Sha256::finish() noexcept {
  const std::uint64_t bits = length_ * 8;
  std::array<std::byte, 72> padding{};
  padding[0] = std::byte{0x80};
  const std::size_t zeros = (119 - length_ % 64) % 64; // up to 8 bytes before the end of a block
  for (int i = 0; i < 8; ++i)
    padding[1 + zeros + static_cast<std::size_t>(i)] = static_cast<std::byte>(bits >> (56 - 8 * i));
  update(std::span(padding).first(1 + zeros + 8));
  Digest digest;
  for (std::size_t i = 0; i < 32; ++i) digest[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  *this = Sha256();
  return digest;
}

std::string to_hex(const Sha256::Digest& digest) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return to_hex(hash.finish());
}

std::string fingerprint(const TensorView& tensor) {
  Sha256 hash;
  hash.update(to_string(tensor));
  hash.update(std::string_view("\n"));
  const auto add = [&](const void* data, std::int64_t bytes) {
    hash.update(std::span(static_cast<const std::byte*>(data), static_cast<std::size_t>(bytes)));
  };
  if (tensor.contiguous()) {
    add(tensor.data(), tensor.bytes());
  } else {
    const Tensor copy = Tensor::copy_of(tensor).value();
    add(copy.data(), copy.bytes());
  }
  return to_hex(hash.finish());
}

std::string fingerprint(const TensorStore& store) {
  Sha256 hash;
  for (const std::string& name : store.names()) {
    hash.update(std::to_string(name.size()) + ":" + name);
    hash.update(fingerprint(*store.find(name)));
  }
  return to_hex(hash.finish());
}

} // namespace mcomp::inline v0
