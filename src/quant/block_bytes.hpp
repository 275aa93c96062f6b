#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "mcomp/quant/block_format.hpp"
#include "quant/block_codec.hpp"

// Where the bits of each GGUF block lie (ggml, src/ggml-common.h). `BlockGrid::super` holds the fp16 bits of the
// block's scale and, where there is one, of its offset or of the scale of minima; MXFP4 holds its exponent there.
// `BlockGrid::small` holds, for each sub-block s, its scale code at 2 s and its minimum code at 2 s + 1, as stored.

namespace mcomp::inline v0::quant::detail {

/// The levels of each format, ascending.
[[nodiscard]] std::span<const float> levels_of(BlockFormat format) noexcept;

/// Smallest and largest scale code of a K format as a number, and what is added to store it as a byte.
struct ScaleCodes {
  int lowest = 0, highest = 0, bias = 0;
};
[[nodiscard]] ScaleCodes scale_codes_of(BlockFormat format) noexcept;

/// Computes `scale` and `offset` from `super` and `small`, in the order of ggml's decoders.
void expand_scales(BlockFormat format, BlockGrid& grid) noexcept;

void pack_bytes(BlockFormat format, const BlockGrid& grid, const std::uint8_t* codes, std::byte* bytes) noexcept;
/// Fills the whole grid and the codes of a block.
void unpack_bytes(BlockFormat format, const std::byte* bytes, BlockGrid& grid, std::uint8_t* codes) noexcept;

} // namespace mcomp::inline v0::quant::detail
