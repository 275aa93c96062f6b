#pragma once

// What the reader and the writer of GGUF must agree on.

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "io/safetensors_format.hpp"
#include "mcomp/io/gguf.hpp"

namespace mcomp::inline v0::io::detail {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they stand in the file");

inline constexpr std::string_view gguf_magic = "GGUF";
inline constexpr std::uint32_t gguf_version = 3;
inline constexpr std::uint32_t gguf_default_alignment = 32;
/// The description wants a multiple of 8, the reference reader a power of two.
inline constexpr std::uint32_t gguf_least_alignment = 8;
/// The reference reader's GGML_MAX_NAME is 64, with the NUL at the end.
inline constexpr std::size_t gguf_longest_name = 63;
inline constexpr std::size_t gguf_longest_key = 65535;
inline constexpr std::size_t gguf_most_axes = 4;
inline constexpr std::string_view gguf_alignment_key = "general.alignment";
inline constexpr std::string_view gguf_architecture_key = "general.architecture";
inline constexpr std::string_view gguf_quantization_key = "general.quantization_version";
/// The number of arrays; scalars have the number of their place in `GgufValue`, but for the last three, which the
/// format put behind it.
inline constexpr std::uint32_t gguf_array_number = 9;

/// The format's number of the value type in a place of `GgufArray` (and of the same place of `GgufValue`).
constexpr std::uint32_t gguf_value_number(std::size_t place) {
  return static_cast<std::uint32_t>(place < gguf_array_number ? place : place + 1);
}
inline constexpr std::array<std::string_view, 13> gguf_value_names{"uint8",  "int8",    "uint16", "int16",  "uint32",
                                                                   "int32",  "float32", "bool",   "string", "array",
                                                                   "uint64", "int64",   "float64"};

/// value rounded up to a multiple of the alignment, a power of two; nothing where that overflows.
[[nodiscard]] inline std::optional<std::uint64_t> padded(std::uint64_t value, std::uint64_t alignment) {
  std::uint64_t sum = 0;
  if (__builtin_add_overflow(value, alignment - 1, &sum)) return std::nullopt;
  return sum & ~(alignment - 1);
}

} // namespace mcomp::inline v0::io::detail
