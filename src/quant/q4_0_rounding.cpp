#include "quant/q4_0_rounding.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "mcomp/core/cpu.hpp"
#include "mcomp/core/dtype.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
// GCC 12's own headers leave operands that have no effect uninitialized on purpose, and warn of it (GCC bug 105593).
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#define MCOMP_Q4_0_X86 1
#endif

namespace mcomp::inline v0::quant::detail {

namespace {

constexpr std::size_t size = 32, bytes_of_block = 18;
constexpr float largest = std::numeric_limits<float>::max();

/// The number of largest magnitude with its sign, the first of several.
float farthest_from_zero(const float* x) {
  float farthest = 0;
  for (std::size_t j = 0; j < size; ++j)
    if (std::fabs(x[j]) > std::fabs(farthest)) farthest = x[j];
  return farthest;
}

void put_scale(std::uint8_t* out, std::uint16_t bits) {
  out[0] = static_cast<std::uint8_t>(bits & 0xffu);
  out[1] = static_cast<std::uint8_t>(bits >> 8);
}

/// d = farthest / -8; codes min(15, floor(x / d + 8.5)) with 1 / d rounded once, two to a byte. Where 1 / d overflows
/// every product is infinite or NaN, which the published code's conversion to an integer turns into 0.
void round_block(const float* x, std::uint8_t* out) {
  const float d = farthest_from_zero(x) / -8;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  std::memset(out, 0, bytes_of_block);
  put_scale(out, to_half(d).bits);
  if (!(std::fabs(inverse) <= largest)) return;
  for (std::size_t j = 0; j < 16; ++j) {
    const auto low = static_cast<std::int32_t>(x[j] * inverse + 8.5f);
    const auto high = static_cast<std::int32_t>(x[j + 16] * inverse + 8.5f);
    out[2 + j] = static_cast<std::uint8_t>((low < 15 ? low : 15) | ((high < 15 ? high : 15) << 4));
  }
}

void round_portable(const float* x, std::size_t blocks, std::uint8_t* out) noexcept {
  for (std::size_t b = 0; b < blocks; ++b) round_block(x + size * b, out + bytes_of_block * b);
}

#ifdef MCOMP_Q4_0_X86

/// Of the two ends of a block the farther one; blocks without one (equal magnitudes, zeros) take the reference.
inline float farther(float low, float high, bool& tie) {
  tie = high == -low;
  return high > -low ? high : low;
}

constexpr std::size_t batch = 16; // blocks whose scales are inverted and converted at once

[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx2")]] void round_avx512(const float* x, std::size_t blocks,
                                                                             std::uint8_t* out) noexcept {
  const __m512 middle = _mm512_set1_ps(8.5f);
  const __m512i top = _mm512_set1_epi32(15);
  for (; blocks >= batch; blocks -= batch, x += size * batch, out += bytes_of_block * batch) {
    alignas(64) std::array<float, batch> d, inverse;
    alignas(32) std::array<std::uint16_t, batch> halves;
    for (std::size_t b = 0; b < batch; ++b) {
      const __m512 a = _mm512_loadu_ps(x + size * b), c = _mm512_loadu_ps(x + size * b + 16);
      bool tie = false;
      d[b] = farther(_mm512_reduce_min_ps(_mm512_min_ps(a, c)), _mm512_reduce_max_ps(_mm512_max_ps(a, c)), tie);
      if (tie) d[b] = farthest_from_zero(x + size * b);
    }
    const __m512 scale = _mm512_mul_ps(_mm512_load_ps(d.data()), _mm512_set1_ps(-0.125f));
    const __mmask16 usable = _mm512_cmp_ps_mask(scale, _mm512_setzero_ps(), _CMP_NEQ_OQ);
    _mm512_store_ps(inverse.data(), _mm512_maskz_div_ps(usable, _mm512_set1_ps(1.0f), scale));
    _mm256_store_si256(reinterpret_cast<__m256i*>(halves.data()),
                       _mm512_cvtps_ph(scale, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    for (std::size_t b = 0; b < batch; ++b) {
      std::uint8_t* block = out + bytes_of_block * b;
      if (!(std::fabs(inverse[b]) <= largest)) {
        round_block(x + size * b, block);
        continue;
      }
      const __m512 factor = _mm512_set1_ps(inverse[b]);
      const __m512 a = _mm512_mul_ps(_mm512_loadu_ps(x + size * b), factor);
      const __m512 c = _mm512_mul_ps(_mm512_loadu_ps(x + size * b + 16), factor);
      const __m512i low = _mm512_min_epi32(_mm512_cvttps_epi32(_mm512_add_ps(a, middle)), top);
      const __m512i high = _mm512_min_epi32(_mm512_cvttps_epi32(_mm512_add_ps(c, middle)), top);
      put_scale(block, halves[b]);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(block + 2),
                       _mm512_cvtepi32_epi8(_mm512_or_si512(low, _mm512_slli_epi32(high, 4))));
    }
  }
  round_portable(x, blocks, out);
}

[[gnu::target("avx2")]] inline float highest_of(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

/// Eight codes of each half of a block, a byte's worth in each 32-bit element.
[[gnu::target("avx2")]] inline __m256i eight_bytes(const float* x, __m256 factor) {
  const __m256 middle = _mm256_set1_ps(8.5f);
  const __m256i top = _mm256_set1_epi32(15);
  const __m256 a = _mm256_mul_ps(_mm256_loadu_ps(x), factor), c = _mm256_mul_ps(_mm256_loadu_ps(x + 16), factor);
  const __m256i low = _mm256_min_epi32(_mm256_cvttps_epi32(_mm256_add_ps(a, middle)), top);
  const __m256i high = _mm256_min_epi32(_mm256_cvttps_epi32(_mm256_add_ps(c, middle)), top);
  return _mm256_or_si256(low, _mm256_slli_epi32(high, 4));
}

[[gnu::target("avx2")]] void round_avx2(const float* x, std::size_t blocks, std::uint8_t* out) noexcept {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  for (std::size_t b = 0; b < blocks; ++b, x += size, out += bytes_of_block) {
    const __m256 a = _mm256_loadu_ps(x), c = _mm256_loadu_ps(x + 8), e = _mm256_loadu_ps(x + 16);
    const __m256 g = _mm256_loadu_ps(x + 24);
    const __m256 high = _mm256_max_ps(_mm256_max_ps(a, c), _mm256_max_ps(e, g));
    const __m256 low = _mm256_min_ps(_mm256_min_ps(a, c), _mm256_min_ps(e, g));
    bool tie = false;
    const float d = farther(-highest_of(_mm256_xor_ps(low, sign)), highest_of(high), tie) * -0.125f;
    const float inverse = 1.0f / d;
    if (tie || !(std::fabs(inverse) <= largest)) {
      round_block(x, out);
      continue;
    }
    const __m256 factor = _mm256_set1_ps(inverse);
    const __m256i words = _mm256_permute4x64_epi64(
        _mm256_packus_epi32(eight_bytes(x, factor), eight_bytes(x + 8, factor)), _MM_SHUFFLE(3, 1, 2, 0));
    put_scale(out, to_half(d).bits);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2),
                     _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  }
}

#endif

} // namespace

std::span<const RoundQ40> available_q4_0_roundings() noexcept {
#ifdef MCOMP_Q4_0_X86
  static constexpr std::array<RoundQ40, 3> all{round_portable, round_avx2, round_avx512};
  const CpuFeatures& cpu = cpu_features();
  return std::span(all).first(cpu.avx512 ? 3u : cpu.avx2 ? 2u : 1u);
#else
  static constexpr std::array<RoundQ40, 1> all{round_portable};
  return all;
#endif
}

} // namespace mcomp::inline v0::quant::detail
