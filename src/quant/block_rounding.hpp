#pragma once

#include <cstddef>

#include "mcomp/quant/block_format.hpp"

// The published round-to-nearest of the formats that have one: scales from the largest magnitude or the range of a
// block, codes rounded half up (half away from zero in Q8_0), in the f32 arithmetic of ggml's reference quantizers, so
// that the bytes are theirs.

namespace mcomp::inline v0::quant::detail {

/// Consecutive blocks; only for formats whose layout `has_rounding`. `weight` is finite.
void round_blocks(BlockFormat format, const float* weight, std::size_t blocks, std::byte* bytes) noexcept;

} // namespace mcomp::inline v0::quant::detail
