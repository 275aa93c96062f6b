#pragma once

#include <span>

#include "quant/block_codes.hpp"
#include "quant/hessian_factor.hpp"

namespace mcomp::inline v0::quant::detail {

struct FeedbackOptions {
  /// Grids are those that `codes` brings; else each block is fitted when its turn comes, on weights that already
  /// compensate the blocks before it. Blocks must then be whole in `factor.order`.
  bool static_grids = true;
  std::int64_t block = 128; ///< columns whose errors are fed back at once
};

/// Rounds the columns of a weight one after the other, each to the value nearest to what best compensates the errors
/// of those before it.
/// @param weight [codes.rows, codes.columns]
/// @param importance [columns] for fits, or empty
/// @return sum over rows of ||e R||^2 minus the part of the damping: tr(E H E^T) / factor.unit
/// Cost: rows * columns^2 multiply-adds in matrix products, and rows * columns * 16 beside them. Rows run side by side
/// in tiles of 128; memory a tile: 512 bytes a column.
[[nodiscard]] Result<double> feed_back_errors(const float* weight, const HessianFactor& factor,
                                              const BlockValues& values, std::span<const float> importance,
                                              const FeedbackOptions& options, BlockCodes& codes,
                                              const Context& context);

/// The order of columns: by falling diagonal. Where grids are fitted on the way, whole blocks are ordered by their mean
/// diagonal and columns only within their block.
[[nodiscard]] std::vector<std::int32_t> column_order(std::span<const float> diagonal, std::int64_t block_size,
                                                     bool act_order, bool whole_blocks);

} // namespace mcomp::inline v0::quant::detail
