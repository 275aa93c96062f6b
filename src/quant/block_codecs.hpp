#pragma once

#include "mcomp/quant/block_format.hpp"
#include "quant/block_codec.hpp"

namespace mcomp::inline v0::quant {

/// The codec of a format; lives as long as the program. Its `fit` searches as `BlockSearch::thorough` does.
[[nodiscard]] const BlockCodec& codec(BlockFormat format) noexcept;

namespace detail {

/// Scales of one block by a search; `importance` is empty (all alike) or as long as `w`.
void fit_block(BlockFormat format, BlockSearch search, std::span<const float> w, std::span<const float> importance,
               BlockGrid& grid);

/// The code of each weight whose value is nearest.
void nearest_codes(BlockFormat format, const BlockGrid& grid, std::span<const float> w, std::uint8_t* codes) noexcept;

} // namespace detail

} // namespace mcomp::inline v0::quant
