#include "quant/block_rounding.hpp"

#include <array>
#include <cmath>
#include <limits>

#include "core/simd_dispatch.hpp"
#include "quant/block_bytes.hpp"
#include "quant/q4_0_rounding.hpp"

namespace mcomp::inline v0::quant::detail {

namespace {

constexpr std::size_t size = 32; // weights in a block of all these formats

template <std::size_t Width> MCOMP_ALWAYS_INLINE void halve(float* lo, float* hi) {
  for (std::size_t j = 0; j < Width; ++j) {
    lo[j] = lo[j] < lo[j + Width] ? lo[j] : lo[j + Width];
    hi[j] = hi[j] > hi[j + Width] ? hi[j] : hi[j + Width];
  }
  if constexpr (Width > 1) halve<Width / 2>(lo, hi);
}

/// Smallest and largest of a block; halved until one is left, which vectorizes.
MCOMP_ALWAYS_INLINE void extremes_of(const float* x, float& low, float& high) {
  float lo[16], hi[16];
  for (std::size_t j = 0; j < 16; ++j) {
    lo[j] = x[j] < x[j + 16] ? x[j] : x[j + 16];
    hi[j] = x[j] > x[j + 16] ? x[j] : x[j + 16];
  }
  halve<8>(lo, hi);
  low = lo[0];
  high = hi[0];
}

/// The number of largest magnitude with its sign, the first of several; zero (positive) where all are zero.
MCOMP_ALWAYS_INLINE float farthest_from_zero(const float* x) {
  float low = 0, high = 0;
  extremes_of(x, low, high);
  if (high > -low) return high;
  if (-low > high) return low;
  if (high == 0) return 0;
  for (std::size_t j = 0; j < size; ++j)
    if (x[j] == high || x[j] == low) return x[j];
  return 0;
}

/// 1 / d, or 0 where d is 0. Infinite for the smallest d: every product with it is then an infinity or NaN, which the
/// reference's conversion to an integer turns into 0.
MCOMP_ALWAYS_INLINE float inverse_of(float d) {
  return d != 0 ? 1.0f / d : 0.0f;
}

constexpr float largest = std::numeric_limits<float>::max();

/// min(top, floor(x * inverse + shift)) of non-negative numbers.
MCOMP_ALWAYS_INLINE void round_up_codes(const float* x, float subtract, float inverse, float shift, std::int32_t top,
                                        std::uint8_t* codes) {
  if (!(inverse <= largest && inverse >= -largest && subtract <= largest)) {
    for (std::size_t j = 0; j < size; ++j) codes[j] = 0;
    return;
  }
  for (std::size_t j = 0; j < size; ++j) {
    const auto code = static_cast<std::int32_t>((x[j] - subtract) * inverse + shift);
    codes[j] = static_cast<std::uint8_t>(code < top ? code : top);
  }
}

MCOMP_ALWAYS_INLINE void round_signed_body(const float* x, std::int32_t half, std::uint8_t* codes, float* scale) {
  *scale = farthest_from_zero(x) / static_cast<float>(-half);
  round_up_codes(x, 0.0f, inverse_of(*scale), static_cast<float>(half) + 0.5f, 2 * half - 1, codes);
}
MCOMP_DISPATCH(round_signed, (const float* x, std::int32_t half, std::uint8_t* codes, float* scale),
               (x, half, codes, scale))

MCOMP_ALWAYS_INLINE void round_affine_body(const float* x, std::int32_t top, std::uint8_t* codes, float* scale,
                                           float* offset) {
  float high = 0;
  extremes_of(x, *offset, high);
  if (*offset == 0) // the first of several zeros decides the sign
    for (std::size_t j = size; j-- > 0;) *offset = x[j] == 0 ? x[j] : *offset;
  *scale = std::fabs(high - *offset) / static_cast<float>(top); // zeros of either sign: +0
  // A range beyond f32 has an infinite scale and all codes zero.
  const float inverse = *scale <= largest ? inverse_of(*scale) : std::numeric_limits<float>::infinity();
  round_up_codes(x, *offset, inverse, 0.5f, top, codes);
}
MCOMP_DISPATCH(round_affine, (const float* x, std::int32_t top, std::uint8_t* codes, float* scale, float* offset),
               (x, top, codes, scale, offset))

MCOMP_ALWAYS_INLINE void round_q8_0_body(const float* x, std::uint8_t* codes, float* scale) {
  float low = 0, high = 0;
  extremes_of(x, low, high);
  *scale = std::fabs(high > -low ? high : low) / 127;
  const float inverse = inverse_of(*scale);
  if (!(inverse <= largest)) {
    for (std::size_t j = 0; j < size; ++j) codes[j] = 128;
    return;
  }
  // Half away from zero: the number just below one half keeps the sum of 0.49999997 below 1.
  constexpr float below_half = 0x1.fffffep-2f;
  for (std::size_t j = 0; j < size; ++j) {
    const float q = x[j] * inverse;
    codes[j] = static_cast<std::uint8_t>(static_cast<std::int32_t>(q + (q < 0 ? -below_half : below_half)) + 128);
  }
}
MCOMP_DISPATCH(round_q8_0, (const float* x, std::uint8_t* codes, float* scale), (x, codes, scale))

/// floor(log2 amax) - 2 + 127 as a byte. The logarithm is rounded to f32 first, as the reference does, so that a number
/// just below a power of two counts as that power; below 2^-125 the byte wraps, all codes are then zero.
std::uint8_t mxfp4_exponent(float amax) {
  if (!(amax > 0)) return 0;
  const float exponent = std::floor(static_cast<float>(std::log2(static_cast<double>(amax))));
  return static_cast<std::uint8_t>(static_cast<std::int32_t>(exponent) - 2 + 127);
}

/// The nearest of the levels, of equally near ones that of smaller magnitude.
MCOMP_ALWAYS_INLINE void round_mxfp4_body(const float* x, float scale, std::uint8_t* codes) {
  constexpr float magnitudes[8] = {0, 1, 2, 3, 4, 6, 8, 12};
  float error[size];
  for (std::size_t j = 0; j < size; ++j) {
    error[j] = std::fabs(x[j]);
    codes[j] = 8;
  }
  for (std::uint8_t k = 1; k < 8; ++k)
    for (std::size_t j = 0; j < size; ++j) {
      const float candidate = std::fabs(magnitudes[k] * scale - std::fabs(x[j]));
      const bool nearer = candidate < error[j];
      error[j] = nearer ? candidate : error[j];
      codes[j] = nearer ? static_cast<std::uint8_t>(x[j] < 0 ? 7 - k : 8 + k) : codes[j];
    }
}
MCOMP_DISPATCH(round_mxfp4, (const float* x, float scale, std::uint8_t* codes), (x, scale, codes))

void round_block(BlockFormat format, const float* x, std::byte* bytes) {
  BlockGrid grid;
  std::array<std::uint8_t, size> codes;
  float scale = 0, offset = 0;
  switch (format) {
  case BlockFormat::q5_0:
    round_signed(x, 16, codes.data(), &scale);
    break;
  case BlockFormat::q4_1:
    round_affine(x, 15, codes.data(), &scale, &offset);
    break;
  case BlockFormat::q5_1:
    round_affine(x, 31, codes.data(), &scale, &offset);
    break;
  case BlockFormat::q8_0:
    round_q8_0(x, codes.data(), &scale);
    break;
  default: {
    float low = 0, high = 0;
    extremes_of(x, low, high);
    grid.super[0] = mxfp4_exponent(high > -low ? high : -low);
    expand_scales(format, grid);
    round_mxfp4(x, grid.scale[0], codes.data());
    return pack_bytes(format, grid, codes.data(), bytes);
  }
  }
  grid.super = {to_half(scale).bits, to_half(offset).bits};
  pack_bytes(format, grid, codes.data(), bytes);
}

} // namespace

void round_blocks(BlockFormat format, const float* weight, std::size_t blocks, std::byte* bytes) noexcept {
  if (format == BlockFormat::q4_0)
    return available_q4_0_roundings().back()(weight, blocks, reinterpret_cast<std::uint8_t*>(bytes));
  const auto stride = static_cast<std::size_t>(block_layout(format).block_bytes);
  for (std::size_t b = 0; b < blocks; ++b) round_block(format, weight + size * b, bytes + stride * b);
}

} // namespace mcomp::inline v0::quant::detail
