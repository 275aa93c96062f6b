#pragma once

#include <cstdint>
#include <span>

#include "mcomp/quant/block_format.hpp"
#include "quant/block_codec.hpp"

// The search for formats whose optimum no sweep reaches: two numbers a sub-block (scale and offset), or scales that are
// themselves codes of a super-block scale. Alternates
//   - codes nearest to the current scales,
//   - the closed-form least squares for the scales with these codes (weighted by importance),
// from several starts, in all sub-blocks of a block at once, one in each of 16 lanes; then chooses the super-block
// scales by a quadratic model of every sub-block's error, evaluates the best of them exactly with the codes of scales
// in the neighbourhood, and repeats closed form and neighbourhood until nothing improves.

namespace mcomp::inline v0::quant::detail {

/// How many points each stage looks at.
struct SearchEffort {
  int starts = 0;       ///< of each sub-block; for a scale and offset, those at one end of the range
  int ranges = 1;       ///< that starts of a scale and offset are laid into
  int alternations = 0; ///< codes and least squares, after the best start
  int exchanges = 0;    ///< rounds over all single codes, after these
  int models = 0;       ///< super-block scales compared by the model, a multiple of 16
  int candidates = 0;   ///< of those, evaluated exactly
  int reach = 1;        ///< scale codes beside the nearest to the wished scale (signed ones: on either side)
  int refinements = 0;
  int rounds = 0; ///< of codes one up and one down, in each refinement
};
[[nodiscard]] SearchEffort effort_of(BlockFormat format, BlockSearch search) noexcept;

/// Fills `grid` for any format but those with one scale a block. `w` is one block, finite; `importance` as long, finite
/// and not negative, not all zero.
using LaneSearch = void (*)(BlockFormat format, std::span<const float> w, std::span<const float> importance,
                            const SearchEffort& effort, BlockGrid& grid);

/// Those that this processor can run: the portable one first, the best last. All give the same bits.
[[nodiscard]] std::span<const LaneSearch> available_lane_searches() noexcept;

} // namespace mcomp::inline v0::quant::detail
