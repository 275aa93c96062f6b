#pragma once

// What the reader and the writer of safetensors must agree on.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/json.hpp"
#include "mcomp/core/dtype.hpp"

namespace mcomp::inline v0::io::detail {

static_assert(std::endian::native == std::endian::little, "tensors are mapped as they stand in the file");

/// The reference reader's MAX_HEADER_SIZE.
inline constexpr std::uint64_t largest_header = 100'000'000;
inline constexpr std::uint64_t length_bytes = 8;
inline constexpr const char* metadata_key = "__metadata__";

inline constexpr std::array<std::pair<std::string_view, DType>, 13> dtype_names{{
    {"F64", DType::f64},
    {"F32", DType::f32},
    {"F16", DType::f16},
    {"BF16", DType::bf16},
    {"F8_E4M3", DType::f8_e4m3},
    {"F8_E5M2", DType::f8_e5m2},
    {"F8_E8M0", DType::f8_e8m0},
    {"BOOL", DType::boolean},
    {"I8", DType::int8},
    {"U8", DType::uint8},
    {"I16", DType::int16},
    {"I32", DType::int32},
    {"I64", DType::int64},
}};

/// A tensor's name for messages: in quotes, control characters escaped, and not longer than a line.
[[nodiscard]] inline std::string quoted(std::string_view name) {
  constexpr std::size_t longest = 120;
  const bool cut = name.size() > longest;
  const mcomp::detail::Json text = std::string(name.substr(0, longest)) + (cut ? "..." : "");
  return text.dump(-1, ' ', true, mcomp::detail::Json::error_handler_t::replace);
}

/// True where every byte can be read as a bool; any other pattern would be undefined behaviour in a typed access.
[[nodiscard]] inline bool only_zeros_and_ones(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b <= std::byte{1}; });
}

} // namespace mcomp::inline v0::io::detail
