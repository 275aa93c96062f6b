#include "quant/block_bytes.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace mcomp::inline v0::quant::detail {

namespace {

template <int Lowest, std::size_t Count> constexpr std::array<float, Count> consecutive() {
  std::array<float, Count> levels{};
  for (std::size_t i = 0; i < Count; ++i) levels[i] = static_cast<float>(Lowest + static_cast<int>(i));
  return levels;
}

constexpr auto signed_3 = consecutive<-4, 8>();
constexpr auto signed_4 = consecutive<-8, 16>();
constexpr auto signed_5 = consecutive<-16, 32>();
constexpr auto signed_6 = consecutive<-32, 64>();
constexpr auto signed_8 = consecutive<-128, 256>();
constexpr auto unsigned_2 = consecutive<0, 4>();
constexpr auto unsigned_4 = consecutive<0, 16>();
constexpr auto unsigned_5 = consecutive<0, 32>();
constexpr std::array<float, 16> unequal{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
/// E2M1 doubled, since the block's scale is halved in exchange.
constexpr std::array<float, 16> e2m1{-12, -8, -6, -4, -3, -2, -1, 0, 0, 1, 2, 3, 4, 6, 8, 12};

using Bytes = std::uint8_t*;
using ConstBytes = const std::uint8_t*;

void put_u16(Bytes at, std::uint16_t value) {
  at[0] = static_cast<std::uint8_t>(value & 0xffu);
  at[1] = static_cast<std::uint8_t>(value >> 8);
}
std::uint16_t get_u16(ConstBytes at) {
  return static_cast<std::uint16_t>(at[0] | (at[1] << 8));
}

/// Low nibbles hold the first half of a run, high nibbles the second.
void put_nibbles(Bytes at, ConstBytes codes, std::size_t half) {
  for (std::size_t j = 0; j < half; ++j)
    at[j] = static_cast<std::uint8_t>((codes[j] & 0xfu) | ((codes[j + half] & 0xfu) << 4));
}
void get_nibbles(ConstBytes at, Bytes codes, std::size_t half) {
  for (std::size_t j = 0; j < half; ++j) {
    codes[j] = at[j] & 0xfu;
    codes[j + half] = static_cast<std::uint8_t>(at[j] >> 4);
  }
}

/// Bit `bit` of 256 codes in 32 bytes: byte l holds those of codes l, l + 32 ...
void put_plane(Bytes at, ConstBytes codes, int bit) {
  std::memset(at, 0, 32);
  for (std::size_t i = 0; i < 256; ++i)
    at[i % 32] = static_cast<std::uint8_t>(at[i % 32] | (((codes[i] >> bit) & 1u) << (i / 32)));
}
void add_plane(ConstBytes at, Bytes codes, int bit) {
  for (std::size_t i = 0; i < 256; ++i)
    codes[i] = static_cast<std::uint8_t>(codes[i] | (((at[i % 32] >> (i / 32)) & 1u) << bit));
}

/// Two bits of 256 codes in 64 bytes: byte l of a half of 128 holds those of codes l, l + 32, l + 64, l + 96.
void put_pairs(Bytes at, ConstBytes codes, int shift) {
  for (std::size_t i = 0; i < 64; ++i) {
    const ConstBytes c = codes + i / 32 * 128 + i % 32;
    unsigned packed = 0;
    for (unsigned k = 0; k < 4; ++k) packed |= ((static_cast<unsigned>(c[32 * k]) >> shift) & 3u) << (2 * k);
    at[i] = static_cast<std::uint8_t>(packed);
  }
}
void add_pairs(ConstBytes at, Bytes codes, int shift) {
  for (std::size_t i = 0; i < 64; ++i) {
    const Bytes c = codes + i / 32 * 128 + i % 32;
    for (unsigned k = 0; k < 4; ++k)
      c[32 * k] = static_cast<std::uint8_t>(c[32 * k] | (((static_cast<unsigned>(at[i]) >> (2 * k)) & 3u) << shift));
  }
}

/// Eight scales and eight minima of six bits in 12 bytes: the low six bits of bytes 0-7 are those of sub-blocks 0-3,
/// bytes 8-11 hold the low nibbles of sub-blocks 4-7, whose high bits are the top bits of bytes 0-7.
void put_scales_6(Bytes at, const BlockGrid& grid) {
  for (std::size_t j = 0; j < 4; ++j) {
    const unsigned scale = grid.small[2 * j], minimum = grid.small[2 * j + 1];
    const unsigned upper_scale = grid.small[2 * j + 8], upper_minimum = grid.small[2 * j + 9];
    at[j] = static_cast<std::uint8_t>((scale & 63u) | ((upper_scale >> 4) << 6));
    at[j + 4] = static_cast<std::uint8_t>((minimum & 63u) | ((upper_minimum >> 4) << 6));
    at[j + 8] = static_cast<std::uint8_t>((upper_scale & 15u) | ((upper_minimum & 15u) << 4));
  }
}
void get_scales_6(ConstBytes at, BlockGrid& grid) {
  for (std::size_t j = 0; j < 4; ++j) {
    grid.small[2 * j] = at[j] & 63u;
    grid.small[2 * j + 1] = at[j + 4] & 63u;
    grid.small[2 * j + 8] = static_cast<std::uint8_t>((at[j + 8] & 15) | ((at[j] >> 6) << 4));
    grid.small[2 * j + 9] = static_cast<std::uint8_t>((at[j + 8] >> 4) | ((at[j + 4] >> 6) << 4));
  }
}

/// Sixteen scales of six bits in 12 bytes: nibbles of bytes 0-7 for sub-blocks 0-7 (low) and 8-15 (high), top bits of
/// sub-block j in byte 8 + j % 4 at 2 (j / 4).
void put_scales_3(Bytes at, const BlockGrid& grid) {
  std::memset(at, 0, 12);
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned scale = grid.small[2 * j];
    at[j % 8] = static_cast<std::uint8_t>(at[j % 8] | ((scale & 15u) << (j / 8 * 4)));
    at[8 + j % 4] = static_cast<std::uint8_t>(at[8 + j % 4] | ((scale >> 4) << (j / 4 * 2)));
  }
}
void get_scales_3(ConstBytes at, BlockGrid& grid) {
  for (std::size_t j = 0; j < 16; ++j)
    grid.small[2 * j] =
        static_cast<std::uint8_t>(((at[j % 8] >> (j / 8 * 4)) & 15u) | (((at[8 + j % 4] >> (j / 4 * 2)) & 3u) << 4));
}

/// Eight scales of six bits: low nibbles two to a byte, then two bits each in one 16-bit word before them.
void put_scales_xs(Bytes high, Bytes low, const BlockGrid& grid) {
  unsigned top = 0;
  std::memset(low, 0, 4);
  for (std::size_t j = 0; j < 8; ++j) {
    const unsigned scale = grid.small[2 * j];
    low[j / 2] = static_cast<std::uint8_t>(low[j / 2] | ((scale & 15u) << (j % 2 * 4)));
    top |= (scale >> 4) << (2 * j);
  }
  put_u16(high, static_cast<std::uint16_t>(top));
}
void get_scales_xs(ConstBytes high, ConstBytes low, BlockGrid& grid) {
  const unsigned top = get_u16(high);
  for (std::size_t j = 0; j < 8; ++j)
    grid.small[2 * j] = static_cast<std::uint8_t>(((low[j / 2] >> (j % 2 * 4)) & 15u) | (((top >> (2 * j)) & 3u) << 4));
}

/// Between the ascending index and E2M1's sign and magnitude; its own inverse in each half.
std::uint8_t e2m1_of_index(unsigned i) {
  return static_cast<std::uint8_t>(i < 8 ? 15 - i : i - 8);
}
std::uint8_t index_of_e2m1(unsigned nibble) {
  return static_cast<std::uint8_t>(nibble < 8 ? nibble + 8 : 15 - nibble);
}

/// Half of 2^(e - 127), as the doubled levels want it. Exponent 255, which OCP calls NaN, is a power of two to ggml.
float half_of_e8m0(unsigned e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

float half_bits(std::uint16_t bits) {
  return to_float(half{bits});
}

/// The fifth bits of 32 codes, bit j of a little-endian word for code j.
void put_fifth(Bytes at, ConstBytes codes) {
  std::uint32_t bits = 0;
  for (std::size_t j = 0; j < 32; ++j) bits |= ((static_cast<std::uint32_t>(codes[j]) >> 4) & 1u) << j;
  for (std::size_t k = 0; k < 4; ++k) at[k] = static_cast<std::uint8_t>(bits >> (8 * k));
}
void add_fifth(ConstBytes at, Bytes codes) {
  for (std::size_t j = 0; j < 32; ++j)
    codes[j] = static_cast<std::uint8_t>(codes[j] | (((at[j / 8] >> (j % 8)) & 1u) << 4));
}

} // namespace

std::span<const float> levels_of(BlockFormat format) noexcept {
  switch (format) {
  case BlockFormat::q4_0:
    return signed_4;
  case BlockFormat::q5_0:
    return signed_5;
  case BlockFormat::q8_0:
    return signed_8;
  case BlockFormat::q2_k:
    return unsigned_2;
  case BlockFormat::q3_k:
    return signed_3;
  case BlockFormat::q4_1:
  case BlockFormat::q4_k:
    return unsigned_4;
  case BlockFormat::q5_1:
  case BlockFormat::q5_k:
    return unsigned_5;
  case BlockFormat::q6_k:
    return signed_6;
  case BlockFormat::iq4_nl:
  case BlockFormat::iq4_xs:
    return unequal;
  case BlockFormat::mxfp4:
    return e2m1;
  }
  return {};
}

ScaleCodes scale_codes_of(BlockFormat format) noexcept {
  switch (format) {
  case BlockFormat::q2_k:
    return {0, 15, 0};
  case BlockFormat::q4_k:
  case BlockFormat::q5_k:
    return {0, 63, 0};
  case BlockFormat::q3_k:
  case BlockFormat::iq4_xs:
    return {-32, 31, 32};
  case BlockFormat::q6_k:
    return {-128, 127, 0};
  default:
    return {};
  }
}

void expand_scales(BlockFormat format, BlockGrid& grid) noexcept {
  const BlockLayout& layout = block_layout(format);
  if (format == BlockFormat::mxfp4) {
    grid.scale[0] = half_of_e8m0(grid.super[0]);
    grid.offset[0] = -0.0f;
    return;
  }
  const float d = half_bits(grid.super[0]);
  if (layout.block_size == 32) {
    grid.scale[0] = d;
    grid.offset[0] = layout.has_offset ? half_bits(grid.super[1]) : -0.0f;
    return;
  }
  const auto sub_blocks = static_cast<std::size_t>(layout.block_size / layout.sub_block_size);
  const float dmin = half_bits(grid.super[1]);
  const int bias = scale_codes_of(format).bias;
  for (std::size_t s = 0; s < sub_blocks; ++s) {
    const int stored = grid.small[2 * s];
    const int code = format == BlockFormat::q6_k ? static_cast<std::int8_t>(stored) : stored - bias;
    grid.scale[s] = d * static_cast<float>(code);
    grid.offset[s] = layout.has_offset ? -(dmin * static_cast<float>(grid.small[2 * s + 1])) : -0.0f;
  }
}

void pack_bytes(BlockFormat format, const BlockGrid& grid, const std::uint8_t* codes, std::byte* out) noexcept {
  const Bytes bytes = reinterpret_cast<Bytes>(out);
  switch (format) {
  case BlockFormat::q4_0:
  case BlockFormat::iq4_nl:
    put_u16(bytes, grid.super[0]);
    return put_nibbles(bytes + 2, codes, 16);
  case BlockFormat::q4_1:
    put_u16(bytes, grid.super[0]);
    put_u16(bytes + 2, grid.super[1]);
    return put_nibbles(bytes + 4, codes, 16);
  case BlockFormat::q5_0:
    put_u16(bytes, grid.super[0]);
    put_fifth(bytes + 2, codes);
    return put_nibbles(bytes + 6, codes, 16);
  case BlockFormat::q5_1:
    put_u16(bytes, grid.super[0]);
    put_u16(bytes + 2, grid.super[1]);
    put_fifth(bytes + 4, codes);
    return put_nibbles(bytes + 8, codes, 16);
  case BlockFormat::q8_0:
    put_u16(bytes, grid.super[0]);
    for (std::size_t j = 0; j < 32; ++j) bytes[2 + j] = static_cast<std::uint8_t>(codes[j] ^ 0x80u);
    return;
  case BlockFormat::mxfp4: {
    std::array<std::uint8_t, 32> nibbles;
    for (std::size_t j = 0; j < 32; ++j) nibbles[j] = e2m1_of_index(codes[j]);
    bytes[0] = static_cast<std::uint8_t>(grid.super[0]);
    return put_nibbles(bytes + 1, nibbles.data(), 16);
  }
  case BlockFormat::q2_k:
    for (std::size_t j = 0; j < 16; ++j)
      bytes[j] = static_cast<std::uint8_t>((grid.small[2 * j] & 15u) | ((grid.small[2 * j + 1] & 15u) << 4));
    put_pairs(bytes + 16, codes, 0);
    put_u16(bytes + 80, grid.super[0]);
    return put_u16(bytes + 82, grid.super[1]);
  case BlockFormat::q3_k:
    put_plane(bytes, codes, 2);
    put_pairs(bytes + 32, codes, 0);
    put_scales_3(bytes + 96, grid);
    return put_u16(bytes + 108, grid.super[0]);
  case BlockFormat::q4_k:
  case BlockFormat::q5_k: {
    put_u16(bytes, grid.super[0]);
    put_u16(bytes + 2, grid.super[1]);
    put_scales_6(bytes + 4, grid);
    const std::size_t nibbles = format == BlockFormat::q5_k ? 48 : 16;
    if (format == BlockFormat::q5_k) put_plane(bytes + 16, codes, 4);
    for (std::size_t c = 0; c < 4; ++c) put_nibbles(bytes + nibbles + 32 * c, codes + 64 * c, 32);
    return;
  }
  case BlockFormat::q6_k:
    for (std::size_t h = 0; h < 2; ++h) put_nibbles(bytes + 64 * h, codes + 128 * h, 64);
    put_pairs(bytes + 128, codes, 4);
    for (std::size_t j = 0; j < 16; ++j) bytes[192 + j] = grid.small[2 * j];
    return put_u16(bytes + 208, grid.super[0]);
  case BlockFormat::iq4_xs:
    put_u16(bytes, grid.super[0]);
    put_scales_xs(bytes + 2, bytes + 4, grid);
    for (std::size_t s = 0; s < 8; ++s) put_nibbles(bytes + 8 + 16 * s, codes + 32 * s, 16);
    return;
  }
}

void unpack_bytes(BlockFormat format, const std::byte* in, BlockGrid& grid, std::uint8_t* codes) noexcept {
  const ConstBytes bytes = reinterpret_cast<ConstBytes>(in);
  grid = {};
  switch (format) {
  case BlockFormat::q4_0:
  case BlockFormat::iq4_nl:
    grid.super[0] = get_u16(bytes);
    get_nibbles(bytes + 2, codes, 16);
    break;
  case BlockFormat::q4_1:
    grid.super = {get_u16(bytes), get_u16(bytes + 2)};
    get_nibbles(bytes + 4, codes, 16);
    break;
  case BlockFormat::q5_0:
    grid.super[0] = get_u16(bytes);
    get_nibbles(bytes + 6, codes, 16);
    add_fifth(bytes + 2, codes);
    break;
  case BlockFormat::q5_1:
    grid.super = {get_u16(bytes), get_u16(bytes + 2)};
    get_nibbles(bytes + 8, codes, 16);
    add_fifth(bytes + 4, codes);
    break;
  case BlockFormat::q8_0:
    grid.super[0] = get_u16(bytes);
    for (std::size_t j = 0; j < 32; ++j) codes[j] = static_cast<std::uint8_t>(bytes[2 + j] ^ 0x80u);
    break;
  case BlockFormat::mxfp4:
    grid.super[0] = bytes[0];
    get_nibbles(bytes + 1, codes, 16);
    for (std::size_t j = 0; j < 32; ++j) codes[j] = index_of_e2m1(codes[j]);
    break;
  case BlockFormat::q2_k:
    for (std::size_t j = 0; j < 16; ++j) {
      grid.small[2 * j] = bytes[j] & 15u;
      grid.small[2 * j + 1] = static_cast<std::uint8_t>(bytes[j] >> 4);
    }
    std::memset(codes, 0, 256);
    add_pairs(bytes + 16, codes, 0);
    grid.super = {get_u16(bytes + 80), get_u16(bytes + 82)};
    break;
  case BlockFormat::q3_k:
    std::memset(codes, 0, 256);
    add_plane(bytes, codes, 2);
    add_pairs(bytes + 32, codes, 0);
    get_scales_3(bytes + 96, grid);
    grid.super[0] = get_u16(bytes + 108);
    break;
  case BlockFormat::q4_k:
  case BlockFormat::q5_k: {
    grid.super = {get_u16(bytes), get_u16(bytes + 2)};
    get_scales_6(bytes + 4, grid);
    const std::size_t nibbles = format == BlockFormat::q5_k ? 48 : 16;
    for (std::size_t c = 0; c < 4; ++c) get_nibbles(bytes + nibbles + 32 * c, codes + 64 * c, 32);
    if (format == BlockFormat::q5_k) add_plane(bytes + 16, codes, 4);
    break;
  }
  case BlockFormat::q6_k:
    for (std::size_t h = 0; h < 2; ++h) get_nibbles(bytes + 64 * h, codes + 128 * h, 64);
    add_pairs(bytes + 128, codes, 4);
    for (std::size_t j = 0; j < 16; ++j) grid.small[2 * j] = bytes[192 + j];
    grid.super[0] = get_u16(bytes + 208);
    break;
  case BlockFormat::iq4_xs:
    grid.super[0] = get_u16(bytes);
    get_scales_xs(bytes + 2, bytes + 4, grid);
    for (std::size_t s = 0; s < 8; ++s) get_nibbles(bytes + 8 + 16 * s, codes + 32 * s, 16);
    break;
  }
  expand_scales(format, grid);
}

} // namespace mcomp::inline v0::quant::detail
