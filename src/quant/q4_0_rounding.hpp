#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

// The published rounding of Q4_0 alone has own vector code: it is what plain four-bit files are made with, and its cost
// is that of reading the weights.

namespace mcomp::inline v0::quant::detail {

/// Consecutive blocks of 32 finite weights to 18 bytes each.
using RoundQ40 = void (*)(const float* weight, std::size_t blocks, std::uint8_t* bytes) noexcept;

/// Those that this processor can run: the portable reference first, the best last. All give the same bytes.
[[nodiscard]] std::span<const RoundQ40> available_q4_0_roundings() noexcept;

} // namespace mcomp::inline v0::quant::detail
